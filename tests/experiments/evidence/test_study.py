"""The plan of the study, its resumable runs, and the page that its stored numbers make."""

import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import lastiterate as li
from lastiterate.experiments.evidence.averages import ARMS
from lastiterate.experiments.evidence.findings import agreement, false_alarms, findings, rate_errors
from lastiterate.experiments.evidence.publish import write_page
from lastiterate.experiments.evidence.repetition import compare_seeds
from lastiterate.experiments.evidence.study import StudyError, read_results, read_study, run_block
from lastiterate.experiments.evidence.summary import summary
from lastiterate.experiments.statistics import rank_correlation
from lastiterate.experiments.sweep import code
from lastiterate.experiments.sweep.store import Store

DOCS = Path(__file__).parents[3] / "docs"
STUDY = read_study()

TINY = """
level = 0.05
margin = 0.005
tuning_seeds = [0]
report_seeds = { start = 10, count = 3 }
[[block]]
name = "tiny"
question = "Does it run?"
contrast = [{ candidate = "constant", reference = "linear" }]
common = { method = "adam", epochs = 3, base_lr = 0.2, schedules = ["constant", "linear", "cosine", "one_minus_sqrt"] }
cells = [{ workload = "convex:dataset=iris" }, { workload = "convex:dataset=iris,l2=1e-3", base_lr = 0.1 }]
"""


def tiny(folder):
    (folder / "study.toml").write_text(TINY)
    return read_study(folder / "study.toml")


def test_seeds_that_choose_and_seeds_that_report_are_disjoint():
    for block, again in zip(STUDY.values(), read_study(replicate=1).values(), strict=True):
        for cell, other in zip(block.cells, again.cells, strict=True):
            options = [cell.options, other.options]
            sets = [set(o[name]) for o in options for name in ("tuning_seeds", "report_seeds")]
            if "pool" in cell.options:
                sets += [set(range(o["pool_start"], o["pool_start"] + o["pool"])) for o in options]
            assert not any(a & b for a, b in itertools.combinations(sets, 2)), block.name


def test_the_keys_of_cells_hash_what_decides_them():
    """Rates, laws, simulators and networks take part; the page, its pictures and the commands do not."""
    top = Path(li.__file__).parents[1]
    for block in STUDY.values():
        (module,) = {cell.name.partition(":")[0] for cell in block.cells}
        files = {str(f.relative_to(top / "lastiterate")) for f in code._reached(_file(module, top), top)}
        assert {"theory/rates/sgd.py", "theory/simulators/simulate.py", "theory/schedules/families.py"} <= files
        assert {
            "theory/simulators/methods/adam.py",
            "theory/problems/minimum/programs.py",
        } <= files  # named at run time
        assert {"experiments/evidence/protocol.py", "experiments/workloads/recommendation.py"} <= files
        assert ("experiments/evidence/averages.py" in files) is (block.name == "averages")
        files = {file for file in files if not file.endswith("__init__.py")}
        assert not [file for file in files if file.startswith(("commands", "paper_figures", "experiments/plots"))]
        assert not {f"experiments/evidence/{name}.py" for name in ("page", "pictures", "summary", "study")} & files


def _file(module, top):
    return top.joinpath(*module.split(".")).with_suffix(".py")


def test_every_contrast_names_what_runs():
    made = {"schedules": {"effective-linear"}, "averages": set(ARMS), "controls": {"linear"}}
    made["controls"] |= {"reversed-linear", "linear-wrong-rate"}
    for block in STUDY.values():
        for contrast in block.plan.contrasts:
            for name in (contrast.candidate, contrast.reference):
                kinds = [cell.target.rpartition("_")[2] for cell in block.cells]
                known = set().union(*(made.get(kind, set()) for kind in kinds))
                for cell in block.cells:
                    known |= set(cell.options.get("schedules", ()))
                    known |= {rule["name"] for rule in cell.options.get("refinements", ())}
                assert name in known, (block.name, name)


def test_stored_cells_are_not_run_again(tmp_path):
    block = tiny(tmp_path)["tiny"]
    first = run_block(block, tmp_path / "runs.db", tmp_path / "first", progress=False).read_bytes()
    with Store(tmp_path / "runs.db") as store:
        took = {record.key: record.wall_s for record in store.records(status="done")}
    again = run_block(block, tmp_path / "runs.db", tmp_path / "again", progress=False).read_bytes()
    with Store(tmp_path / "runs.db") as store:  # a run that came again would have another time, to the nanosecond
        assert {record.key: record.wall_s for record in store.records()} == took
    fresh = run_block(block, tmp_path / "other.db", tmp_path / "fresh", progress=False).read_bytes()
    assert first == again == fresh
    found = findings(block, read_results(tmp_path / "first", ["tiny"])["tiny"])
    assert [f.comparison.contrast.name for f in found] == ["constant - linear"] * 2
    assert found[0].n_steps == 30


