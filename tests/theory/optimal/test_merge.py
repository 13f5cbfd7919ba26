"""The best weights of checkpoints and the best decay of a moving average."""

import numpy as np
import pytest
from scipy.optimize import minimize

import lastiterate as li
from lastiterate.solvers.worst_case.solve import worst_case
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.methods import step_matrix
from lastiterate.theory.optimal.merge import ema_weights, optimal_ema, optimal_merge
from lastiterate.theory.rates.averages.rate import average_rate


def test_all_points_of_constant_steps_give_the_minimax_rate():
    n = 15
    best = optimal_merge(np.full(n, 0.25), np.arange(n + 1))
    assert best.rate.kind == "exact"
    assert best.value == pytest.approx(0.25, rel=1e-6)
    assert best.least == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize("points", [[4, 8, 12], [9, 10, 11, 12]])
def test_weights_vs_direct_minimisation_of_the_sdp(points):
    steps = np.full(12, 0.3)
    best = optimal_merge(steps, points)

    def program(shares):
        weights = np.zeros(13)
        weights[points] = np.abs(shares) / np.abs(shares).sum()
        return worst_case(step_matrix.sgd(steps), at=weights).value

    found = minimize(program, best.weights[points] + 0.01, method="Nelder-Mead", options={"maxfev": 30})
    assert best.least <= found.fun * (1.0 + 1e-6)
    assert best.value <= found.fun * 1.02


@pytest.mark.parametrize("seed", range(4))
def test_no_random_weights_are_below_the_least_value(seed):
    rng = np.random.default_rng(seed)
    steps = np.exp(0.5 * rng.normal(size=10)) / 3.0
    points = np.sort(rng.choice(11, 4, replace=False))
    best = optimal_merge(steps, points)
    assert best.least <= best.value <= min(best.uniform, best.last)
    for _ in range(5):
        weights = np.zeros(11)
        weights[points] = rng.dirichlet(np.ones(4))
        assert worst_case(step_matrix.sgd(steps), at=weights).value >= best.least * (1.0 - 1e-8)


def test_one_checkpoint_is_its_own_merge():
    best = optimal_merge([0.3, 0.2, 0.1], [2])
    np.testing.assert_array_equal(best.weights, [0.0, 0.0, 1.0, 0.0])
    assert best.value == pytest.approx(li.exact_rate([0.3, 0.2]).value, rel=1e-12)


def test_zero_steps_between_checkpoints():
    best = optimal_merge([0.3, 0.0, 0.2, 0.0], [1, 2, 4])
    assert best.value <= best.last
    assert best.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("points", [[], [0.5], [1, 1], [4], [-1], [[1, 2]], "all"])
def test_bad_checkpoints_are_named(points):
    with pytest.raises(InputError) as caught:
        optimal_merge([0.3, 0.2, 0.1], points)
    assert caught.value.argument == "checkpoints"


def test_moving_average_is_the_recursion():
    points = np.random.default_rng(0).normal(size=8)
    mean = points[0]
    for x in points[1:]:
        mean = 0.7 * mean + 0.3 * x
    assert ema_weights(7, 0.7) @ points == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("steps", [np.full(9, 0.3), np.linspace(0.05, 0.5, 9)])
def test_decay_vs_a_fine_grid(steps):
    best = optimal_ema(steps)
    grid = [average_rate(steps, ema_weights(9, decay)).value for decay in np.linspace(0.0, 0.99, 12)]
    assert best.value <= min(grid) * (1.0 + 1e-4)
    assert best.value == pytest.approx(average_rate(steps, ema_weights(9, best.decay)).value, rel=1e-12)
    assert best.value <= best.last


def test_optimal_linear_decay_wants_no_average():
    best = optimal_ema(li.optimal_schedule(8).steps)
    assert best.value == pytest.approx(best.last, rel=1e-9)
