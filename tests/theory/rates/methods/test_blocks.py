"""The block certificate of momentum: against semidefinite programs, its own multipliers and exact arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.certificates.certificate import Certificate
from lastiterate.theory.methods.averaging import spa_from_momentum
from lastiterate.theory.rates.methods.blocks import block_bound, pair_multipliers
from lastiterate.theory.rates.methods.last_row import averaging_last_row, averaging_lower


def tuned(n_steps, family, beta, scale=1.0):
    """Learning rates of momentum relative to the best base learning rate of the last row, in averaging form."""
    steps = li.schedules.parse(family, n_steps)
    base_lr = li.tune_base_lr(averaging_last_row(*spa_from_momentum(steps, beta))).base_lr
    return spa_from_momentum(scale * base_lr * steps, beta)


def certified(eta, c, D=1.0, G=None):
    caps = np.ones(eta.size + 1) if G is None else G
    bound = block_bound(eta, c, D, caps)
    pairs, tau, norms, spare = bound.multipliers()
    H = li.step_matrix.spa(eta, c)
    return bound, Certificate.step_matrix(H, pairs, tau, norms, D=D, G=caps, monotone=spare)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["constant", "linear", "cosine", "wsd"])
@pytest.mark.parametrize(
    ("n_steps", "scale"), [*((40, scale) for scale in (0.25, 0.5, 1.0, 2.0, 4.0)), (50, 0.25), (50, 4.0)]
)
def test_within_a_per_cent_of_the_worst_case_off_tune(family, n_steps, scale):
    eta, c = tuned(n_steps, family, 0.9, scale)
    bound, certificate = certified(eta, c)
    sdp = li.worst_case(li.step_matrix.spa(eta, c), progress=False)
    assert sdp.lower * (1 - 1e-7) <= bound.value <= 1.01 * sdp.value
    assert certificate.value == pytest.approx(bound.value, rel=1e-8)


def test_short_blocks_vs_sdp():
    """Momentum 0.6 needs blocks of eight rows: the program of 24 steps is small, and equal."""
    eta, c = tuned(24, "linear", 0.6)
    bound, certificate = certified(eta, c)
    sdp = li.worst_case(li.step_matrix.spa(eta, c), progress=False)
    assert sdp.lower * (1 - 1e-7) <= bound.value <= 1.0001 * sdp.value
    assert certificate.value == pytest.approx(bound.value, rel=1e-9)
    assert certificate.check()


@given(st.integers(0, 10**6), st.floats(0.1, 0.75))
@settings(max_examples=6, deadline=None)
def test_random_runs_are_never_below_the_sdp(seed, beta):
    """Wild steps, momentum and caps: a bound or infinity, and what its multipliers prove."""
    rng = np.random.default_rng(seed)
    n = 20
    eta, c = spa_from_momentum(np.exp(rng.normal(-1.0, 0.7, n)), np.full(n, beta) * rng.uniform(0.9, 1.0, n))
    G, D = rng.uniform(0.5, 2.0, n + 1), 1.7
    if np.isinf(block_bound(eta, c, D, G).value):
        return
    bound, certificate = certified(eta, c, D, G)
    assert certificate.value <= bound.value * (1 + 1e-8)
    assert bound.value >= li.worst_case(li.step_matrix.spa(eta, c), D, G, progress=False).lower * (1 - 1e-7)


@given(st.integers(2, 8), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_multipliers_vs_their_definition(n, seed):
    """Y_ts = p_t H_ts - sum_{s<r<t} b_tr H_rs with p_t = a_t + sum_r b_tr, for any symmetric Y and a."""
    rng = np.random.default_rng(seed)
    eta, c, a = rng.uniform(0.1, 1.0, n), rng.uniform(0.1, 1.0, n), rng.random(n + 1)
    Y = rng.random((n + 1, n + 1))
    b = pair_multipliers(Y + Y.T, a, eta, c)
    H = li.step_matrix.spa(eta, c)
    rebuilt = (a + b.sum(axis=1))[:, None] * H - b @ H
    assert np.tril(rebuilt, -1) == pytest.approx(np.tril(Y + Y.T, -1), rel=1e-8, abs=1e-8)


def test_interval_closes_with_length():
    shares = []
    for n in (60, 600):
        eta, c = tuned(n, "wsd", 0.9)
        shares.append(block_bound(eta, c, 1.0, np.ones(n + 1)).value / averaging_lower(eta, c).value)
    assert 1.0 < shares[1] < 1.006 < shares[0] < 1.15


def test_units_do_not_matter():
    eta, c = tuned(60, "cosine", 0.8)
    base = block_bound(eta, c, 1.0, np.ones(61)).value
    assert block_bound(30.0 * eta, c, 3.0, np.full(61, 0.1)).value == pytest.approx(0.3 * base, rel=1e-6)


def test_proof_in_rational_arithmetic():
    bound, certificate = certified(*tuned(50, "wsd", 0.8))
    assert float(certificate.prove()) <= bound.value * (1 + 1e-8)


@pytest.mark.slow
def test_proof_in_rational_arithmetic_at_200_steps():
    bound, certificate = certified(*tuned(200, "linear", 0.9))
    assert float(certificate.prove()) <= bound.value * (1 + 1e-6)


def test_no_bound_where_there_is_no_room_and_where_steps_vanish():
    assert block_bound(np.full(15, 0.1), np.full(15, 0.1), 1.0, np.ones(16)).value == np.inf
    eta = np.full(60, 0.1)
    eta[30] = 0.0
    assert block_bound(eta, np.full(60, 0.1), 1.0, np.ones(61)).value == np.inf
