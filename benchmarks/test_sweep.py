"""Sweeps and searches: two workers against one, the store's cost a run, a large store, the search of all families."""

import json
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from typer.testing import CliRunner

from lastiterate.cli import app
from lastiterate.experiments.sweep.specs import grid
from lastiterate.experiments.sweep.store import Outcome, Store
from lastiterate.experiments.sweep.sweep import open_engine, run_sweep
from lastiterate.experiments.sweep.tasks import execute
from lastiterate.solvers.search.free_form import free_form_descent, starts_of
from lastiterate.solvers.search.objectives import LinearRegression
from lastiterate.solvers.search.search import search

TARGET = f"function:{Path(__file__).parents[1] / 'tests' / 'experiments' / 'sweep' / 'sweep_targets.py'}:burns_cpu"


SPECS = grid(target=TARGET, n_steps=1_500_000, seed=range(12))


def sweep_seconds(engine, path):
    """Wall time of a CPU-bound sweep by workers that are up, as in any long sweep."""
    start = perf_counter()
    found = run_sweep(SPECS, path, engine=engine, code="test", progress=False)
    assert not found.failed
    return perf_counter() - start


def bare_seconds(engine):
    """The same runs by the same workers without driver and store."""
    start = perf_counter()
    for future in [engine.submit(execute, spec) for spec in SPECS]:
        future.result()
    return perf_counter() - start


@pytest.mark.benchmark(group="sweep")
def test_two_workers_against_one(benchmark, full, tmp_path):
    sweeps, bare = {1: [], 2: []}, {1: [], 2: []}
    with open_engine("loky", n_jobs=1) as one, open_engine("loky", n_jobs=2) as two:
        bare_seconds(two)
        # minima of interleaved repetitions: whatever else runs on the machine can only lengthen a time
        for repeat in range(5 if full else 1):
            for n_jobs, engine in ((1, one), (2, two)):
                sweeps[n_jobs].append(sweep_seconds(engine, tmp_path / f"{n_jobs}-{repeat}.db"))
                bare[n_jobs].append(bare_seconds(engine))
        benchmark.pedantic(sweep_seconds, args=(two, tmp_path / "timed.db"), rounds=1)
    speedup, possible = (min(times[1]) / min(times[2]) for times in (sweeps, bare))
    benchmark.extra_info.update({"speedup": speedup, "of bare processes": possible})


@pytest.mark.benchmark(group="sweep")
def test_store_cost_of_a_run(benchmark, full, tmp_path):
    store = Store(tmp_path / "runs.db")
    keys = store.add(grid(target="function:math:fsum", seed=range(20_000 if full else 500)), "test")
    store.register(1)
    store.want(keys)
    curve = {"loss": np.linspace(1.0, 0.0, 200)}

    def claim_and_finish():
        key, _ = store.claim()
        store.finish(key, Outcome("done", {"final": 1.0}, curve))

    benchmark.pedantic(claim_and_finish, rounds=300, warmup_rounds=5)
    store.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory, request):
    """A store of 100,000 finished runs, one in a hundred failed, and their specifications."""
    count = 300 if request.config.getoption("benchmark_disable") else 100_000
    specs = grid(target="function:math:fsum", n_steps=1, seed=range(count))
    path = tmp_path_factory.mktemp("large") / "runs.db"
    with Store(path) as store:
        store.want(store.add(specs, "test"))
        store.register(1)
        while (claimed := store.claim()) is not None:
            key, spec = claimed
            good = Outcome("done", {"final": 1.0 / (spec.seed + 1)}, wall_s=0.5)
            store.finish(key, Outcome("failed", error="ValueError: no") if spec.seed % 100 == 0 else good)
    return path, specs


@pytest.mark.benchmark(group="large store")
@pytest.mark.parametrize("what", ["status", "export", "resume"])
def test_a_hundred_thousand_stored_runs(benchmark, large, tmp_path, what):
    """Status and export as the terminal does them; resuming finds nothing left and returns every stored result."""
    path, specs = large
    count = len(specs)

    def terminal(*arguments):
        found = CliRunner().invoke(app, ["sweep", *map(str, arguments), "--store", str(path)])
        assert found.exit_code == 0, found.output
        return found.output

    call = {
        "status": lambda: terminal("status", "--json"),
        "export": lambda: terminal("export", tmp_path / "runs.csv"),
        "resume": lambda: run_sweep(specs, path, code="test", n_jobs=1, progress=False),
    }[what]
    found = benchmark.pedantic(call, rounds=1)
    if what == "status":
        counts = {row["status"]: row["runs"] for row in json.loads(found)["rows"]}
        assert (counts["done"], counts["failed"]) == (count - count // 100, count // 100)
    elif what == "export":
        assert found.startswith(f"{count} runs")
        assert len((tmp_path / "runs.csv").read_text().splitlines()) == count + 1
    else:
        assert len(found.records) == count
        assert len(found.failed) == count // 100
        assert found.n_executed == 0


@pytest.mark.benchmark(group="search")
def test_the_whole_study(benchmark, full):
    def study():
        objective = LinearRegression()
        found = search(objective) if full else search(objective, ["cosine"], n_shapes=20)
        return free_form_descent(objective, starts_of(found, 100)[-4:])

    found = benchmark.pedantic(study, rounds=1)
    assert found.value <= 0.2600 or not full
