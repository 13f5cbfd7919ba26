import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import lastiterate as li
from lastiterate.solvers.design.constraints import build
from lastiterate.solvers.design.polish import rate_and_gradient
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.closed_form import theorem10_optimum


def varying(n_steps, seed=0):
    return np.exp(np.random.default_rng(seed).uniform(-1.0, 1.0, n_steps + 1))


def checked(design, D=1.0, G=1.0):
    """What must hold of any design: re-evaluated bounds, their order, and the residual."""
    assert design.value == li.exact_rate(design.steps, D, G).value
    assert design.convex_value == li.exact_rate(design.convex_steps, D, G).value
    assert design.theorem10 == li.theorem10_rate(design.steps, D, G).value
    assert design.value <= design.convex_value
    assert design.value >= design.lower_bound * (1 - 1e-12)
    assert design.residual < 1e-9
    assert design.steps.min() >= 0.0
    return design


@pytest.mark.parametrize("model", ["steps", "weights"])
@pytest.mark.parametrize("n_steps", [1, 2, 17, 300])
def test_unconstrained_design_vs_closed_form(model, n_steps):
    for D, G in ((1.0, 1.0), (3.0, 0.2), (1.0, varying(n_steps))):
        design = checked(li.design_schedule(n_steps, D, G, model=model), D, G)
        best = li.optimal_schedule(n_steps, D, G)
        assert design.value == pytest.approx(best.value, rel=1e-7)
        assert design.lower_bound == pytest.approx(best.value, rel=1e-12)
        if model == "weights":
            np.testing.assert_allclose(design.steps, best.steps, rtol=0, atol=1e-7 * best.steps.max())


@pytest.mark.parametrize("n_steps", [1, 10, 1000])
def test_convex_model_vs_theorem10_optimum(n_steps):
    for G in (1.0, varying(n_steps)):
        design = li.design_schedule(n_steps, 2.0, G, model="steps", polish=False)
        best = theorem10_optimum(n_steps, 2.0, G)
        assert design.objective == pytest.approx(best.value, rel=1e-6)
        assert design.theorem10 == pytest.approx(best.value, rel=1e-6)


def test_weights_model_with_floors_vs_local_optimisation():
    floor, n_steps = 0.12, 12
    design = checked(li.design_schedule(n_steps, min_step=floor))
    assert design.model == "weights"
    assert design.objective == pytest.approx(design.value, rel=1e-7)
    for seed in range(3):
        start = np.maximum(design.steps * np.random.default_rng(seed).uniform(0.5, 2.0, n_steps), floor)
        found = optimize.minimize(
            lambda h: li.exact_rate(np.maximum(h, floor)).value, start, bounds=[(floor, None)] * n_steps
        )
        assert design.value <= found.fun * (1 + 1e-9)


def slsqp(start, D, G, constraints, n_steps):
    """Slow reference: SLSQP on the exact rate under the literal constraints."""
    rows = [{"type": "ineq", "fun": fun} for fun in constraints]
    found = optimize.minimize(
        lambda h: li.exact_rate(np.maximum(h, 0.0), D, G).value,
        start,
        method="SLSQP",
        bounds=[(0.0, None)] * n_steps,
        constraints=rows,
        options={"maxiter": 400, "ftol": 1e-13},
    )
    return found.fun if min(np.min(fun(found.x)) for fun in constraints) > -1e-9 else np.inf


