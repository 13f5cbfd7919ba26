"""The whole pipeline on small runs: what is trained, what is concluded, what is written."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import lastiterate as li
from lastiterate.experiments.replay import tuning
from lastiterate.experiments.replay.result import Replay, trend
from lastiterate.experiments.replay.runs import Plan, Task
from lastiterate.experiments.replay.splits import evaluated_on, tuning_metric
from lastiterate.experiments.training import train as training
from lastiterate.experiments.training.train import RunResult, TrainingSettings, train
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.refinement import smooth_norms

SMALL = {"n_steps": 40, "base_lrs": [0.3, 3.0, 30.0], "n_seeds": 3, "n_tuning_seeds": 2, "n_jobs": 1}
SMALL |= {"extensions": 0, "bisections": 0}


@pytest.fixture(scope="module")
def small():
    return li.replay("digits_logistic", ["constant", "wsd", "refined"], rounds=2, **SMALL)


def test_every_schedule_meets_its_rates_and_the_same_seeds(small):
    (workload,) = small.workloads
    assert [s.name for s in workload.schedules] == ["linear", "constant", "wsd", "refined", "refined-2"]
    assert workload["linear"].base_lrs == [0.3, 3.0, 30.0]
    for schedule in workload.schedules:
        assert len(schedule.base_lrs) == 3
        assert sorted((run.base_lr, run.seed) for run in schedule.runs) == [
            (lr, seed) for lr in schedule.base_lrs for seed in (0, 1)
        ]
        chosen = workload.chosen_lr(schedule.name)
        assert [(run.base_lr, run.seed) for run in schedule.report_runs] == [(chosen, seed) for seed in (2, 3, 4)]
    assert (workload.tuning_seeds, workload.report_seeds) == ([0, 1], [2, 3, 4])
    assert (small.provenance["tuning_seeds"], small.provenance["seeds"]) == ([0, 1], [2, 3, 4])


def test_tuning_sees_one_half_of_what_is_held_out_and_reporting_the_other(small):
    import torch

    whole = load_workload("digits_logistic")
    halves = [evaluated_on(whole, split) for split in ("validation", "test")]
    torch.manual_seed(0)
    model = whole.build_model()
    first, second = (part.evaluate(model) for part in halves)
    assert first["loss"] == second["loss"]
    assert (first["validation_loss"] + second["test_loss"]) / 2 == pytest.approx(whole.evaluate(model)["test_loss"])
    assert "test_loss" not in first
    for schedule in small["digits_logistic"].schedules:
        assert {*schedule.runs[0].final} == {"loss", "validation_loss", "validation_accuracy"}
        assert {*schedule.report_runs[0].final} == {"loss", "test_loss", "test_accuracy"}
        assert not {run.seed for run in schedule.runs} & {run.seed for run in schedule.report_runs}


def test_a_workload_may_bring_its_own_validation_or_have_none():
    class Own:
        def __getattr__(self, name):
            return getattr(load_workload("digits_logistic"), name)

        def validate(self, model):
            return {"test_loss": 3.0}

    assert tuning_metric(Own()) == "validation_loss"
    assert evaluated_on(Own(), "validation").evaluate(None) == {"validation_loss": 3.0}
    for name in ("linear_regression", "logistic_suite:dataset=wine"):
        workload = load_workload(name)
        assert tuning_metric(workload) == workload.metric
        assert evaluated_on(workload, "validation") is workload
    sequence = dataclasses.replace(load_workload("image_folder"))
    held_out = [item[1] for split in ("validation", "test") for item in evaluated_on(sequence, split).test]
    assert sorted(held_out) == sorted(item[1] for item in sequence.test)


def test_grids_have_their_centre_where_theory_puts_it(small):
    workload = small["digits_logistic"]
    best = workload.chosen_lr("linear")
    caps = smooth_norms(workload.rounds[0].norms)
    reference = li.tune_base_lr(workload["linear"].steps, G=caps).base_lr
    for name in ("constant", "wsd", "refined"):
        ratio = li.tune_base_lr(workload[name].steps, G=caps).base_lr / reference
        np.testing.assert_allclose(workload[name].base_lrs, [ratio * best / 10, ratio * best, ratio * best * 10])


@pytest.mark.parametrize(("start", "best"), [(1e-3, 1.0), (1.0, 1.0), (1e3, 1.0), (1e-3, 0.02)])
def test_grids_are_extended_until_the_best_lies_inside_and_then_bisected(start, best, monkeypatch):
    """A bowl in the logarithm of the rate instead of training."""
    trained = []

    def execute(tasks, plan):
        trained.extend(task.base_lr for task in tasks)
        scores = [np.log(task.base_lr / best) ** 2 for task in tasks]
        return [
            RunResult(task.base_lr, task.seed, {"validation_loss": score}, *[np.ones(1)] * 3)
            for task, score in zip(tasks, scores, strict=True)
        ]

    monkeypatch.setattr(tuning, "execute", execute)
    template = Task("digits_logistic", "tiny", None, "", np.ones(3), 1.0, 0, "sgd", TrainingSettings(), None, 1.0)
    plan = Plan(
        template, load_workload("digits_logistic"), "validation_loss", range(2), range(2, 4), 9, 2, 1, False, print
    )
    (found,) = tuning.tune(plan, {"a": np.ones(3)}, {"a": [start, 3.0 * start]}).values()
    lrs = found.base_lrs
    place = lrs.index(found.best_lr("validation_loss", False))
    assert 0 < place < len(lrs) - 1
    assert abs(np.log(lrs[place] / best)) <= 0.5 * np.log(3.0**0.5) + 1e-9
    assert lrs[place + 1] / lrs[place] == pytest.approx(3.0**0.25)
    assert len(trained) == 2 * len(lrs)


def test_a_plan_of_contrasts_that_are_not_replayed(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('[[contrast]]\ncandidate = "linear"\nreference = "cosine"\n')
    with pytest.raises(InputError, match=r"plan.*cosine"):
        li.replay("digits_logistic", ["constant"], plan=plan, **SMALL)
    result = li.replay("digits_logistic", ["cosine"], plan=plan, **{**SMALL, "base_lrs": [3.0], "n_tuning_seeds": 1})
    assert [found.contrast.name for found in result["digits_logistic"].comparisons()] == ["linear - cosine"]


def test_runs_are_those_of_train(small):
    lr = small["digits_logistic"].chosen_lr("wsd")
    expected = train(evaluated_on(load_workload("digits_logistic"), "test"), li.schedules.wsd(40), lr, 3)
    (run,) = [run for run in small["digits_logistic"]["wsd"].report_runs if run.seed == 3]
    assert run.final == expected.final
    np.testing.assert_array_equal(run.losses, expected.losses)


def test_refinement_comes_from_the_best_baseline_runs(small):
    workload = small["digits_logistic"]
    baseline = workload["linear"]
    lr = baseline.best_lr("validation_loss", False)
    assert {run.seed for run in baseline.runs_at(lr)} == {0, 1}
    norms = np.exp(np.mean([np.log(run.l2) for run in baseline.runs_at(lr)], axis=0))
    expected = li.refine(norms, rule="sgd")
    first, second = workload.rounds
    assert (first.source, first.base_lr, second.source) == ("linear", lr, "refined")
    np.testing.assert_allclose(workload["refined"].steps, expected.steps, rtol=1e-12)
    assert workload.verdict().startswith(trend([first.refinement.steps, second.refinement.steps]))
    degenerate = [round_.refinement.degenerate for round_ in workload.rounds]
    assert ("degenerate in round" in workload.verdict()) == any(degenerate)


def test_table_vs_plain_numpy(small):
    workload = small["digits_logistic"]
    rows = {row.schedule: row for row in workload.table()}
    values = {}
    for name, row in rows.items():
        tuned = {
            lr: np.mean([run.final["validation_loss"] for run in workload[name].runs_at(lr)])
            for lr in workload[name].base_lrs
        }
        values[name] = np.array([run.final["test_loss"] for run in workload[name].report_runs])
        assert row.base_lr == min(tuned, key=tuned.__getitem__)
        assert (row.mean, row.spread) == pytest.approx((values[name].mean(), values[name].std(ddof=1)))
    assert [row.mean for row in workload.table()] == sorted(row.mean for row in workload.table())
    assert rows["linear"].difference is None
    assert rows["wsd"].difference.mean == pytest.approx(rows["wsd"].mean - rows["linear"].mean)
    for found in workload.comparisons():
        candidate, reference = (values[name] for name in (found.contrast.candidate, found.contrast.reference))
        assert found.difference.mean == pytest.approx(np.mean(candidate - reference))
        assert found.difference.p_value == pytest.approx(stats.ttest_rel(candidate, reference).pvalue)


def test_bounds_vs_rates_for_the_recorded_norms(small):
    workload = small["digits_logistic"]
    caps = smooth_norms(workload.rounds[0].norms)
    for schedule in workload.schedules:
        expected = li.tune_base_lr(schedule.steps, D=1.0, G=caps).value
        assert schedule.bound == pytest.approx(expected, rel=1e-9)
    assert workload["refined"].bound == min(
        schedule.bound for schedule in workload.schedules if schedule.name[-1] != "2"
    )


@pytest.mark.slow  # each process imports torch
def test_two_jobs_give_the_same_numbers():
    options = {**SMALL, "n_steps": 15, "base_lrs": [3.0]}
    one = li.replay("digits_mlp", ["refined"], **options)
    two = li.replay("digits_mlp", ["refined"], **{**options, "n_jobs": 2})
    assert one.table() == two.table()


def test_vectorised_replay_vs_separate_runs(small):
    together = li.replay("digits_logistic", ["constant", "wsd", "refined"], rounds=2, vectorise=True, **SMALL)
    for schedule in small["digits_logistic"].schedules:
        mine, alone = (s.scores("validation_loss") for s in (together["digits_logistic"][schedule.name], schedule))
        stable = alone[:2] < 1.5  # beyond the stable learning rates rounding errors grow
        assert stable.any()
        np.testing.assert_allclose(mine[:2][stable], alone[:2][stable], rtol=1e-3)


def test_a_vectorised_run_alone_is_a_separate_run(monkeypatch):
    """An extension by one rate and one seed leaves one member, over which torch.func.vmap refuses some models."""
    from lastiterate.experiments.training import ensemble

    monkeypatch.setattr(ensemble, "train_ensemble", lambda *_, **__: pytest.fail("an ensemble of one"))
    options = {**SMALL, "n_steps": 10, "base_lrs": [3.0], "n_tuning_seeds": 1, "n_seeds": 1, "extensions": 0}
    result = li.replay("digits_logistic", ["linear"], vectorise=True, **options)
    assert len(result["digits_logistic"]["linear"].report_runs) == 1


def test_saved_results_read_back_to_the_same_table_and_report(small, tmp_path):
    loaded = Replay.load(small.save(tmp_path / "replay.json"))
    assert repr(loaded.table()) == repr(small.table())
    assert loaded["digits_logistic"].verdict() == small["digits_logistic"].verdict()
    assert repr(loaded["digits_logistic"].comparisons()) == repr(small["digits_logistic"].comparisons())
    text = (tmp_path / "replay.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_report_is_self_contained(small, tmp_path):
    page = li.write_report(small, tmp_path / "out" / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=['"](?!data:|#)""", page)
    assert page.count("data:image/png;base64") == 6
    assert len(list((tmp_path / "out" / "report_figures").glob("*.png"))) == 6
    for expected in ("viewport", "@media print", "digits_logistic", "refined-2", "p (Holm)", "Tuning seeds", "numpy"):
        assert expected in page


