"""Open horizons: the kernels against the library's rates, the designs against cone programs and the full program."""

import pickle

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.anytime import anytime_schedule
from lastiterate.theory.optimal.least_level import BOX
from lastiterate.theory.optimal.stopping import Stops, averaging_tails, ratios, ratios_and_slopes, soft_maximum

runs = st.lists(st.floats(-6.0, 1.0), min_size=2, max_size=40).map(lambda logs: 10.0 ** np.array(logs))
ways = st.sampled_from([(None, None), (0.1, None), (0.5, None), (None, 1.0), (None, 3.0)])


def stops_of(n_steps, branch, power):
    """All stops of a run of about that many steps."""
    last = n_steps if branch is None else int(n_steps / (1.0 - branch))
    stops = Stops.of(np.arange(1, last + 1), branch, power)
    return stops if stops.n_steps <= n_steps else Stops.of(np.arange(1, last), branch, power)


@settings(max_examples=60, deadline=None)
@given(runs, ways)
def test_ratios_vs_rates_of_the_library(steps, way):
    branch, power = way
    stops = stops_of(steps.size, branch, power)
    found = ratios(steps[: stops.n_steps], stops)
    for i, n in enumerate(stops.horizons):
        taken = steps[: stops.shared[i]]
        if branch is not None and n > taken.size:
            expected = li.optimal_continuation(taken, int(n - taken.size)).value
        else:
            expected = li.exact_rate(taken if power is None else taken * averaging_tails(int(n), power)).value
        assert found[i] == pytest.approx(expected * np.sqrt(n + 1), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 25), ways)
def test_slopes_vs_differences(seed, n_steps, way):
    steps = np.exp(np.random.default_rng(seed).uniform(-1.5, 0.5, n_steps)) / np.sqrt(n_steps)
    stops = stops_of(n_steps, *way)
    steps = steps[: stops.n_steps]
    slopes = ratios_and_slopes(steps, stops)[1]
    value, top, slope = soft_maximum(steps, stops, 50.0)
    assert top <= value
    assert top == pytest.approx(ratios(steps, stops).max(), rel=1e-14)  # compiled apart: last digits may differ
    for k in range(steps.size):
        moved = np.where(np.arange(steps.size) == k, 1e-6 * steps[k], 0.0)
        ahead, behind = (ratios(steps + sign * moved, stops) for sign in (1.0, -1.0))
        np.testing.assert_allclose((ahead - behind) / (2e-6 * steps[k]), slopes[:, k], rtol=1e-5, atol=2e-5)
        change = soft_maximum(steps + moved, stops, 50.0)[0] - soft_maximum(steps - moved, stops, 50.0)[0]
        assert change / (2e-6 * steps[k]) == pytest.approx(slope[k], rel=1e-5, abs=2e-5)


@settings(max_examples=60, deadline=None)
@given(runs, st.integers(0, 10**6), ways)
def test_every_ratio_is_convex_in_the_steps(steps, seed, way):
    other = steps * np.exp(np.random.default_rng(seed).standard_normal(steps.size))
    stops = stops_of(steps.size, *way)
    a, b = steps[: stops.n_steps], other[: stops.n_steps]
    middle = ratios((a + b) / 2.0, stops)
    assert (middle <= (ratios(a, stops) + ratios(b, stops)) / 2.0 * (1.0 + 1e-12)).all()


@pytest.mark.parametrize(
    ("n0", "n1", "branch", "optimum"),
    [
        (10, 100, None, 1.10351),
        (10, 100, 0.1, 1.03795),
        (10, 100, 0.2, 1.01975),
        (10, 100, 0.3, 1.01799),
        (10, 100, 0.5, 1.01705),
        (10, 20, None, 1.0304),
        (10, 40, None, 1.0632),
        (10, 160, None, 1.1242),
        pytest.param(30, 300, None, 1.14749, marks=pytest.mark.slow),
        pytest.param(30, 300, 0.2, 1.02134, marks=pytest.mark.slow),
    ],
)
def test_prices_vs_values_found_with_every_step_free(n0, n1, branch, optimum):
    plan = anytime_schedule(n0, n1, branch=branch)
    assert plan.value <= optimum + 3e-5
    assert plan.lower <= plan.value <= plan.lower + 5e-4
    assert plan.lower >= optimum - 5e-4
    assert plan.kind == "exact"


@pytest.mark.slow
@pytest.mark.parametrize(("branch", "limit"), [(None, 1.1921), (0.2, 1.0226)])
def test_price_over_a_factor_ten_from_100(branch, limit):
    plan = anytime_schedule(100, 1000, branch=branch)
    assert plan.lower <= plan.value <= limit
    assert plan.value <= plan.lower + 5e-4


