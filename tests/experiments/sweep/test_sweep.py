"""Sweeps: the same table on every engine, and nothing lost whoever is killed."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from lastiterate.experiments.sweep import sweep
from lastiterate.experiments.sweep.engines import Engine, EngineError, open_engine
from lastiterate.experiments.sweep.specs import RunSpec, grid, read_sweep
from lastiterate.experiments.sweep.store import Store, StoreError
from lastiterate.experiments.sweep.sweep import run_sweep
from lastiterate.theory.base.validation import InputError

TARGETS = Path(__file__).with_name("sweep_targets.py")


def target(name):
    return f"function:{TARGETS}:{name}"


def quadratics(n, **fields):
    return grid(**{"target": target("quadratic"), "base_lr": 0.1, "n_steps": 5, "seed": range(n), **fields})


def run(specs, path, **options):
    return run_sweep(specs, path, **{"n_jobs": 1, "code": "test", "progress": False, **options})


def test_two_processes_give_the_table_of_one(tmp_path):
    specs = quadratics(15, base_lr=[0.1, 0.5])
    alone = run(specs, tmp_path / "one.db")
    both = run(specs, tmp_path / "two.db", n_jobs=2)
    assert alone.table() == both.table()
    assert [row["seed"] for row in alone.table()] == list(range(15)) * 2
    assert {row["status"] for row in alone.table()} == {"done"}
    with Store(tmp_path / "one.db") as one, Store(tmp_path / "two.db") as two:
        assert [r.key for r in one.records()] == [r.key for r in two.records()]


# distributed leaves sockets and an event loop for the garbage collector, which warns after our code is done
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:distributed|dask|tornado")
class TestDask:
    def test_a_two_worker_cluster_gives_the_table_of_one_process(self, tmp_path):
        distributed = pytest.importorskip("distributed")
        specs = quadratics(20)
        alone = run(specs, tmp_path / "one.db")
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
            address = cluster.scheduler_address
            remote = run(specs, tmp_path / "dask.db", engine="dask", scheduler=address, n_jobs=None)
        assert remote.n_executed == 20
        assert remote.table() == alone.table()

    def test_a_run_that_kills_its_workers_is_recorded_and_the_others_go_on(self, tmp_path):
        dask = pytest.importorskip("dask")
        pytest.importorskip("distributed")
        specs = grid(target=target("kills_its_worker"), seed=[1, 2, 3, 4])
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):  # a new worker takes seconds to start
            result = run(specs, tmp_path / "dask.db", engine="dask", n_jobs=2)
        assert [record.status for record in result.records] == ["done", "done", "failed", "done"]

    def test_a_scheduler_that_does_not_answer(self, tmp_path, monkeypatch):
        pytest.importorskip("distributed")
        monkeypatch.setattr("lastiterate.experiments.sweep.engines.CONNECT_TIMEOUT_S", 1.0)
        for address in ("tcp://127.0.0.1:1", "nonsense", "tcp://127.0.0.1:port", "telnet://127.0.0.1:1"):
            with pytest.raises(EngineError, match=f"no Dask scheduler answers at {address} .*dask scheduler"):
                run(quadratics(2), tmp_path / "runs.db", engine="dask", scheduler=address, n_jobs=None)


def test_starting_again_runs_only_what_is_missing(tmp_path):
    assert run(quadratics(6), tmp_path / "runs.db").n_executed == 6
    again = run(quadratics(9), tmp_path / "runs.db")
    assert again.n_executed == 3
    assert len(again.records) == 9
    assert run(quadratics(9), tmp_path / "runs.db", code="changed").n_executed == 9


def test_runs_given_twice_are_executed_once(tmp_path):
    result = run(quadratics(3) + quadratics(3), tmp_path / "runs.db")
    assert result.n_executed == len(result.records) == 3


def test_a_run_that_raises_is_recorded_and_the_others_go_on(tmp_path):
    result = run(grid(target=target("raises_on_odd_seeds"), seed=range(4)), tmp_path / "runs.db", n_jobs=2)
    assert [record.status for record in result.records] == ["done", "failed", "done", "failed"]
    assert result.failed[0].error.startswith("ZeroDivisionError: seed 1 is odd\n")
    assert "sweep_targets.py" in result.failed[0].error
    assert run(grid(target=target("raises_on_odd_seeds"), seed=range(4)), tmp_path / "runs.db").n_executed == 0
    retried = run(grid(target=target("raises_on_odd_seeds"), seed=range(4)), tmp_path / "runs.db", retry_failed=True)
    assert retried.n_executed == 2


def test_a_diverged_run_is_marked(tmp_path):
    result = run(grid(target=target("diverges"), base_lr=[0.5, 2.0]), tmp_path / "runs.db")
    assert [record.status for record in result.records] == ["done", "diverged"]


@pytest.mark.parametrize(
    ("name", "text"), [("returns_objects", "an array of numbers"), ("returns_a_list", "a mapping")]
)
def test_a_function_that_returns_the_wrong_thing_is_a_failed_run(tmp_path, name, text):
    result = run([RunSpec(target(name)), *quadratics(1)], tmp_path / "runs.db")
    assert [record.status for record in result.records] == ["failed", "done"]
    assert text in result.failed[0].error


def test_a_metric_named_like_a_field_hides_nothing(tmp_path):
    row = run([RunSpec(target("names_a_metric_like_a_field"), seed=1)], tmp_path / "runs.db").table()[0]
    assert (row["seed"], row["metric.seed"]) == (1, 42.0)


def test_curves_are_stored(tmp_path):
    key = run(quadratics(1), tmp_path / "runs.db").records[0].key
    with Store(tmp_path / "runs.db") as store:
        assert store.curves(key)["path"].shape == (5,)


def test_workers_killed_in_the_middle_cost_nothing(tmp_path):
    specs = grid(target=target("kills_its_worker_once"), seed=range(9), options={"folder": str(tmp_path)})
    result = run(specs, tmp_path / "runs.db", n_jobs=2)
    assert [record.status for record in result.records] == ["done"] * 9
    assert len(list(tmp_path.glob("[0-9]"))) == 2


def test_a_run_that_always_kills_its_worker_fails_alone(tmp_path):
    result = run(grid(target=target("kills_its_worker"), seed=range(6)), tmp_path / "runs.db", n_jobs=2)
    assert [record.spec.seed for record in result.failed] == [3]
    assert "worker died 3 times" in result.failed[0].error


DRIVER = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
from lastiterate.experiments.sweep.specs import grid
from lastiterate.experiments.sweep.sweep import run_sweep
if __name__ == "__main__":
    targets, store, folder, n, n_jobs, sleep = sys.argv[1:]
    specs = grid(target=targets, base_lr=0.1, n_steps=5, seed=range(int(n)),
                 options={"folder": folder, "sleep": float(sleep)})
    run_sweep(specs, store, n_jobs=int(n_jobs), code="test", progress=False)
"""