def test_grid_is_extended_until_the_optimum_is_interior():
    result = li.replay("digits_logistic", [], n_steps=40, base_lrs=[0.001, 0.01], n_seeds=1, n_jobs=1, extensions=6)
    row = result["digits_logistic"].table()[0]
    assert row.grid == "interior"
    assert result["digits_logistic"]["linear"].base_lrs[-1] > 1.0


def test_grid_that_may_not_grow_is_reported():
    result = li.replay("digits_logistic", [], n_steps=20, base_lrs=[0.001, 0.01], n_seeds=1, n_jobs=1, extensions=0)
    assert result["digits_logistic"].table()[0].grid == "high"


def fragile(base):
    """A workload whose loss is not a number once a weight is large."""

    class Fragile:
        def __getattr__(self, name):
            return getattr(base, name)

        name = "fragile"

        def loss(self, model, batch):
            weight = next(iter(model.parameters()))
            return base.loss(model, batch) + (0.0 * weight.abs().max() / (weight.abs().max() < 2.0))

    return Fragile()


def test_diverged_runs_are_counted_and_the_sweep_goes_on(tmp_path):
    workload = fragile(load_workload("digits_logistic"))
    result = li.replay(workload, ["constant", "refined"], n_steps=40, base_lrs=[0.1, 0.3, 300.0], n_seeds=2, n_jobs=1)
    rows = {row.schedule: row for row in result["fragile"].table()}
    assert int(rows["linear"].diverged.split("/")[0]) >= 3
    assert rows["linear"].base_lr < 300.0
    assert all(run.diverged_at is not None for run in result["fragile"]["linear"].runs_at(300.0))
    li.write_report(result, tmp_path / "report.html")
    Replay.load(result.save(tmp_path / "r.json"))


