"""SIGKILL at random moments: finished work stays, and starting again ends with what an undisturbed run gives."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lastiterate.experiments.sweep.sweep import grid, run_sweep

TARGETS = Path(__file__).with_name("sweep_targets.py")

pytestmark = pytest.mark.slow


def start(code, folder, **options):
    """Run code in a process group of its own, in ``folder``."""
    script = folder / "script.py"
    script.write_text(code)
    with (folder / "errors.txt").open("a") as errors:
        return subprocess.Popen([sys.executable, script], cwd=folder, start_new_session=True, stderr=errors, **options)


def killed_again_and_again(code, folder, rng, times, longest, done):
    """Kill the script again and again at random moments, then let it end; return how often it was at work."""
    at_work = 0
    for _ in range(times):
        process = start(code, folder)
        before = done()
        deadline = time.monotonic() + 120
        while process.poll() is None and done() <= before and time.monotonic() < deadline:
            time.sleep(0.01)  # kill while it works, not while it imports
        time.sleep(rng.uniform(0.0, longest))
        at_work += process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(code, folder).wait(timeout=500) == 0, (folder / "errors.txt").read_text()[-2000:]
    return at_work


def digests(folder, pattern):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob(pattern))}


REPLAY = """
import lastiterate as li
if __name__ == "__main__":
    result = li.replay("digits_mlp", ["cosine"], base_lrs=[0.1, 0.3], n_seeds=1, n_tuning_seeds=2, extensions=0,
                       n_steps=300, checkpoints="runs", checkpoint_minutes=0.005, n_jobs=1, progress=False)
    result.save("replay.json")
"""


def numbers(file):
    document = json.loads(file.read_text())
    for workload in document["workloads"]:
        workload.pop("seconds", None)
        for schedule in workload["schedules"]:
            for run in schedule["runs"] + schedule["report_runs"]:
                run.pop("seconds", None)
    return document["workloads"]


def test_replay_with_checkpoints(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    assert start(REPLAY, tmp_path / "whole").wait(timeout=500) == 0
    runs = tmp_path / "killed" / "runs"

    def written():
        return max((file.stat().st_mtime_ns for file in runs.glob("[!.]*.pt")), default=0)

    at_work = killed_again_and_again(REPLAY, tmp_path / "killed", random.Random(1), 5, 0.4, written)
    assert at_work > 0
    assert numbers(tmp_path / "killed" / "replay.json") == numbers(tmp_path / "whole" / "replay.json")
    assert not list(runs.glob(".*"))[5:]  # a kill in the middle of a write leaves at most its own partial file


SWEEP = """
from lastiterate.experiments.sweep.specs import grid
from lastiterate.experiments.sweep.sweep import run_sweep
if __name__ == "__main__":
    specs = grid(target="function:{targets}:slow", base_lr=0.1, n_steps=5, seed=range({n}), options={{"sleep": 0.05}})
    run_sweep(specs, "runs.db", code="test", progress=False, **{options})
"""


def finished(store):
    """Keys of the finished runs and what is stored of them, read without the package."""
    import sqlite3

    if not store.exists():
        return {}
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
        try:
            rows = db.execute(
                "SELECT r.key, metrics, data FROM runs r LEFT JOIN curves USING (key) WHERE status = 'done'"
            ).fetchall()
        except sqlite3.OperationalError:  # the tables are being made
            return {}
    return {key: (metrics, data) for key, metrics, data in rows}


@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"n_jobs": 1, "timeout_s": 60}, {"engine": "dask", "n_jobs": 2}])
def test_drivers_and_workers_of_sweeps(tmp_path, options):
    if options.get("engine") == "dask":
        pytest.importorskip("distributed")
    psutil = pytest.importorskip("psutil")
    n, rng = 60, random.Random(2)
    code = SWEEP.format(targets=TARGETS, n=n, options=options)
    store, kept = tmp_path / "runs.db", {}
    for kill_driver in (True, False, True):
        process = start(code, tmp_path)
        before, deadline = len(finished(store)), time.monotonic() + 120
        while process.poll() is None and len(finished(store)) <= before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.3))
        now = finished(store)
        assert all(now[key] == value for key, value in kept.items())
        kept = now
        if kill_driver:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            workers = psutil.Process(process.pid).children(recursive=True)
            for worker in rng.sample(workers, min(1, len(workers))):
                worker.kill()
            assert process.wait(timeout=300) == 0, (tmp_path / "errors.txt").read_text()[-2000:]
            break
    assert start(code, tmp_path).wait(timeout=300) == 0
    last = finished(store)
    assert all(last[key] == value for key, value in kept.items())
    specs = grid(target=f"function:{TARGETS}:slow", base_lr=0.1, n_steps=5, seed=range(n), options={"sleep": 0.05})
    undisturbed = run_sweep(specs, tmp_path / "undisturbed.db", code="test", n_jobs=1, progress=False)
    failed = set(last) ^ {record.key for record in undisturbed.records}
    assert len(failed) <= ("timeout_s" in options)  # with a time limit the child is the run, and its death a failure
    assert {key: json.loads(last[key][0]) for key in last} == {
        record.key: dict(record.metrics) for record in undisturbed.records if record.key in last
    }


SEARCH = """
import numpy as np
import lastiterate as li
from lastiterate.experiments.sweep.objectives import SweepObjective
if __name__ == "__main__":
    objective = SweepObjective("problem:logistic:breast_cancer", "search.db", 40, np.array([0.1, 1.0]), metric="final",
                               sweep_options={"n_jobs": 1, "progress": False})
    study = li.search(objective, ["cosine", "two_point_linear"], n_shapes=12, n_seeds=2)
    print(repr([dict(row) for row in study.table()]))
