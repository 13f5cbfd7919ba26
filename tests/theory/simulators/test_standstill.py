"""Runs that stand still are told apart from those that have arrived."""

import warnings

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.simulators.simulate import simulate
from lastiterate.theory.simulators.standstill import SimulationWarning


def logistic(scale: float = 1.0) -> problems.Problem:
    rng = np.random.default_rng(0)
    return problems.logistic(scale * rng.normal(size=(20, 3)), np.sign(rng.normal(size=20)))


ZERO_FIRST = np.append(0.0, np.ones(20))


def test_a_method_that_freezes_after_a_first_zero_step():
    with pytest.warns(SimulationWarning, match=r"momo_star: 1 of 1 runs never left x0; their first step is zero"):
        run = simulate(logistic(), "momo_star", ZERO_FIRST, lower_bound=-1.0)
    np.testing.assert_array_equal(run.points[0, 0, 0], run.problem.x0)
    moved = simulate(logistic(), "momo_star", ZERO_FIRST[1:], lower_bound=-1.0)
    assert moved.final[0, 0, 0] < run.final[0, 0, 0]


def test_a_run_that_never_moves_for_another_reason():
    with pytest.warns(SimulationWarning, match=r"sps_max: 1 of 2 runs never left x0 although"):
        simulate(li.problems.absolute_value(1.0), "sps_max", np.ones(5), base_lr=[1e-30, 0.1])


@pytest.mark.parametrize("method", ["adagrad", "prodigy_da", "polyak", "dog"])
def test_gradients_whose_squares_underflow(method):
    with pytest.warns(SimulationWarning, match="underflow"):
        simulate(logistic(1e-150), method, np.ones(5))


def test_an_estimate_that_stays_where_it_began():
    with pytest.warns(SimulationWarning, match=r"dadapt_gd: d is still d0 = 2 after 100 steps"):
        simulate(li.problems.absolute_value(1.0), "dadapt_gd", np.ones(100), d0=2.0)


@pytest.mark.parametrize(
    ("method", "steps", "problem", "options"),
    [
        ("momo", ZERO_FIRST, logistic(), {}),
        ("adam", np.zeros(5), logistic(), {}),  # no step was asked for
        ("polyak", np.ones(5), problems.max_affine([[1.0], [-2.0]], [0.0, 0.0]), {}),  # begins at the minimum
        ("sgd", np.ones(5), problems.absolute_value(0.0), {}),  # no gradient
        ("sgd", np.array([0.0, 2.0, 2.0]), problems.absolute_value(1.0), {}),  # there and back
        ("sgd", np.full(5, 1e150), logistic(1e-150), {}),  # takes no squares
        ("dadapt_gd", np.ones(300), problems.absolute_value(1.0), {}),
        ("dadapt_gd", np.ones(9), problems.absolute_value(1.0), {"d0": 2.0}),  # too short to say
    ],
)
def test_nothing_is_said_of_other_runs(method, steps, problem, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(problem, method, steps, **options)
