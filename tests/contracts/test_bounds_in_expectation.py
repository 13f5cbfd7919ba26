"""Bounds attached to noisy runs hold in expectation: means over many seeds, with their standard errors."""

import numpy as np
import pytest

import lastiterate as li

SEEDS = 400
ERRORS = 5.0  # standard errors: by chance one of two million comparisons would fail
METHODS = (
    "sgd", "momentum:beta=0.5", "momentum:beta=0.9", "heavy_ball", "spa:c=0.5", "spa:c=0.2", "schedule_free",
    "dual_averaging", "adagrad_norm", "adagrad",
)  # fmt: skip


def problem(rng):
    """A convex Lipschitz problem of few dimensions: pieces, absolute values, margins, or a worst case."""
    d, kind = int(rng.integers(1, 5)), int(rng.integers(5))
    rows, x0 = rng.standard_normal((6, d)), rng.standard_normal(d)
    if kind == 0:
        return li.problems.max_affine(np.vstack([rows, -rows]), np.zeros(12), x0=x0)
    if kind == 1:
        return li.problems.weighted_absolute(10.0 ** rng.uniform(-1, 1, d), x0)
    if kind == 2:
        return li.problems.l1_regression(rows, rng.standard_normal(6), x0=x0)
    if kind == 3:
        return li.problems.hinge(rows, np.where(rng.random(6) < 0.5, -1.0, 1.0), x0=x0)
    return li.exact_rate(10.0 ** rng.uniform(-1.5, 0.5, int(rng.integers(2, 8)))).worst_case()


def instance(seed):
    """Means and standard errors of the gap of one noisy run, beside its bound."""
    rng = np.random.default_rng(seed)
    made, n = problem(rng), int(rng.integers(2, 16))
    steps = 10.0 ** rng.uniform(-2, 0.5, n) if rng.random() < 0.5 else li.schedules.linear(n)
    name, _, option = METHODS[seed % len(METHODS)].partition(":")
    options = {option.split("=")[0]: float(option.split("=")[1])} if option else {}
    finite_sum = made.kind in ("absolute", "hinge") and made.matrix.shape[0] > 1
    how = (
        {"batch_size": 1, "replacement": True}
        if finite_sum and rng.random() < 0.5
        else {"noise": 10.0 ** rng.uniform(-1, 1)}
    )
    base_lr = 10.0 ** rng.uniform(-1.5, 0.5)
    run = li.simulate(made, name, steps, base_lr=base_lr, seeds=SEEDS, progress=False, **how, **options)
    if run.bound is None or not np.isfinite(run.bound).all() or run.diverged.any():
        return None
    gaps = run.gap[0, 0]
    return gaps.mean(), gaps.std() / np.sqrt(gaps.size), run.bound[0, 0].max(), name


@pytest.mark.slow
def test_no_method_exceeds_its_bound_in_expectation(record_property):
    found = [outcome for seed in range(600) if (outcome := instance(seed)) is not None]
    assert len(found) >= 300
    assert len({name for *_, name in found}) >= 6
    for mean, error, bound, name in found:
        assert mean <= bound + ERRORS * error + 1e-9 * bound, name
    record_property("instances", len(found))
    record_property("closest", float(max(mean / bound for mean, _, bound, _ in found)))


@pytest.mark.parametrize("seed", range(20))
def test_a_few_bounds_in_expectation(seed):
    outcome = instance(seed)
    if outcome is not None:
        mean, error, bound, _ = outcome
        assert mean <= bound + ERRORS * error + 1e-9 * bound