@pytest.mark.parametrize(("n0", "n1", "branch"), [(3, 9, None), (4, 12, 0.25), (2, 7, 0.5)])
def test_price_vs_cone_program(n0, n1, branch):
    """Program (u_k >= (u_{k+1} + h_k)^2 / u_{k+1}) for all stops at once."""
    stops = Stops.of(np.arange(n0, n1 + 1), branch, None)
    h, level, limits = cp.Variable(stops.n_steps, nonneg=True), cp.Variable(), []
    for n, m in zip(stops.horizons.tolist(), stops.shared.tolist(), strict=True):
        u = cp.Variable(m + 1, nonneg=True)
        for k in range(m):
            if k == m - 1 and n == m:
                limits.append(u[k] >= 4.0 * h[k])
            else:
                y = cp.Variable(nonneg=True)
                limits += [y >= u[k + 1], u[k] >= cp.quad_over_lin(y + h[k], y)]
        share = (n - m) / (n - m + 1) if n > m else 0.0
        rate = 0.5 * (cp.inv_pos(u[0]) + u[0]) - cp.sum(h[:m]) - 0.5 * share * u[m]
        limits.append(level >= np.sqrt(n + 1) * rate)
    program = cp.Problem(cp.Minimize(level), limits)
    program.solve(solver=cp.CLARABEL)
    plan = anytime_schedule(n0, n1, branch=branch)
    assert plan.value == pytest.approx(program.value, abs=1e-4)
    assert plan.lower <= program.value + 1e-6


def test_best_power_law_costs_twice_as_much():
    """The best c k^-a by direct minimisation."""
    from scipy.optimize import minimize

    stops, place = Stops.of(np.arange(10, 101), None, None), np.arange(1.0, 101.0)
    start, options = [np.log(0.3), 0.6], {"maxfev": 200}
    found = minimize(
        lambda law: ratios(np.exp(law[0]) * place ** -law[1], stops).max(), start, method="Nelder-Mead", options=options
    )
    assert found.fun == pytest.approx(1.2223, abs=3e-4)


def test_no_other_steps_in_the_box_go_below_the_lower_bound():
    plan = anytime_schedule(5, 30)
    stops = Stops.of(plan.horizons, None, None)
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1e-2, 0.1, 1.0) * 100:
        other = np.minimum(plan.steps * np.exp(scale * rng.standard_normal(plan.steps.size)), BOX * plan.steps)
        assert ratios(other, stops).max() >= plan.lower


def test_stops_are_what_the_library_says_they_are():
    plan = anytime_schedule(8, 30, branch=0.3, D=2.0, G=5.0)
    for n, ratio in zip(plan.horizons.tolist(), plan.ratios, strict=True):
        steps = plan.stop(n)
        assert steps.size == n
        assert li.exact_rate(steps, 2.0, 5.0).value == pytest.approx(ratio * 10.0 / np.sqrt(n + 1), rel=1e-9)
    np.testing.assert_allclose(plan.steps, 0.4 * anytime_schedule(8, 30, branch=0.3).steps)


@pytest.mark.parametrize("power", [2.0, 3.0, 4.0])
def test_average_vs_semidefinite_program(power):
    plan = anytime_schedule(3, 12, average=power)
    assert plan.kind == "exact"
    for n in (3, 5, 8, 12):
        steps, weights = plan.stop(n), plan.weights(n)
        worst = li.worst_case(li.step_matrix.sgd(steps), at=weights).value
        ratio = plan.ratios[plan.horizons == n][0]
        assert worst * np.sqrt(n + 1) == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize("power", [2.0, 4.0])
def test_average_vs_rate_of_averages(power):
    plan = anytime_schedule(10, 60, average=power)
    for n in (10, 11, 25, 60):
        rate = li.average_rate(plan.stop(n), plan.weights(n))
        assert rate.kind == plan.kind == "exact"
        ratio = plan.ratios[plan.horizons == n][0]
        assert rate.value * np.sqrt(n + 1) == pytest.approx(ratio, rel=1e-9)


def test_unproved_averages_are_priced_by_their_upper_bound(monkeypatch):
    plan = anytime_schedule(5, 20, average=3)
    monkeypatch.setattr("lastiterate.theory.optimal.anytime.emulation_is_exact", lambda steps, stops: False)
    doubted = anytime_schedule(5, 20, average=3)
    assert (plan.kind, doubted.kind) == ("exact", "upper")
    np.testing.assert_allclose(doubted.ratios, plan.ratios, rtol=1e-9)  # proved after all


def test_average_is_kept_online():
    plan = anytime_schedule(3, 9, average=True)
    points = np.random.default_rng(0).standard_normal(10)
    kept = points[0]
    for k in range(1, 10):
        kept += (1.0 - (k / (k + 1.0)) ** 4.0) * (points[k] - kept)
    assert plan.weights(9) @ points == pytest.approx(kept, rel=1e-12)
    assert plan.weights(9).sum() == pytest.approx(1.0)


