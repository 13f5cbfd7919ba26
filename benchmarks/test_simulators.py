"""Simulators: a step against NumPy and torch loops and SGDClassifier, two threads against one, cost in the dimension.

Times are minima of interleaved repetitions: another process on the machine can only lengthen a time.
"""

from collections.abc import Callable
from threading import Thread
from time import perf_counter

import numba
import numpy as np
import pytest
from peers import BATCH, logistic, numpy_loop, torch_loop

from lastiterate.theory.simulators.simulate import simulate


def seconds(function: Callable[[], object]) -> float:
    begin = perf_counter()
    function()
    return perf_counter() - begin


def interleaved(functions: dict[str, Callable[[], object]], repeats: int = 11) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: min(values) for name, values in times.items()}


@pytest.mark.parametrize("d", [8, 64])
def test_step_against_numpy_and_torch_loops(benchmark, full, d):
    """Goal: 50 times a NumPy loop and 100 times a torch loop a step, over a batch of runs as sweeps have it."""
    problem, n_steps, runs, longer = logistic(1000, d), *((5000, 16, 40_000) if full else (50, 4, 100))

    def ours():
        simulate(problem, "sgd", np.full(n_steps, 0.1), seeds=runs, batch_size=BATCH, replacement=True, record=1)

    def alone():
        simulate(problem, "sgd", np.full(longer, 0.1), batch_size=BATCH, replacement=True, record=1)

    slow = {"numpy": lambda: numpy_loop(problem, 1000), "torch": lambda: torch_loop(problem, 200)}
    times = interleaved({"ours": ours, "alone": alone, **slow}, 11 if full else 1)
    step = times["ours"] / (n_steps * runs)
    benchmark.extra_info["one run, steps/NumPy loop"] = times["numpy"] / 1000 / (times["alone"] / longer)
    benchmark.extra_info["batch, steps/NumPy loop"] = times["numpy"] / 1000 / step
    benchmark.extra_info["batch, steps/torch loop"] = times["torch"] / 200 / step
    benchmark.pedantic(ours, rounds=1)


@pytest.mark.parametrize("d", [8, 64])
def test_sample_against_sgd_classifier(benchmark, full, d):
    """A sample costs no more than in scikit-learn's compiled loop, on one thread."""
    from sklearn.linear_model import SGDClassifier

    problem, epochs = logistic(4000, d), 20 if full else 1
    settings = {"loss": "log_loss", "penalty": None, "fit_intercept": False, "max_iter": epochs, "tol": None}
    classifier = SGDClassifier(learning_rate="constant", eta0=0.01, **settings)
    steps = np.full(epochs * problem.n_samples // BATCH, 0.1)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        times = interleaved(
            {
                "ours": lambda: simulate(problem, "sgd", steps, batch_size=BATCH, record=1),
                "sklearn": lambda: classifier.fit(problem.matrix, problem.targets),
            },
            11 if full else 1,
        )
    finally:
        numba.set_num_threads(threads)
    benchmark.extra_info["sklearn time/our time"] = times["sklearn"] / times["ours"]
    benchmark.pedantic(lambda: simulate(problem, "sgd", steps, batch_size=BATCH, record=1), rounds=1)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two cores")
def test_two_threads_against_one(benchmark, full):
    """A batch of 64 runs on two cores against one, beside what two plain threads with half of it each reach."""
    problem, threads, n_steps = logistic(1000, 32), numba.get_num_threads(), 5000 if full else 50

    def batch(count, seeds=64):
        numba.set_num_threads(count)
        simulate(problem, "sgd", np.full(n_steps, 0.1), seeds=seeds, batch_size=BATCH, record=1, progress=False)

    def plain():
        halves = [Thread(target=batch, args=(1, 32)) for _ in range(2)]
        for half in halves:
            half.start()
        for half in halves:
            half.join()

    try:
        runs = {"one": lambda: batch(1), "two": lambda: batch(2), "plain": plain}
        times = interleaved(runs, repeats=40 if full else 1)
        benchmark.extra_info["speedup"] = times["one"] / times["two"]
        benchmark.extra_info["speedup of two plain threads"] = times["one"] / times["plain"]
        benchmark.pedantic(lambda: batch(2), rounds=1)
    finally:
        numba.set_num_threads(threads)


def test_step_is_linear_in_the_dimension(benchmark, full):
    """From 10^3 to 10^6 columns: no faster than linear, and within twice the time to read the data once from memory.

    The data (384 MB) fit in no cache. NumPy's sum reads them in their order, a step reads 16 rows drawn at random. From
    2^16 columns on a step uses every core, so that a column may then cost less than half of what it cost before.
    """
    costs, ratios = {}, {}
    for d in (10**3, 10**4, 10**5, 10**6) if full else (10**3, 10**4):
        n = (48_000_000 if full else 480_000) // d // BATCH * BATCH
        problem = logistic(n, d)
        values, n_steps = problem.arrays.dense.ravel(), 10 * n // BATCH

        def run(count, problem=problem):
            chosen = {"batch_size": BATCH, "record": 1, "progress": False}
            simulate(problem, "sgd", np.full(count, 1e-3), **chosen)

        times = interleaved(
            {"long": lambda: run(n_steps + 1), "short": lambda: run(1), "read": values.sum},  # noqa: B023
            11 if full else 1,
        )
        costs[d] = (times["long"] - times["short"]) / n_steps / d
        ratios[d] = costs[d] * d / (times["read"] * BATCH / n)
    benchmark.extra_info["ns/column"] = {d: 1e9 * cost for d, cost in costs.items()}
    benchmark.extra_info["step/reading once"] = ratios
    benchmark.pedantic(run, args=(8,), rounds=1)
