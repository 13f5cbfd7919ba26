"""Replanning against the program that knows the history, against the continuation, and on the resisting oracle."""

import warnings

import cvxpy as cp
import numpy as np
import pytest

import lastiterate as li
from lastiterate.solvers.replan import replan
from lastiterate.theory.base.validation import InputError


def met(seed, n_taken, dimension, decades=0.8):
    """Steps taken on a random maximum of linear functions with slopes of at most one, and the subgradients met."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((6, dimension))
    rows *= rng.uniform(0.3, 1.0, (6, 1)) / np.linalg.norm(rows, axis=1, keepdims=True)
    steps = 0.6 * 10.0 ** rng.uniform(-decades, 0.0, n_taken) / np.sqrt(n_taken + 3)
    x = rng.standard_normal(dimension)
    x /= 1.2 * np.linalg.norm(x)
    seen = []
    for h in steps:
        seen.append(rows[np.argmax(rows @ x)])
        x = x - h * seen[-1]
    gram = np.array(seen) @ np.array(seen).T
    return steps, np.sqrt(np.diagonal(gram)), gram


def worst_case_after(steps, gram, G=1.0):
    """Largest f(x_N) - f* over functions that agree with the inner products seen; all pairs of points."""
    count, seen = steps.size, gram.shape[0]
    P, f = cp.Variable((count + 2, count + 2), PSD=True), cp.Variable(count + 1, nonneg=True)
    unit = np.eye(count + 2)
    place = [unit[0] - sum((steps[j] * unit[1 + j] for j in range(k)), np.zeros(count + 2)) for k in range(count + 1)]

    def inner(a, b):
        return cp.sum(cp.multiply((np.outer(a, b) + np.outer(b, a)) / 2.0, P))

    limits = [P[0, 0] <= 1.0, P[1 : seen + 1, 1 : seen + 1] == gram]
    for i in range(count + 1):
        if i >= seen:
            limits.append(P[1 + i, 1 + i] <= G**2)
        limits.append(f[i] <= inner(unit[1 + i], place[i]))
        limits += [f[j] >= f[i] + inner(unit[1 + i], place[j] - place[i]) for j in range(count + 1) if j != i]
    program = cp.Problem(cp.Maximize(f[count]), limits)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        program.solve(solver=cp.CLARABEL)
    return float(program.value)


@pytest.mark.parametrize("seed", range(8))
def test_bound_vs_program_that_knows_the_history(seed):
    rng = np.random.default_rng(seed)
    steps, norms, gram = met(seed, int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    plan = replan(steps, norms, int(rng.integers(1, 5)), gram, G=1.0)
    truth = worst_case_after(np.append(steps, plan.steps), gram)
    assert plan.value >= truth * (1.0 - 1e-5)
    assert plan.value <= truth * 1.06
    blind = replan(steps, norms, plan.steps.size, G=1.0)
    assert plan.value <= blind.value * (1.0 + 1e-9) <= plan.minimax_value * (1.0 + 2e-9)
    for scale in (0.7, 1.4):
        other = worst_case_after(np.append(steps, scale * plan.steps), gram)
        assert other >= plan.value / 1.06


@pytest.mark.slow
def test_bound_vs_program_on_300_random_histories():
    """Tame and wild steps, up to 12 points: never below, and what it loses."""
    excess = []
    for seed in range(300):
        rng = np.random.default_rng(1000 + seed)
        n_taken, count = int(rng.integers(1, 7)), int(rng.integers(1, 5))
        steps, norms, gram = met(seed, n_taken, int(rng.integers(1, 8)), 0.3 if seed % 2 else 2.0)
        limit = float(rng.uniform(0.5, 1.5))
        cap = None if seed % 3 else float(10.0 ** rng.uniform(-2.0, 0.0))
        plan = replan(steps, norms, count, gram, cap, G=limit)
        truth = worst_case_after(np.append(steps, plan.steps), gram, limit)
        excess.append(plan.value / truth - 1.0)
    print(np.quantile(excess, [0.0, 0.5, 0.9, 0.99, 1.0]))
    assert min(excess) >= -1e-4
    assert np.quantile(excess, 0.8) <= 1e-4


def test_bound_equals_the_program_where_gradients_agree():
    steps, norms, gram = met(0, 5, 4)
    plan = replan(steps, norms, 3, gram, G=1.0)
    assert plan.value == pytest.approx(worst_case_after(np.append(steps, plan.steps), gram), rel=1e-5)


def test_known_norm_and_products_at_the_present_point():
    steps, norms, gram = met(3, 5, 3)
    before, norm_before, gram_before = steps[:4], norms, gram  # the fifth subgradient is that at x_4
    plan = replan(before, norm_before, 3, gram_before, G=1.0)
    full = np.append(before, plan.steps)
    truth = worst_case_after(full, gram_before)
    assert truth * (1.0 - 1e-5) <= plan.value <= replan(before, norm_before[:4], 3, gram_before[:4, :4], G=1.0).value


@pytest.mark.parametrize("seed", range(5))
def test_norms_alone_are_the_optimal_continuation(seed):
    rng = np.random.default_rng(seed)
    steps, norms = rng.uniform(0.01, 0.2, 20), rng.uniform(0.3, 1.0, 20)
    plan = replan(steps, norms, 15, D=2.0, G=0.8)
    same = li.optimal_continuation(steps, 15, 2.0, np.append(norms, np.full(16, 0.8)))
    np.testing.assert_array_equal(plan.steps, same.steps)
    assert plan.value == same.value
    assert plan.start == 20
    assert plan.value <= plan.minimax_value


def test_resisting_oracle_teaches_nothing():
    """Orthogonal subgradients of full length, from the optimal schedule: the plan is its own tail, the rate minimax."""
    best = li.optimal_schedule(11)
    plan = replan(best.steps[:6], np.ones(6), 5, np.eye(6))
    assert plan.value == pytest.approx(best.value, rel=1e-5)
    np.testing.assert_allclose(plan.steps, best.steps[6:], rtol=2e-2)


def test_units():
    steps, norms, gram = met(1, 4, 3)
    one = replan(steps, norms, 3, gram, G=1.0)
    other = replan(steps * 2.0 / 5.0, norms * 5.0, 3, gram * 25.0, D=2.0, G=5.0)
    assert other.value == pytest.approx(10.0 * one.value, rel=1e-4)


def test_a_cap_limits_the_new_steps_and_costs():
    steps, norms = np.full(30, 0.05), np.full(30, 1.0)
    free = replan(steps, norms, 30)
    capped = replan(steps, norms, 30, cap=0.6 * free.steps[0])
    assert capped.steps.max() <= 0.6 * free.steps[0] * (1.0 + 1e-9)
    assert capped.value == pytest.approx(li.exact_rate(np.append(steps, capped.steps)).value, rel=1e-9)
    assert capped.value > free.value
    assert replan(steps, norms, 30, cap=2.0 * free.steps[0]).value == free.value


def test_wild_histories_keep_a_bound():
    """Steps of zero: all subgradients are at x_0, whose convex hull may hold zero; and twelve decades of steps."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        slopes = rng.standard_normal((5, 2)) * 10.0 ** rng.uniform(-3.0, 0.0, (5, 1))
        plan = replan(np.zeros(5), np.linalg.norm(slopes, axis=1), 3, slopes @ slopes.T, D=1e-16, G=1e-2)
        assert plan.value > 0.0
        assert plan.steps.min() >= 0.0
    plan = replan(10.0 ** np.linspace(-9.0, 3.0, 6), np.ones(6), 2, np.eye(6))
    assert 0.0 < plan.value < np.inf


