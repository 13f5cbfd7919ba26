"""Every interval holds the worst case: random methods against the semidefinite program."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.rates.methods.dual_averaging import dual_averaging_rate
from lastiterate.theory.rates.methods.momentum import momentum_rate


def random_momentum(rng, D, G):
    """Return a step matrix and every kind of rate of momentum with wild learning rates."""
    n = G.size - 1
    steps = 10.0 ** rng.uniform(-2.0, 1.0, n)
    beta = rng.uniform(0.0, 0.97) if rng.random() < 0.5 else rng.uniform(0.0, 0.97, n)
    rates = [momentum_rate(steps, beta, D, G, search_limit=limit) for limit in (0, 2, 40)]
    return li.step_matrix.momentum(steps, beta), [*rates, momentum_rate(steps, beta, D, G, stochastic=True)]


def random_dual_averaging(rng, D, G):
    """Return a step matrix and every kind of rate of dual averaging with wild weights and scalings that grow."""
    n = G.size - 1
    lam, beta = 10.0 ** rng.uniform(-2.0, 0.5, n), np.sort(10.0 ** rng.uniform(-1.0, 1.0, n))
    rates = [dual_averaging_rate(lam, beta, D, G, search_limit=limit) for limit in (0, 40)]
    return li.step_matrix.dual_averaging(lam, beta), [*rates, dual_averaging_rate(lam, beta, D, G, stochastic=True)]


def check(seed):
    """The program lies between lower and upper of every rate, and the certificate of each holds."""
    rng = np.random.default_rng(seed)
    n, D = int(rng.integers(2, 13)), 10.0 ** rng.uniform(-1.0, 1.0)
    G = np.full(n + 1, 1.3) if seed % 3 else rng.uniform(0.5, 2.0, n + 1)
    H, rates = (random_momentum if seed % 2 else random_dual_averaging)(rng, D, G)
    sdp = li.worst_case(H, D, G, progress=False)
    for rate in rates:
        assert rate.lower <= sdp.value * (1 + 1e-7)
        assert rate.value >= sdp.lower * (1 - 1e-7)
        assert rate.certificate().value <= rate.value * (1 + 1e-7)
        assert rate.certificate().check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(600))  # momentum and dual averaging in turn
def test_upper_and_lower_enclose_the_sdp(seed):
    check(seed)


@pytest.mark.parametrize("seed", range(1000, 1012))
def test_upper_and_lower_enclose_the_sdp_on_a_few(seed):
    check(seed)


@pytest.mark.slow
def test_a_hundred_thousand_steps_of_momentum():
    rate = momentum_rate(0.1 * li.schedules.linear(100_000) / np.sqrt(100_000), 0.9)
    assert rate.lower <= rate.value <= 1.001 * rate.lower
