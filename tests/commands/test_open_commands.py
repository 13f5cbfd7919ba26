"""Commands anytime, batch and continue --seen."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.solvers.replan import replan
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules.files import read_schedule


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_json(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def log(tmp_path):
    n, batch, micro = 100, 16, 4
    g = 1.0 / np.sqrt(1.0 + np.arange(n) / 20.0)
    columns = [np.arange(n), *(np.sqrt(g**2 + 9.0 / size) for size in (batch, micro))]
    columns += [np.full(n, batch), np.full(n, micro), 0.1 * (1.0 - np.arange(n) / 200.0)]
    path = tmp_path / "log.csv"
    header = "step,grad_norm_l2,grad_norm_first,batch,micro_batch,lr"
    np.savetxt(path, np.column_stack(columns), delimiter=",", header=header, comments="")
    return path


def test_anytime(tmp_path):
    out, picture = tmp_path / "open.json", tmp_path / "open.png"
    found = as_json("anytime", "--from", 5, "--to", 30, "--compare", "--out", out, "--plot", picture)
    prices = {row["returned_at_the_stop"]: row["price"] for row in found["rows"]}
    assert prices["last iterate"] > prices["after a cooldown of 10%"] > prices["after a cooldown of 20%"] > 1.0
    assert prices["average of power 4"] < prices["after a cooldown of 10%"]
    assert all(row["no_steps_below"] <= row["price"] for row in found["rows"])
    np.testing.assert_allclose(read_schedule(out), found["steps"])
    assert picture.stat().st_size > 0
    table = run("anytime", "--from", 5, "--to", 30, "--releases", "5,10,30", "--branch", 0.2)
    assert table.exit_code == 0
    assert "after a cooldown of 20%" in table.stdout


def test_batch(tmp_path, log):
    out, listed, picture = (tmp_path / name for name in ("steps.json", "batches.csv", "batch.png"))
    found = as_json(
        "batch", log, "--tokens", 1600, "--multiple-of", 2, "--factor", 4, "--smoothing", 0, "--out", out,
        "--batches-out", listed, "--plot", picture,
    )  # fmt: skip
    g = 1.0 / np.sqrt(1.0 + np.arange(100) / 20.0)
    from lastiterate.theory.optimal.batches import optimal_batches

    expected = optimal_batches(g, 3.0, 1600, multiple_of=2)
    np.testing.assert_array_equal(found["batches"], expected.batches)
    np.testing.assert_allclose(found["steps"], expected.steps, rtol=1e-9)
    np.testing.assert_allclose(read_schedule(out), expected.steps, rtol=1e-9)
    table = np.loadtxt(listed, delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table[:, 1], expected.batches)
    assert 2.0 < found["batch_times_4_same_tokens_learning_rate_times"] < 4.0
    assert picture.stat().st_size > 0


def test_continue_with_what_was_seen(tmp_path, log):
    out, picture = tmp_path / "rest.json", tmp_path / "rest.png"
    options = ("--seen", "--column", "grad_norm_l2", "-G", 0.8, "--rollback", "0,50", "--base-lr", 0.5)
    found = as_json("continue", log, "-n", 40, *options, "--out", out, "--plot", picture)
    norms = np.sqrt(1.0 / (1.0 + np.arange(100) / 20.0) + 9.0 / 16.0)
    steps = 0.05 * (1.0 - np.arange(100) / 200.0)
    expected = replan(steps, norms, 40, G=0.8, checkpoints=[0, 50])
    assert found["rows"][2]["bound"] == pytest.approx(expected.value, rel=1e-9)
    assert found["continue_from_iterate"] == expected.start
    np.testing.assert_allclose(read_schedule(out), expected.steps, rtol=1e-9)
    assert picture.stat().st_size > 0


def test_continue_with_inner_products(tmp_path):
    log, products = tmp_path / "log.csv", tmp_path / "products.npy"
    log.write_text("step,norm,lr\n" + "".join(f"{k},1.0,0.1\n" for k in range(8)))
    np.save(products, np.full((8, 8), 0.5) + 0.5 * np.eye(8))
    blind = as_json("continue", log, "-n", 8, "--seen")
    found = as_json("continue", log, "-n", 8, "--seen", "--inner-products", products)
    assert found["rows"][2]["bound"] < blind["rows"][2]["bound"]


def test_bad_input_is_named(tmp_path, log):
    bare = tmp_path / "bare.csv"
    bare.write_text("step,loss\n0,1.0\n1,0.5\n")
    for arguments, name in (
        (("anytime", "--from", 10, "--to", 10), "n0"),
        (("anytime", "--from", 5, "--to", 10, "--releases", "five"), "--releases"),
        (("anytime", "--from", 5, "--to", 10, "--compare", "--branch", 0.1), "--compare"),
        (("batch", log, "--tokens", 50), "tokens"),
        (("batch", bare, "--tokens", 50), "column"),
        (("continue", bare, "-n", 5, "--seen"), "path"),
        (("continue", log, "-n", 5, "--seen", "--column", "grad_norm_l2", "--lr-column", "eta"), "--lr-column"),
        (("continue", log, "-n", 5, "--seen", "--column", "grad_norm_l2", "--rollback", "x"), "--rollback"),
    ):
        error = run(*arguments).exception
        assert isinstance(error, InputError), (arguments, error)
        assert error.argument == name


def test_continue_without_a_log_is_what_it_was():
    found = as_json("continue", "constant", "-n", 20, "--n-prefix", 20)
    taken = li.schedules.scale(np.ones(20), li.tune_base_lr(np.ones(20)).base_lr)
    assert found["rows"][1]["rate"] == pytest.approx(li.optimal_continuation(taken, 20).value)
