"""Bounds beside gaps: never exceeded, and attained where theory says that they are."""

import numpy as np
import pytest
from helpers import FINITE_SUMS, PROBLEMS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.simulators.simulate import simulate

MADE = {name: make() for name, make in PROBLEMS.items()}
STEPS = arrays(np.float64, st.integers(1, 40), elements=st.just(0.0) | st.floats(1e-9, 3.0))


@pytest.mark.parametrize("name", PROBLEMS)
@settings(max_examples=15)
@given(steps=STEPS)
def test_sgd_never_exceeds_the_exact_rate(name, steps):
    run = simulate(MADE[name], "sgd", steps)
    if run.bound is None:
        assert run.diverged.all()
    else:
        assert run.gap[0, 0, 0] <= run.bound[0, 0, 0] * (1.0 + 1e-9) + 1e-10


@settings(max_examples=20)
@given(caps=arrays(np.float64, st.integers(2, 30), elements=st.floats(0.1, 10.0)))
def test_sgd_attains_the_refined_rate_on_the_max_coordinate_function(caps):
    """Refined steps w_k w_{k+1:N} / w_{0:N} with w = G^-2: rate D / sqrt(sum G^-2), whatever the caps."""
    problem, weights = problems.max_coordinate(caps, D=2.0), caps**-2.0
    tails = np.cumsum(weights[::-1])[::-1]
    scale = 2.0 / np.sqrt(tails[0])
    run = simulate(problem, "sgd", scale * weights[:-1] * tails[1:] / tails[0])
    assert run.gap[0, 0, 0] == pytest.approx(2.0 / np.sqrt(np.sum(weights)), rel=1e-9)


@pytest.mark.parametrize("n_steps", [1, 9, 40])
def test_sgd_attains_the_exact_rate_of_linear_decay(n_steps):
    problem = problems.max_coordinate(np.full(n_steps + 1, 2.0), D=3.0)
    tuned = li.tune_base_lr(li.schedules.linear(n_steps), D=3.0, G=2.0)
    run = simulate(problem, "sgd", "linear", n_steps=n_steps, base_lr=tuned.base_lr)
    assert run.gap[0, 0, 0] == pytest.approx(run.bound[0, 0, 0], rel=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "wsd:cooldown=0.5", "inverse_sqrt"])
def test_sgd_attains_the_exact_rate_on_the_worst_case_function(schedule):
    steps = li.tune_base_lr(li.schedules.parse(schedule, 6), D=1.0, G=1.0).base_lr * li.schedules.parse(schedule, 6)
    problem = li.worst_case(li.step_matrix.sgd(steps), D=1.0, G=1.0).function
    run = simulate(problem, "sgd", steps)
    assert run.gap[0, 0, 0] == pytest.approx(li.exact_rate(steps).value, rel=1e-6)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize(
    "method", ["dual_averaging", "adagrad_norm", "adagrad", "schedule_free", "momentum", "heavy_ball", "spa"]
)
def test_bounds_hold_without_noise(name, method):
    steps = np.ones(60) if method in ("schedule_free", "heavy_ball") else li.schedules.linear(60)
    run = simulate(MADE[name], method, steps, base_lr=[1e-2, 0.1, 1.0])
    bounded = np.isfinite(run.bound)
    assert bounded.any()
    assert (run.gap[bounded] <= run.bound[bounded] + 1e-10).all()


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", ["dowg", "dog"])
def test_bounds_of_the_run_hold_and_fall(name, method):
    """They use what the run has met, so that they hold for every step, and longer runs have smaller ones."""
    runs = [simulate(MADE[name], method, np.ones(n_steps)) for n_steps in (50, 1000)]
    for run in runs:
        assert run.bound_iterate == "average"
        assert run.gap[0, 0, 0] <= run.bound[0, 0, 0] + 1e-10
    assert runs[1].bound[0, 0, 0] < runs[0].bound[0, 0, 0]


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("n_steps", [1, 50, 1000])
def test_normalized_sgd_has_the_classical_rate(name, n_steps):
    """Steps of length D / sqrt(N): the gap of the average is at most D G / sqrt(N), G the largest norm met."""
    length = MADE[name].D / n_steps**0.5
    run = simulate(MADE[name], "normalized_sgd", np.full(n_steps, length))
    assert run.gap[0, 0, 0] <= run.bound[0, 0, 0] + 1e-10
    if n_steps < 1000:  # before any run meets a gradient of zero, after which no step is taken
        assert run.bound[0, 0, 0] <= length * run.largest_gradient[0, 0, 0] * (1.0 + 1e-9)