SLEEP = 0.004


def counted(tmp_path, n):
    options = {"folder": str(tmp_path / "marks"), "sleep": SLEEP}
    return grid(target=target("counted"), base_lr=0.1, n_steps=5, seed=range(n), options=options)


def start_driver(tmp_path, n, n_jobs=1):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    (tmp_path / "marks").mkdir(exist_ok=True)
    arguments = [target("counted"), tmp_path / "runs.db", tmp_path / "marks", n, n_jobs, SLEEP]
    return subprocess.Popen([sys.executable, script, *map(str, arguments)])


def wait_for_marks(tmp_path, driver, count):
    """Return once that many executions have begun."""
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "marks").iterdir())) < count:
        assert driver.poll() is None, "the driver ended early"
        assert time.monotonic() < deadline, "the driver makes no progress"
        time.sleep(0.005)


def executions_per_seed(tmp_path):
    return Counter(int(path.name.split("-")[0]) for path in (tmp_path / "marks").iterdir())


def undisturbed_metrics(tmp_path, n):
    return [record.metrics for record in run(quadratics(n), tmp_path / "undisturbed.db").records]


def test_a_driver_killed_several_times_ends_with_every_result_once(tmp_path):
    n, kill_at = 200, (11, 60, 110, 160)
    for count in kill_at:
        driver = start_driver(tmp_path, n)
        wait_for_marks(tmp_path, driver, count)
        driver.kill()
        driver.wait()
    rest = run(counted(tmp_path, n), tmp_path / "runs.db")
    assert 0 < rest.n_executed <= n - kill_at[-1] + len(kill_at)
    assert len(rest.records) == len({record.key for record in rest.records}) == n
    assert [record.metrics for record in rest.records] == undisturbed_metrics(tmp_path, n)
    executed = executions_per_seed(tmp_path)
    assert set(executed) == set(range(n))
    assert sum(executed.values()) <= n + len(kill_at)  # only the run in flight is repeated


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds child processes in /proc")
def test_workers_end_with_a_killed_driver(tmp_path):
    driver = start_driver(tmp_path, 5_000, n_jobs=2)
    wait_for_marks(tmp_path, driver, 4)
    workers = {int(path.name.split("-")[1]) for path in (tmp_path / "marks").iterdir()}
    assert driver.pid not in workers
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_driver_of_two_workers_killed_several_times_loses_only_runs_in_flight(tmp_path):
    n, kill_at = 200, (20, 90, 150)
    for count in kill_at:
        driver = start_driver(tmp_path, n, n_jobs=2)
        wait_for_marks(tmp_path, driver, count)
        driver.kill()
        driver.wait()
    rest = run(counted(tmp_path, n), tmp_path / "runs.db", n_jobs=2)
    assert [record.metrics for record in rest.records] == undisturbed_metrics(tmp_path, n)
    assert sum(executions_per_seed(tmp_path).values()) <= n + len(kill_at) * 4  # two running, two queued


