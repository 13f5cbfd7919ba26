"""The command `lastiterate forecast` and the pictures of forecasts."""

import json
from pathlib import Path

import numpy as np
import pytest
from loss_logs import log_of
from typer.testing import CliRunner

from lastiterate.cli import app


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    paths = []
    for index, shape in enumerate(("constant", "cosine", "wsd")):
        log = log_of(shape, noise=3e-4, seed=index)
        rows = [f"{n},{log.steps[n - 1]},{loss}" for n, loss in zip(log.at, log.loss, strict=True)]
        paths.append(folder / f"{shape}.csv")
        paths[-1].write_text("\n".join(["step,lr,loss", *rows]) + "\n")
    return [str(path) for path in paths]


def invoke(*arguments):
    result = CliRunner().invoke(app, ["forecast", *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_table_for_machines(files):
    options = ["--law", "norm_memory", "--weight-decay", "0.1", "--init-std", "0.02", "--bound", "--json"]
    shown = invoke(*files, "-s", "cosine:minimum=0.1", "-s", "wsd:cooldown=0.3", "-n", "5000", *options)
    table = json.loads(shown.stdout)
    assert {row["schedule"] for row in table["rows"]} == {"cosine:minimum=0.1", "wsd:cooldown=0.3"}
    for row in table["rows"]:
        assert row["low"] < row["final_loss"] < row["high"]
        assert row["worst_case_optimum"] >= 1.0
    assert (table["law"], table["steps"]) == ("norm_memory", 5000)


def test_best_next_plot_and_file(files, tmp_path):
    options = ["--law", "functional", "--best", "--next", "-n", "1000", "--warmup", "50"]
    outputs = ["--plot", str(tmp_path / "f.png"), "--out", str(tmp_path / "best.json"), "--json"]
    table = json.loads(invoke(*files, *options, *outputs).stdout)
    assert table["rows"][0]["schedule"] == "best"
    assert "wsd" in table["next_run"]
    assert (tmp_path / "f.png").stat().st_size > 5000
    values = json.loads((tmp_path / "best.json").read_text())["values"]
    assert len(values) == 1000
    assert max(values) == 1.0


def test_what_is_assumed_goes_to_the_error_stream(files):
    shown = invoke(*files, "--law", "norm_memory", "-s", "linear", "--peak", "0.01")
    assert "0.1 and initial scale 0.02 are assumed" in shown.stderr
    assert "outside the fitted" in shown.stderr


def test_losses_that_are_not_finite_are_left_out_on_demand(files, tmp_path):
    bad = tmp_path / "bad.csv"
    lines = Path(files[1]).read_text().splitlines()
    step, rate, _ = lines[40].split(",")
    bad.write_text("\n".join([*lines[:40], f"{step},{rate},nan", *lines[41:]]) + "\n")
    refused = CliRunner().invoke(app, ["forecast", files[0], str(bad), "--law", "annealing"])
    assert refused.exit_code != 0
    assert "drop" in str(refused.exception) + refused.output
    shown = invoke(files[0], str(bad), "--law", "annealing", "-s", "linear", "--drop-bad")
    assert "1 losses that are not positive and finite were left out" in shown.stderr


def test_cooldown_picture():
    from lastiterate.experiments.plots.forecast import plot_cooldowns

    row = {key: np.array([0.1, 0.5]) for key in ("fractions", "predicted", "low", "high")}
    row |= {"measured_fractions": [0.2], "measured": [0.3]}
    assert len(plot_cooldowns({"one": row, "two": row}).axes[0].lines) == 4
