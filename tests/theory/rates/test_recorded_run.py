"""A-posteriori bounds on recorded runs: against the truth, against the rates, and against a cone program."""

import math

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.recorded_run import norms_bound, trajectory_bound


def run_sgd(seed, n=30, d=4, steps=None):
    """Subgradient descent on max_i <a_i, x> + b_i; returns the record, D and f*."""
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((9, d)), rng.standard_normal(9)
    A -= A.mean(axis=0)
    x = cp.Variable(d)
    problem = cp.Problem(cp.Minimize(cp.max(A @ x + b)))
    problem.solve(solver="CLARABEL")
    star = x.value
    steps = li.optimal_schedule(n).steps if steps is None else steps
    points, gradients, values = [rng.standard_normal(d)], [], []
    for k in range(len(steps) + 1):
        active = int(np.argmax(A @ points[-1] + b))
        gradients.append(A[active])
        values.append(A[active] @ points[-1] + b[active])
        if k < len(steps):
            points.append(points[-1] - steps[k] * gradients[-1])
    D = 1.001 * np.linalg.norm(points[0] - star)
    return np.array(points), np.array(gradients), np.array(values), steps, D, problem.value


@pytest.mark.parametrize("seed", range(8))
def test_bounds_hold_and_are_ordered(seed):
    x, g, f, steps, D, f_star = run_sgd(seed)
    gap = f[-1] - f_star
    norms = np.linalg.norm(g, axis=1)
    from_values = trajectory_bound(x, g, D, f, steps=steps).value
    from_gradients = trajectory_bound(x, g, D, steps=steps).value
    from_norms = norms_bound(steps, norms, D).value
    assert gap <= from_values * (1 + 1e-7)
    assert gap <= from_gradients * (1 + 1e-7)
    assert gap <= from_norms * (1 + 1e-7)
    assert from_values <= from_gradients * (1 + 1e-6)
    assert from_gradients <= li.exact_rate(steps, D, norms).value * (1 + 1e-12)
    assert from_norms <= li.exact_rate(steps, D, norms.max()).value * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_bound_from_values_vs_cone_program(seed):
    """The least value of a function consistent with the record, over the ball."""
    import cvxpy as cp

    x, g, f, steps, D, _ = run_sgd(seed, n=12)
    y = cp.Variable(x.shape[1])
    models = [f[t] + g[t] @ (y - x[t]) for t in range(len(f))]
    problem = cp.Problem(cp.Minimize(cp.max(cp.hstack(models))), [cp.norm(y - x[0]) <= D])
    problem.solve(solver="CLARABEL")
    bound = trajectory_bound(x, g, D, f, steps=steps)
    assert bound.value >= (f[-1] - problem.value) * (1 - 1e-6)
    assert bound.value == pytest.approx(f[-1] - problem.value, rel=2e-3)
    assert bound.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(3))
def test_any_positive_weights_give_a_bound_vs_literal_double_sum(seed):
    x, g, f, _, D, f_star = run_sgd(seed, n=10)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        w = rng.exponential(1.0, len(f)) + 1e-3
        s = np.cumsum(w[::-1])[::-1]
        v = np.append(1 / s, np.inf)  # v[t] is v_{t-1}
        total = v[0] * D * np.linalg.norm(w @ g)
        for t in range(len(f)):
            total += w[t] * v[0] * g[t] @ (x[t] - x[0])
            total += sum(w[t] * (v[r + 1] - v[r]) * g[t] @ (x[t] - x[r]) for r in range(t))
        bound = trajectory_bound(x, g, D, weights=w).value
        assert bound == pytest.approx(total, rel=1e-11)
        assert bound >= (f[-1] - f_star) * (1 - 1e-7)
        assert trajectory_bound(x, g, D, weights=7.0 * w).value == pytest.approx(bound, rel=1e-12)


def test_other_methods_need_no_steps():
    x, g, f, _, D, f_star = run_sgd(3, n=20)
    rng = np.random.default_rng(0)
    order = np.append(rng.permutation(20), 20)
    order[0], order[np.argmin(order)] = 0, order[0]
    for values in (None, f[order]):
        assert trajectory_bound(x[order], g[order], D, values).value >= (f[-1] - f_star) * (1 - 1e-7)


