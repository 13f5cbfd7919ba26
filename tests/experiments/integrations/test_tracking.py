"""Loggers of replays and the export of a search, each read back by the tool it is meant for."""

import csv
import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.experiments.integrations import tracking
from lastiterate.experiments.training.extras import MissingExtraError
from lastiterate.experiments.training.finished import FinishedRun
from lastiterate.experiments.training.train import RunResult
from lastiterate.theory.base.validation import InputError

SMALL = {"n_steps": 6, "base_lrs": [1.0, 3.0], "extensions": 0, "bisections": 0, "n_tuning_seeds": 1, "n_seeds": 2}
COMMAND = "-s constant -n 6 --base-lr 1 --base-lr 3 --extensions 0 --bisections 0 --tuning-seeds 1 --seeds 2 -j 1"


def finished(seed=0, *, diverged=False):
    losses = np.array([1.0, 0.5, 0.25])[: 2 if diverged else 3]
    norms = losses + 1.0
    result = RunResult(
        0.5, seed, {} if diverged else {"test_loss": 0.2}, losses, 2 * norms, norms, 2 if diverged else None
    )
    return FinishedRun("digits", "runs/wsd.csv", "sgd", "test", np.array([1.0, 0.5, 0.1]), result)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_run_is_told_of_in_order(n_jobs):
    seen = []
    result = li.replay("digits_logistic", ["constant"], on_run=seen.append, n_jobs=n_jobs, **SMALL)
    (workload,) = result.workloads
    wanted = [(s.name, "validation", run) for s in workload.schedules for run in s.runs]
    wanted += [(s.name, "test", run) for s in workload.schedules for run in s.report_runs]
    told = {(run.schedule, run.split, run.result.base_lr, run.result.seed): run for run in seen}
    assert len(seen) == len(told) == len(wanted)
    for name, split, run in wanted:
        found = told[name, split, run.base_lr, run.seed]
        assert found.result is run
        assert found.steps.size == 6
        np.testing.assert_array_equal(found.curves()["lr"], run.base_lr * found.steps)
    with pytest.raises(InputError, match="on_run"):
        li.replay("digits_logistic", on_run="tensorboard")


def test_an_error_of_the_callback_is_not_swallowed():
    def full(run):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        li.replay("digits_logistic", ["constant"], on_run=full, n_jobs=1, **SMALL)


def test_csv_has_a_row_a_run_after_every_run(tmp_path):
    log = tracking.csv(tmp_path / "logs" / "runs.csv")
    log(finished(0))
    log(finished(1, diverged=True))
    frame = pd.read_csv(tmp_path / "logs" / "runs.csv")
    assert frame["seed"].tolist() == [0, 1]
    assert frame["test_loss"].tolist() == [0.2, pytest.approx(np.nan, nan_ok=True)]
    assert frame["diverged_at"].isna().tolist() == [True, False]
    assert frame.loc[0, ["workload", "schedule", "split", "base_lr", "n_steps"]].tolist() == [
        "digits", "runs/wsd.csv", "test", 0.5, 3,
    ]  # fmt: skip