def test_two_drivers_on_one_store_share_the_runs(tmp_path):
    n = 120
    drivers = [start_driver(tmp_path, n) for _ in range(2)]
    assert [driver.wait() for driver in drivers] == [0, 0]
    executed = executions_per_seed(tmp_path)
    assert executed == Counter(range(n))
    assert len({path.name.split("-")[1] for path in (tmp_path / "marks").iterdir()}) == 2, "one driver did all"
    with Store(tmp_path / "runs.db") as store:
        assert [record.status for record in store.records()] == ["done"] * n
        assert [record.metrics for record in store.records()] == undisturbed_metrics(tmp_path, n)


def test_a_driver_takes_over_from_one_that_dies_meanwhile(tmp_path):
    n = 150
    victim = start_driver(tmp_path, n)
    wait_for_marks(tmp_path, victim, 10)
    survivor = start_driver(tmp_path, n)
    wait_for_marks(tmp_path, victim, 30)
    victim.kill()
    victim.wait()
    assert survivor.wait() == 0
    executed = executions_per_seed(tmp_path)
    assert set(executed) == set(range(n))
    assert sum(executed.values()) <= n + 1


def test_interrupting_gives_the_claims_back(tmp_path):
    (tmp_path / "marks").mkdir()
    driver = start_driver(tmp_path, 400)
    wait_for_marks(tmp_path, driver, 10)
    driver.send_signal(signal.SIGINT)
    assert driver.wait() != 0
    with Store(tmp_path / "runs.db") as store:
        counts = store.progress().counts
    assert counts["running"] == 0
    assert counts["done"] >= 9
    assert counts["pending"] > 0


def test_a_full_disk_stops_the_sweep_with_a_clear_error_and_a_later_start_finishes_it(tmp_path, monkeypatch):
    prepare = Store._prepare

    def small(self):
        prepare(self)
        self._db.execute("PRAGMA max_page_count = 60")

    monkeypatch.setattr(Store, "_prepare", small)
    with pytest.raises(StoreError, match="free some space and start again"):
        run(quadratics(200, n_steps=1000), tmp_path / "runs.db")
    monkeypatch.undo()
    with Store(tmp_path / "runs.db") as store:
        done = store.progress().counts["done"]
    assert done > 0
    again = run(quadratics(200, n_steps=1000), tmp_path / "runs.db")
    assert again.n_executed == 200 - done
    assert {record.status for record in again.records} == {"done"}