CASES = {
    "max": (lambda h: [0.2 - h], {"max_step": 0.2}),
    "decay": (lambda h: [h[:-1] - h[1:]], {"monotone": True}),
    "capped decay": (
        lambda h: [0.25 - h, h[:-1] - h[1:], h - 0.02],
        {"max_step": 0.25, "min_step": 0.02, "monotone": True},
    ),
    "budget": (lambda h: [1.2 - h.sum()], {"budget": 1.2}),
    "ratio": (lambda h: [1.15 * h[1:] - h[:-1], 1.15 * h[:-1] - h[1:]], {"max_ratio": 1.15}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [None, 1])
def test_polished_design_vs_slsqp(case, seed):
    literal, options = CASES[case]
    n_steps = 12
    G = np.ones(n_steps + 1) if seed is None else varying(n_steps, seed)
    design = checked(li.design_schedule(n_steps, G=G, model="steps", **options), G=G)
    assert min(float(np.min(row)) for row in literal(design.steps)) >= -1e-9
    count = len(literal(design.steps))
    rows = [lambda h, i=i: np.atleast_1d(literal(h)[i]) for i in range(count)]
    for start in (design.convex_steps, design.steps):
        assert design.value <= slsqp(start, 1.0, G, rows, n_steps) * (1 + 1e-7)
    assert design.value < design.convex_value


def test_everything_at_once():
    n_steps, prefix = 60, [0.05, 0.04]
    design = checked(
        li.design_schedule(
            n_steps,
            max_step=0.14,
            min_step=1e-3,
            monotone=True,
            warmup=5,
            blocks=6,
            prefix=prefix,
            tail=[0.002, 0.001],
            budget=4.5,
            max_ratio=6.0,
        )
    )
    h = design.steps
    np.testing.assert_array_equal(h[:2], prefix)
    np.testing.assert_array_equal(h[-2:], [0.002, 0.001])
    np.testing.assert_allclose(h[2:7], h[6] * np.arange(1, 6) / 5, atol=1e-12)
    assert np.all(np.diff(h[6:]) <= 1e-9)
    assert h.min() >= 1e-3 - 1e-9
    assert h.max() <= 0.14 + 1e-9
    assert h.sum() <= 4.5 + 1e-9
    assert np.max(np.maximum(h[1:] / h[:-1], h[:-1] / h[1:])) <= 6.0 + 1e-6
    for k in range(7, n_steps - 3):
        if k // 6 == (k + 1) // 6:
            assert h[k] == h[k + 1]


def test_prefix_vs_optimal_continuation():
    prefix = np.full(30, 0.08)
    design = checked(li.design_schedule(80, prefix=prefix))
    rest = li.optimal_continuation(prefix=prefix, n_steps=50)
    assert design.value == pytest.approx(rest.value, rel=1e-9)


def test_warmup_shape_and_block_lengths():
    shape = [0.1, 0.5, 0.4]
    design = checked(li.design_schedule(20, warmup=shape, blocks=[5, 5, 10], monotone=True))
    h = design.steps
    np.testing.assert_allclose(h[:3], h[1] * np.array(shape) / 0.5, rtol=1e-12)
    assert h[3] == h[4]
    assert np.ptp(h[5:10]) == 0.0 == np.ptp(h[10:])


def test_weights_shape_and_fixed_end():
    design = checked(li.design_schedule(30, G=varying(30), weights_shape="nonincreasing"), G=varying(30))
    weights = design.weights
    assert weights is not None
    assert np.all(np.diff(weights) <= 1e-9)
    np.testing.assert_allclose(design.steps, weights[:-1] * np.cumsum(weights[::-1])[::-1][1:], rtol=1e-12)
    for shape, sign in (("convex", 1.0), ("concave", -1.0)):
        bent = li.design_schedule(30, G=varying(30), weights_shape=shape).weights
        assert bent is not None
        assert np.min(sign * np.diff(bent, 2)) >= -1e-9
    fixed = li.design_schedule(30, tail_weights=[0.1, 0.1, 0.2])
    np.testing.assert_allclose(fixed.steps[-2:], [0.1 * 0.3, 0.1 * 0.2], rtol=1e-6)


def test_arrays_of_limits_and_scaling():
    limits = np.linspace(0.3, 0.1, 15)
    design = checked(li.design_schedule(15, max_step=limits))
    assert np.all(design.steps <= limits + 1e-9)
    scaled = li.design_schedule(15, D=50.0, G=0.1, max_step=500.0 * limits)
    assert scaled.value == pytest.approx(5.0 * design.value, rel=1e-7)
    np.testing.assert_allclose(scaled.steps, 500.0 * design.steps, atol=500.0 * 1e-4)


def test_nothing_left_to_choose():
    steps = [0.3, 0.2]
    design = checked(li.design_schedule(2, prefix=steps))
    np.testing.assert_array_equal(design.steps, steps)


@settings(max_examples=15, deadline=None)
@given(
    n_steps=st.integers(2, 25),
    cap=st.floats(0.02, 1.0),
    floor=st.floats(0.0, 0.02),
    monotone=st.booleans(),
    warmup=st.integers(0, 2),
    blocks=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_random_mixes_respect_their_constraints(n_steps, cap, floor, monotone, warmup, blocks, seed):
    G = varying(n_steps, seed)
    design = checked(
        li.design_schedule(
            n_steps, 1.0, G, max_step=cap, min_step=floor, monotone=monotone, warmup=warmup, blocks=blocks
        )
        if floor * max(warmup, 1) <= cap
        else li.design_schedule(n_steps, 1.0, G, max_step=cap),
        G=G,
    )
    assert design.steps.max() <= cap + 1e-9


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        ({"max_step": 0.1, "min_step": 0.2}, "max_step and min_step"),
        ({"prefix": [0.5], "max_step": 0.1}, "prefix and max_step"),
        ({"min_step": 0.1, "budget": 0.5}, "min_step and budget"),
        ({"prefix": [0.1], "min_step": 0.2}, "prefix and min_step"),
        ({"prefix": [0.1, 0.9], "max_ratio": 2.0}, "prefix and max_ratio"),
        ({"prefix": [0.1] * 6, "tail": [0.2] * 4, "monotone": True}, "prefix and tail and monotone"),
        ({"tail_weights": [0.1, 0.1], "min_step": 0.5}, "min_step and tail_weights"),
        ({"weights_shape": "convex", "budget": 1.0}, "budget and weights_shape"),
        ({"prefix": [0.1] * 6, "tail": [0.1] * 6}, "prefix and tail"),
    ],
)
def test_contradictions_name_the_pair(options, pair):
    with pytest.raises(InputError) as error:
        li.design_schedule(10, **options)
    assert str(error.value).startswith(pair)