def test_when_everything_diverges_the_result_says_so(tmp_path):
    workload = fragile(load_workload("digits_logistic"))
    result = li.replay(workload, ["refined"], n_steps=30, base_lrs=[1e4, 1e5], n_seeds=1, n_jobs=1, extensions=1)
    assert result["fragile"].comparisons() == ()
    (row,) = result["fragile"].table()
    assert row.base_lr is None
    assert math.isnan(row.mean)
    assert result["fragile"].rounds == ()
    li.write_report(result, tmp_path / "report.html")


def test_adam_uses_l1_norms():
    result = li.replay(
        "digits_mlp", ["refined"], optimizer="adam", **{**SMALL, "base_lrs": [1e-3, 1e-2], "n_tuning_seeds": 1}
    )
    workload = result["digits_mlp"]
    assert workload.rule == "adam"
    (run,) = workload["linear"].runs_at(workload.rounds[0].base_lr)
    np.testing.assert_allclose(workload.rounds[0].norms, run.l1, rtol=1e-12)


def test_schedule_file_as_schedule(tmp_path):
    from lastiterate.theory.schedules.files import write_schedule

    file = write_schedule(np.linspace(1, 0.1, 40), tmp_path / "mine.json")
    result = li.replay("digits_logistic", [str(file)], **SMALL)
    assert result["digits_logistic"][str(file)].steps[-1] == pytest.approx(0.1)
    with pytest.raises(InputError, match="40 steps"):
        li.replay("digits_logistic", [str(file)], **{**SMALL, "n_steps": 41})


