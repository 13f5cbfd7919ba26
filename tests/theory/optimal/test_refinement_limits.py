"""Refinement for uncertain norms against a convex program, and the reasons to distrust a record of norms."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lastiterate as li

positive = st.floats(0.05, 20.0)


def quiet(norms, rule="sgd", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return li.refine(norms, rule, smoothing=0.0, **options)


def minimax_weights(costs, factor):
    """min over w, sum w = 1, of max over y of sum w^2 y: the inner program is replaced by its dual."""
    low, high, total = costs / factor, costs * factor, costs.sum()
    w, price = cp.Variable(costs.size), cp.Variable()
    worst = price * total + cp.sum(
        cp.multiply(low, cp.square(w) - price) + cp.multiply(high - low, cp.pos(cp.square(w) - price))
    )
    problem = cp.Problem(cp.Minimize(worst), [cp.sum(w) == 1])
    problem.solve(solver="CLARABEL")
    return w.value, problem.value


@pytest.mark.parametrize(("rule", "power"), [("sgd", 2), ("adam", 1)])
@pytest.mark.parametrize("rho", [1.0, 1.2, 1.5, 3.0])
def test_robust_weights_vs_convex_program(rule, power, rho):
    norms = np.random.default_rng(int(10 * rho)).uniform(0.5, 3.0, size=14)
    refined = quiet(norms, rule=rule, known_within=rho)
    costs = np.append(norms, norms[-1]) ** power
    weights, value = minimax_weights(costs, rho**power)
    np.testing.assert_allclose(refined.weights / refined.weights.sum(), weights, atol=2e-5)
    linear = costs.sum() / costs.size**2
    assert refined.guaranteed_gain == pytest.approx(np.sqrt(linear / value), rel=1e-6)


@given(st.lists(positive, min_size=2, max_size=30), st.floats(1.0, 4.0), st.integers(0, 2**32 - 1))
def test_no_norms_within_the_factor_give_less_than_the_guaranteed_gain(norms, rho, seed):
    """Random costs of the same sum, moved from the recorded ones towards others that the factor allows."""
    refined = quiet(norms, rule="sgd", known_within=rho)
    costs = np.append(norms, norms[-1]) ** 2
    low, high = costs / rho**2, costs * rho**2
    rng = np.random.default_rng(seed)
    other = np.where(rng.random(costs.size) < 0.5, low, high)
    direction = other - costs - (other - costs).mean()
    moving = np.abs(direction) > 1e-12
    room = np.where(direction > 0.0, high - costs, costs - low)[moving] / np.abs(direction[moving])
    moved = costs + min(float(room.min(initial=1.0)), 1.0) * direction
    w = refined.weights
    gain = np.sqrt(moved.mean() / np.mean(w**2 * moved)) * w.mean()
    assert gain >= refined.guaranteed_gain * (1.0 - 1e-9)
    assert 1.0 - 1e-12 <= refined.guaranteed_gain <= quiet(norms, rule="sgd").gain * (1.0 + 1e-9)


@given(st.lists(positive, min_size=2, max_size=30), st.sampled_from(["sgd", "adam"]))
def test_from_the_published_schedule_to_linear_decay(norms, rule):
    published, certain = quiet(norms, rule=rule), quiet(norms, rule=rule, known_within=1.0)
    np.testing.assert_array_equal(published.steps, certain.steps)
    assert certain.guaranteed_gain == pytest.approx(certain.gain, rel=1e-12)
    ignorant = quiet(norms, rule=rule, known_within=1e3)
    np.testing.assert_allclose(ignorant.steps, li.schedules.linear(len(norms)), rtol=1e-9)
    assert ignorant.guaranteed_gain == pytest.approx(1.0, abs=1e-12)


def test_without_a_known_sum_the_published_weights_are_minimax():
    """The worst norms of a box are its upper end, whatever the weights: the answer does not depend on the factor."""
    costs, rho = np.random.default_rng(0).uniform(0.5, 3.0, size=9) ** 2, 1.7
    w = cp.Variable(costs.size)
    cp.Problem(cp.Minimize(cp.sum(cp.multiply(costs * rho**2, cp.square(w)))), [cp.sum(w) == 1]).solve("CLARABEL")
    np.testing.assert_allclose(w.value, (1.0 / costs) / (1.0 / costs).sum(), atol=1e-6)


@pytest.mark.parametrize("value", [0.5, 0.0, np.nan, "two"])
def test_factor_below_one_is_refused(value):
    with pytest.raises(li.InputError, match="known_within"):
        li.refine(np.ones(5), rule="sgd", known_within=value)


def findings(norms, **options):
    return " / ".join(li.norm_limits(norms, **options).findings)


def test_plain_norms_have_no_findings():
    rng = np.random.default_rng(0)
    assert findings(2.0 + 0.2 * rng.standard_normal(400)) == ""


def test_small_first_norms_front_load_the_schedule():
    norms = np.concatenate([np.full(40, 0.2), np.full(360, 1.0)]) * np.linspace(1.0, 1.01, 400)
    limits = li.norm_limits(norms)
    assert limits.front_loaded
    assert limits.start < 0.25
    text = " / ".join(limits.findings)
    assert "front-loaded" in text
    assert "first norms are 0.20" in text
    assert not li.refine(np.linspace(1.0, 1.01, 400), rule="sgd").front_loaded


def test_vanishing_last_norms():
    norms = np.linspace(1.0, 0.0, 400, endpoint=False) ** 0.6
    assert "last norms" in findings(norms)
    assert li.norm_limits(norms).degenerate


def test_clipping_few_norms_and_holes():
    rng = np.random.default_rng(0)
    assert "after clipping" in findings(np.minimum(rng.uniform(1.0, 3.0, 300), 2.0))
    assert "20 norms" in findings(rng.uniform(1.0, 1.1, 20))
    places = np.concatenate([np.arange(100), np.arange(130, 230)])
    assert "hole of 14%" in findings(rng.uniform(1.0, 1.1, 200), positions=places)


def test_weight_decay_is_divided_out():
    """Norms that are nothing but one over the norm of the weights become constant; noise of another origin stays."""
    lr = 3e-3 * li.schedules.linear(2000)
    h = li.effective_steps(lr, weight_decay=0.5, init_std=0.05)
    weights = np.divide(lr, h)
    limits = li.norm_limits(3.0 / weights, lr=lr, effective_lr=h)
    assert limits.artefact == pytest.approx(1.0, abs=0.01)
    assert any("weight decay" in text for text in limits.findings)
    np.testing.assert_allclose(limits.corrected, 3.0, rtol=1e-12)
    other = li.norm_limits(np.linspace(2.0, 1.0, 2000), lr=lr, effective_lr=lr)
    assert other.artefact == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("options", [{"lr": np.ones(3)}, {"effective_lr": np.ones(3)}])
def test_learning_rates_come_in_pairs(options):
    with pytest.raises(li.InputError, match="effective_lr"):
        li.norm_limits(np.ones(3), **options)


@given(st.lists(positive, min_size=1, max_size=60))
def test_any_norms_have_limits(norms):
    limits = li.norm_limits(norms)
    np.testing.assert_array_equal(limits.corrected, norms)
    assert limits.start > 0.0
    assert 0.0 <= limits.clipped <= 1.0
