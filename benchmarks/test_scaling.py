"""Time against size, beside what bounds it or competes with it: the pictures of docs/performance.md."""

import time

import numpy as np
import pytest
from peers import BATCH, METHODS, fastest, logistic, numpy_loop, pepit, torch_loop

import lastiterate as li


def scaling(benchmark, unit, curves):
    """Note seconds by size for each curve: {label: {size: seconds}}."""
    benchmark.extra_info["scaling"] = {"unit": unit, "curves": curves}


def test_rates_of_longer_schedules(benchmark, full):
    """The exact rate and the curve of all horizons, beside `np.cumsum` of the same array."""
    sizes = [10**power for power in (range(2, 8) if full else range(2, 4))]
    curves = {"np.cumsum": {}, "exact_rate": {}, "theorem10_rate": {}, "rate_curve, all horizons": {}}
    for n in sizes:
        steps = li.schedules.cosine(n) / np.sqrt(n)
        curves["np.cumsum"][n] = fastest(np.cumsum, steps)
        curves["exact_rate"][n] = fastest(li.exact_rate, steps)
        curves["theorem10_rate"][n] = fastest(li.theorem10_rate, steps, rounds=3)
        if n <= 10**6:
            curves["rate_curve, all horizons"][n] = fastest(li.rate_curve, steps, rounds=2)
    scaling(benchmark, "steps", curves)
    benchmark.pedantic(li.exact_rate, args=(steps,), rounds=3)


def test_steps_on_wider_data(benchmark, full):
    """One step of SGD with batches of 16 rows, beside loops in NumPy and torch."""
    curves = {"simulate": {}, "NumPy loop": {}, "torch loop": {}}
    for d in (8, 64, 512, 4096) if full else (8, 64):
        problem, n = logistic(1000, d), 4000 if full else 50
        steps = np.full(n, 0.1)

        def ours(problem=problem, steps=steps):
            li.simulate(problem, "sgd", steps, batch_size=BATCH, replacement=True, record=1, progress=False)

        curves["simulate"][d] = fastest(ours, rounds=5) / n
        curves["NumPy loop"][d] = fastest(numpy_loop, problem, n // 10, rounds=3) / (n // 10)
        curves["torch loop"][d] = fastest(torch_loop, problem, n // 10, rounds=3) / (n // 10)
    scaling(benchmark, "columns", curves)
    benchmark.pedantic(ours, rounds=1)


@pytest.mark.filterwarnings("ignore")
def test_worst_cases_of_more_steps(benchmark, full):
    """The semidefinite program for SGD, beside the same one in PEPit, solved by the same solver."""
    curves = {"worst_case": {}, "PEPit": {}}
    for solve in (li.worst_case, pepit):
        solve(METHODS["sgd"](2))  # imports
    for n in (5, 10, 20, 40, 60) if full else (5, 10):
        H = METHODS["sgd"](n)
        started = time.perf_counter()
        found = li.worst_case(H)
        curves["worst_case"][n] = time.perf_counter() - started
        if n <= 40:
            started = time.perf_counter()
            assert pepit(H) == pytest.approx(found.value, rel=2e-6)
            curves["PEPit"][n] = time.perf_counter() - started
    scaling(benchmark, "steps", curves)
    benchmark.pedantic(li.worst_case, args=(METHODS["sgd"](5),), rounds=1)