def test_a_history_that_no_convex_function_has_is_named():
    """After a step of 100 the slope is the same: the minimiser would be that far away."""
    with pytest.raises(InputError, match=r"^inner_products.*contradict"):
        replan([100.0, 0.1], [1.0, 1.0], 2, np.ones((2, 2)))


@pytest.mark.parametrize("seed", range(4))
def test_a_cap_beside_inner_products(seed):
    """Against the program that knows the history, the plan from norms, and other tails under the same limit."""
    rng = np.random.default_rng(seed)
    steps, norms, gram = met(seed, int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    count = int(rng.integers(2, 5))
    free = replan(steps, norms, count, gram, G=1.0)
    cap = 0.5 * free.steps.max()
    plan = replan(steps, norms, count, gram, cap, G=1.0)
    assert plan.steps.max() <= cap * (1.0 + 1e-9)
    assert free.value * (1.0 - 1e-6) <= plan.value <= replan(steps, norms, count, cap=cap, G=1.0).value * (1.0 + 1e-9)
    truth = worst_case_after(np.append(steps, plan.steps), gram)
    assert truth * (1.0 - 1e-5) <= plan.value <= 1.06 * truth
    for other in (np.minimum(free.steps, cap), 0.8 * plan.steps, np.full(count, cap)):
        assert worst_case_after(np.append(steps, other), gram) >= plan.value / 1.06
    loose = replan(steps, norms, count, gram, 2.0 * free.steps.max(), G=1.0)
    assert loose.value == pytest.approx(free.value, rel=1e-6)


def test_rollback_after_a_spike():
    steps, norms = np.full(60, 0.1), np.ones(60)
    norms[50] = 40.0
    stay = replan(steps, norms, 40, G=1.0)
    back = replan(steps, norms, 40, G=1.0, checkpoints=range(0, 61, 10))
    assert back.start == 50
    assert back.value < 0.5 * stay.value
    alone = li.optimal_continuation(steps[:50], 40, 1.0, np.append(norms[:51], np.ones(40)))
    assert back.value == alone.value
    calm = replan(steps, np.ones(60), 40, checkpoints=[0, 30])
    assert calm.start == 60


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"norms": [1.0]}, "norms"),
        ({"norms": [1.0, 0.0]}, "norms"),
        ({"norms": []}, "norms"),
        ({"steps": []}, "steps"),
        ({"steps": [0.1, -0.1]}, "steps"),
        ({"n_steps": 0}, "n_steps"),
        ({"cap": 0.0}, "cap"),
        ({"cap": "all", "inner_products": np.eye(2)}, "cap"),
        ({"inner_products": np.eye(3)}, "inner_products"),
        ({"inner_products": [[1.0, 2.0], [2.0, 1.0]]}, "inner_products"),
        ({"inner_products": [[1.0, 0.5], [0.0, 1.0]]}, "inner_products"),
        ({"inner_products": 2.0 * np.eye(2)}, "inner_products"),
        ({"inner_products": "gram"}, "inner_products"),
        ({"checkpoints": [3]}, "checkpoints"),
        ({"checkpoints": [0.5]}, "checkpoints"),
        ({"D": -1.0}, "D"),
        ({"G": 0.0}, "G"),
    ],
)
def test_bad_arguments_are_named(changes, name):
    arguments = {"steps": [0.1, 0.1], "norms": [1.0, 1.0], "n_steps": 2} | changes
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        replan(**arguments)
