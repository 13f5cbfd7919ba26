"""The store: claims are exclusive, results survive, other people's files and full disks are explained."""

import csv
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastiterate.experiments.sweep.liveness import is_alive, process_identity
from lastiterate.experiments.sweep.specs import RunSpec
from lastiterate.experiments.sweep.store import Outcome, Store, StoreError
from lastiterate.experiments.sweep.store_export import export_csv

SPECS = [RunSpec("function:math:fsum", seed=seed, n_steps=3) for seed in range(5)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "runs.db"


def driver(path, specs=SPECS):
    store = Store(path)
    keys = store.add(specs, "v1")
    store.register(n_jobs=1)
    store.want(keys)
    return store


def dead_identity():
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return process_identity(int(gone.stdout))


def test_a_result_comes_back_as_it_went_in(path):
    curves = {"loss": np.linspace(1, 0, 1000), "file": np.arange(5), "allow_pickle": np.zeros((2, 2))}
    with driver(path) as store:
        key, spec = store.claim()
        assert spec == SPECS[0]
        metrics = {"final": 0.1 + 0.2, "worst": float("inf")}
        assert store.finish(key, Outcome("done", metrics, curves, 1.5, {"numpy": "2"}))
    with Store(path, must_exist=True) as store:
        record = store.records()[0]
        assert (record.status, record.metrics, record.wall_s) == ("done", metrics, 1.5)
        for name, curve in curves.items():
            np.testing.assert_array_equal(store.curves(key)[name], curve)
        assert store.curves(store.records()[1].key) == {}


def test_adding_twice_keeps_the_first_rows(path):
    with Store(path) as store:
        assert store.add(SPECS, "v1") == store.add(SPECS, "v1")
        store.add(SPECS, "v2")
        assert store.progress().n_runs == 2 * len(SPECS)


def test_threads_with_their_own_stores_never_claim_the_same_run(path):
    specs = [RunSpec("function:math:fsum", seed=seed) for seed in range(60)]
    claimed, barrier = [], threading.Barrier(4, timeout=60)

    def claim_all(_):
        with driver(path, specs) as store:
            barrier.wait()
            while (found := store.claim()) is not None:
                claimed.append(found[0])
                store.finish(found[0], Outcome("done"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(claim_all, range(4)))
    assert len(claimed) == len(set(claimed)) == 60


def test_many_may_open_a_new_store_at_the_same_moment(tmp_path):
    for attempt in range(10):
        barrier = threading.Barrier(8, timeout=60)

        def open_store(_, path=tmp_path / f"{attempt}.db", barrier=barrier):
            barrier.wait()
            with Store(path) as store:
                store.add(SPECS, "v1")
                return store.progress().n_runs

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(open_store, range(8))) == [len(SPECS)] * 8


def test_a_dead_drivers_runs_are_taken_over_and_its_late_results_refused(path):
    with driver(path) as first, driver(path) as second:
        key, _ = first.claim()
        assert second.take_over() == 0
        with sqlite3.connect(path) as db:
            db.execute("UPDATE drivers SET identity = ? WHERE driver = ?", (dead_identity(), first.driver))
        db.close()
        assert second.take_over() == 1
        assert second.claim()[0] == key
        assert not first.finish(key, Outcome("done", {"final": 1.0}))
        assert second.finish(key, Outcome("done", {"final": 2.0}))
        assert second.records()[0].metrics == {"final": 2.0}


def test_a_driver_of_another_place_lives_as_long_as_its_heartbeat():
    elsewhere = process_identity().replace("place", "place", 1).replace('"place": "', '"place": "other ')
    assert is_alive(elsewhere, time.time() - 10, lease_s=60)
    assert not is_alive(elsewhere, time.time() - 61, lease_s=60)
    assert not is_alive(dead_identity(), time.time())
    assert is_alive(process_identity(), 0.0)


def test_a_recycled_process_number_is_not_the_driver():
    reused = process_identity().replace('"started": "', '"started": "1')
    assert not is_alive(reused, time.time())


def test_the_heartbeat_is_renewed_in_the_background(path):
    with driver(path) as store:
        before = _heartbeat(path)
        with store.heartbeat(interval_s=0.02):
            deadline = time.time() + 60
            while _heartbeat(path) == before and time.time() < deadline:
                time.sleep(0.02)
        assert _heartbeat(path) > before


def _heartbeat(path):
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT heartbeat FROM drivers").fetchone()[0]
    finally:
        db.close()


def test_closing_gives_claims_back(path):
    with driver(path) as store:
        store.claim()
        assert store.progress().counts["running"] == 1
    with Store(path) as store:
        assert store.progress().counts == {"pending": 5, "running": 0, "done": 0, "diverged": 0, "failed": 0}


def test_suspects_are_claimed_apart(path):
    with driver(path) as store:
        key, _ = store.claim()
        store.give_back([key], crashed=True)
        others = [store.claim()[0] for _ in range(4)]
        assert key not in others
        assert store.claim() is None
        assert store.claim(suspects=True)[0] == key
        assert store.crashes(key) == 1


def test_progress_counts_and_estimates(path):
    with driver(path) as store:
        for status in ("done", "done", "failed"):
            store.finish(store.claim()[0], Outcome(status, wall_s=2.0))
        progress = store.progress()
        assert Counter(progress.counts) == Counter(pending=2, done=2, failed=1)
        assert progress.remaining_s == pytest.approx(4.0)
        assert progress.n_drivers == 1


def test_csv_export_keeps_full_precision(path, tmp_path):
    with driver(path) as store:
        store.finish(store.claim()[0], Outcome("done", {"final": 1 / 3}, wall_s=0.5))
        store.finish(store.claim()[0], Outcome("failed", error="ValueError: a, b\n  in c"))
        assert export_csv(store, tmp_path / "out.csv") == 5
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows[:3]] == ["done", "failed", "pending"]
    assert float(rows[0]["final"]) == 1 / 3
    assert rows[1]["error"] == "ValueError: a, b\n  in c"
    assert sorted(os.listdir(tmp_path)) == ["deep", "out.csv"]