def test_interrupted_replay_goes_on_from_its_checkpoints(tmp_path, monkeypatch):
    options = {**SMALL, "base_lrs": [3.0], "checkpoints": tmp_path / "runs"}
    whole = li.replay("digits_logistic", ["cosine"], **options)
    assert len(list((tmp_path / "runs").glob("*.pt"))) == 10  # two schedules, two tuning and three fresh seeds
    monkeypatch.setattr(training, "one_step", lambda *_: pytest.fail("a finished run was trained again"))
    assert li.replay("digits_logistic", ["cosine"], **options).table() == whole.table()


def test_user_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import dataclasses\n"
        "from lastiterate.experiments.workloads.digits_logistic import create as digits\n"
        "def create(size='tiny', data=None, steps=25):\n"
        "    return dataclasses.replace(digits(size), name='mine', n_steps=steps)\n"
    )
    result = li.replay(f"{file}:steps=12", [], **{**SMALL, "n_steps": None, "base_lrs": [1.0]})
    assert result["mine"]["linear"].steps.size == 12


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": 3}, "workload.name"),
        ({"n_steps": 0}, "workload.n_steps"),
        ({"base_lrs": (1.0, 0.1)}, "workload.base_lrs"),
        ({"metric": "speed"}, "workload.evaluate.*speed"),
        ({"make_model": lambda: 3}, "workload.build_model"),
        ({"make_model": lambda: 1 / 0}, "workload.build_model.*ZeroDivisionError"),
    ],
)
def test_user_workload_that_breaks_the_protocol(change, named):
    bad = dataclasses.replace(load_workload("digits_logistic"), **change)
    with pytest.raises(InputError, match=named):
        li.replay(bad, [], **SMALL)