def test_malformed_specifications_are_reported_and_the_others_go_on(tmp_path):
    specs = [
        *quadratics(1),
        {"target": target("quadratic"), "options": {"f": lambda x: x}},
        {"target": target("quadratic"), "base_lr": float("nan")},
        {"target": "nonsense"},
        {"target": target("quadratic"), "momentum": 0.9},
        {"target": target("quadratic"), "seed": 1.5},
        "quadratic",
    ]
    result = run(specs, tmp_path / "runs.db")
    assert len(result.records) == 1
    assert list(result.rejected) == [1, 2, 3, 4, 5, 6]
    assert result.rejected[1].startswith("options.f: expected text, a finite number")
    assert result.rejected[3].startswith("target: expected kind:name with a kind among problem, workload, function")
    assert "fields among target, method" in result.rejected[4]


@pytest.mark.parametrize("name", ["function:nowhere.at.all:f", "function:math:nothing", "function:/no/file.py:f"])
def test_a_target_that_does_not_exist_is_a_failed_run(tmp_path, name):
    result = run([RunSpec(name), *quadratics(1)], tmp_path / "runs.db")
    assert [record.status for record in result.records] == ["failed", "done"]


def test_a_worker_with_other_code_stops_the_sweep_and_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "code_version", lambda spec: "0.0+elsewhere")
    with pytest.raises(EngineError, match=r"a worker has code .*, the driver 0\.0\+elsewhere: install the same"):
        run(quadratics(3), tmp_path / "runs.db", code=None)
    with Store(tmp_path / "runs.db") as store:
        assert store.progress().counts["pending"] == 3


def test_a_device_is_never_given_to_two_runs_at_a_time(tmp_path, monkeypatch):
    held, most, used = Counter(), Counter(), set()
    lock = threading.Lock()

    def watched(function, spec, device, code):
        with lock:
            held[device] += 1
            most[device] = max(most[device], held[device])
            used.add(device)
        try:
            return function(spec, device, code)
        finally:
            with lock:
                held[device] -= 1

    @contextmanager
    def two_devices(*_, **__):
        with ThreadPoolExecutor(4) as pool:
            yield Engine(partial(pool.submit, watched), 2, ("cuda:0", "cuda:1"))

    monkeypatch.setattr(sweep, "open_engine", two_devices)
    specs = grid(target=target("slow"), seed=range(20), options={"sleep": 0.002})
    assert len(run(specs, tmp_path / "runs.db").records) == 20
    assert used == {"cuda:0", "cuda:1"}
    assert set(most.values()) == {1}


def test_one_worker_a_visible_device(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with open_engine("loky", device="cuda") as engine:
        assert (engine.n_workers, engine.devices) == (3, ["cuda:0", "cuda:1", "cuda:2"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch sees no CUDA device"), open_engine("loky", device="cuda"):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "slurm"}, "engine: expected one of loky, dask"),
        ({"n_jobs": 0}, "n_jobs: expected an integer of at least 1"),
        ({"scheduler": "tcp://x:1"}, "scheduler: expected an address only together with engine 'dask'"),
    ],
)
def test_bad_engines(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(quadratics(1), tmp_path / "runs.db", **options)


def test_grids_from_toml(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(
        """
        [[grid]]
        target = "problem:absolute"
        schedule = ["linear", "cosine"]
        base_lr = {start = 0.01, stop = 1.0, num = 3}
        seed = [0, 1]
        options = {noise = [0.0, 0.1]}
        [[run]]
        target = "problem:absolute"
        """
    )
    runs = [RunSpec(**fields) for fields in read_sweep(file)]
    assert len(runs) == 2 * 3 * 2 * 2 + 1
    assert sorted({run.base_lr for run in runs}) == pytest.approx([0.01, 0.1, 1.0])
    assert runs[1].options == {"noise": 0.1}
    assert runs == sorted(set(runs), key=runs.index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grid", "valid TOML"),
        ("[gird]\nseed = 1", r"gird.*|tables 'grid' and 'run' only"),
        ("", "nothing"),
        ("[[grid]]\nseed = []", "seed: expected at least one value"),
        ("grid = 3", "a table"),
    ],
)
def test_bad_toml(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_sweep(tmp_path / "sweep.toml")


def test_a_missing_toml_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"readable TOML file, got .*no\.toml"):
        read_sweep(tmp_path / "no.toml")
