"""The best base learning rate and the range around it, against curves whose answer is known."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from lastiterate.theory import problems
from lastiterate.theory.simulators.result import Simulation
from lastiterate.theory.simulators.simulate import simulate


def test_best_rate_of_one_exact_step():
    """One step of size h on |x| from 1 leaves |1 - h|: best at h = 1."""
    run = simulate(problems.absolute_value(1.0), "sgd", np.ones(1), base_lr=[0.25, 0.5, 1.5, 4.0])
    best = run.sweep()[0]
    assert (best.base_lr, best.gap) == (0.5, 0.5)
    # gaps 0.75, 0.5, 0.5, 3: the limit 0.55 is met log-log between the grid's points
    low = 0.5 * 0.5 ** (np.log(0.55 / 0.5) / np.log(0.75 / 0.5))
    high = 1.5 * (4.0 / 1.5) ** (np.log(0.55 / 0.5) / np.log(3.0 / 0.5))
    assert (best.low, best.high) == pytest.approx((low, high), rel=1e-12)
    assert best.decades == pytest.approx(np.log10(high / low), rel=1e-12)


def test_the_range_ends_where_runs_diverge_and_at_the_ends_of_the_grid():
    matrix = np.random.default_rng(0).standard_normal((30, 3))
    problem = problems.least_squares(matrix, matrix @ np.ones(3) + 0.1)
    run = simulate(problem, "sgd", np.ones(500), base_lr=[1e-4, 2e-4, 100.0])
    best = run.sweep(tolerance=1e6)[0]
    assert run.diverged[0, :, 0].tolist() == [False, False, True]
    assert (best.low, best.high) == (1e-4, 2e-4)


@pytest.mark.filterwarnings("error")
def test_a_base_lr_of_zero_may_be_the_best_or_within_the_range():
    problem = problems.absolute_value(1.0)
    best = simulate(problem, "sgd", np.ones(1), base_lr=[0.0, 4.0]).sweep()[0]
    assert (best.base_lr, best.low, best.high, best.decades) == (0.0, 0.0, 0.0, 0.0)
    best = simulate(problem, "sgd", np.ones(1), base_lr=[0.0, 0.01, 4.0]).sweep()[0]
    assert (best.base_lr, best.low, best.decades) == (0.01, 0.0, np.inf)


def test_scores_are_medians_over_seeds_of_the_chosen_iterate():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((30, 3))
    problem = problems.l1_regression(matrix, rng.standard_normal(30))
    run = simulate(problem, "sgd", "linear", n_steps=50, base_lr=[0.1, 0.3], seeds=5, batch_size=2, average=True)
    for iterate, values in (("last", run.final), ("best", run.best), ("average", run.averaged)):
        expected = np.median(values, axis=2)[0] - problem.f_star
        assert run.sweep(iterate)[0].gap == pytest.approx(expected.min(), rel=1e-12)


def test_plot_draws_a_curve_and_a_bound_for_each_schedule():
    run = simulate(problems.absolute_value(1.0), "sgd", ["linear", "constant"], n_steps=20, base_lr=[0.1, 0.2])
    assert isinstance(run, Simulation)
    ax = run.plot()
    assert len(ax.lines) == 4
    assert all("bound" in text.get_text() for text in ax.get_legend().get_texts())


def test_plot_shows_the_iterate_of_the_bound_at_the_best_rate_of_the_sweep():
    problem = problems.absolute_value(1.0)
    run = simulate(problem, "dual_averaging", np.ones(50), base_lr=[0.05, 0.5, 5.0])
    best = run.sweep("average")[0]
    i = run.base_lrs.tolist().index(best.base_lr)
    ax = run.plot()
    assert "average" in ax.get_ylabel()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), run.diagnostics["f_average"][0, i, 0] - problem.f_star)
    assert f"base_lr {best.base_lr:.3g}" in ax.get_legend().get_texts()[0].get_text()


def test_plot_keeps_gaps_of_zero_and_says_what_diverged():
    """Sign steps of size 1 reach the minimum of |x| at once and stay there."""
    run = simulate(problems.absolute_value(1.0), "sgd", {"exact": np.ones(1), "none": np.zeros(1)})
    assert run.plot().lines[0].get_ydata().tolist() == [1.0, 1e-12]
    lost = simulate(problems.quadratic([1.0, 2.0]), "sgd", np.full(60, 1e3))
    assert "diverged" in lost.plot(Figure().subplots()).get_legend().get_texts()[0].get_text()


def test_a_bound_far_above_the_curves_stands_in_the_legend_only():
    """At the minimum of |x|, where the subgradient is 0, a step of 1e6 spoils the bound and nothing else."""
    run = simulate(problems.absolute_value(1.0), "sgd", np.array([1.0, 1e6]))
    ax = run.plot()
    assert len(ax.lines) == 1
    assert f"bound {run.bound[0, 0, 0]:.3g}" in ax.get_legend().get_texts()[0].get_text()


@pytest.mark.parametrize("iterate", ["last", "best", "average"])
def test_gaps_of_an_iterate_end_at_its_final_gap(iterate):
    run = simulate(problems.absolute_value(1.0), "sgd", np.full(9, 0.3), record=9, average=True)
    np.testing.assert_allclose(run.gaps_of(iterate)[..., -1], run.iterate(iterate) - run.problem.f_star, atol=1e-15)
