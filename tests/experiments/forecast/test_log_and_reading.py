"""Logs for forecasts: what is read, what is assumed, what is refused."""

import json

import numpy as np
import pytest

from lastiterate.experiments.forecast.log import LossLog
from lastiterate.experiments.forecast.reading import read_losses
from lastiterate.theory.base.validation import InputError


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"steps": [0.0, 0.0]}, "steps"),
        ({"steps": [-1.0, 1.0]}, "steps"),
        ({"at": [1, 3]}, "at"),
        ({"at": [2, 1]}, "at"),
        ({"at": [0.5, 1]}, "at"),
        ({"loss": [1.0]}, "loss"),
        ({"loss": [1.0, np.nan]}, "loss"),
        ({"loss": [1.0, -2.0]}, "loss"),
        ({"weight_decay": 0.1}, "init_std"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"group": 3}, "group"),
    ],
)
def test_bad_logs(changes, argument):
    arguments = {"steps": [1.0, 0.5], "at": [1, 2], "loss": [2.0, 1.0], **changes}
    with pytest.raises(InputError) as error:
        LossLog(**arguments)
    assert error.value.argument == argument


def test_arrays_are_read_only_copies():
    steps = np.array([1.0, 0.5])
    log = LossLog(steps, [1, 2], [2.0, 1.0])
    steps[0] = 7.0
    assert log.steps[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        log.steps[0] = 3.0
    assert len(repr(log)) < 120


def write(folder, text, name="run.csv"):
    file = folder / name
    file.write_text(text)
    return file


def test_rates_between_rows_and_before_the_first(tmp_path):
    log = read_losses(write(tmp_path, "step,lr,loss\n20,1.0,4.0\n40,0.8,3.5\n60,0.6,3.2\n"))
    assert log.steps.size == 60
    np.testing.assert_allclose(log.steps[[0, 19, 29, 59]], [0.05, 1.0, 0.9, 0.6])
    assert "warm-up" in log.notes[0]


def test_a_sudden_fall_is_a_switch_at_the_later_row(tmp_path):
    rows = [(10, 1.0), (20, 1.0), (30, 1.0), (40, 0.3), (50, 0.3), (60, 0.3)]
    text = "step,lr,loss\n" + "".join(f"{step},{lr},3.0\n" for step, lr in rows)
    steps = read_losses(write(tmp_path, text)).steps
    assert steps[38] == 1.0
    assert steps[39] == 0.3


def test_a_zero_that_is_logged_after_the_last_step_is_no_decay(tmp_path):
    log = read_losses(write(tmp_path, "step,lr,loss\n10,1.0,4.0\n20,1.0,3.5\n30,1.0,3.2\n40,0.0,3.1\n"))
    assert log.steps[-1] == 1.0
    decayed = read_losses(write(tmp_path, "step,lr,loss\n10,0.75,4.0\n20,0.5,3.5\n30,0.25,3.2\n40,0.0,3.1\n"))
    assert decayed.steps[-1] == 0.0


def test_steps_of_the_user(tmp_path):
    file = write(tmp_path, "step,loss\n1,4.0\n3,3.5\n")
    assert read_losses(file, [1.0, 0.5, 0.2]).steps.tolist() == [1.0, 0.5, 0.2]
    with pytest.raises(InputError, match="for every step up to the last loss"):
        read_losses(file, [1.0, 0.5])
    with pytest.raises(InputError, match="a column of learning rates"):
        read_losses(file)


def test_bad_losses_are_refused_or_left_out(tmp_path):
    file = write(tmp_path, "step,lr,loss\n1,1.0,4.0\n2,1.0,nan\n3,1.0,3.5\n")
    with pytest.raises(InputError, match="loss"):
        read_losses(file)
    assert read_losses(file, drop_bad=True).at.tolist() == [1, 3]


def test_a_log_that_starts_late_needs_steps(tmp_path):
    file = write(tmp_path, "step,lr,loss\n80,1.0,4.0\n90,0.5,3.8\n100,0.1,3.5\n")
    with pytest.raises(InputError, match="from the start"):
        read_losses(file)
    assert read_losses(file, np.ones(100)).at.tolist() == [80, 90, 100]


def history(kind="linear", **config):
    settings = {
        "lr": 1e-3,
        "iterations": 100,
        "warmup_steps": 10,
        "scheduler": "wsd",
        "wsd_fract_decay": 0.5,
        "decay_type": kind,
        "weight_decay": 0.1,
        "init_std": 0.02,
        **config,
    }
    k = np.arange(60, 101, 10)
    rates = 1e-3 * (1.0 - (k - 1 - 50) / 50 if kind == "linear" else 1.0 - np.sqrt((k - 1 - 50) / 50))
    train = {"iter": k.tolist(), "train_lr": rates.tolist(), "train_loss": [3.0] * 5}
    final = {"iter": [100], "final_val_loss": [2.5]}
    val = {"iter": [60, 80], "val_loss": [2.9, 2.8]}
    return {"config": settings, "history": {"train": train, "val": val, "final-val": final}}


@pytest.mark.parametrize("kind", ["linear", "sqrt"])
def test_configuration_of_a_run_that_continues_another(tmp_path, kind):
    file = write(tmp_path, json.dumps(history(kind)), "run.json")
    log = read_losses(file, on="final")
    assert (log.at.tolist(), log.loss.tolist(), log.weight_decay, log.init_std) == ([100], [2.5], 0.1, 0.02)
    np.testing.assert_allclose(log.steps[[0, 9, 50]], [1e-4, 1e-3, 1e-3])
    assert log.steps[75] == pytest.approx(5e-4 if kind == "linear" else 1e-3 * (1 - 0.5**0.5))
    assert read_losses(file).loss.tolist() == [2.9, 2.8]


def test_a_configuration_that_contradicts_the_rows_is_not_used(tmp_path):
    file = write(tmp_path, json.dumps(history(wsd_fract_decay=0.1)), "run.json")
    with pytest.raises(InputError, match="from the start"):
        read_losses(file, on="final")


def test_parts_of_a_resumed_run_in_any_order(tmp_path):
    document = history()
    train = document["history"]["train"]
    for column in train.values():
        column += column[:2]
    file = write(tmp_path, json.dumps(document), "run.json")
    np.testing.assert_allclose(read_losses(file, on="final").steps[[0, 9, 50]], [1e-4, 1e-3, 1e-3])
