"""Runs, stores and names that make trouble: each costs itself alone, with every engine."""

import csv
import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lastiterate.experiments.sweep.outcomes import Outcome
from lastiterate.experiments.sweep.specs import RunSpec
from lastiterate.experiments.sweep.store import Store, StoreError, StoreWarning
from lastiterate.experiments.sweep.store_export import export_csv, harmless
from lastiterate.experiments.sweep.sweep import grid, run_sweep

TARGETS = Path(__file__).with_name("sweep_targets.py")
TROUBLES = list(runpy.run_path(str(TARGETS))["TROUBLES"])


def target(name):
    return f"function:{TARGETS}:{name}"


def run(specs, store, **options):
    return run_sweep(specs, store, **{"n_jobs": 1, "code": "1", "progress": False, **options})


def statuses(result):
    return [record.status for record in result.records]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_whatever_a_run_raises_or_returns_costs_that_run_alone(tmp_path, trouble):
    folder = os.getcwd()
    result = run(grid(target=target("troubled"), seed=range(3), options={"trouble": trouble}), tmp_path / "runs.db")
    expected = "done" if trouble == "other folder" else "failed"
    assert statuses(result) == ["done", expected, "done"]
    assert os.getcwd() == folder
    if expected == "failed":
        assert 0 < len(result.failed[0].error) < 3000
        result.failed[0].error.encode("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"n_jobs": 1, "timeout_s": 60}, {"engine": "dask", "n_jobs": 2}])
def test_trouble_with_other_engines(tmp_path, options):
    if options.get("engine") == "dask":
        pytest.importorskip("distributed")
    specs = [spec for t in TROUBLES for spec in grid(target=target("troubled"), seed=range(3), options={"trouble": t})]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run(specs, tmp_path / "runs.db", **options)
    failed = {record.spec.options["trouble"] for record in result.failed}
    assert failed == set(TROUBLES) - {"other folder"}
    assert all(record.spec.seed == 1 for record in result.failed)
    assert len(result.records) == 3 * len(TROUBLES)


@pytest.mark.parametrize(
    "options",
    [
        {"n_jobs": 1},
        pytest.param({"n_jobs": 2}, marks=pytest.mark.slow),
        pytest.param({"engine": "dask", "n_jobs": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_never_ends_fails_after_its_time_and_the_others_go_on(tmp_path, options):
    if options.get("engine") == "dask":
        pytest.importorskip("distributed")
    before = sleeping()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        specs = grid(target=target("never_ends"), seed=range(5))
        result = run(specs, tmp_path / "runs.db", timeout_s=8.0, **options)
    assert statuses(result) == ["done", "failed", "failed", "done", "done"]
    assert all("no result within 8 s" in record.error for record in result.failed)
    assert sleeping() <= before  # what the run had started ended with it


def sleeping():
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return listed.count("sleep 600")


def test_a_timed_run_gives_what_an_untimed_one_gives(tmp_path):
    specs = grid(target=target("quadratic"), seed=range(3), base_lr=0.3)
    plain, timed = run(specs, tmp_path / "a.db"), run(specs, tmp_path / "b.db", timeout_s=60)
    assert [record.metrics for record in plain.records] == [record.metrics for record in timed.records]
    with Store(tmp_path / "a.db") as first, Store(tmp_path / "b.db") as second:
        for record in plain.records:
            assert first.curves(record.key)["path"].tolist() == second.curves(record.key)["path"].tolist()


def test_a_timed_run_that_kills_its_process_fails_alone(tmp_path):
    result = run(grid(target=target("kills_its_worker"), seed=range(2, 5)), tmp_path / "runs.db", timeout_s=60)
    assert statuses(result) == ["done", "failed", "done"]
    assert "signal 9" in result.failed[0].error


@pytest.mark.parametrize("with_folder", [False, True])
def test_a_store_that_is_deleted_is_written_again_with_all_results(tmp_path, with_folder):
    store = tmp_path / "inner" / "runs.db"
    options = {"store": str(store), "folder": with_folder}
    specs = grid(target=target("deletes_the_store"), seed=range(5), options=options)
    with pytest.warns(StoreWarning, match="deleted during the sweep"):
        result = run(specs, store)
    assert set(statuses(result)) == {"done"}
    with Store(store, must_exist=True) as opened:
        assert opened.progress().counts["done"] == len(result.records)
        assert all(opened.curves(record.key)["path"].size == 10 for record in result.records)


def test_another_store_in_the_place_of_ours_is_an_error(tmp_path):
    with Store(tmp_path / "a.db") as store:
        store.register(1)
        store.want(store.add([RunSpec("problem:absolute")], "1"))
        key, _ = store.claim()
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or SQLite would find our runs in the log beside it
        with Store(tmp_path / "b.db"):
            pass
        os.replace(tmp_path / "b.db", tmp_path / "a.db")
        with pytest.raises(StoreError, match="another store"):
            store.finish(key, Outcome("done"))


def test_a_store_is_neither_a_folder_nor_a_pipe_nor_an_empty_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for name, options in (("pipe", {}), (".", {}), ("empty", {"must_exist": True})):
        with pytest.raises(StoreError):
            Store(tmp_path / name, **options)
    assert (tmp_path / "empty").stat().st_size == 0


def test_exported_texts_are_no_formulas_and_headers_are_unique(tmp_path):
    names = ("wall_s", "error", "key", "=cmd()", "metric.key", "final")
    with Store(tmp_path / "runs.db") as store:
        store.register(1)
        store.want(store.add([RunSpec("problem:absolute", method="=1+1", schedule="@sum", options={"a": "=x"})], "1"))
        key, _ = store.claim()
        store.finish(key, Outcome("failed", dict.fromkeys(names, -1.5), error="=HYPERLINK()"))
        assert export_csv(store, tmp_path / "runs.csv") == 1
    with (tmp_path / "runs.csv").open(newline="") as handle:
        header, line = csv.reader(handle)
    assert len(set(header)) == len(header)
    for cell in [*header, *line]:
        assert not cell.startswith(("=", "+", "@", "-")) or float(cell) == -1.5
    assert {"metric.wall_s", "metric.error", "'=cmd()"} <= set(header)
    assert harmless(-1.5) == -1.5


def test_a_cluster_listens_on_this_machine_only():
    pytest.importorskip("distributed")
    code = """
import os, psutil
from lastiterate.experiments.sweep.engines import open_engine
if __name__ == "__main__":
    with open_engine("dask", n_jobs=1):
        mine = psutil.Process()
        for process in [mine, *mine.children(recursive=True)]:
            for c in process.net_connections("inet"):
                if c.status == "LISTEN":
                    print(c.laddr.ip)
"""
    pytest.importorskip("psutil")
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert set(printed.stdout.split()) == {"127.0.0.1"}