@pytest.mark.parametrize(
    "options",
    [
        {"n_steps": 0},
        {"D": -1.0},
        {"G": [1.0, 2.0]},
        {"max_step": -0.1},
        {"max_step": [0.1, 0.2]},
        {"min_step": np.nan},
        {"warmup": 11},
        {"warmup": [0.0, 0.0]},
        {"blocks": 0},
        {"blocks": [3, 3]},
        {"prefix": [0.1] * 11},
        {"prefix": [-0.1]},
        {"budget": 0.0},
        {"max_ratio": 0.5},
        {"model": "best"},
        {"model": "weights", "max_step": 0.1},
        {"model": "steps", "weights_shape": "convex"},
        {"weights_shape": "round"},
        {"tail_weights": [0.1, 0.0]},
    ],
)
def test_bad_options(options):
    with pytest.raises(InputError):
        li.design_schedule(**{"n_steps": 10, **options})


def test_gradient_of_the_rate_vs_differences():
    generator = np.random.default_rng(0)
    steps, G, sigma = generator.uniform(0.0, 1.0, 6), generator.uniform(0.5, 2.0, 7), 0.7
    value, slope, slope_sigma = rate_and_gradient(steps, 2.0, G, sigma)
    for k in range(6):
        moved = steps.copy()
        moved[k] += 1e-6
        assert slope[k] == pytest.approx((rate_and_gradient(moved, 2.0, G, sigma)[0] - value) / 1e-6, rel=1e-4)
    difference = (rate_and_gradient(steps, 2.0, G, sigma + 1e-6)[0] - value) / 1e-6
    assert slope_sigma == pytest.approx(difference, rel=1e-4)


def test_basis_satisfies_the_equalities():
    constraints = build(30, warmup=4, blocks=7, prefix=[0.1, 0.2], tail=[0.05])
    free = np.random.default_rng(0).uniform(0.1, 1.0, constraints.n_free)
    steps = constraints.basis @ free + constraints.fixed
    assert max(group.residual(steps) for group in constraints.equalities) < 1e-15
    np.testing.assert_allclose(constraints.free_values(steps), free, rtol=1e-12)