def test_a_run_that_ends_at_the_minimum_is_recognised():
    bound = trajectory_bound([[1.0], [0.0]], [[1.0], [0.0]], values=[1.0, 0.0], steps=[1.0])
    assert bound.value == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"points": [1.0, 2.0]}, "points"),
        ({"points": [[1.0], [math.nan]]}, "points"),
        ({"points": [["a"], ["b"]]}, "points"),
        ({"points": [[1.0], [1.0, 2.0]]}, "points"),
        ({"gradients": [[1.0]]}, "gradients"),
        ({"gradients": [[1j], [1j]]}, "gradients"),
        ({"D": 0.0}, "D"),
        ({"values": [1.0]}, "values"),
        ({"values": [1.0, math.inf]}, "values"),
        ({"steps": [1.0, 1.0]}, "steps"),
        ({"steps": [-1.0]}, "steps"),
        ({"weights": [1.0, 0.0]}, "weights"),
        ({"weights": [1.0]}, "weights"),
    ],
)
def test_bad_records_are_named(arguments, name):
    record = {"points": [[1.0], [0.5]], "gradients": [[1.0], [1.0]], **arguments}
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        trajectory_bound(**record)


@pytest.mark.parametrize("norms", [[1.0], [1.0, 0.0, 1.0], [1.0, math.nan, 1.0], "big", []])
def test_bad_norms_are_named(norms):
    with pytest.raises(InputError, match=r"^norms.*expected"):
        norms_bound([0.5, 0.5], norms)


def least_minimum(x, g, f, D):
    """The least f* of a one-dimensional record: its models at all their crossings and at both ends."""
    models = f[:, 0] - g[:, 0] * x[:, 0], g[:, 0]
    crossings = np.subtract.outer(models[0], models[0])
    slopes = np.subtract.outer(models[1], models[1])
    points = [*(-crossings[slopes != 0] / slopes[slopes != 0]).tolist(), x[0, 0] - D, x[0, 0] + D]
    inside = np.array([y for y in points if abs(y - x[0, 0]) <= D])
    return float((models[0][:, None] + models[1][:, None] * inside).max(axis=0).min())


@pytest.mark.parametrize(
    ("start", "steps", "known"), [(2.0, (0.1, 0.5, 0.3), 0.03672), (3.34, (0.14, 0.65, 0.27), 14.00)]
)
def test_bound_from_values_is_the_best_on_steep_functions(start, steps, known):
    x = [start]
    for step in steps:
        x.append(x[-1] - step * 3 * np.sign(x[-1]) * x[-1] ** 2)
    x = np.array(x)[:, None]
    g, f = 3 * np.sign(x) * x**2, abs(x) ** 3
    bound = trajectory_bound(x, g, start, f[:, 0])
    assert bound.value == pytest.approx(f[-1, 0] - least_minimum(x, g, f, start), rel=1e-9)
    assert bound.value == pytest.approx(known, rel=1e-3)
    assert bound.best


@pytest.mark.parametrize("seed", range(40))
def test_bound_from_values_is_the_best_over_many_sizes_and_scales(seed):
    """Heights that differ by orders of magnitude, |x|^p in one to many dimensions, in units from 1e-6 to 1e6."""
    rng = np.random.default_rng(seed)
    n, d, p = int(rng.choice([1, 3, 10, 60])), int(rng.choice([1, 2, 5, 100])), rng.choice([1.0, 1.2, 2.0, 3.0, 6.0])
    weights, unit = 10 ** rng.uniform(-2, 2, d), 10 ** rng.uniform(-6, 6)
    x, points, gradients, values = rng.standard_normal(d), [], [], []
    for _ in range(n + 1):
        norm = np.linalg.norm(weights * x)
        points.append(x.copy())
        gradients.append(unit * p * norm ** (p - 1) * weights * weights * x / norm)
        values.append(unit * norm**p)
        x = x - 10 ** rng.uniform(-3, 0) * gradients[-1] / np.linalg.norm(gradients[-1])
    x, g, f, D = np.array(points), np.array(gradients), np.array(values), float(np.linalg.norm(points[0]))
    bound = trajectory_bound(x, g, D, f)
    assert bound.value >= values[-1] * (1 - 1e-9)  # f* = 0
    assert bound.lower <= bound.value
    assert bound.best
    assert bound.value <= trajectory_bound(x, g, D).value * (1 + 1e-9)
    if d == 1:
        truth = f[-1] - least_minimum(x, g, f[:, None], D)
        assert bound.value == pytest.approx(truth, rel=1e-7, abs=1e-12 * abs(f).max())


def test_a_long_record_says_whether_its_bound_is_the_best():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.standard_normal((3000, 3)) * 0.01, axis=0)
    norms = np.linalg.norm(x, axis=1)
    bound = trajectory_bound(x, x / norms[:, None], 3.0, norms)
    assert bound.value >= norms[-1] * (1 - 1e-9)  # f(x) = |x|
    assert bound.best