def test_command_logs_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["replay", "digits_logistic", *COMMAND.split(), "--log", "csv:runs.csv"])
    assert done.exit_code == 0, done.output
    with (tmp_path / "runs.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert {row["split"] for row in rows} == {"validation", "test"}
    assert len(rows) == 2 + 3 + 2 * 2  # a grid of two and a centred one on one seed, then two fresh seeds each
    done = CliRunner().invoke(app, ["replay", "digits_logistic", "--log", "mlflow:runs"])
    assert isinstance(done.exception, InputError)


@pytest.mark.slow
def test_tensorboard_reads_the_curves_and_so_does_read_norms(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = finished()
    tracking.tensorboard(tmp_path)(run)
    folder = tmp_path / "digits" / "runs-wsd.csv" / "test" / "lr=0.5" / "seed=0"
    events = EventAccumulator(str(folder)).Reload()
    for name, values in run.curves().items():
        assert [event.step for event in events.Scalars(name)] == [0, 1, 2]
        np.testing.assert_allclose([event.value for event in events.Scalars(name)], values, rtol=1e-6)
    assert events.Scalars("final/test_loss")[0].value == pytest.approx(0.2)
    np.testing.assert_allclose(li.read_norms(folder, column="grad_norm_l2").norms, run.result.l2, rtol=1e-6)
    tracking.tensorboard(tmp_path)(finished(1, diverged=True))
    assert (tmp_path / "digits" / "runs-wsd.csv" / "test" / "lr=0.5" / "seed=1").is_dir()


class Hosts:
    """In place of `socket.getaddrinfo`: remembers which hosts are looked up."""

    def __init__(self):
        self.asked, self._look_up = set(), socket.getaddrinfo

    def __call__(self, host, *arguments, **options):
        self.asked.add(host)
        return self._look_up(host, *arguments, **options)


def level_db_records(content, block=2**15):
    """The records of a LevelDB log, as wandb keeps a run: blocks of parts with checksum, length and kind."""
    at, record = 7, b""  # behind the file's own header
    while at + 7 <= len(content):
        if block - at % block < 7:  # too little for a header: the rest of the block is empty
            at += block - at % block
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or last of its parts
            yield record
            record = b""


@pytest.mark.slow
def test_wandb_keeps_the_run_offline(tmp_path, monkeypatch):
    if importlib.util.find_spec("wandb") is None:
        pytest.skip('needs pip install "lastiterate[wandb]"')
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run = finished()
    monkeypatch.setattr(socket, "getaddrinfo", found := Hosts())
    tracking.wandb(tmp_path)(run)
    assert found.asked <= {"localhost", "127.0.0.1"}
    from wandb.proto import wandb_internal_pb2

    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    end = time.monotonic() + 60.0
    while not (records := list(level_db_records(file.read_bytes()))) and time.monotonic() < end:
        time.sleep(0.1)  # a process of wandb's own writes the file
    rows, summary = [], {}
    for data in records:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        if items:
            rows.append(items)
        summary |= {item.key or item.nested_key[0]: item.value_json for item in record.summary.update}
    assert [row["_step"] for row in rows] == [0, 1, 2]
    for name, values in run.curves().items():
        assert [row[name] for row in rows] == values.tolist()
    assert json.loads(summary["test_loss"]) == 0.2
    with pytest.raises(InputError, match="mode"):
        tracking.wandb(tmp_path, mode="dryrun")


def test_trials_are_a_row_a_shape(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = [
        "search",
        "rate",
        "-n",
        "20",
        "--families",
        "cosine,generalised_rex",
        "--shapes",
        "4",
        "--csv",
        "trials.csv",
    ]
    done = CliRunner().invoke(app, search)
    assert done.exit_code == 0, done.output
    frame = pd.read_csv(tmp_path / "trials.csv")
    assert frame["family"].tolist() == ["cosine"] * 4 + ["generalised_rex"] * 4
    for row in frame.to_dict("records"):
        steps = li.schedules.parse(row["schedule"], 20)
        assert row["score"] == pytest.approx(li.tune_base_lr(steps).value, rel=1e-9)
    done = CliRunner().invoke(app, ["search", "--weight-decay", "0,0.1", "--csv", "trials.csv"])
    assert isinstance(done.exception, InputError)


@pytest.mark.slow
def test_optuna_loads_what_was_tried(tmp_path):
    optuna = pytest.importorskip("optuna", reason='needs pip install "lastiterate[optuna]"')
    from lastiterate.integrations.optuna import to_optuna
    from lastiterate.solvers.search.objectives import TheoryRate

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = li.search(TheoryRate(20), ["cosine", "generalised_rex_wide"], n_shapes=5)
    names = to_optuna(study, tmp_path / "trials.db")
    for name, found in zip(names, study.families.values(), strict=True):
        loaded = optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path / 'trials.db'}")
        assert [trial.value for trial in loaded.trials] == found.scores.tolist()
        assert loaded.best_value == found.best.score
        assert loaded.best_trial.user_attrs == {"base_lr": found.best.base_lr, "schedule": found.best.text}
        assert loaded.best_params == dict(found.best.shape.values)
    loaded.sampler = optuna.samplers.TPESampler(seed=0)
    assert loaded.ask({"b": loaded.trials[0].distributions["b"]}).params["b"] > 0.0  # it can go on from there
    with pytest.raises(InputError, match="a file without it"):
        to_optuna(study, tmp_path / "trials.db")
    with pytest.raises(InputError, match="existing folder"):
        to_optuna(study, tmp_path / "absent" / "trials.db")


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("tensorboard", lambda: tracking.tensorboard("runs")),
        ("wandb", lambda: tracking.wandb("runs")),
        ("optuna", lambda: importlib.import_module("lastiterate.integrations.optuna").to_optuna(None, "trials.db")),
    ],
)
def test_a_missing_package_names_its_extra(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"lastiterate\[{package}\]"):
        call()


@pytest.mark.slow
def test_the_command_asks_before_it_trains(tmp_path):
    hidden = "import sys; sys.modules['wandb'] = None; from lastiterate.cli import main; main()"
    command = [sys.executable, "-c", hidden, "replay", "digits_logistic", "--log", "wandb:runs"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "lastiterate[wandb]"' in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []
