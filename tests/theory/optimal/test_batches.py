"""Batches and steps together: against brute force, cone programs, a published rule, and real batches."""

import itertools

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.batch_limits import continuous, information
from lastiterate.theory.optimal.batches import batch_change, gradient_bounds, optimal_batches


def problem(seed, n_steps):
    rng = np.random.default_rng(seed)
    return np.exp(rng.uniform(-2.0, 1.0, n_steps)), np.exp(rng.uniform(-1.0, 1.5, n_steps)) * (
        rng.random(n_steps) > 0.1
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(1.0, 50.0), st.integers(1, 4))
def test_value_is_the_exact_rate_of_the_steps_and_no_batches_tried_do_better(seed, n_steps, mean, unit):
    g, s = problem(seed, n_steps)
    tokens = int(mean * unit * n_steps)
    plan = optimal_batches(g, s, tokens, multiple_of=unit, D=2.0)
    assert plan.tokens <= tokens
    assert (plan.batches % unit == 0).all()
    assert plan.batches.min() >= unit
    np.testing.assert_allclose(plan.G, gradient_bounds(g, s, plan.batches))
    assert li.exact_rate(plan.steps, 2.0, plan.G).value == pytest.approx(plan.value, rel=1e-10)
    assert plan.continuous_value <= plan.value * (1.0 + 1e-12) <= plan.constant_value * (1.0 + 2e-12)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        other = unit * (1.0 + rng.dirichlet(np.exp(rng.standard_normal(n_steps))) * (tokens / unit - n_steps))
        whole = unit * np.floor(other / unit)
        G = gradient_bounds(g, s, whole)
        assert li.optimal_schedule(n_steps, 2.0, G).value >= plan.value * (1.0 - 1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_whole_multiples_and_powers_vs_brute_force(seed):
    rng = np.random.default_rng(seed)
    g, s = problem(seed, 4)
    unit, high = int(rng.integers(1, 3)), int(rng.integers(3, 11))
    tokens = int(rng.integers(4 * unit, 28))
    every = np.array(list(itertools.product(range(unit, high + 1, unit), repeat=4)), dtype=float)
    every = every[every.sum(axis=1) <= tokens]
    worth = information(every, g**2, s**2).sum(axis=1)
    plan = optimal_batches(g, s, tokens, high, unit)
    assert information(plan.batches, g**2, s**2).sum() == pytest.approx(worth.max(), rel=1e-12)
    assert plan.batches.max() <= high
    two = optimal_batches(g, s, tokens, high, unit, powers=True)
    allowed = np.isin(every / unit, 2.0 ** np.arange(8)).all(axis=1)
    assert np.isin(two.batches / unit, 2.0 ** np.arange(8)).all()
    assert two.batches.max() <= high
    best = worth[allowed].max()
    assert 0.9 * best <= information(two.batches, g**2, s**2).sum() <= best * (1.0 + 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_closed_form_vs_cone_program(seed):
    g, s = problem(seed, 15)
    s += 0.1
    a, b, tokens = g**2, s**2, 90.0
    batches = cp.Variable(15)
    # B / (a B + b) = (1 - b / (a B + b)) / a
    gain = cp.sum(cp.multiply(1.0 / a, 1.0 - cp.multiply(b, cp.inv_pos(cp.multiply(a, batches) + b))))
    program = cp.Problem(cp.Maximize(gain), [batches >= 1.0, batches <= 20.0, cp.sum(batches) <= tokens])
    program.solve(solver=cp.CLARABEL)
    found = continuous(a, b, tokens, 1.0, 20.0)
    assert information(found, a, b).sum() == pytest.approx(program.value, rel=1e-7)
    np.testing.assert_allclose(found, batches.value, rtol=1e-3, atol=1e-3)
    plan = optimal_batches(g, s, tokens, 20)
    assert plan.continuous_value == pytest.approx((program.value + g[-1] ** -2.0) ** -0.5, rel=1e-7)


def test_pieces_are_pieces_and_close_to_free_batches():
    g, s = 1.0 / np.sqrt(1.0 + np.arange(500) / 30.0), np.full(500, 5.0)
    free = optimal_batches(g, s, 500 * 32)
    for count in (1, 2, 4, 8):
        plan = optimal_batches(g, s, 500 * 32, multiple_of=2, pieces=count)
        assert np.count_nonzero(np.diff(plan.batches)) < count
        assert plan.tokens <= 500 * 32
        gap = (plan.value - free.value) / (free.constant_value - free.value)
        assert gap <= {1: 1.001, 2: 0.3, 4: 0.1, 8: 0.05}[count]
    # two pieces against all of them
    best = max(
        float(information(np.where(np.arange(500) < cut, low, high), g**2, s**2).sum())
        for cut in range(10, 500, 10)
        for low in range(2, 34, 2)
        for high in [(500 * 32 - cut * low) // (500 - cut) // 2 * 2]
    )
    two = optimal_batches(g, s, 500 * 32, multiple_of=2, pieces=2)
    assert information(two.batches, g**2, s**2).sum() >= best * (1.0 - 2e-3)


def test_constant_norms_want_a_constant_batch():
    plan = optimal_batches(np.ones(30), 3.0, 30 * 7)
    assert (plan.batches == 7).all()
    assert plan.value == pytest.approx(plan.constant_value)


def test_without_noise_no_sample_is_wasted_and_the_schedule_is_the_refined_one():
    g = np.linspace(2.0, 1.0, 10)
    plan = optimal_batches(g, 0.0, 1000)
    assert plan.tokens == 10
    np.testing.assert_allclose(plan.steps, li.optimal_schedule(10, 1.0, np.append(g, 1.0)).steps)


@pytest.mark.parametrize("ramp", [2.0, 4.0])
def test_rule_of_seesaw_is_the_limit_of_large_noise(ramp):
    """Where a schedule would halve the rate, arXiv 2510.14717 doubles the batch and divides the rate by sqrt 2.

    Its rate is that of normalised steps, h_k (E|g_k|^2)^{1/2}. With noise alone the optimal ones are proportional to
    sqrt(B_k) times the samples left: at half of the samples left they halve for a constant batch, and are divided by
    sqrt 2 when the batch has doubled. The rate depends on the number of samples only.
    """
    noise, samples = 60.0, 2**22  # s^2 / B is 900 times g^2, and the run is a thousand times longer than that
    constant = np.full(samples // 4, 4.0)
    ramped = np.repeat([4.0, 4.0 * ramp], [samples // 8, int(samples / 8 / ramp)])
    values, normalised = [], []
    for batches in (constant, ramped):
        G = gradient_bounds(np.ones(batches.size), noise, batches)
        best = li.optimal_schedule(batches.size, 1.0, G)
        values.append(best.value)
        normalised.append(best.steps * G[:-1])
    assert values[1] == pytest.approx(values[0], rel=2e-3)
    half = samples // 8
    assert normalised[0][half] / normalised[0][0] == pytest.approx(1.0 / 2.0, rel=5e-3)
    assert normalised[1][half] / normalised[1][0] == pytest.approx(np.sqrt(ramp) / 2.0, rel=5e-3)
    assert ramped.size == constant.size * (1.0 + 1.0 / ramp) / 2.0


def test_change_of_batch_interpolates_between_the_rules():
    norms = np.ones(200_000)
    for factor in (0.5, 4.0):
        linear, root = batch_change(norms, 40.0, 1.0, factor), batch_change(norms, 1e-4, 1.0, factor)
        assert linear.exponent == pytest.approx(1.0, abs=0.01)
        assert root.exponent == pytest.approx(0.5, abs=0.01)
        assert batch_change(norms, 40.0, 1.0, factor, "steps").exponent == pytest.approx(0.5, abs=0.01)
        assert batch_change(norms, 1e-4, 1.0, factor, "steps").exponent == pytest.approx(0.0, abs=0.01)
    assert linear.rate_ratio == pytest.approx(1.0, abs=0.01)  # noise alone: the samples count, not the steps
    assert root.rate_ratio == pytest.approx(2.0, rel=0.01)  # no noise: the steps count


def test_change_of_batch_vs_tuning_by_hand():
    g, s = np.linspace(1.0, 0.5, 60), np.full(60, 3.0)
    shape = li.schedules.cosine(60)
    change = batch_change(g, s, 8.0, 2.0, "steps", shape)
    before, after = (li.tune_base_lr(shape, 1.0, gradient_bounds(g, s, b)) for b in (8.0, 16.0))
    assert change.value == pytest.approx(after.base_lr / before.base_lr, rel=1e-9)
    assert change.rate_ratio == pytest.approx(after.value / before.value, rel=1e-9)
    assert change.n_steps == 60


def test_real_batches_of_a_logistic_problem():
    """Predicted against measured: second moments within 5%, the bound holds, and the plan wins as much as predicted."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    n_samples, dimension, n_steps = 500, 20, 200
    matrix = rng.standard_normal((n_samples, dimension))
    labels = np.where(matrix @ rng.standard_normal(dimension) + 3.0 * rng.standard_normal(n_samples) > 0.0, 1.0, -1.0)
    margins = matrix * labels[:, None]

    def loss(x):
        return np.logaddexp(0.0, -margins @ x).mean()

    def slopes(x, rows):
        return -margins[rows] / (1.0 + np.exp(margins[rows] @ x))[:, None]

    best = minimize(loss, np.zeros(dimension), jac=lambda x: slopes(x, slice(None)).mean(axis=0), tol=1e-12)
    distance = float(np.linalg.norm(best.x))

    def run(steps, batches, seed, seen=None):
        draw, x = np.random.default_rng(seed), np.zeros(dimension)
        for h, batch in zip(steps, batches, strict=True):
            gradient = slopes(x, draw.integers(0, n_samples, batch)).mean(axis=0)
            if seen is not None:
                each = slopes(x, slice(None))
                mean = each.mean(axis=0)
                seen.append((mean @ mean, np.square(each - mean).sum(axis=1).mean(), gradient @ gradient))
            x = x - h * gradient
        return loss(x) - best.fun

    pilots = []
    constant = np.full(n_steps, 4)
    for seed in range(20):
        seen = []
        run(0.6 * li.schedules.linear(n_steps), constant, seed, seen)
        pilots.append(seen)
    gradient, variance, second = np.mean(pilots, axis=0).T
    assert second.sum() == pytest.approx((gradient + variance / 4.0).sum(), rel=0.05)

    g, s = np.sqrt(gradient), np.sqrt(variance)
    plan = optimal_batches(g, s, 4 * n_steps, D=distance)
    alone = li.optimal_schedule(n_steps, distance, gradient_bounds(g, s, 4))
    measured = [
        np.mean([run(steps, batches, 1000 + seed) for seed in range(60)])
        for steps, batches in ((plan.steps, plan.batches), (alone.steps, constant))
    ]
    assert measured[0] < plan.value
    assert measured[1] < alone.value
    predicted = plan.value / alone.value
    assert predicted == pytest.approx(0.975, abs=0.01)
    assert measured[0] / measured[1] == pytest.approx(predicted, abs=0.08)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"tokens": 2}, "tokens"),
        ({"tokens": 5, "multiple_of": 2}, "tokens"),
        ({"tokens": -1.0}, "tokens"),
        ({"tokens": float("nan")}, "tokens"),
        ({"max_batch": 0}, "max_batch"),
        ({"max_batch": 1, "multiple_of": 2}, "max_batch"),
        ({"multiple_of": 0}, "multiple_of"),
        ({"norms": [1.0, 0.0, 1.0]}, "norms"),
        ({"norms": []}, "norms"),
        ({"noise": [1.0, -1.0, 1.0]}, "noise"),
        ({"noise": [1.0]}, "noise"),
        ({"pieces": 0}, "pieces"),
        ({"pieces": 2, "powers": True}, "pieces"),
        ({"D": 0.0}, "D"),
    ],
)
def test_bad_arguments_are_named(changes, name):
    arguments = {"norms": [1.0, 1.0, 1.0], "noise": [1.0, 1.0, 1.0], "tokens": 12} | changes
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        optimal_batches(**arguments)


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"factor": 1.0}, "factor"), ({"factor": -1}, "factor"), ({"batch": 0}, "batch"), ({"same": "epochs"}, "same"),
     ({"shape": [1.0]}, "shape")],
)  # fmt: skip
def test_bad_changes_are_named(changes, name):
    arguments = {"norms": [1.0, 1.0], "noise": 1.0, "batch": 4, "factor": 2.0} | changes
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        batch_change(**arguments)