@pytest.mark.parametrize(
    "member", ["name", "n_steps", "optimizer", "base_lrs", "metric", "higher_is_better", "batch", "loss"]
)
def test_user_workload_without_a_member(member):
    base = load_workload("digits_logistic")

    class Partial:
        def __getattr__(self, name):
            if name == member:
                raise AttributeError(name)
            return getattr(base, name)

    with pytest.raises(InputError, match=f"workload.{member}.*missing"):
        li.replay(Partial(), [], **SMALL)


def test_user_workload_with_random_batches():
    import torch

    class Random:
        def __getattr__(self, name):
            return getattr(load_workload("digits_logistic"), name)

        def batch(self, seed, step):
            return torch.randn(4, 64), torch.randint(0, 10, (4,))

    with pytest.raises(InputError, match=r"function of \(seed, step\) alone"):
        li.replay(Random(), [], **SMALL)


@pytest.mark.parametrize(
    ("workload", "change", "named"),
    [
        ("digits", {}, "workload: expected one of .*digits_mlp.*got digits"),
        ("none.py", {}, "existing Python file"),
        ("digits_mlp:height=3", {}, "height"),
        ("digits_mlp", {"size": "huge"}, "size.*huge"),
        ("digits_mlp", {"schedules": ["sawtooth"]}, "sawtooth"),
        ("digits_mlp", {"optimizer": "tiger"}, "optimizer.*tiger"),
        ("digits_mlp", {"n_steps": 0}, "n_steps"),
        ("digits_mlp", {"n_seeds": 0}, "n_seeds"),
        ("digits_mlp", {"base_lrs": [0.1, -1.0]}, "base_lrs"),
        ("digits_mlp", {"base_lrs": []}, "base_lrs"),
        ("digits_mlp", {"rule": "lion"}, "rule"),
        ("digits_mlp", {"smoothing": 2.0}, "smoothing"),
        ("digits_mlp", {"rounds": 0}, "rounds"),
        ("digits_mlp", {"vectorise": True, "checkpoints": "x"}, "vectorise"),
        ([], {}, "workloads"),
    ],
)
def test_bad_arguments(workload, change, named):
    with pytest.raises(InputError, match=named):
        li.replay(workload, **{**SMALL, "n_steps": 3, "n_seeds": 1, "base_lrs": [1.0], **change})


def test_trend():
    a, b = np.linspace(1, 0, 50), np.linspace(0, 1, 50)
    assert trend([a]) == "one round only"
    assert trend([a, b, a + 0.01]) == "oscillates"
    assert trend([a, b, (a + 2 * b) / 3]) == "settles"
    assert trend([a, b, a * 0]) == "still changes"


@pytest.mark.slow  # three processes that import torch
def test_replay_under_torchrun_vs_alone(tmp_path):
    options = ["digits_logistic", "-s", "refined", "-n", "12", "--seeds", "1", "--tuning-seeds", "1"]
    options += ["--base-lr", "1", "--extensions", "0"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "lastiterate"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [*command, "replay", *options, "--out", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Planned contrasts") == 1
    alone = li.replay(
        "digits_logistic", ["refined"], n_steps=12, n_seeds=1, n_tuning_seeds=1, base_lrs=[1.0], extensions=0, n_jobs=1
    )
    together = Replay.load(tmp_path / "replay.json")
    for mine, shared in zip(alone.table(), together.table(), strict=True):
        assert shared["mean"] == pytest.approx(mine["mean"], rel=1e-4)


@pytest.mark.slow
def test_demo_sized_replay_finds_interior_optima(tmp_path):
    result = li.replay(["digits_logistic", "digits_mlp"], n_tuning_seeds=2, n_seeds=3)
    assert all(row["grid"] == "interior" for row in result.table())
    assert {row["schedule"] for row in result.table()} == {"constant", "cosine", "linear", "wsd", "refined"}
    assert result["digits_mlp"].rounds[0].refinement.degenerate
    li.write_report(result, tmp_path / "report.html")