def test_a_cell_that_fails_is_named(tmp_path):
    block = tiny(tmp_path)["tiny"]
    bad = replace(block.cells[0], options={**block.cells[0].options, "workload": "convex:dataset=nowhere"})
    with pytest.raises(StudyError, match="nowhere"):
        run_block(replace(block, cells=(bad,)), tmp_path / "runs.db", tmp_path, progress=False)


KILLED = """
from pathlib import Path
from lastiterate.experiments.evidence.study import read_study, run_block
run_block(read_study("study.toml")["tiny"], Path("runs.db"), Path("results"), progress=False)
"""


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    """SIGKILL once the first cell is stored; the rest runs, and the file is that of an undisturbed run."""
    import sqlite3

    cells = ", ".join(f'{{ workload = "convex:dataset=iris,l2=1e-{k}" }}' for k in range(2, 8))
    (tmp_path / "study.toml").write_text(
        TINY.split("cells =")[0].replace("epochs = 3", "epochs = 60") + f"cells = [{cells}]"
    )
    block = read_study(tmp_path / "study.toml")["tiny"]

    def stored():
        if not (tmp_path / "runs.db").is_file():
            return 0
        with sqlite3.connect(f"file:{tmp_path / 'runs.db'}?mode=ro", uri=True) as db:
            try:
                return db.execute("SELECT count(*) FROM runs WHERE status = 'done'").fetchone()[0]
            except sqlite3.Error:
                return 0

    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 300
    while stored() < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert stored() >= 1
    resumed = run_block(block, tmp_path / "runs.db", tmp_path / "results", progress=False).read_bytes()
    assert resumed == run_block(block, tmp_path / "other.db", tmp_path / "other", progress=False).read_bytes()


def test_committed_results_make_the_committed_page(tmp_path):
    """Numbers and text bit for bit, and the pictures too with the pinned matplotlib."""
    (tmp_path / "evidence").mkdir()
    for file in (DOCS / "evidence").rglob("*.json"):
        copy = tmp_path / "evidence" / file.relative_to(DOCS / "evidence")
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
    written = write_page(tmp_path)
    assert written[0].read_bytes() == (DOCS / "evidence.md").read_bytes()
    assert {file.name for file in written[1:]} == {file.name for file in (DOCS / "evidence").glob("*.png")}
    if f"matplotlib=={version('matplotlib')}" in (DOCS.parent / "constraints.txt").read_text().split():
        for file in written[1:]:
            assert file.read_bytes() == (DOCS / "evidence" / file.name).read_bytes(), file.name