def test_normalized_sgd_attains_its_bound():
    """One step of length D on |x| leads to the minimum; the average is x_0 with gap D, and so is the bound."""
    run = simulate(problems.absolute_value(3.0), "normalized_sgd", [3.0])
    assert run.bound[0, 0, 0] == pytest.approx(3.0, rel=1e-12)
    assert run.gap[0, 0, 0] == pytest.approx(3.0, rel=1e-12)


def test_weight_decay_takes_the_bound_away():
    run = simulate(problems.absolute_value(1.0), "sgd", np.ones(3), weight_decay=0.1)
    assert run.bound is None
    assert "weight decay" in run.bound_reason


@pytest.mark.parametrize("method", ["sgd", "dual_averaging", "schedule_free", "adagrad_norm", "adagrad"])
@pytest.mark.parametrize("name", [name for name in FINITE_SUMS if np.isinf(MADE[name].G_radius)])
def test_bounds_hold_in_the_mean_over_seeds(name, method):
    problem = MADE[name]
    run = simulate(problem, method, np.ones(80), base_lr=[0.02, 0.2], seeds=30, batch_size=1, noise=0.1)
    assert (run.gap.mean(axis=2) <= np.nanmean(run.bound, axis=2)).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_mda_with_its_own_averaging_has_a_last_iterate_bound(name):
    N = 50
    weights = np.sqrt(np.arange(1.0, N + 2.0))
    shares = weights / np.cumsum(weights)
    run = simulate(MADE[name], "mda", np.ones(N), base_lr=[0.03, 0.3], momentum=1.0 - shares[1:])
    assert run.bound_iterate == "last"
    assert (run.gap <= run.bound + 1e-10).all()
    assert "needs c_k" in simulate(MADE[name], "mda", np.ones(N)).bound_reason


@pytest.mark.parametrize("method", ["dadapt_da", "dadapt_gd", "dadapt_adagrad", "prodigy_gd", "prodigy_da"])
def test_regret_bounds_hold_to_rounding_where_they_are_tight(method):
    """At the first steps, about 1e-9 long, the gap of the average is the bound on |x|."""
    for x0 in (0.7, -2.5, 3.0):
        run = simulate(problems.absolute_value(x0), method, li.schedules.linear(20), base_lr=[0.01, 1.0])
        assert (run.gap <= run.bound * (1.0 + 1e-13)).all()


@pytest.mark.parametrize("method", ["sgd", "momentum", "dual_averaging", "adagrad"])
@pytest.mark.filterwarnings("error")
def test_bounds_of_absurd_steps_overflow_silently(method):
    run = simulate(MADE["max coordinate"], method, np.ones(9), base_lr=[0.1, 1e200])
    assert np.isfinite(run.bound[0, 0, 0])
    run.plot()


def test_bound_is_none_with_a_reason_where_no_theorem_applies():
    run = simulate(MADE["l1"], "adam", np.ones(5))
    assert run.bound is None
    assert "Adam" in run.bound_reason
    stochastic = simulate(MADE["least squares"], "sgd", np.full(5, 0.01), batch_size=2)
    assert stochastic.bound is None
    assert "Lipschitz" in stochastic.bound_reason
