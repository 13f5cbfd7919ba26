"""Sweeps and searches: two workers against one, the store's cost a run, the whole search of all families."""

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from lastiterate.experiments.sweep.specs import grid
from lastiterate.experiments.sweep.store import Outcome, Store
from lastiterate.experiments.sweep.sweep import open_engine, run_sweep
from lastiterate.experiments.sweep.tasks import execute
from lastiterate.solvers.search.free_form import free_form_descent, starts_of
from lastiterate.solvers.search.objectives import LinearRegression
from lastiterate.solvers.search.search import search

TARGET = f"function:{Path(__file__).parents[1] / 'tests' / 'experiments' / 'sweep_targets.py'}:burns_cpu"


SPECS = grid(target=TARGET, n_steps=1_500_000, seed=range(12))


def sweep_seconds(engine, path):
    """Wall time of a CPU-bound sweep by workers that are up, as in any long sweep."""
    start = perf_counter()
    run_sweep(SPECS, path, engine=engine, code="test", progress=False)
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


@pytest.mark.benchmark(group="search")
def test_the_whole_study(benchmark, full):
    def study():
        objective = LinearRegression()
        found = search(objective) if full else search(objective, ["cosine"], n_shapes=20)
        return free_form_descent(objective, starts_of(found, 100)[-4:])

    found = benchmark.pedantic(study, rounds=1)
    assert found.value <= 0.2600 or not full
