"""What a recorded run played: the logged rates as they are, and rows that are further apart."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.theory.base.validation import InputError


def write(path, rows, header="step,loss,lr"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize("first", [0, 1])
def test_a_rate_at_every_step_is_returned_as_it_is(tmp_path, first):
    rates = (0.3 * li.schedules.cosine(50)).tolist()
    file = write(tmp_path / "run.csv", [(k + first, 1.0, lr) for k, lr in enumerate(rates)])
    np.testing.assert_array_equal(li.schedules.from_log(file), rates)


def test_a_zero_after_the_last_step_is_no_step_unless_a_decay_leads_to_it(tmp_path):
    constant = write(tmp_path / "a.csv", [*((k + 1, 1.0, 0.3) for k in range(9)), (10, 1.0, 0.0)])
    assert li.schedules.from_log(constant).tolist() == [0.3] * 9
    decay = write(tmp_path / "b.csv", [(k + 1, 1.0, (9 - k) / 10) for k in range(10)])
    assert li.schedules.from_log(decay).size == 10


def test_rows_that_are_apart_are_joined_by_lines_and_switches_hold(tmp_path):
    file = write(tmp_path / "run.csv", [(10, 1, 1.0), (20, 1, 0.9), (30, 1, 0.09), (40, 1, 0.09)])
    steps = li.schedules.from_log(file)
    assert steps.size == 40
    np.testing.assert_allclose(steps[:10], 1.0)
    np.testing.assert_allclose(steps[14], 0.95)
    np.testing.assert_allclose(steps[20:29], 0.9)
    np.testing.assert_allclose(steps[29:], 0.09)


def test_the_command_bounds_what_was_played(tmp_path):
    steps = 0.1 * li.schedules.linear(99)
    file = write(tmp_path / "run.csv", [(k + 1, 1.0, lr) for k, lr in enumerate(steps.tolist())])
    answer = CliRunner().invoke(app, ["bound", str(file), "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["n_steps"] == 99
    assert found["rows"][0]["rate"] == pytest.approx(li.exact_rate(steps).value, rel=1e-12)
    lines = "\n".join(json.dumps({"step": k + 1, "learning_rate": lr}) for k, lr in enumerate(steps.tolist()))
    (tmp_path / "run.jsonl").write_text(lines)
    again = json.loads(CliRunner().invoke(app, ["bound", str(tmp_path / "run.jsonl"), "--json"]).stdout)
    assert again["rows"] == found["rows"]


def test_a_log_without_rates_names_its_columns(tmp_path):
    file = write(tmp_path / "run.csv", [(1, 2.0), (2, 1.0)], header="step,loss")
    with pytest.raises(InputError, match="loss"):
        li.schedules.from_log(file)
    with pytest.raises(InputError, match="lr"):
        li.schedules.from_log(write(tmp_path / "bad.csv", [(1, 1, -0.5), (2, 1, 0.5)]))
    with pytest.raises(InputError, match="one of its columns"):
        li.schedules.from_log(file, lr="rate")
