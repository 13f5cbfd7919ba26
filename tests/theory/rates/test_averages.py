"""Averages of iterates: the closed form, the interval, the function that attains it, and what is refused."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.solvers.worst_case.solve import worst_case
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.methods import step_matrix
from lastiterate.theory.rates.averages.bouncing import steepest
from lastiterate.theory.rates.averages.bouncing_function import function_of
from lastiterate.theory.rates.averages.bounds import least_upper, matrix_of
from lastiterate.theory.rates.averages.emulated import MergedRun, cheapest_chain
from lastiterate.theory.rates.averages.rate import average_iterate_rate, average_rate
from lastiterate.theory.rates.averages.vector_weights import cheapest_vectors

EVEN = np.ones(1)


def instance(seed):
    """Steps and weights: constant, falling, wild or with zeros; dense, spaced, three points or a moving average."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 13))
    steps = np.exp(rng.normal(size=n) * rng.choice([0.0, 0.3, 1.0])) * np.exp(rng.normal()) / np.sqrt(n + 1)
    if rng.random() < 0.3:
        steps = np.sort(steps)[::-1].copy()
    if rng.random() < 0.2:
        steps[rng.random(n) < 0.3] = 0.0
    kind = rng.integers(4)
    if kind == 0:
        weights = rng.dirichlet(np.ones(n + 1))
    elif kind == 1:
        weights = np.zeros(n + 1)
        weights[n :: -int(rng.integers(1, 6))] = 1.0
    elif kind == 2:
        weights = np.zeros(n + 1)
        weights[rng.choice(n + 1, min(3, n + 1), replace=False)] = rng.random(min(3, n + 1)) + 0.01
    else:
        weights = rng.uniform(0.3, 0.97) ** np.arange(n, -1.0, -1.0)
    return steps, weights / weights.sum()


def check_against_sdp(seed):
    steps, weights = instance(seed)
    rate = average_rate(steps, weights, D=2.0, G=3.0)
    program = worst_case(step_matrix.sgd(steps), D=2.0, G=3.0, at=weights)
    assert program.value <= program.lower * (1.0 + 1e-6)
    assert rate.value >= program.lower * (1.0 - 1e-9)
    assert rate.lower <= program.value * (1.0 + 1e-9)
    if rate.kind != "upper":
        assert rate.value == pytest.approx(program.value, rel=1e-6)
    return rate, program


@pytest.mark.parametrize("seed", range(24))
def test_interval_vs_sdp(seed):
    check_against_sdp(seed)


@pytest.mark.slow
def test_interval_vs_sdp_on_many_instances():
    pairs = [check_against_sdp(1000 + seed) for seed in range(400)]
    assert sum(rate.kind == "exact" for rate, _ in pairs) > 100
    ratios = np.array([rate.value / program.value for rate, program in pairs])
    assert np.quantile(ratios, 0.9) < 1.02


@pytest.mark.parametrize("seed", range(30))
def test_run_on_the_constructed_function_attains_the_lower_bound(seed):
    steps, weights = instance(seed)
    rate = average_rate(steps, weights, D=2.0, G=3.0)
    problem = rate.function()
    x = problem.x0.copy()
    points = [x]
    for k, step in enumerate(steps):
        x = x - step * problem.subgradient(x, step=k)
        points.append(x)
    assert problem.value(weights @ np.array(points)) == pytest.approx(rate.lower, rel=1e-9)
    assert np.linalg.norm(problem.x0 - problem.x_star) == pytest.approx(2.0, rel=1e-12)
    assert np.linalg.norm(problem.matrix, axis=1).max() <= 3.0 * (1.0 + 1e-12)
    assert problem.value(problem.x_star) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_function_in_a_long_run(seed):
    """Beyond the reach of the program: 80 steps, five checkpoints."""
    rng = np.random.default_rng(seed)
    steps = np.sort(np.exp(0.2 * rng.normal(size=80)))[::-1] / 9.0
    weights = np.zeros(81)
    weights[80 :: -int(rng.integers(2, 16))] = 1.0
    run = MergedRun.of(steps, weights / weights.sum(), EVEN)
    found = steepest(run)
    problem = function_of(run, found, 80, 1.0, 1.0)
    points = [problem.x0]
    for k, step in enumerate(steps):
        points.append(points[-1] - step * problem.subgradient(points[-1], step=k))
    assert problem.value(weights / weights.sum() @ np.array(points)) == pytest.approx(found.value, rel=1e-9)


