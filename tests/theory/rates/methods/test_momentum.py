"""Momentum: the map against torch and literal sequences, the rates against semidefinite programs."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.methods import step_matrix as step_matrices
from lastiterate.theory.methods.averaging import momentum_from_spa, spa_from_momentum
from lastiterate.theory.rates.methods.momentum import momentum_rate, spa_rate
from lastiterate.theory.rates.methods.ramp import backward_pass, ramped_bound

ARRAYS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.just(0.0) | st.floats(1e-6, 1e3), min_size=n, max_size=n),
        st.lists(st.floats(0.0, 0.99), min_size=n, max_size=n),
    )
)


@given(ARRAYS)
@settings(max_examples=100, deadline=None)
def test_map_vs_step_matrices(case):
    """Varying learning rates and momentum, zeros included: both forms make the same points."""
    steps, beta = map(np.array, case)
    eta, c = spa_from_momentum(steps, beta)
    assert eta.max() <= steps.max() / (1.0 - beta.max()) * (1 + 1e-12)
    assert c.min() >= 0.0
    assert c.max() <= 1.0
    torch_form, spa_form = step_matrices.momentum(steps, beta), step_matrices.spa(eta, c)
    assert spa_form == pytest.approx(torch_form, rel=1e-10, abs=1e-13 * eta.max())


@given(ARRAYS, st.floats(0.0, 5.0))
@settings(max_examples=60, deadline=None)
def test_map_both_ways(case, last):
    """The way back returns the learning rates, and the momentum wherever it has an effect."""
    steps, beta = map(np.array, case)
    steps = steps + 1e-3
    alpha, factors = momentum_from_spa(*spa_from_momentum(steps, beta, last=last))
    assert alpha == pytest.approx(steps, rel=1e-12)
    assert factors[0] == 0.0
    assert factors[1:] == pytest.approx(beta[1:], abs=1e-9)


def test_map_never_overflows_where_the_forward_recursion_does():
    steps = 1.0 - np.arange(2000) / 2000
    eta, c = spa_from_momentum(steps, 0.9)
    forward = 10.0
    for alpha in steps:
        forward = (forward - alpha) / 0.9
    assert abs(forward) > 1e80
    assert eta.max() <= 10.0
    assert c[:1900] == pytest.approx(0.1, abs=0.01)


def test_momentum_matrix_vs_torch_sgd():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    steps, gradients = rng.random(30), rng.standard_normal(31)
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=1.0, momentum=0.8)
    path = [0.0]
    for alpha, gradient in zip(steps, gradients[:-1], strict=True):
        optimizer.param_groups[0]["lr"] = float(alpha)
        x.grad = torch.full((1,), gradient, dtype=torch.float64)
        optimizer.step()
        path.append(float(x.detach()))
    eta, c = spa_from_momentum(steps, 0.8)
    assert -step_matrices.spa(eta, c) @ gradients == pytest.approx(path, rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.2, 0.3, 0.4])
@pytest.mark.parametrize("family", ["linear", "constant"])
@pytest.mark.parametrize("form", ["torch", "spa"])
def test_closed_form_vs_sdp_at_twelve_points(beta, family, form):
    steps = li.schedules.parse(family, 11) / np.sqrt(12)
    if form == "torch":
        rate, H = momentum_rate(steps, beta, 2.0, 1.5), li.step_matrix.momentum(steps, beta)
    else:
        rate, H = spa_rate(steps, 1.0 - beta, D=2.0, G=1.5), li.step_matrix.spa(steps, 1.0 - beta)
    assert rate.exact
    assert rate.kind == "exact"
    assert rate.value == pytest.approx(li.worst_case(H, D=2.0, G=1.5).value, rel=1e-7)
    assert float(rate.certificate().prove()) == pytest.approx(rate.value, rel=1e-11)


@pytest.mark.parametrize("family", ["constant", "linear", "cosine", "wsd"])
@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99])
def test_program_vs_sdp(family, beta):
    """The small tier is the worst case, from both sides."""
    steps = li.schedules.parse(family, 10) / np.sqrt(11)
    rate = spa_rate(steps, 1.0 - beta)
    sdp = li.worst_case(li.step_matrix.spa(steps, 1.0 - beta))
    assert rate.value == pytest.approx(sdp.value, rel=1e-7)
    assert rate.lower == pytest.approx(sdp.value, rel=1e-6)
    assert rate.exact == (rate.method == "closed form")
    assert float(rate.certificate().prove()) <= rate.value * (1 + 1e-11)


@pytest.mark.parametrize(
    ("steps", "beta", "worst"),
    [
        ((6.85, 102.84), 0.79, 137.815),
        ((3.0, 6.0, 0.3, 0.5, 8.0, 200.0), 0.45, 278.287),
        ((1.4, 0.34, 74.0, 1645.0, 0.0324, 1.7e-4), 0.5, 2102.54),
    ],
)
def test_steps_that_are_large_against_the_distance(steps, beta, worst):
    """Here the inequalities f_i >= f* are active: without them the bound is up to 40 per cent above the worst case."""
    rate = momentum_rate(steps, beta)
    assert rate.value == pytest.approx(worst, rel=1e-5)
    assert rate.certificate().minimum.max() > 0.1
    assert rate.lower == pytest.approx(rate.value, rel=1e-6)


def test_bound_for_noisy_gradients_holds_in_expectation():
    """A stochastic oracle reaches 70.642 on these steps, above the worst case of deterministic ones."""
    steps, beta = (4.0, 4.0, 0.4, 0.7, 8.0, 60.0), 0.3
    assert momentum_rate(steps, beta).value == pytest.approx(68.4608, abs=1e-3)
    noisy = momentum_rate(steps, beta, stochastic=True)
    assert noisy.value >= 70.642
    assert np.triu(noisy.certificate().pairs.T, 1).max() == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("family", ["constant", "linear", "cosine", "wsd"])
@pytest.mark.parametrize(("n_steps", "beta"), [(20, 0.5), (20, 0.9), (20, 0.99), (40, 0.9)])
def test_certificate_over_sdp_is_at_most_five_per_cent(n_steps, beta, family):
    """The table of docs/momentum.md."""
    steps = li.schedules.parse(family, n_steps) / np.sqrt(n_steps + 1)
    sdp = li.worst_case(li.step_matrix.spa(steps, 1.0 - beta), progress=False)
    rate = spa_rate(steps, 1.0 - beta)
    assert sdp.lower * (1 - 1e-7) <= rate.value <= 1.05 * sdp.value


@example(([0.0, 0.0016461489722132683, 0.5, 0.0, 0.0, 97.0, 557.0, *[0.0] * 4], [0.0, 0.0, 2.0**-15, *[0.0] * 8]), 102)
@given(ARRAYS, st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_ramp_vs_its_certificate(case, seed):
    """The O(N) formula equals what the general identity makes of its multipliers."""
    steps, beta = map(np.array, case)
    G = np.random.default_rng(seed).uniform(0.5, 2.0, steps.size + 1)
    rate = momentum_rate(steps + 1e-3, np.minimum(beta, 0.9), D=3.0, G=G, search_limit=0)
    certificate = rate.certificate()
    assert certificate.check()
    assert certificate.value == pytest.approx(rate.value, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_every_bound_is_above_the_sdp(seed):
    rng = np.random.default_rng(seed)
    n = 8
    steps, G = 10.0 ** rng.uniform(-1.5, 0.5, n), rng.uniform(0.5, 2.0, n + 1)
    beta = rng.uniform(0.0, 0.95, n)
    lower = li.worst_case(li.step_matrix.momentum(steps, beta), D=1.5, G=G).lower
    searched = momentum_rate(steps, beta, D=1.5, G=G)
    ramp = momentum_rate(steps, beta, D=1.5, G=G, search_limit=0)
    chain = momentum_rate(steps, beta, D=1.5, G=G, search_limit=2)
    assert lower * (1 - 1e-7) <= searched.value <= min(ramp.value, chain.value) * (1 + 1e-4)
    assert searched.value < 1.000001 * lower  # all pairs of points: the worst case itself
    assert max(searched.lower, ramp.lower, chain.lower) <= searched.value * (1 + 1e-9)


def test_without_a_cone_solver(monkeypatch):
    monkeypatch.setattr("lastiterate.theory.pep.cone.find_spec", lambda _: None)
    rate = momentum_rate(0.05 * li.schedules.linear(60), 0.9)
    assert rate.method in ("ramp (no cone solver)", "chain")
    assert rate.lower <= rate.value


def test_ramp_approaches_sgd_for_long_runs():
    """Momentum 0.9 costs little in the worst case once N is far beyond 1 / (1 - beta)."""
    n = 3000
    steps = li.schedules.linear(n) / np.sqrt(n)
    plain = li.exact_rate(steps).value
    rate = momentum_rate(0.1 * steps, 0.9, blocks=False)
    assert (rate.method, rate.exact) == ("ramp", False)
    assert plain / 1.001 < rate.value < 1.01 * plain


def test_ramp_vs_literal_cross_terms():
    """The recursions for the leftover inner products against the double sum of the theorem."""
    rng = np.random.default_rng(2)
    n = 30
    h, c, G = rng.uniform(0.05, 0.3, n), np.full(n, 0.25), rng.uniform(0.5, 1.5, n + 1)
    mu, v, w, growth = (np.zeros(n + 1) for _ in range(4))
    ramped_bound(h, c, G, 1.0, 0.8, 30, mu)
    value = backward_pass(h, c, G, 1.0, 0.8, mu, v, w, growth)
    H = step_matrices.spa(h, c)
    lag = np.append(0.0, 1.0 / c - 1.0) - mu
    gaps = np.vstack([np.zeros(n + 1), -np.diff(H, axis=0)])  # coefficients of x_r - x_{r-1}
    cross = 0.0
    for t in range(n + 1):
        row = v[t] * (-np.append(h, 0.0) * (np.arange(n + 1) < t) - lag[t] * gaps[t])
        for r in range(1, t):
            z = -np.append(h, 0.0) * (np.arange(n + 1) < r)
            row -= (v[r + 1] - v[r]) * (z - lag[r] * gaps[r])
        cross += sum(w[t] * (w[s] + row[s]) * G[t] * G[s] for s in range(t))
    literal = (v[0] ** 2 + np.sum((w * G) ** 2) + 2.0 * cross) / (2.0 * (1.0 + mu[n]))
    assert value == pytest.approx(literal, rel=1e-11)


@pytest.mark.parametrize("limit", [0, 40])
def test_scaling_laws(limit):
    steps = np.random.default_rng(1).random(9)
    base = momentum_rate(steps, 0.8, search_limit=limit).value
    assert momentum_rate(3.0 * steps, 0.8, D=3.0, search_limit=limit).value == pytest.approx(3.0 * base, rel=1e-9)
    assert momentum_rate(steps / 3.0, 0.8, G=3.0, search_limit=limit).value == pytest.approx(3.0 * base, rel=1e-9)
    assert base >= 1.0 / np.sqrt(10.0)


def test_without_momentum_it_is_the_exact_rate():
    steps = np.random.default_rng(4).random(20)
    for rate in (momentum_rate(steps, 0.0), spa_rate(steps, 1.0)):
        assert rate.exact
        assert rate.value == li.exact_rate(steps).value
        assert rate.certificate().value == pytest.approx(rate.value, rel=1e-11)
    assert momentum_rate(np.empty(0), 0.9, D=2.0, G=3.0).value == 6.0


def test_standing_still_and_huge_steps():
    for n in (1, 2, 50):
        for G in (3.0, np.linspace(3.0, 5.0, n + 1), np.linspace(5.0, 3.0, n + 1)):
            for rate in (momentum_rate(np.zeros(n), 0.9, 2.0, G), spa_rate(np.zeros(n), 1.0, 2.0, G)):
                assert (rate.value, rate.lower) == (6.0, 6.0)
                assert float(rate.certificate().prove()) == pytest.approx(6.0, rel=1e-12)
    for steps in ([0.0, 1.0, 0.0], [1e-8, 1e8, 1.0], [1e60, 1e-60, 1.0]):
        rate = momentum_rate(steps, 0.9)
        assert np.isfinite(rate.value)
        assert rate.certificate().check()


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: momentum_rate([1.0], 1.0), "momentum"),
        (lambda: momentum_rate([1.0], -0.5), "momentum"),
        (lambda: momentum_rate([1.0], "0.9"), "momentum"),
        (lambda: momentum_rate([1.0], 0.9, D=-1.0), "D"),
        (lambda: momentum_rate([1.0], 0.9, G=[1.0] * 5), "G"),
        (lambda: momentum_rate([], 0.9), "steps"),
        (lambda: spa_rate([1.0], 2.0), "averaging"),
        (lambda: spa_rate([1.0, np.inf], 0.5), "steps"),
        (lambda: spa_rate([1.0, 1.0], 0.5, search_limit=-1), "search_limit"),
        (lambda: spa_rate([1.0, 1.0], 0.5, stochastic=1), "stochastic"),
        (lambda: spa_rate([1.0, 1.0], 0.5, blocks="yes"), "blocks"),
        (lambda: spa_from_momentum([1.0], 0.5, last=-1.0), "last"),
        (lambda: momentum_from_spa([1.0, 0.0], 0.5), "steps"),
        (lambda: momentum_from_spa([1.0, 1.0], [0.5]), "averaging"),
    ],
)
def test_bad_input_names_the_argument(call, where):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == where
