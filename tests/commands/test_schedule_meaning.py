"""A designed schedule keeps its meaning through the commands, and a horizon beside a file must agree with it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules.files import read_schedule_file, write_schedule


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def rows(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def designed(tmp_path):
    """Optimal steps for D = 2, G = 5, whose size is part of the result."""
    file = tmp_path / "steps.json"
    rows("optimal", "-n", 20, "-D", 2, "-G", 5, "-o", file)
    return file


def test_the_commands_write_absolute_steps(designed):
    found = read_schedule_file(designed)
    assert found.absolute
    np.testing.assert_allclose(found.values, li.optimal_schedule(20, D=2.0, G=5.0).steps)


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_bound_compare_and_continue_take_absolute_steps_as_they_are(tmp_path, ending):
    steps = 0.3 * li.schedules.cosine(20)
    file = write_schedule(steps, tmp_path / f"s.{ending}", kind="steps")
    want = li.exact_rate(steps, D=2.0, G=5.0).value
    found = rows("bound", file, "-D", 2, "-G", 5)["rows"]
    assert found[0]["rate"] == pytest.approx(want, rel=1e-12)
    assert {row["base_lr"] for row in found} == {1.0}
    unit = 10.0 / np.sqrt(21)
    table = {row["schedule"]: row for row in rows("compare", file, "cosine", "-D", 2, "-G", 5)["rows"]}
    assert table[str(file)]["exact"] * unit == pytest.approx(want, rel=1e-12)
    tuned = li.tune_base_lr(li.schedules.cosine(20), D=2.0, G=5.0)
    assert table["cosine"]["exact"] * unit == pytest.approx(tuned.value, rel=1e-12)
    rest = rows("continue", file, "-n", 10, "-D", 2, "-G", 5)
    np.testing.assert_allclose(rest["steps"], li.optimal_continuation(prefix=steps, n_steps=10, D=2.0, G=5.0).steps)
    case = rows("worst-case", file, "-D", 2, "-G", 5)["rows"][0]
    assert case["worst_case"] == pytest.approx(want, rel=1e-6)


def test_multipliers_are_tuned(tmp_path):
    file = write_schedule(li.schedules.cosine(20), tmp_path / "m.json")
    tuned = li.tune_base_lr(li.schedules.cosine(20))
    assert rows("bound", file)["rows"][0]["rate"] == pytest.approx(tuned.value, rel=1e-12)
    rest = rows("continue", file, "-n", 10)
    expected = li.optimal_continuation(prefix=tuned.base_lr * li.schedules.cosine(20), n_steps=10)
    np.testing.assert_allclose(rest["steps"], expected.steps)


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (("bound", "{file}", "-n", 100), "--steps"),
        (("compare", "{file}", "linear", "-n", 100), "--steps"),
        (("compare", "{file}", "{other}"), "--steps"),
        (("continue", "{file}", "-n", 10, "--n-prefix", 7), "--steps"),
        (("worst-case", "{file}", "-n", 7), "--steps"),
        (("simulate", "absolute", "{file}", "-n", 7), "--steps"),
        (("bound", "{file}", "--base-lr", 0.1), "--base-lr"),
        (("continue", "{file}", "-n", 10, "--base-lr", 0.1), "--base-lr"),
        (("worst-case", "{file}", "--base-lr", 0.1), "--base-lr"),
        (("simulate", "absolute", "{file}", "--base-lr", "0.1"), "--base-lr"),
        (("simulate", "absolute", "{file}", "linear"), "schedules"),
        (("design", "-n", 30, "--prefix", "{other}"), "--prefix"),
        (("optimal", "-n", 5, "-o", "{folder}/s.npy"), "path"),
    ],
)
def test_what_contradicts_the_file_is_refused(designed, tmp_path, words, argument):
    other = write_schedule([1.0, 0.5], tmp_path / "other.json")
    result = run(*(str(word).format(file=designed, other=other, folder=tmp_path) for word in words))
    assert result.exit_code != 0
    assert isinstance(result.exception, InputError)
    assert result.exception.argument == argument


def test_a_horizon_that_agrees_is_accepted(designed):
    assert rows("bound", designed, "-n", 20, "-D", 2, "-G", 5)["n_steps"] == 20
    assert rows("compare", designed, "linear", "-n", 20)["n_steps"] == 20
    assert rows("compare", designed, "linear")["n_steps"] == 20


def test_simulate_plays_absolute_steps_once(designed):
    row = rows("simulate", "absolute", designed)["rows"][0]
    assert row["base_lr"] == 1.0
