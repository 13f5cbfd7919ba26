"""CPU time of certified rates, averages and open horizons, beside the limits that they are meant to keep."""

import time

import numpy as np
import pytest

import lastiterate as li

MILLION = 1_000_000


def measured(benchmark, limit, function, *arguments, **options):
    """Call once and note the CPU seconds beside their limit."""
    started = time.process_time()
    found = benchmark.pedantic(function, args=arguments, kwargs=options, rounds=1)
    benchmark.extra_info.update(cpu_seconds=time.process_time() - started, limit=limit)
    return found


@pytest.mark.parametrize("scaling", [0.5, 1.0], ids=["sqrt", "linear"])
@pytest.mark.parametrize(("n_steps", "limit"), [(1_000, 10.0), (100_000, 60.0)])
def test_dual_averaging(benchmark, full, n_steps, limit, scaling):
    n_steps = n_steps if full else n_steps // 20
    scalings = np.arange(1.0, n_steps + 1.0) ** scaling
    weights = np.full(n_steps, li.tune_base_lr(np.full(n_steps, 1.0 / scalings[-1])).base_lr)
    li.dual_averaging_rate(weights[:50], scalings[:50])
    rate = measured(benchmark, limit, li.dual_averaging_rate, weights, scalings)
    assert rate.lower <= rate.value <= 1.26 * rate.lower


def test_momentum(benchmark, full):
    n_steps = 100_000 if full else 1_000
    steps = 0.1 * li.schedules.linear(n_steps) / np.sqrt(n_steps)
    rate = measured(benchmark, 30.0, li.momentum_rate, steps, 0.9)
    assert rate.lower <= rate.value <= 1.05 * rate.lower


@pytest.mark.parametrize("method", ["sgd", "momentum 0.9", "dual averaging"])
def test_worst_case_with_all_inequalities(benchmark, full, method):
    n = 100 if full else 16
    steps = li.schedules.linear(n) / np.sqrt(n + 1)
    H = {
        "sgd": lambda: li.step_matrix.sgd(steps),
        "momentum 0.9": lambda: li.step_matrix.momentum(steps, 0.9),
        "dual averaging": lambda: li.step_matrix.dual_averaging(np.ones(n), 2.0 * np.sqrt(np.arange(1, n + 1))),
    }[method]()
    found = measured(benchmark, 120.0, li.worst_case, H, progress=False)
    benchmark.extra_info["gap"] = found.relative_gap
    assert found.relative_gap < 1e-6


@pytest.mark.parametrize("kind", ["closed form", "spaced", "random"])
def test_average_of_a_million(benchmark, full, kind):
    """Limits: 0.1 s where the sign condition holds, else 3 s."""
    n = MILLION if full else 10_000
    steps, weights = np.full(n, 1.0 / np.sqrt(n)), np.zeros(n + 1)
    if kind == "closed form":
        weights[n // 2 :] = 1.0
    elif kind == "spaced":
        weights[n :: -n // 20] = 1.0
    else:
        steps = steps * np.exp(np.random.default_rng(0).normal(size=n))
        weights = np.random.default_rng(1).random(n + 1)
    weights /= weights.sum()
    li.average_rate(steps[:100], np.full(101, 1 / 101))
    rate = measured(benchmark, 0.1 if kind == "closed form" else 3.0, li.average_rate, steps, weights)
    assert 0.0 < rate.lower <= rate.value


@pytest.mark.parametrize(("branch", "price"), [(None, 1.1921), (0.2, 1.0226)])
def test_open_horizon(benchmark, full, branch, price):
    """Limit: 30 s from 100 to 1000 steps."""
    run = measured(benchmark, 30.0, li.anytime_schedule, *((100, 1000) if full else (10, 30)), branch=branch)
    assert run.value <= price
