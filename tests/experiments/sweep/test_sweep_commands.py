"""The commands sweep and search, from the command line."""

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lastiterate.cli import app
from lastiterate.experiments.sweep.store import Store

TARGETS = Path(__file__).with_name("sweep_targets.py")
PNG = b"\x89PNG"


@pytest.fixture
def call():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def sweep_file(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(
        f"""
        [[grid]]
        target = "function:{TARGETS}:quadratic"
        schedule = ["linear", "cosine"]
        base_lr = [0.1, 0.3]
        seed = [0, 1, 2]
        n_steps = 5
        """
    )
    return file


def test_run_status_export(call, sweep_file, tmp_path):
    store, picture = tmp_path / "runs.db", tmp_path / "runs.png"
    first = call("sweep", "run", sweep_file, "--store", store, "--n-jobs", 1, "--json", "--plot", picture)
    assert first.exit_code == 0, first.output
    printed = json.loads(first.stdout)
    assert printed["executed_now"] == len(printed["rows"]) == 12
    assert picture.read_bytes().startswith(PNG)
    again = json.loads(call("sweep", "run", "--store", store, "--n-jobs", 1, "--json").stdout)
    assert again["executed_now"] == 0
    assert again["rows"] == printed["rows"]
    status = json.loads(call("sweep", "status", "--store", store, "--json").stdout)
    assert {row["status"]: row["runs"] for row in status["rows"]}["done"] == 12
    assert status["seconds_left_estimate"] == 0.0
    assert call("sweep", "export", tmp_path / "out.csv", "--store", store).exit_code == 0
    with open(tmp_path / "out.csv", newline="") as file:
        finals = [float(row["final"]) for row in csv.DictReader(file)]
    assert finals == [row["final"] for row in printed["rows"]]
    assert "12 runs" in call("sweep", "status", "--store", store).stdout


def test_failures_are_shown_and_end_with_exit_code_1(call, tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(
        f"""
        [[grid]]
        target = "function:{TARGETS}:raises_on_odd_seeds"
        seed = [0, 1]
        [[run]]
        target = "function:{TARGETS}:quadratic"
        base_lr = "fast"
        """
    )
    result = call("sweep", "run", file, "--store", tmp_path / "runs.db", "--n-jobs", 1)
    assert result.exit_code == 1
    assert "seed 1 is odd" in result.stderr
    assert "run 2 was rejected: base_lr: expected a nonnegative finite number, got fast" in result.stderr
    shown = call("sweep", "status", "--store", tmp_path / "runs.db").stdout
    assert "ZeroDivisionError: seed 1 is odd" in shown


def test_a_store_of_another_schema_is_refused(call, tmp_path):
    store = tmp_path / "runs.db"
    Store(store).close()
    db = sqlite3.connect(store)
    db.execute("PRAGMA user_version = 99")
    db.close()
    result = call("sweep", "status", "--store", store)
    assert "schema version 99" in str(result.exception)
    assert "no such store" in str(call("sweep", "status", "--store", tmp_path / "no.db").exception)


def test_search_table_picture_and_references(call, tmp_path):
    picture = tmp_path / "search.png"
    result = call(
        "search", "--families", "cosine,two-point-spline", "--shapes", 16, "--free-form", "--json", "--plot", picture
    )
    assert result.exit_code == 0, result.output
    rows = {row["family"]: row for row in json.loads(result.stdout)["rows"]}
    assert rows["cosine"]["best"] == pytest.approx(0.3305, rel=1e-3)
    assert rows["free form"]["best"] < 0.2605
    assert picture.read_bytes().startswith(PNG)


def test_search_on_recorded_norms_never_beats_the_refined_schedule(call, tmp_path):
    norms = tmp_path / "norms.npy"
    np.save(norms, np.geomspace(1.0, 0.7, 80))
    result = call(
        "search", "rate", "--norms", norms, "-n", 60, "--families", "generalised_rex", "--shapes", 16, "--json"
    )
    assert result.exit_code == 0, result.exception
    rows = {row["family"]: row["best"] for row in json.loads(result.stdout)["rows"]}
    assert rows["refined"] < min(rows["linear decay"], rows["generalised_rex"])


def test_search_on_a_convex_problem(call):
    result = call(
        "search",
        "problem:absolute",
        "-n",
        20,
        "--families",
        "constant",
        "--shapes",
        4,
        "--base-lrs",
        "0.01:1:5",
        "--json",
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["objective"] == "sgd on absolute value, N = 20"


def test_weight_decay_study(call, tmp_path):
    picture = tmp_path / "decay.png"
    result = call("search", "--weight-decay", "0,0.01", "--shapes", 64, "--json", "--plot", picture)
    rows = json.loads(result.stdout)["rows"]
    assert [row["weight_decay"] for row in rows] == [0.0, 0.01]
    assert rows[1]["half_at"] < rows[0]["half_at"]
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "objective: expected linear-regression, rate"),
        (["--families", "cosinus"], "family: expected one of"),
        (["--base-lrs", "a,b"], "base_lrs: expected numbers"),
        (["--base-lrs", "0.1:0.2"], "base_lrs: expected numbers"),
        (["--norms", "x.npy"], "--norms: expected the objective 'rate'"),
        (["rate", "--weight-decay", "0.1"], "--weight-decay: expected the objective linear-regression or a workload"),
        (["--weight-decay", "much"], "--weight-decay: expected numbers separated by commas"),
        (["problem:nonsense:iris"], "problem: expected one of absolute"),
        (["problem:logistic"], "problem: expected KIND:DATASET"),
        (["problem:logistic:iris,width=3"], "problem: expected options among"),
        (["--method", "bayes"], "method: expected one of random"),
    ],
)
def test_bad_input(call, arguments, message):
    result = call("search", "--shapes", 2, *arguments)
    assert result.exit_code != 0
    assert message in str(result.exception)
