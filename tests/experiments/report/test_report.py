"""The report: verdict first, signs that agree, a command to paste, alt texts, no chart of few ranks, all escaped."""

import dataclasses
import re
import shlex
import sys
from html import unescape

import numpy as np
import pytest

import lastiterate as li
from lastiterate.experiments.replay.provenance import provenance
from lastiterate.experiments.replay.result import Replay
from lastiterate.experiments.report import html
from lastiterate.experiments.report.findings import findings, verdict
from lastiterate.experiments.report.html import ENOUGH_WORKLOADS
from lastiterate.experiments.report.tables import contrast_rows, contrasts, results, theory_rates
from lastiterate.experiments.statistics import Contrast, Plan
from lastiterate.experiments.training.train import TrainingSettings


@pytest.fixture(scope="module")
def page(replayed, tmp_path_factory):
    target = tmp_path_factory.mktemp("report") / "report.html"
    return li.write_report(replayed, target, introduction=["Why <this> was done."]).read_text()


def renamed(result, *names):
    """The replay of one workload as one of several."""
    return Replay(tuple(dataclasses.replace(result.workloads[0], workload=name) for name in names), result.provenance)


def test_the_verdict_comes_first_and_says_what_could_be_detected(replayed, page):
    said = verdict(replayed.workloads[0])
    assert "with probability 0.8" in said[-1]
    first = min(page.index(tag) for tag in ("<table", "<nav", "<img"))
    for sentence in said:
        assert sentence in unescape(page[:first])
    assert page.index("Why &lt;this&gt; was done.") < first
    assert findings(replayed.workloads[0])[: len(said)] == said


def test_a_difference_its_interval_and_its_p_value_say_the_same(replayed):
    workload = replayed.workloads[0]
    rows = contrasts(workload).rows
    assert len(rows) == 4
    for (name, word, mean, interval, percent, p, *_), found in zip(rows, workload.comparisons(), strict=True):
        low, high = map(float, interval.split(" to "))
        assert low <= float(mean) <= high
        assert (low > 0.0 or high < 0.0) == (float(p) <= workload.plan.level)
        assert (word in ("better", "slightly better")) == (found.differs and float(mean) < 0.0)
        a, b = (workload[part].reported(workload.metric).mean() for part in name.split(" - "))
        assert float(mean) == pytest.approx(a - b, rel=0.01)
        assert float(percent) == pytest.approx(100.0 * (a - b) / b, rel=0.1)


def test_a_contrast_with_a_reference_of_zero_has_no_percent(replayed):
    workload = replayed.workloads[0]
    runs = tuple(
        dataclasses.replace(run, final=dict.fromkeys(run.final, 0.0)) for run in workload["linear"].report_runs
    )
    zero = dataclasses.replace(workload["linear"], report_runs=runs)
    schedules = tuple(zero if s.name == "linear" else s for s in workload.schedules)
    rows = contrast_rows(dataclasses.replace(workload, schedules=schedules))
    assert all(list(row)[1] == "difference" for row in rows)
    assert [list(row)[1] for row in contrast_rows(workload)] == ["difference, %"] * 4


def test_the_theory_table_vs_exact_rates(replayed):
    workload = replayed.workloads[0]
    rows = {row[0]: row for row in theory_rates(workload).rows}
    assert {schedule.name for schedule in workload.schedules} | {"inverse_sqrt", "rex"} <= set(rows)
    for name in ("constant", "refined"):
        steps = workload[name].steps
        rate, linear = (li.tune_base_lr(h) for h in (steps, li.schedules.linear(steps.size)))
        assert float(rows[name][1]) == pytest.approx(rate.value * (steps.size + 1) ** 0.5, abs=1e-3)
        assert float(rows[name][4]) == pytest.approx(rate.base_lr / linear.base_lr, rel=0.05)
    assert rows["rex"][2] == rows["rex"][3] == rows["rex"][5] == ""


def test_every_column_has_a_meaning_and_every_row_a_cell(replayed):
    for table in (make(replayed.workloads[0]) for make in (contrasts, results, theory_rates)):
        assert all(len(meaning) > 10 for meaning in table.columns.values())
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_alternative_texts_say_something_else_than_captions(page):
    pictures = re.findall(r'<img alt="([^"]+)"[^>]*><figcaption>(.*?)</figcaption>', page)
    assert len(pictures) == page.count("<img") == 6
    assert all(seen not in caption and caption not in seen for seen, caption in pictures)
    assert len({seen for seen, _ in pictures}) == 6


def test_contents_lead_somewhere(page):
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert len(anchors) >= 7
    assert all(page.count(f'id="{anchor}"') == 1 for anchor in anchors)


def test_ranks_are_drawn_for_enough_workloads_only(replayed, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "figures", lambda workload: [])  # many, and other tests draw them
    replayed = Replay((dataclasses.replace(replayed.workloads[0], rounds=()),), replayed.provenance)
    names = [f"w{number}" for number in range(ENOUGH_WORKLOADS)]
    few = li.write_report(renamed(replayed, *names[1:]), tmp_path / "few.html").read_text()
    many = li.write_report(renamed(replayed, *names), tmp_path / "many.html").read_text()
    assert "mean rank" not in few
    assert "a shorter bar is better" in many
    assert "Friedman" in many


def test_names_and_commands_are_text(replayed, tmp_path):
    hostile = "<script>alert(1)</script> {{ 7 * 7 }} \udcff"
    result = Replay(renamed(replayed, hostile).workloads, {**replayed.provenance, "command": f"lastiterate {hostile}"})
    page = li.write_report(result, tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "{{ 7 * 7 }}" in page


def test_one_seed_and_no_contrast_are_said(replayed):
    workload = replayed.workloads[0]
    alone = tuple(dataclasses.replace(s, report_runs=s.report_runs[:1]) for s in workload.schedules)
    assert "A single seed says nothing" in " ".join(verdict(dataclasses.replace(workload, schedules=alone)))
    assert "decide nothing" in verdict(dataclasses.replace(workload, plan=Plan(())))[0]


def test_refinement_that_makes_no_difference_is_no_help(replayed):
    workload = replayed.workloads[0]
    twin = dataclasses.replace(workload["linear"], name="refined")
    rng = np.random.default_rng(0)
    runs = tuple(
        dataclasses.replace(run, final={**run.final, "test_loss": run.final["test_loss"] * (1 - 1e-5 * rng.random())})
        for run in twin.report_runs
    )
    schedules = (workload["linear"], dataclasses.replace(twin, report_runs=runs))
    plan = Plan((Contrast("refined", "linear", margin=0.005),))
    text = " ".join(findings(dataclasses.replace(workload, schedules=schedules, plan=plan)))
    assert "Refinement makes no difference that matters here" in text


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["/x/lastiterate/__main__.py", "replay", "my work.py", "-s", "wsd:cooldown=0.2"], True),
        (["/usr/bin/lastiterate", "demo", "--out", "a b"], True),
        (["/x/ipykernel_launcher.py", "-f", "kernel.json"], False),
        (["study.py"], False),
    ],
)
def test_the_command_is_one_that_a_shell_takes(monkeypatch, words, command):
    monkeypatch.setattr(sys, "argv", words)
    written = provenance(TrainingSettings(), seeds=[0], seconds=1.0)["command"]
    assert shlex.split(written) == (["lastiterate", *words[1:]] if command else [])
