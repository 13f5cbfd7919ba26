"""Base learning rates of schedules: a grid that starts where theory says and grows until the best lies inside."""

import numpy as np
import pytest

from lastiterate.paper_figures.machinery.centred import EXTENSIONS, tune_all, tuned
from lastiterate.theory import schedules
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr

N = 200


def bowl(best):
    """Losses over two seeds with their minimum at ``best``."""
    return lambda steps, rates: np.log2(np.array(rates) / best)[:, None] ** 2 + np.array([0.0, 0.1])


@pytest.mark.parametrize("best", [1.0, 8.0, 1.0 / 32.0])
def test_the_best_rate_is_found_with_two_neighbours_a_factor_sqrt_2_away(best):
    choice = tuned(bowl(best), np.ones(3), 1.0)
    assert choice.base_lr == pytest.approx(best)
    assert choice.inside
    place = choice.grid.index(choice.base_lr)
    np.testing.assert_allclose(np.array(choice.grid[place - 1 : place + 2]) / best, [0.5**0.5, 1.0, 2.0**0.5])


def test_a_best_rate_out_of_reach_is_reported_as_an_end():
    choice = tuned(bowl(2.0 ** (EXTENSIONS + 3)), np.ones(3), 1.0)
    assert not choice.inside
    assert choice.base_lr == choice.grid[-1] == 2.0 ** (EXTENSIONS + 1)


def test_divergence_is_infinitely_bad_and_the_grid_leaves_it():
    def losses(steps, rates):
        return np.where(np.array(rates)[:, None] > 0.01, np.nan, bowl(0.005)(steps, rates))

    assert tuned(losses, np.ones(3), 1.0).base_lr == pytest.approx(0.005, rel=0.3)
    with pytest.raises(InputError, match="losses"):
        tuned(lambda steps, rates: np.full((len(rates), 1), np.inf), np.ones(3), 1.0)


def test_one_diverged_seed_rules_a_rate_out():
    def losses(steps, rates):
        values = bowl(4.0)(steps, rates)
        values[np.array(rates) > 3.0, 1] = np.inf
        return values

    assert tuned(losses, np.ones(3), 1.0).base_lr < 3.0


def test_every_schedule_starts_at_theory_s_ratio():
    """With the exact rate as the loss, each schedule's own best rate is the middle of its first grid."""

    def losses(steps, rates):
        return np.array([[exact_rate(steps * rate).value] for rate in rates])

    linear = schedules.linear(N)
    shapes = {"constant": schedules.constant(N), "cosine": schedules.cosine(N), "1/t": schedules.inverse_time(N)}
    baseline = tuned(losses, linear, float(tune_base_lr(linear).base_lr))
    choices = tune_all(losses, shapes, baseline, linear)
    for name, choice in choices.items():
        assert choice.base_lr == pytest.approx(float(tune_base_lr(shapes[name]).base_lr))
        assert len(choice.grid) == 5  # nothing had to be extended
