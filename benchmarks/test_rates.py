"""Speed and memory of the exact theory, as ratios to limits measured in the same run where that is meaningful."""

import time
import tracemalloc

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.schedules import constant, cosine, linear, wsd

MILLION = 1_000_000


def log_uniform(n_steps):
    return 10.0 ** np.random.default_rng(0).uniform(-4, 0, n_steps)


SHAPES = {"linear": linear, "cosine": cosine, "constant": constant, "wsd": wsd, "log-uniform": log_uniform}


def scaled(name, n_steps):
    return SHAPES[name](n_steps) / np.sqrt(n_steps)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("tuned", [False, True], ids=["given", "tuned"])
def test_exact_rate_of_a_million_steps(benchmark, name, tuned):
    """Limit: 0.15 s on two cores."""
    steps = scaled(name, MILLION)
    benchmark(li.tune_base_lr if tuned else li.exact_rate, steps)


def test_exact_rate_of_ten_million_steps(benchmark):
    """Limit: 2 s on two cores and three extra arrays of length N."""
    steps = scaled("cosine", 10 * MILLION)
    benchmark.pedantic(li.exact_rate, args=(steps,), rounds=3, warmup_rounds=1)
    tracemalloc.start()
    li.exact_rate(steps)
    benchmark.extra_info["extra arrays of length N"] = tracemalloc.get_traced_memory()[1] / steps.nbytes
    tracemalloc.stop()
    assert benchmark.extra_info["extra arrays of length N"] <= 3.0


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("n_steps", [100_000, MILLION])
def test_theorem10_curve_over_all_horizons(benchmark, name, n_steps):
    """Limits: 0.5 s and 6 s on two cores."""
    steps = scaled(name, n_steps)
    benchmark.pedantic(li.rate_curve, args=(steps,), rounds=2, warmup_rounds=1)


def test_exact_curve_over_all_horizons(benchmark):
    """Limit: 30 s for 10,000 horizons."""
    benchmark.pedantic(li.rate_curve, args=(scaled("cosine", 10_000),), kwargs={"bound": "exact"}, rounds=1)


def test_exact_curve_over_log_spaced_horizons(benchmark):
    """Limit: 15 s for 200 horizons up to a million."""
    steps = scaled("cosine", MILLION)
    benchmark.pedantic(li.rate_curve, args=(steps,), kwargs={"bound": "exact", "horizons": 200}, rounds=1)


def test_theorem10_curve_against_one_rate_per_horizon(benchmark):
    """The tree code against what a loop over horizons costs, extrapolated from sixty of them."""
    n_steps = 100_000
    steps = scaled("cosine", n_steps)
    sample = np.linspace(1, n_steps, 60, dtype=int)
    started = time.perf_counter()
    for horizon in sample:
        li.theorem10_rate(steps[:horizon])
    loop = (time.perf_counter() - started) / sample.size * n_steps
    benchmark.pedantic(li.rate_curve, args=(steps,), rounds=2, warmup_rounds=1)
    ratio = loop / benchmark.stats.stats.min
    benchmark.extra_info["loop / curve"] = ratio
    assert ratio > 100.0
