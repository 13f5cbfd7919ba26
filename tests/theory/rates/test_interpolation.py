"""Schedule-Free and primal averaging: matrices against the recursions, intervals against the program."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.solvers.worst_case.solve import worst_case
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.methods import step_matrix
from lastiterate.theory.methods.interpolation import generalised_primal_averaging, schedule_free
from lastiterate.theory.rates.averages.interpolation import generalised_primal_averaging_rate, schedule_free_rate
from lastiterate.theory.rates.averages.transfer import free_shares
from lastiterate.theory.rates.methods.blocks import block_bound


def run(steps, c, beta, gradient):
    """The recursion as it is published: gradients at y, steps from z, the average x."""
    z = x = np.ones(3)
    points = []
    for k, step in enumerate(steps):
        y = (1.0 - beta) * z + beta * x
        points.append(y)
        z = z - step * gradient(y)
        x = (1.0 - c[k]) * x + c[k] * z
    return np.array([*points, x])


def follow(H, gradient):
    points, gradients = [], []
    for row in H:
        points.append(np.ones(3) - sum((a * g for a, g in zip(row, gradients, strict=False)), np.zeros(3)))
        gradients.append(gradient(points[-1]))
    return np.array(points)


def gradient(x):
    return np.array([2.0, 1.0, 0.1]) * x + np.sin(x)


@pytest.mark.parametrize("beta", [0.0, 0.4, 0.9, 1.0])
def test_schedule_free_matrix_vs_recursion(beta):
    steps = np.array([0.1, 0.3, 0.2, 0.25, 0.05])
    weights = np.append(steps, steps[-1])
    c = (weights / np.cumsum(weights))[1:]
    np.testing.assert_allclose(follow(schedule_free(steps, beta), gradient), run(steps, c, beta, gradient), rtol=1e-12)
    equal = 1.0 / np.arange(2.0, 7.0)
    matrix = schedule_free(steps, beta, np.ones(6))
    np.testing.assert_allclose(follow(matrix, gradient), run(steps, equal, beta, gradient), rtol=1e-12)


@pytest.mark.parametrize(("mu_x", "mu_y"), [(0.5, 0.7), (0.9, 0.0), (0.9, 1.0), (0.0, 0.3)])
def test_generalised_primal_averaging_matrix_vs_recursion(mu_x, mu_y):
    steps = np.array([0.1, 0.3, 0.2, 0.25, 0.05])
    expected = run(steps, np.full(5, 1.0 - mu_x), mu_y, gradient)
    np.testing.assert_allclose(follow(generalised_primal_averaging(steps, mu_x, mu_y), gradient), expected, rtol=1e-12)


def test_limits_are_known_methods():
    steps = np.array([0.1, 0.3, 0.2])
    np.testing.assert_allclose(generalised_primal_averaging(steps, 0.6, 1.0), step_matrix.spa(steps, 0.4))
    np.testing.assert_allclose(schedule_free(steps, 1.0, np.ones(4)), step_matrix.primal_averaging(steps))
    average = schedule_free(steps, 0.0, np.ones(4))
    np.testing.assert_allclose(average[:3], step_matrix.sgd(steps)[:3])
    np.testing.assert_allclose(average[3], step_matrix.sgd(steps).mean(axis=0))


def check(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 13))
    steps = np.exp(rng.normal(size=n) * rng.choice([0.0, 0.3, 1.0])) * np.exp(rng.normal()) / np.sqrt(n + 1)
    beta, mu = rng.random(2)
    kind = seed % 3
    if kind == 2:
        rate = generalised_primal_averaging_rate(steps, mu, beta, D=2.0, G=3.0)
        H = generalised_primal_averaging(steps, mu, beta)
    else:
        weights = None if kind == 0 else rng.dirichlet(np.ones(n + 1))
        rate, H = schedule_free_rate(steps, beta, weights, D=2.0, G=3.0), schedule_free(steps, beta, weights)
    program = worst_case(H, D=2.0, G=3.0)
    assert program.value <= program.lower * (1.0 + 1e-6)
    assert rate.value >= program.lower * (1.0 - 1e-9)
    assert rate.lower <= program.value * (1.0 + 1e-9)
    np.testing.assert_allclose(rate.emulated, H[-1, :-1], rtol=1e-12, atol=1e-15)
    assert rate.certificate().check()
    assert rate.certificate().value <= rate.value * (1.0 + 1e-9)


@pytest.mark.parametrize("seed", range(18))
def test_interval_vs_sdp(seed):
    check(seed)


@pytest.mark.slow
def test_interval_vs_sdp_on_many_instances():
    for seed in range(100, 1000):  # a third each: weights that follow the steps, any weights, weights that forget
        check(seed)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("n", [1, 10, 1000, 100_000])
def test_constant_steps_reach_the_minimax_rate(beta, n):
    rate = schedule_free_rate(np.full(n, 1.0 / np.sqrt(n + 1)), beta)
    assert rate.kind == ("exact" if beta == 0.0 or n == 1 else "attained")  # one step: no gradient is taken between
    assert rate.value == pytest.approx(1.0 / np.sqrt(n + 1), rel=1e-9)


@pytest.mark.parametrize("schedule", ["inverse_sqrt", "wsd:cooldown=0.2", "linear"])
def test_any_schedule_with_following_weights_is_attained(schedule):
    """Theorem S: (D^2 + G^2 sum h^2) / (2 sum h), the last step counted twice."""
    steps = li.schedules.parse(schedule, 300) / 10.0
    twice = np.append(steps, steps[steps > 0.0][-1])
    rate = schedule_free_rate(steps, 0.9)
    assert rate.kind == "attained"
    assert rate.value == pytest.approx((1.0 + twice @ twice) / (2.0 * twice.sum()), rel=1e-12)


def test_cosine_ends_too_fast_for_the_theorem_but_has_a_narrow_interval():
    rate = schedule_free_rate(li.schedules.cosine(300) / 10.0, 0.9)
    assert 0.9999 * rate.value < rate.lower <= rate.value


def test_theorem_s_needs_its_conditions():
    """A large step at the end, or steps that do not reach the minimiser: another rate."""
    for steps in ([0.1, 0.1, 2.0, 0.1], [0.01, 0.01, 0.01]):
        twice = np.append(steps, steps[-1])
        program = worst_case(schedule_free(steps, 0.5))
        assert program.value < 0.999 * (1.0 + twice @ twice) / (2.0 * twice.sum())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([0.1], 1.5), "beta"),
        (([0.1], 0.5, [1.0]), "weights"),
        (([0.1], 0.5, [1.0, -1.0]), "weights"),
        (([0.1], 0.5, [0.0, 0.0]), "weights"),
        (([-0.1], 0.5), "steps"),
    ],
)
def test_bad_input_is_named(arguments, name):
    for function in (schedule_free, schedule_free_rate):
        with pytest.raises(InputError) as caught:
            function(*arguments)
        assert caught.value.argument == name
    with pytest.raises(InputError):
        generalised_primal_averaging([0.1], 1.2, 0.5)


def test_zero_steps_do_no_harm():
    rate = schedule_free_rate([0.0, 0.3, 0.0, 0.2], 0.5)
    program = worst_case(schedule_free([0.0, 0.3, 0.0, 0.2], 0.5))
    assert rate.lower <= program.value * (1 + 1e-9)
    assert program.lower <= rate.value * (1 + 1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("family", ["constant", "cosine"])
def test_certificate_of_momentum_serves_every_beta(family, beta):
    """Theorem T against the semidefinite program of the method itself, below the length from which it is used."""
    steps, c = 0.4 * li.schedules.parse(family, 30), np.full(30, 0.2)
    bound = block_bound(steps, c, 1.0, np.ones(31), free_shares(c, np.full(30, beta)))
    program = worst_case(generalised_primal_averaging(steps, 0.8, beta))
    assert program.lower * (1.0 - 1e-7) <= bound.value < 2.0 * program.lower


@pytest.mark.parametrize(("mu_x", "mu_y"), [(0.8, 0.3), (0.8, 1.0), pytest.param(0.9, 0.7, marks=pytest.mark.slow)])
def test_generalised_primal_averaging_beyond_the_search(mu_x, mu_y):
    """The points of the certificate are those of the method, and its multipliers prove the value."""
    steps = np.full(70, 0.1)
    rate = generalised_primal_averaging_rate(steps, mu_x, mu_y, D=2.0, G=3.0)
    assert rate.method == "blocks"
    assert rate.value < 1.4 * rate.lower
    certificate = rate.certificate()
    assert certificate.check()
    assert rate.lower <= certificate.value <= rate.value * (1.0 + 1e-8)
    y = np.append(0, np.arange(1, 140, 2))
    np.testing.assert_allclose(certificate.H[np.ix_(y, y)], generalised_primal_averaging(steps, mu_x, mu_y), atol=1e-15)
    assert not certificate.H[:, 2::2].any()  # gradients at x_1..x_{N-1} move nothing


@pytest.mark.slow
@pytest.mark.parametrize(("mu_y", "loose"), [(0.5, 3.2), (0.9, 1.35)])
def test_generalised_primal_averaging_vs_program_beyond_the_search(mu_y, loose):
    """A cooldown at steps that are too long: the signs in the middle of the run bind, more so for a small mu_y."""
    steps = 0.25 * li.schedules.wsd(64)
    rate = generalised_primal_averaging_rate(steps, 0.9, mu_y)
    program = worst_case(generalised_primal_averaging(steps, 0.9, mu_y))
    assert rate.method == "blocks"
    assert rate.lower * (1.0 - 1e-7) <= program.value
    assert program.lower * (1.0 - 1e-7) <= rate.value <= loose * program.value


@pytest.mark.slow
def test_proofs_in_rational_arithmetic_at_200_steps():
    for rate in (generalised_primal_averaging_rate(np.full(200, 0.1), 0.9, 0.7), schedule_free_rate(np.full(200, 0.1))):
        assert abs(float(rate.certificate().prove()) / rate.value - 1.0) < 1e-7


@pytest.mark.slow
def test_interval_closes_with_length():
    rate = generalised_primal_averaging_rate(np.full(2000, 0.02), 0.9, 0.7)
    assert rate.method == "blocks"
    assert rate.lower < rate.value < 1.01 * rate.lower


def test_an_average_of_a_million_steps_forgets_without_underflow():
    rate = generalised_primal_averaging_rate(np.full(10**6, 1e-3), 0.9, 0.0)
    assert rate.kind == "exact"


def test_without_a_cone_solver_the_interval_is_wide_but_there(monkeypatch):
    monkeypatch.setattr("lastiterate.theory.pep.cone.find_spec", lambda _: None)
    rate = generalised_primal_averaging_rate(np.full(20, 0.2), 0.9, 0.7)
    assert rate.method in ("regret", "lipschitz")
    assert 0.0 < rate.lower < rate.value < np.inf


@given(
    st.integers(1, 10).flatmap(
        lambda n: st.tuples(
            st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=n, max_size=n),
            st.lists(st.sampled_from([0.0, 0.5, 0.999, 1.0]) | st.floats(0.0, 1.0), min_size=n, max_size=n),
            st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=n + 1, max_size=n + 1).filter(any),
        )
    )
)
@settings(max_examples=80, deadline=None)
def test_wild_steps_shares_and_weights(case):
    """Twelve decades, zeros and ties: an interval that its certificate proves."""
    steps, beta, weights = map(np.array, case)
    rate = schedule_free_rate(steps, beta, weights)
    assert 0.0 < rate.lower <= rate.value < np.inf
    certificate = rate.certificate()
    assert certificate.check()
    assert certificate.value >= rate.lower * (1.0 - 1e-9)
    assert certificate.value <= rate.value * (1.0 + 1e-6)
