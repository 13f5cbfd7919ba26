"""The cost of a replay: runs against a real replay, hours by hand, the budget, and the command."""

import json

import pytest

import lastiterate as li
from lastiterate.cli import app
from lastiterate.experiments.replay import runs as running
from lastiterate.experiments.replay.dry_run import dry_run
from lastiterate.experiments.training.train import TrainingSettings
from lastiterate.theory.base.validation import InputError


@pytest.mark.parametrize(
    "given",
    [
        {"base_lrs": [1.0, 3.0], "n_seeds": 2},
        {"base_lrs": [1.0], "n_seeds": 2},
        {"base_lrs": [1.0, 3.0, 1.0], "n_seeds": 1, "rounds": 2},
        {"n_seeds": 1, "optimizer": "adam"},
        {"n_seeds": 1},
    ],
)
def test_runs_vs_those_of_a_replay(given, monkeypatch):
    """Every run that a replay does is counted, whatever its outcome."""
    done = []
    run = running._run
    monkeypatch.setattr(running, "_run", lambda task: done.append(task) or run(task))
    schedules, given = (
        ["cosine", "linear", "refined"],
        {"n_steps": 3, "extensions": 0, "bisections": 0, "n_tuning_seeds": 2, **given},
    )
    li.replay("digits_logistic", schedules, n_jobs=1, **given)
    cost = dry_run("digits_logistic", schedules, size="tiny", **given)
    assert [each.n_runs for each in cost.workloads] == [len(done)]
    assert cost.workloads[0].max_runs == len(done)


def test_hours_by_hand():
    seeds = {"n_seeds": 4, "n_tuning_seeds": 2}
    names, grid = ["digits_mlp", "digits_logistic"], {"extensions": 1, "bisections": 1}
    cost = dry_run(names, ["cosine"], n_steps=100, throughput=0.5, **seeds, **grid)
    (first, second), parts = cost.workloads, cost.table()
    # linear on the grid of five, cosine on three, both with two gaps halved, then both on four fresh seeds
    assert first.n_runs == (5 + 3 + 2 * 2) * 2 + 2 * 4 == 32
    assert first.max_runs == first.n_runs + 2 * 2
    assert second.footprint.flops == 2 * 2 * 32 * 64 * 10
    assert second.hours == pytest.approx(32 * 100 * second.footprint.flops / 0.5e12 / 3600)
    assert cost.hours == pytest.approx(first.hours + second.hours)
    assert parts[1]["hours at most"] == pytest.approx(second.hours * 36 / 32)


def test_a_part_of_a_batch_at_a_time():
    whole, parts = (
        dry_run("residual_net", n_seeds=1, settings=TrainingSettings(accumulate=n)).workloads[0].footprint
        for n in (1, 4)
    )
    assert parts.activations < 0.3 * whole.activations
    assert parts.flops == whole.flops


def test_a_replay_above_its_budget_is_refused():
    free = dry_run("residual_net")
    assert dry_run("residual_net", budget=free.max_hours * 1.001).hours == free.hours
    with pytest.raises(InputError, match=r"budget: expected at least .* hours, for 221 runs \(131 without"):
        dry_run("residual_net", budget=free.max_hours * 0.999)


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"budget": 0.0}, "budget"),
        ({"throughput": -1.0}, "throughput"),
        ({"size": "huge"}, "size"),
        ({"optimizer": "nothing"}, "optimizer"),
        ({"n_seeds": 0}, "n_seeds"),
        ({"base_lrs": [0.0]}, "base_lrs"),
    ],
)
def test_bad_arguments(given, argument):
    with pytest.raises(InputError) as caught:
        dry_run("digits_logistic", **given)
    assert caught.value.argument == argument


def run(runner, *arguments):
    return runner.invoke(app, ["replay", *arguments])


@pytest.fixture
def runner():
    from typer.testing import CliRunner

    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})


def test_command(runner):
    shown = run(runner, "digits_mlp", "image_folder", "--dry-run", "--size", "full", "--optimizer", "prodigy",
                "--device", "cuda", "--throughput", "150")  # fmt: skip
    assert shown.exit_code == 0, shown.output
    for text in ("25,557,032", "(scaled)", "stated TFLOP/s: 150", "450000"):
        assert text in shown.output
    as_json = run(runner, "digits_mlp", "--dry-run", "--json", "-s", "cosine", "--seeds", "1", "--extensions", "0")
    found = json.loads(as_json.output)
    assert found["rows"][0]["runs"] == (5 + 3 + 2 * 2) * 3 + 2
    assert found["stated_TFLOP_s"] == 100.0


def test_command_refuses_before_it_trains(runner, monkeypatch):
    monkeypatch.setattr(running, "_run", lambda task: pytest.fail("trained"))
    refused = run(runner, "digits_mlp", "--budget", "1e-12")
    assert refused.exit_code != 0
    assert "budget" in str(refused.exception) + refused.output