@pytest.mark.parametrize("read", [Store.iterate, Store.rows, Store.overview])
def test_a_reader_may_stop_early_and_leave_the_store_first(path, read):
    with driver(path) as store:
        reader = read(store)
        next(reader)
    reader.close()


def test_another_schema_version_is_refused_and_left_alone(path):
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 7")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"runs\.db.*schema version 7.*version 1"):
        Store(path)
    assert path.read_bytes() == before


def test_files_that_are_no_stores_are_refused(tmp_path):
    (tmp_path / "text.db").write_text("not a database, but longer than the header of one " * 40)
    with pytest.raises(StoreError, match="no SQLite database"):
        Store(tmp_path / "text.db")
    db = sqlite3.connect(tmp_path / "other.db")
    db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(StoreError, match="not made by lastiterate"):
        Store(tmp_path / "other.db")
    with pytest.raises(StoreError, match="no such store"):
        Store(tmp_path / "missing.db", must_exist=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "file" / "runs.db")


def test_a_full_disk_is_explained_and_costs_no_finished_run(path):
    with driver(path) as store:
        store.finish(store.claim()[0], Outcome("done", {"final": 1.0}))
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        key, _ = store.claim()
        noise = np.random.default_rng(0).standard_normal(100_000)
        with pytest.raises(StoreError, match=r"runs\.db.*full.*free some space"):
            store.finish(key, Outcome("done", {"final": 2.0}, {"noise": noise}))
    with Store(path) as store:
        assert [record.status for record in store.records()] == ["done", *["pending"] * 4]


@given(
    st.floats(0, 1e300, allow_nan=False),
    st.integers(0, 2**60),
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.booleans(), max_size=3),
)
def test_a_specification_survives_json(base_lr, seed, options):
    spec = RunSpec("problem:absolute", base_lr=base_lr, seed=seed, options=options)
    again = RunSpec.from_json(spec.to_json())
    assert again == spec
    assert again.key("v") == spec.key("v") != spec.key("w")
    assert hash(again) == hash(spec)