def test_function_in_the_simulator():
    """The step-weighted average that `simulate` keeps, on the function made for it."""
    steps = np.linspace(0.4, 0.1, 30)
    rate = average_rate(steps, "steps")
    run = li.simulate(rate.function(), "sgd", steps, average=True)
    assert run.averaged[0, 0, 0] == pytest.approx(rate.value, rel=1e-9)


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=n, max_size=n),
            st.lists(st.just(0.0) | st.floats(1e-9, 1.0), min_size=n + 1, max_size=n + 1).filter(any),
            st.lists(st.floats(0.1, 10.0), min_size=n + 1, max_size=n + 1) | st.just([1.0] * (n + 1)),
        )
    ),
    st.floats(-50.0, 50.0),
    st.floats(-50.0, 50.0),
)
@example(([0.0, 0.0, 4.0, 1.0, 0.03125, 1.0], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0], [1.0] * 7), 0.0, 0.0)  # a root ends
@settings(max_examples=60, deadline=None)
def test_wild_averages_are_proved_from_both_sides(case, log_D, log_G):
    """Twelve decades of steps, zeros, caps in any order, far units: a run reaches lower, multipliers prove value."""
    steps, weights, caps = map(np.array, case)
    weights, D = weights / weights.sum(), 10.0**log_D
    steps, G = steps * D / 10.0**log_G, caps * 10.0**log_G
    rate = average_rate(steps, weights, D, G)
    assert 0.0 < rate.lower <= rate.value < np.inf
    certificate = rate.certificate()
    assert certificate.check()
    assert rate.lower * (1.0 - 1e-9) <= certificate.value <= rate.value * (1.0 + 1e-6)
    problem = rate.function()
    points = [problem.x0]
    for k, step in enumerate(steps):
        slope = problem.subgradient(points[-1], step=k)
        assert np.linalg.norm(slope) <= G[k] * (1.0 + 1e-9)
        points.append(points[-1] - step * slope)
    assert problem.value(weights @ np.array(points)) == pytest.approx(rate.lower, rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_uniform_average_of_constant_steps_is_linear_decay(n):
    rate = average_rate(np.full(n, 1.0 / np.sqrt(n + 1)), np.full(n + 1, 1.0 / (n + 1)))
    assert rate.kind == "exact"
    assert rate.value == pytest.approx(1.0 / np.sqrt(n + 1), rel=1e-12)
    np.testing.assert_allclose(rate.emulated, li.optimal_schedule(n).steps, rtol=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_weight_on_one_point_is_its_exact_rate(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    steps = np.exp(rng.normal(size=n))
    point = int(rng.integers(n + 1))
    rate = average_rate(steps, np.eye(n + 1)[point], D=0.7, G=1.3)
    assert rate.kind == "exact"
    assert rate.value == pytest.approx(li.exact_rate(steps[:point], D=0.7, G=1.3).value, rel=1e-10)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_units(seed, D, G):
    """f -> c f and x -> c x leave the interval where it is."""
    steps, weights = instance(seed)
    plain, scaled = average_rate(steps, weights), average_rate(steps * D / G, weights, D=D, G=G)
    assert scaled.value == pytest.approx(plain.value * D * G, rel=1e-5)
    assert scaled.lower == pytest.approx(plain.lower * D * G, rel=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_emulated_schedule_makes_the_average(seed):
    steps, weights = instance(seed)
    rate = average_rate(steps, weights)
    np.testing.assert_allclose(rate.emulated, (weights @ step_matrix.sgd(steps))[:-1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("n", "gap", "count"), [(9, 3, 3), (12, 2, 6), (12, 4, 3), (12, 6, 2), (24, 4, 6), (24, 8, 3)])
def test_spaced_merges_of_constant_steps_have_narrow_intervals(n, gap, count):
    weights = np.zeros(n + 1)
    weights[n - gap * np.arange(count)] = 1.0 / count
    for scale in (0.3, 1.0, 3.0):
        rate = average_rate(np.full(n, scale / np.sqrt(n)), weights)
        assert rate.value <= 1.05 * rate.lower
        if gap <= 3:  # the function that bounces at every checkpoint is the worst one
            program = worst_case(step_matrix.sgd(rate.steps), at=weights)
            assert rate.lower == pytest.approx(program.value, rel=1e-6)


def test_published_table_of_merges():
    """24 constant steps tuned for the emulated schedule, units of DG/5: contiguous windows are free, gaps are not."""
    for points, expected in [(range(13, 25), 1.018), (range(1, 25), 1.000), (range(4, 25, 4), 1.528)]:
        weights = np.isin(np.arange(25), list(points)) / len(points)
        emulated = average_rate(np.ones(24), weights).emulated
        gamma = li.tune_base_lr(emulated).base_lr
        assert 5.0 * average_rate(np.full(24, gamma), weights).value == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("seed", range(12))
def test_each_bound_is_proved_in_exact_arithmetic(seed):
    steps, weights = instance(seed)
    rate = average_rate(steps, weights, D=2.0, G=3.0)
    bound = rate.certificate().prove()
    assert float(bound) <= rate.value * (1.0 + 1e-6)
    assert float(bound) >= rate.lower * (1.0 - 1e-9)


@pytest.mark.parametrize("bound", ["vectors", "chain", "points"])
@pytest.mark.parametrize("seed", range(3))
def test_bounds_that_the_search_hides_are_proved_too(bound, seed):
    from lastiterate.theory.certificates.certificate import Certificate
    from lastiterate.theory.rates.averages import bounds as average_bounds

    rng = np.random.default_rng(seed)
    steps = np.exp(0.5 * rng.normal(size=40)) / 6.0
    weights = np.zeros(41)
    weights[rng.choice(41, 4, replace=False)] = rng.random(4)
    run = MergedRun.of(steps, weights / weights.sum(), EVEN)
    if bound == "vectors":
        found = cheapest_vectors(run, rounds=0)
        proof, value = average_bounds._of_vectors(run, found), found.value
    elif bound == "chain":
        found = cheapest_chain(run)
        proof, value = average_bounds._of_chain(run, found), found.value
    else:
        proof, value = average_bounds._of_points(run), average_bounds._mean_of_losses(run)
    certificate = Certificate.step_matrix(matrix_of(run), proof.pairs, proof.tau, proof.norms, monotone=proof.monotone)
    assert certificate.check()
    assert certificate.value <= value * (1.0 + 1e-7)
    assert certificate.value >= steepest(run).value


@pytest.mark.slow
def test_closed_form_is_proved_at_two_hundred_steps():
    rate = average_rate(np.full(200, 0.07), 0.97 ** np.arange(200.0, -1.0, -1.0) / np.sum(0.97 ** np.arange(201.0)))
    assert rate.kind == "exact"
    assert 0.0 <= float(rate.certificate().prove()) / rate.value - 1.0 < 1e-9


@pytest.mark.slow
def test_vectors_are_proved_at_two_hundred_steps():
    weights = np.zeros(201)
    weights[200 - 20 * np.arange(5)] = 0.2
    rate = average_rate(np.full(200, 0.07), weights)
    assert rate.method == "vectors"
    assert abs(float(rate.certificate().prove()) / rate.value - 1.0) < 1e-8


@pytest.mark.parametrize("seed", range(10))
def test_varying_bounds_on_the_slopes(seed):
    """The certificate, with the given bounds, proves the value; the function respects the least of them."""
    steps, weights = instance(seed)
    G = np.exp(0.3 * np.random.default_rng(seed).normal(size=steps.size + 1))
    rate = average_rate(steps, weights, G=G)
    assert rate.lower <= rate.value <= average_rate(steps, weights, G=G.max()).value * 1.5
    certificate = rate.certificate()
    assert certificate.check()
    assert certificate.value <= rate.value * (1.0 + 1e-6)


@pytest.mark.parametrize(
    ("steps", "weights", "G"),
    [
        ([0.0, 0.0], [0.2, 0.3, 0.5], [1.0, 2.0, 2.0]),  # all at x_0, where the least bound counts
        ([0.1, 0.1], [1.0, 0.0, 0.0], [2.0, 1.0, 1.0]),  # the slope at x_0 reaches further than later bounds allow
        ([0.1, 0.2, 0.1], [0.0, 0.5, 0.5, 0.0], [2.0, 2.0, 2.0, 1.0]),
    ],
)
def test_bounds_behind_the_average_count_too(steps, weights, G):
    rate = average_rate(steps, weights, G=G)
    assert rate.kind != "exact"
    problem = rate.function()
    points = [problem.x0]
    for k, step in enumerate(steps):
        slope = problem.subgradient(points[-1], step=k)
        assert np.linalg.norm(slope) <= G[k] * (1.0 + 1e-12)
        points.append(points[-1] - step * slope)
    assert problem.value(np.array(weights) @ np.array(points)) == pytest.approx(rate.lower, rel=1e-9)
    program = worst_case(step_matrix.sgd(steps), G=G, at=weights)
    assert rate.lower * (1.0 - 1e-7) <= program.value
    assert program.lower <= rate.value * (1.0 + 1e-7)


def test_step_weights_are_never_above_the_classical_bound():
    rng = np.random.default_rng(0)
    for _ in range(5):
        steps = np.exp(rng.normal(size=30)) / 5.0
        G = np.exp(0.3 * rng.normal(size=31))
        for caps in (1.0, G):
            classical = (1.0 + np.sum((steps * np.broadcast_to(caps, 31)[:-1]) ** 2)) / (2.0 * steps.sum())
            assert average_rate(steps, "steps", G=caps).value <= classical * (1.0 + 1e-12)


def test_old_name_warns_and_agrees():
    with pytest.warns(DeprecationWarning, match="average_rate"):
        old = average_iterate_rate([0.3, 0.2])
    assert old.value == average_rate([0.3, 0.2], "steps").value


@pytest.mark.parametrize("n", [0, 1, 3])
def test_average_at_the_start(n):
    rate = average_rate(np.full(n, 0.5), np.eye(n + 1)[0], D=2.0, G=3.0)
    assert (rate.value, rate.kind) == (6.0, "exact")
    assert rate.function().value(rate.function().x0) == pytest.approx(6.0)
    assert rate.certificate().prove() == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("steps", "weights", "argument"),
    [
        ([0.1, 0.1], [0.5, 0.5], "weights"),
        ([0.1, 0.1], [0.5, 0.7, -0.2], "weights"),
        ([0.1, 0.1], [0.5, 0.4, 0.05], "weights"),
        ([0.1, 0.1], [0.5, np.nan, 0.5], "weights"),
        ([0.1, 0.1], "points", "weights"),
        ([0.0, 0.0], "steps", "weights"),
        ([0.1, -0.1], [0.0, 0.0, 1.0], "steps"),
    ],
)
def test_bad_input_is_named(steps, weights, argument):
    with pytest.raises(InputError) as caught:
        average_rate(steps, weights)
    assert caught.value.argument == argument


@pytest.mark.parametrize(("D", "G"), [(0.0, 1.0), (1.0, -1.0), (1.0, [1.0, 2.0, 3.0, 4.0])])
def test_bad_constants_are_named(D, G):
    with pytest.raises(InputError):
        average_rate([0.1], [0.5, 0.5], D=D, G=G)


def test_result_is_frozen_and_read_only():
    steps = np.full(4, 0.2)
    rate = average_rate(steps, np.full(5, 0.2))
    steps[0] = 9.0
    assert rate.steps[0] == 0.2
    with pytest.raises(ValueError, match="read-only"):
        rate.emulated[0] = 1.0
    assert len(repr(rate)) < 120
    assert float(rate) == rate.value
    assert isinstance(hash(rate), int)
    copy = pickle.loads(pickle.dumps(rate))
    assert copy.value == rate.value
    assert copy.function().value(copy.function().x0) == rate.function().value(rate.function().x0)
    assert copy.certificate().value == rate.certificate().value


def test_long_runs_have_an_interval():
    n = 100_000
    weights = np.zeros(n + 1)
    weights[n - 2000 * np.arange(8)] = 1 / 8
    rate = average_rate(np.full(n, 0.003), weights)
    assert 0.4 * rate.value < rate.lower < rate.value
    uniform = average_rate(np.full(n, 1 / np.sqrt(n + 1)), np.full(n + 1, 1 / (n + 1)))
    assert uniform.value == pytest.approx(1 / np.sqrt(n + 1), rel=1e-11)


def test_search_respects_the_mean_of_losses():
    """The least bound is at most the weighted mean of the points' own exact rates."""
    for seed in range(20):
        steps, weights = instance(seed)
        mean = sum(a * li.exact_rate(steps[:k]).value for k, a in enumerate(weights) if a > 0.0)
        assert least_upper(MergedRun.of(steps, weights, EVEN)).value <= mean * (1.0 + 1e-9)
