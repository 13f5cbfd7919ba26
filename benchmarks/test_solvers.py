"""Speed of the solvers: against PEPit with the same conic solver, and beside the limits they are meant to keep."""

import time

import numpy as np
import pytest
from peers import METHODS, pepit

import lastiterate as li


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_worst_case_vs_pepit_at_40_steps(benchmark, full, method):
    H = METHODS[method](40 if full else 10)
    li.worst_case(METHODS[method](3))
    started = time.process_time()
    reference = pepit(H)
    seconds = time.process_time() - started
    started = time.process_time()
    result = benchmark.pedantic(li.worst_case, args=(H,), rounds=1)
    own = time.process_time() - started
    benchmark.extra_info.update(pepit_cpu_seconds=seconds, own_cpu_seconds=own, ratio=seconds / own)
    assert result.value == pytest.approx(reference, rel=2e-6)


@pytest.mark.parametrize(("n_steps", "limit"), [(60, 15.0), (100, 90.0)])
def test_worst_case_of_linear_decay(benchmark, full, n_steps, limit):
    n_steps = n_steps if full else n_steps // 6
    result = benchmark.pedantic(li.worst_case, args=(METHODS["sgd"](n_steps),), rounds=1)
    benchmark.extra_info.update(gap=result.relative_gap, iterations=result.iterations, limit=limit)
    assert result.value * np.sqrt(n_steps + 1) == pytest.approx(1.0, rel=1e-7)


def design_options(kind, n_steps):
    cap = np.full(n_steps, 0.6 / np.sqrt(n_steps))
    if kind == "blocks":
        return {"max_step": cap, "monotone": True, "warmup": n_steps // 20, "blocks": 10}
    cap[: n_steps // 10] *= np.linspace(0.01, 1.0, n_steps // 10)
    floor = np.zeros(n_steps)
    floor[-n_steps // 10 :] = 0.05 / np.sqrt(n_steps)
    return {"max_step": cap, "min_step": floor}


@pytest.mark.parametrize(
    ("kind", "n_steps", "limit"),
    [("box", 1_000, 0.05), ("box", 10_000, 0.1), ("blocks", 1_000, 5.0), ("blocks", 10_000, 60.0)],
)
def test_design(benchmark, full, kind, n_steps, limit):
    n_steps = n_steps if full else n_steps // 10
    options = design_options(kind, n_steps)
    li.design_schedule(40, **design_options(kind, 40))
    design = benchmark.pedantic(li.design_schedule, args=(n_steps,), kwargs=options, rounds=3)
    benchmark.extra_info.update(limit=limit, excess=design.excess, gap=design.gap)
    assert design.gap < 1e-9