def test_an_average_costs_about_as_much_as_a_cooldown_of_a_fifth():
    assert anytime_schedule(10, 100, average=True).value == pytest.approx(1.0198, abs=2e-4)
    assert anytime_schedule(10, 100, average=2).value == pytest.approx(1.0301, abs=2e-4)


def test_one_release_is_the_optimal_schedule_for_it():
    plan = anytime_schedule(5, 40, releases=[40])
    assert plan.value == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(plan.steps, li.optimal_schedule(40).steps, rtol=2e-2)


@pytest.mark.parametrize("arguments", [(1, 2), (1, 2, None, 0.5), (1, 3, [3], 0.9), (1, 2, None, 1.0 - 1e-12)])
def test_shortest_ranges(arguments):
    plan = anytime_schedule(*arguments)
    assert 1.0 <= plan.lower <= plan.value + 1e-9 <= 1.2
    assert plan.stop(int(plan.horizons[-1])).size == plan.horizons[-1]


def test_fewer_stops_cost_less():
    every = anytime_schedule(10, 40).value
    three = anytime_schedule(10, 40, releases=[10, 20, 40])
    assert three.value < every - 0.01
    assert three.lower <= three.value <= three.lower + 1e-3
    assert anytime_schedule(10, 40, releases=[10, 20, 40], branch=0.2).value < three.value


def test_result_is_immutable_hashable_and_can_be_stored():
    plan = anytime_schedule(4, 8)
    with pytest.raises(ValueError, match="read-only"):
        plan.steps[0] = 1.0
    again = pickle.loads(pickle.dumps(plan))
    assert again.value == plan.value == float(plan)
    assert len({plan, again}) == 2
    assert len(repr(plan)) < 120


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n0": 10, "n1": 10}, "n0"),
        ({"n0": 20, "n1": 10}, "n0"),
        ({"n0": 0, "n1": 10}, "n0"),
        ({"n0": 2.5, "n1": 10}, "n0"),
        ({"n0": 2, "n1": "ten"}, "n1"),
        ({"n0": 2, "n1": 10, "releases": [1, 5]}, "releases"),
        ({"n0": 2, "n1": 10, "releases": [5, 5]}, "releases"),
        ({"n0": 2, "n1": 10, "releases": [5, 11]}, "releases"),
        ({"n0": 2, "n1": 10, "releases": []}, "releases"),
        ({"n0": 2, "n1": 10, "releases": [[5], [6, 7]]}, "releases"),
        ({"n0": 2, "n1": 10, "releases": [5.5]}, "releases"),
        ({"n0": 2, "n1": 10, "branch": 0.0}, "branch"),
        ({"n0": 2, "n1": 10, "branch": 1.0}, "branch"),
        ({"n0": 2, "n1": 10, "average": 1.0}, "average"),
        ({"n0": 2, "n1": 10, "average": 5}, "average"),
        ({"n0": 2, "n1": 10, "average": True, "branch": 0.1}, "average"),
        ({"n0": 2, "n1": 10, "D": 0.0}, "D"),
        ({"n0": 2, "n1": 10, "G": -1.0}, "G"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        anytime_schedule(**arguments)


@pytest.mark.parametrize("n", [0, 11, 2.5])
def test_bad_stops_are_named(n):
    with pytest.raises(InputError, match=r"^n:.*expected"):
        anytime_schedule(4, 10).stop(n)


@pytest.mark.parametrize("way", [{}, {"branch": 0.2}, {"average": True}])
def test_stops_of_stochastic_runs_on_a_logistic_problem_keep_the_bound(way):
    """Mean gap over seeds, at every tenth stop, of what is returned there."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, 5))
    rows *= np.where(rows @ rng.standard_normal(5) + rng.standard_normal(60) > 0.0, 1.0, -1.0)[:, None]

    def loss(x):
        return np.logaddexp(0.0, -rows @ x).mean()

    best = minimize(loss, np.zeros(5), tol=1e-12)
    D, G = float(np.linalg.norm(best.x)), float(np.sqrt(np.square(rows).sum(axis=1).mean()))  # E|g|^2 <= G^2
    plan = anytime_schedule(10, 60, D=D, G=G, **way)
    for n in range(10, 61, 10):
        steps, weights = plan.stop(n), plan.weights(n)
        gaps = []
        for seed in range(60):
            draw, x = np.random.default_rng(seed).integers(0, 60, n), np.zeros(5)
            returned = weights[0] * x
            for k, (h, row) in enumerate(zip(steps, draw, strict=True)):
                x = x + h * rows[row] / (1.0 + np.exp(rows[row] @ x))
                returned = returned + weights[k + 1] * x
            gaps.append(loss(returned) - best.fun)
        assert 0.0 < np.mean(gaps) <= plan.ratios[plan.horizons == n][0] * D * G / np.sqrt(n + 1)
