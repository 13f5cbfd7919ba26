"""Speed and memory of the exact theory, as ratios to limits measured in the same run where that is meaningful."""

import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from peers import fastest

import lastiterate as li
from lastiterate.theory.schedules import constant, cosine, linear, wsd

MILLION = 1_000_000


def log_uniform(n_steps):
    return 10.0 ** np.random.default_rng(0).uniform(-4, 0, n_steps)


SHAPES = {"linear": linear, "cosine": cosine, "constant": constant, "wsd": wsd, "log-uniform": log_uniform}


def scaled(name, n_steps):
    return SHAPES[name](n_steps) / np.sqrt(n_steps)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("n_steps", [MILLION, 10 * MILLION])
@pytest.mark.parametrize("tuned", [False, True], ids=["given", "tuned"])
def test_exact_rate_against_a_running_sum(benchmark, full, least, name, n_steps, tuned):
    """Goal: at most twice `np.cumsum` of the same array, copies and checks included."""
    steps = scaled(name, n_steps if full else n_steps // 100)
    benchmark.pedantic(li.tune_base_lr if tuned else li.exact_rate, args=(steps,), rounds=7, warmup_rounds=2)
    benchmark.extra_info["rate / cumsum"] = least() / fastest(np.cumsum, steps)


def test_memory_of_the_exact_rate():
    """The copy of the steps and little else."""
    steps = scaled("cosine", 10 * MILLION)
    li.exact_rate(steps)
    tracemalloc.start()
    li.exact_rate(steps)
    peak = tracemalloc.get_traced_memory()[1] / steps.nbytes
    tracemalloc.stop()
    assert peak <= 1.5


def test_gradient_against_the_rate(benchmark, full, least):
    """Goal: at most three times the rate."""
    steps = scaled("cosine", MILLION if full else 20_000)

    def gradient_alone(rate):
        return rate.gradient

    def fresh():
        return (li.exact_rate(steps),), {}

    benchmark.pedantic(gradient_alone, setup=fresh, rounds=7, warmup_rounds=1)
    benchmark.extra_info["gradient / rate"] = least() / fastest(li.exact_rate, steps)


def test_a_stack_against_a_loop_of_calls(benchmark, least):
    """Goal: at least twenty times faster for 1,000 schedules of 100 steps."""
    table = 10.0 ** np.random.default_rng(0).uniform(-4, 0, (1000, 100))

    def loop():
        for row in table:
            li.exact_rate(row)

    benchmark.pedantic(li.exact_rate, args=(table,), rounds=15, warmup_rounds=2)
    benchmark.extra_info["loop / stack"] = fastest(loop, rounds=3) / least()


@pytest.mark.parametrize("kind", ["falling", "rising"])
@pytest.mark.parametrize("n_steps", [1000, MILLION])
def test_exact_rate_for_varying_bounds(benchmark, full, least, kind, n_steps):
    """One bracketed root, and a global search."""
    n_steps = n_steps if full else min(n_steps, 5_000)
    steps = scaled("cosine", n_steps)
    caps = np.linspace(2.0, 1.0, n_steps + 1) if kind == "falling" else np.linspace(1.0, 1.5, n_steps + 1)
    benchmark.pedantic(li.exact_rate, args=(steps, 1.0, caps), rounds=2, warmup_rounds=1)
    benchmark.extra_info["rate / cumsum"] = least() / fastest(np.cumsum, steps)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("n_steps", [100_000, MILLION])
def test_theorem10_curve_over_all_horizons(benchmark, full, name, n_steps):
    """Limits: 0.5 s and 6 s on two cores."""
    steps = scaled(name, n_steps if full else n_steps // 100)
    benchmark.pedantic(li.rate_curve, args=(steps,), rounds=2, warmup_rounds=1)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("n_steps", "goal"), [(10_000, 2000), (MILLION, 500)])
def test_exact_curve_over_all_horizons(benchmark, full, least, name, n_steps, goal):
    """Goal: at most 2,000 and 500 times `np.cumsum` of the same array."""
    steps = scaled(name, n_steps if full else n_steps // 100)
    rounds = 9 if n_steps < MILLION else 2
    benchmark.pedantic(li.rate_curve, args=(steps,), kwargs={"bound": "exact"}, rounds=rounds, warmup_rounds=1)
    benchmark.extra_info[f"curve / cumsum, goal {goal}"] = least() / fastest(np.cumsum, steps)


def test_exact_curve_over_log_spaced_horizons(benchmark, full):
    """Limit: 15 s for 200 horizons up to a million."""
    steps = scaled("cosine", MILLION if full else 5_000)
    benchmark.pedantic(li.rate_curve, args=(steps,), kwargs={"bound": "exact", "horizons": 200}, rounds=1)


def test_theorem10_curve_against_one_rate_per_horizon(benchmark, full, least):
    """The tree code against what a loop over horizons costs, extrapolated from sixty of them."""
    n_steps = 100_000 if full else 2_000
    steps = scaled("cosine", n_steps)
    sample = np.linspace(1, n_steps, 60, dtype=int)
    started = time.perf_counter()
    for horizon in sample:
        li.theorem10_rate(steps[:horizon])
    loop = (time.perf_counter() - started) / sample.size * n_steps
    benchmark.pedantic(li.rate_curve, args=(steps,), rounds=2, warmup_rounds=1)
    ratio = loop / least()
    benchmark.extra_info["loop / curve"] = ratio


def test_the_first_line_of_the_readme_against_importing_numpy(benchmark):
    """A process of its own each: nothing is compiled and SciPy is not imported."""
    line = "import lastiterate as li; li.tune_base_lr(li.schedules.cosine(4_000), D=1.0, G=1.0)"

    def start(code):
        subprocess.run([sys.executable, "-c", code], check=True)

    benchmark.pedantic(start, (line,), rounds=7)
    if benchmark.stats:
        benchmark.extra_info["first line / import numpy, goal 2.5"] = benchmark.stats.stats.min / fastest(
            start, "import numpy"
        )