"""


def test_search(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = start(SEARCH, tmp_path / "whole", stdout=subprocess.PIPE, text=True)
    expected, _ = whole.communicate(timeout=500)
    assert whole.returncode == 0, (tmp_path / "whole" / "errors.txt").read_text()[-2000:]
    store = tmp_path / "killed" / "search.db"
    rng = random.Random(3)
    killed_again_and_again(SEARCH, tmp_path / "killed", rng, 3, 0.3, lambda: len(finished(store)))
    last = start(SEARCH, tmp_path / "killed", stdout=subprocess.PIPE, text=True)
    assert last.communicate(timeout=500)[0] == expected
    assert len(finished(store)) == len(finished(tmp_path / "whole" / "search.db"))


FIGURES = """
from lastiterate.paper_figures.run import make_figures
make_figures(["refine-synthetic"], "out", progress=False)
"""


def test_figures_killed_and_two_at_a_time(tmp_path):
    for name in ("whole", "killed", "two"):
        (tmp_path / name).mkdir()
    assert start(FIGURES, tmp_path / "whole").wait(timeout=500) == 0
    out = tmp_path / "killed" / "out"
    killed_again_and_again(FIGURES, tmp_path / "killed", random.Random(4), 3, 1.0, lambda: len(list(out.rglob("*"))))
    both = [start(FIGURES, tmp_path / "two") for _ in range(2)]
    assert [process.wait(timeout=500) for process in both] == [0, 0], (tmp_path / "two" / "errors.txt").read_text()
    whole = digests(tmp_path / "whole" / "out", "*.png")
    assert len(whole) == 1
    assert digests(out, "[!.]*.png") == whole
    assert digests(tmp_path / "two" / "out", "*.png") == whole
    assert not list((tmp_path / "two" / "out").rglob(".*"))


REFINE = """
import sys
from lastiterate.cli import main
sys.argv = ["lastiterate", "refine", "log.csv", "--rule", "sgd", "-o", "schedule.json"]
main()
"""


def test_refine_leaves_the_old_schedule_or_the_new_one(tmp_path):
    log = tmp_path / "log.csv"
    rows = "".join(f"{k},{2.0 - k / 400_000!r}\n" for k in range(200_000))
    log.write_text(f"step,grad_norm\n{rows}")
    content, rng = log.read_bytes(), random.Random(5)
    quiet = {"stdout": subprocess.DEVNULL}
    begin = time.monotonic()
    assert start(REFINE, tmp_path, **quiet).wait(timeout=300) == 0
    usual = time.monotonic() - begin
    whole = (tmp_path / "schedule.json").read_bytes()
    for _ in range(8):
        (tmp_path / "schedule.json").write_bytes(b"old")
        process = start(REFINE, tmp_path, **quiet)
        time.sleep(rng.uniform(0.5, 1.0) * usual)
        process.kill()
        process.wait()
        assert (tmp_path / "schedule.json").read_bytes() in (b"old", whole)
        assert log.read_bytes() == content
