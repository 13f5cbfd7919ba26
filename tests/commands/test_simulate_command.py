import json

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.theory.base.validation import InputError


def run(*words):
    return CliRunner().invoke(app, ["simulate", *(str(word) for word in words)])


def test_simulate_prints_what_the_library_finds(tmp_path):
    plot = tmp_path / "gaps.png"
    result = run(
        "logistic:breast_cancer,l2=0.01", "linear", "constant", "--method", "momentum:beta=0.5", "--steps", 50,
        "--base-lr", "0.1..1:3", "--batch-size", 16, "--seeds", 2, "--json", "--plot", plot,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)["rows"]
    data = li.problems.dataset("breast_cancer")
    problem = li.problems.logistic(data.features, data.targets, l2=0.01)
    expected = li.simulate(
        problem, "momentum", ["linear", "constant"], n_steps=50, base_lr=np.geomspace(0.1, 1, 3), seeds=2,
        batch_size=16, beta=0.5,
    ).sweep()  # fmt: skip
    assert [row["schedule"] for row in rows] == ["linear", "constant"]
    assert [row["gap"] for row in rows] == pytest.approx([best.gap for best in expected], rel=1e-12)
    assert plot.stat().st_size > 1000


def test_simulate_shows_the_bound_of_sgd():
    row = json.loads(run("absolute", "linear", "-n", 99, "--base-lr", "0.1", "--json").output)["rows"][0]
    assert row["gap"] <= row["bound"]
    assert row["bound"] == pytest.approx(li.exact_rate(0.1 * li.schedules.linear(99)).value, rel=1e-9)


def test_the_table_of_four_schedules_fits_a_terminal_without_cuts():
    result = run("absolute:x0=1.2345678", "-n", 100, "--base-lr", "1e-3..1:7")
    assert "wsd:cooldown=0.2" in result.output
    assert "…" not in result.output
    assert "diverged: 0 of 28 runs" in result.output


def test_simulate_judges_the_iterate_that_is_asked_for(tmp_path):
    words = (
        "l1_regression:diabetes",
        "constant",
        "-n",
        60,
        "--base-lr",
        "0.1,1",
        "--batch-size",
        8,
        "--replacement",
        "--json",
    )
    data = li.problems.dataset("diabetes")
    problem = li.problems.l1_regression(data.features, data.targets)
    chosen = {"n_steps": 60, "base_lr": [0.1, 1.0], "batch_size": 8, "replacement": True, "average": True}
    for iterate in ("last", "best", "average"):
        row = json.loads(run(*words, "--iterate", iterate).output)["rows"][0]
        assert row["gap"] == li.simulate(problem, "sgd", "constant", **chosen).sweep(iterate)[0].gap
    row = json.loads(run(*words, "--average", "lawa:every=5,count=3").output)["rows"][0]
    expected = li.simulate(problem, "sgd", "constant", **{**chosen, "average": "lawa:every=5,count=3"})
    assert row["gap"] == expected.sweep("average")[0].gap
    wrapped = run("absolute", "linear", "-n", 9, "--to-last-iterate", "--json", "--plot", tmp_path / "new" / "gap.svg")
    assert json.loads(wrapped.output)["bound"].startswith("regret of the learner")
    assert (tmp_path / "new" / "gap.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (("absolute", "linear", "--iterate", "first"), "--iterate"),
        (("absolute", "linear", "--plot", "gap.txt"), "--plot"),
        (("absolute", "linear", "--base-lr", "fast"), "--base-lr"),
        (("absolute", "linear", "--base-lr", "1..0:x"), "--base-lr"),
        (("absolute", "linear", "--method", "momentum:speed=1"), "speed"),
        (("cubic", "linear"), "problem"),
    ],
)
def test_simulate_names_bad_input(words, argument):
    error = run(*words).exception
    assert isinstance(error, InputError)
    assert error.argument == argument
