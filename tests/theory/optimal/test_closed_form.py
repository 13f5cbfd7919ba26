"""Optimal schedules against random search, cone programs, and the rates evaluated at them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.closed_form import theorem10_optimum

caps_arrays = st.lists(st.floats(0.05, 20.0), min_size=2, max_size=30).map(np.array)
positive = st.floats(1e-2, 1e2)


@pytest.mark.parametrize("n_steps", [1, 2, 19, 999])
def test_constant_gradients_give_linear_decay_at_the_minimax_rate(n_steps):
    best = li.optimal_schedule(n_steps, D=2.0, G=3.0)
    linear = 1 - np.arange(1, n_steps + 1) / (n_steps + 1)
    np.testing.assert_allclose(best.steps, 2.0 / 3.0 / math.sqrt(n_steps + 1) * linear, rtol=1e-12)
    assert best.value == pytest.approx(6.0 / math.sqrt(n_steps + 1), rel=1e-14)


@settings(max_examples=100, deadline=None)
@given(caps_arrays, positive)
def test_refined_schedule_vs_exact_rate_and_perturbations(caps, D):
    best = li.optimal_schedule(caps.size - 1, D, caps)
    assert best.value == pytest.approx(D / math.sqrt((caps**-2.0).sum()), rel=1e-13)
    assert li.exact_rate(best.steps, D, caps).value == pytest.approx(best.value, rel=1e-12)
    rng = np.random.default_rng(0)
    for scale in (1e-3, 0.3):
        other = best.steps * np.exp(scale * rng.standard_normal(best.steps.size))
        assert li.exact_rate(other, D, caps).value >= best.value * (1 - 1e-12)


@settings(max_examples=100, deadline=None)
@given(caps_arrays, positive)
def test_theorem10_optimum_vs_theorem10_rate_and_perturbations(caps, D):
    best = theorem10_optimum(caps.size - 1, D, caps)
    reached = li.theorem10_rate(best.steps, D, caps)
    assert reached.value == pytest.approx(best.value, rel=1e-12)
    assert reached.sigma == pytest.approx(best.last_value, rel=1e-5)
    rng = np.random.default_rng(0)
    for scale in (1e-3, 0.3):
        other = best.steps * np.exp(scale * rng.standard_normal(best.steps.size))
        assert li.theorem10_rate(other, D, caps).value >= best.value * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_theorem10_optimum_vs_cone_program(seed):
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    n = 12
    caps = 10.0 ** rng.uniform(-0.5, 0.5, n + 1)
    h = cp.Variable(n + 1, nonneg=True)
    terms = [cp.quad_over_lin(caps[k] * h[k], cp.sum(h[k + 1 :])) for k in range(n)]
    objective = 0.5 * (cp.inv_pos(cp.sum(h)) + sum(terms) + caps[-1] ** 2 * h[n])
    problem = cp.Problem(cp.Minimize(objective))
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    best = theorem10_optimum(n, 1.0, caps)
    assert best.value == pytest.approx(problem.value, rel=1e-8)
    np.testing.assert_allclose(best.steps, h.value[:-1], rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_continuation_vs_1000_random_continuations(seed):
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 30)), int(rng.integers(1, 30))
    prefix = 10.0 ** rng.uniform(-2, 0, m)
    G = 1.3 if seed % 2 else 10.0 ** rng.uniform(-0.5, 0.5, m + n + 1)
    rest = li.optimal_continuation(prefix, n, 2.0, G)
    assert rest.steps.shape == (n,)
    assert li.exact_rate(np.append(prefix, rest.steps), 2.0, G).value == pytest.approx(rest.value, rel=1e-12)
    for trial in range(1000):
        if trial % 2:
            other = rest.steps * np.exp(10.0 ** rng.uniform(-4, 0) * rng.standard_normal(n))
        else:
            other = 10.0 ** rng.uniform(-3, 1) * rng.random(n)
        assert li.exact_rate(np.append(prefix, other), 2.0, G).value >= rest.value * (1 - 1e-12)


def test_continuation_after_nothing_is_the_optimal_schedule():
    G = [3.0, 1.0, 2.0, 0.5, 1.0]
    for empty in (np.empty(0), []):
        rest, best = li.optimal_continuation(empty, 4, 2.0, G), li.optimal_schedule(4, 2.0, G)
        np.testing.assert_array_equal(rest.steps, best.steps)
        assert rest.value == best.value == rest.scratch_value
        assert rest.prefix_value == 6.0


def test_continuation_of_an_optimal_run_is_its_own_tail():
    """Optimality is inherited: stop the optimal run anywhere, and the best continuation is what it would have done."""
    best = li.optimal_schedule(50)
    for m in (1, 20, 49):
        rest = li.optimal_continuation(best.steps[:m], 50 - m)
        np.testing.assert_allclose(rest.steps, best.steps[m:], rtol=1e-5)
        assert rest.value == pytest.approx(best.value, rel=1e-12)
        assert rest.value == pytest.approx(rest.scratch_value, rel=1e-12)


def test_continuation_reports_the_alternatives():
    prefix = li.optimal_schedule(100).steps
    rest = li.optimal_continuation(prefix, 300)
    assert rest.prefix_value == pytest.approx(1 / math.sqrt(101), rel=1e-12)
    assert rest.scratch_value == pytest.approx(1 / math.sqrt(401), rel=1e-12)
    assert rest.scratch_value < rest.value < rest.prefix_value


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.lists(st.floats(0.0, 3.0), min_size=1, max_size=9))
def test_scaling_laws_of_continuations(a, b, prefix):
    prefix = np.array(prefix)
    base = li.optimal_continuation(prefix, 5)
    moved = li.optimal_continuation(prefix * a / b, 5, D=a, G=b)
    assert moved.value == pytest.approx(a * b * base.value, rel=1e-11)


def test_gradient_bounds_over_two_hundred_orders_of_magnitude():
    G = np.array([1e100, 1e-100, 1.0, 1e50])
    for best in (li.optimal_schedule(3, 1.0, G), theorem10_optimum(3, 1.0, G)):
        assert np.isfinite(best.steps).all()
        assert best.value == pytest.approx(1e-100, rel=0.01)


@pytest.mark.parametrize("function", [li.optimal_schedule, theorem10_optimum])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_steps": 0}, "n_steps"),
        ({"n_steps": -3}, "n_steps"),
        ({"n_steps": 2.5}, "n_steps"),
        ({"n_steps": True}, "n_steps"),
        ({"n_steps": 2, "D": 0.0}, "D"),
        ({"n_steps": 2, "G": [1.0]}, "G"),
        ({"n_steps": 2, "G": [1.0, 0.0, 1.0]}, "G"),
    ],
)
def test_bad_arguments_are_named(function, arguments, name):
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        function(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"prefix": [-1.0], "n_steps": 2}, "prefix"),
        ({"prefix": [math.nan], "n_steps": 2}, "prefix"),
        ({"prefix": [[1.0]], "n_steps": 2}, "prefix"),
        ({"prefix": "wsd", "n_steps": 2}, "prefix"),
        ({"prefix": [1.0], "n_steps": 0}, "n_steps"),
        ({"prefix": [1.0], "n_steps": 1, "D": -1.0}, "D"),
        ({"prefix": [1.0], "n_steps": 1, "G": [1.0]}, "G"),
    ],
)
def test_bad_continuations_are_named(arguments, name):
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        li.optimal_continuation(**arguments)