def test_the_readme_says_what_the_study_says():
    """Its sentences are those of the page, number by number."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    section = text.partition("## What was measured")[2].partition("\n## ")[0]
    told = [" ".join(line.split()) for line in re.split(r"\n(?=\d\. )", section)[1:]]
    assert told == summary(STUDY, read_results(DOCS / "evidence", list(STUDY)))
    assert len(told) == 5


def result_of(values, bounds):
    names = list(values)
    metrics = {"n_steps": 10.0, **{f"{name}/bound": bound for name, bound in zip(names, bounds, strict=True)}}
    spec = {"method": "sgd", "options": {"workload": "clicks", "schedules": names}}
    return {
        "cells": [{"spec": spec, "metrics": metrics, "curves": {f"{n}/test": np.array(v) for n, v in values.items()}}]
    }


def test_agreement_vs_all_orders():
    means = [0.3, 0.1, 0.2, 0.5, 0.4]
    bounds = [1.2, 1.0, 1.3, 1.5, 1.1]
    result = result_of({f"s{i}": [m, m] for i, m in enumerate(means)}, bounds)
    (found,) = agreement(STUDY["horizon"], result)
    taus = [rank_correlation(order, means) for order in itertools.permutations(bounds)]
    assert found.tau == rank_correlation(bounds, means)
    assert found.p_value == pytest.approx(np.mean([tau >= found.tau - 1e-12 for tau in taus]), abs=1e-9)


def test_borderline_and_solid():
    rng = np.random.default_rng(0)
    linear = rng.normal(1.0, 0.1, size=10)
    block = STUDY["horizon"]
    far = result_of({"constant": linear + rng.normal(0.5, 0.01, 10), "linear": linear}, [1.0, 1.0])
    (found,) = findings(block, far)
    assert (found.solid, found.reading) == (True, "worse")
    assert found.percent(found.reference) == 100.0
    noise = rng.normal(size=10)
    noise = 0.01 * (noise - noise.mean()) / noise.std(ddof=1)
    half = 2.262157 * 0.01 / math.sqrt(10)
    near = result_of({"constant": linear + noise + 1.4 * half, "linear": linear}, [1.0, 1.0])
    (found,) = findings(block, near)
    assert found.excludes_zero
    assert not found.solid


def test_agreement_of_averages_counts_equal_worst_cases_as_ties():
    means = [0.3, 0.1, 0.2, 0.5]
    values = {"tail": 1.08182, "wsd": 1.08158, "linear": 1.0, "last": 1.54}
    result = result_of({name: [m, m] for name, m in zip(values, means, strict=True)}, [0.0] * 4)
    result["cells"][0]["metrics"] |= {f"{name}/value": value for name, value in values.items()}
    (found,) = agreement(STUDY["averages"], result)
    rounded = [1.082, 1.082, 1.0, 1.54]
    taus = [rank_correlation(order, means) for order in itertools.permutations(rounded)]
    assert found.tau == rank_correlation(rounded, means)
    assert found.p_value == pytest.approx(np.mean([tau >= found.tau - 1e-12 for tau in taus]), abs=1e-9)


@pytest.mark.parametrize(
    ("differences", "kept"),
    [
        ((0.5, 0.5), "of 1 such contrasts 1 kept it. Of 0"),
        ((0.5, -0.5), "0 kept it, and not: clicks, 10 steps, constant"),
    ],
)
def test_contrasts_that_keep_their_sign_with_other_seeds(differences, kept):
    linear = np.linspace(1.0, 1.2, 10)
    first, again = (
        {"horizon": result_of({"constant": linear + d + 0.01 * np.sin(linear), "linear": linear}, [1.0, 1.0])}
        for d in differences
    )
    text, rows = compare_seeds(STUDY, first, again)
    assert kept in text
    assert "Not repeated: nothing" in text
    assert rows == [["horizon", "1", str(int(differences[1] > 0.0)), "0", "0"]]
    assert "Not repeated: clicks, 10 steps, of horizon" in compare_seeds(STUDY, first, {})[0]


def test_stored_grids_start_where_theory_puts_them():
    """At base_lr times the ratio of both schedules' best rates, which the study reads off 1,000 of their steps."""
    results = read_results(DOCS / "evidence", list(STUDY))
    seen = 0
    for name in ("horizon", "convex", "text"):
        for cell in results[name]["cells"]:
            n, spec = int(cell["metrics"]["n_steps"]), cell["spec"]
            if n > 6000:
                continue
            reference = li.tune_base_lr(li.schedules.linear(n)).base_lr
            for text in spec["options"]["schedules"]:
                ratio = li.tune_base_lr(li.schedules.parse(text, n)).base_lr / reference
                assert cell["metrics"][f"{text}/predicted_lr"] == pytest.approx(spec["base_lr"] * ratio, rel=0.1)
                seen += 1
    assert seen > 50


def test_false_alarms_of_equal_and_unequal_runs():
    rng = np.random.default_rng(1)
    different, equal = false_alarms(rng.normal(1.0, 0.001, size=4000), 0.005)
    assert 2 <= (different <= 0.05).sum() <= 20
    assert (equal <= 0.05).mean() > 0.95
    assert different.size == 200


def test_errors_of_predicted_rates():
    metrics = {"n_steps": 5.0, "linear/base_lr": 0.4, "linear/predicted_lr": 0.1}
    metrics |= {"constant/base_lr": 0.2, "constant/predicted_lr": 0.025}
    assert rate_errors([{"cells": [{"metrics": metrics}]}])["constant"].tolist() == [1.0]


def test_results_of_another_block_are_refused(tmp_path):
    (tmp_path / "horizon.json").write_text(json.dumps({"block": "noise", "cells": []}))
    with pytest.raises(ValueError, match="horizon"):
        read_results(tmp_path, ["horizon"])
