"""Dual averaging against semidefinite programs, simulations and the optimum."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.dual_averaging import (
    converted_dual_averaging,
    converted_dual_averaging_rate,
    dual_averaging_average_rate,
    dual_averaging_rate,
    optimal_dual_averaging,
)

N = 9
CASES = {
    "rising": (np.ones(N), np.sqrt(np.arange(1, N + 1))),
    "modernised weights": (np.sqrt(np.arange(1, N + 1)), np.sqrt(np.arange(1, N + 1))),
    "mild": (np.ones(N), np.sqrt(np.arange(10, N + 10))),
    "falling": (np.ones(N), np.sqrt(np.arange(N + 10, 10, -1))),
    "random": (np.random.default_rng(0).random(N), np.random.default_rng(1).random(N) + 0.5),
}


def test_constant_scaling_vs_exact_rate_and_sdp():
    lam = np.random.default_rng(2).random(N)
    rate = dual_averaging_rate(lam, 1.5, D=2.0, G=1.2)
    assert rate.exact
    assert rate.value == li.exact_rate(lam / 1.5, D=2.0, G=1.2).value
    assert rate.value == pytest.approx(li.worst_case(li.step_matrix.dual_averaging(lam, 1.5), 2.0, 1.2).value, rel=1e-7)
    assert rate.certificate().value == pytest.approx(rate.value, rel=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_last_iterate_vs_sdp(name):
    """Up to 16 steps the search uses all pairs of points and finds the worst case."""
    lam, beta = CASES[name]
    G = np.linspace(1.0, 0.8, N + 1)
    sdp = li.worst_case(li.step_matrix.dual_averaging(lam, beta), 1.5, G)
    rate = dual_averaging_rate(lam, beta, 1.5, G)
    assert not rate.exact
    assert sdp.lower * (1 - 1e-7) <= rate.value <= (1 + 1e-4) * sdp.value
    assert float(rate.certificate().prove()) <= rate.value * (1 + 1e-11)


def test_search_without_forward_pairs_vs_sdp():
    n = 20
    lam, beta = np.ones(n), np.sqrt(np.arange(1, n + 1))
    sdp = li.worst_case(li.step_matrix.dual_averaging(lam, beta))
    assert sdp.lower * (1 - 1e-7) <= dual_averaging_rate(lam, beta).value <= 1.01 * sdp.value


@pytest.mark.parametrize("name", CASES)
def test_formula_vs_its_certificate_and_sdp(name):
    lam, beta = CASES[name]
    G = np.linspace(0.7, 1.3, N + 1)
    rate = dual_averaging_rate(lam, beta, 1.5, G, search_limit=0)
    assert rate.certificate().value == pytest.approx(rate.value, rel=1e-10)
    assert rate.certificate().check()
    assert rate.value >= li.worst_case(li.step_matrix.dual_averaging(lam, beta), 1.5, G).lower * (1 - 1e-7)


@pytest.mark.parametrize("name", CASES)
def test_average_rate_vs_sdp_of_the_average(name):
    lam, beta = CASES[name]
    H = li.step_matrix.dual_averaging(lam, beta)
    average = np.append(lam / lam.sum(), 0.0)
    with_average = np.zeros((N + 2, N + 2))
    with_average[: N + 1, : N + 1] = H
    with_average[N + 1, : N + 1] = average @ H
    G = np.append(np.linspace(0.8, 1.2, N + 1), 1.2)
    worst = li.worst_case(with_average, 1.5, G).lower
    assert dual_averaging_average_rate(lam, beta, 1.5, G[:-1]).value >= worst * (1 - 1e-7)


def test_average_rate_of_constant_weights_is_classical():
    """beta = G sqrt(N) / D makes Nesterov's DG / sqrt(N)."""
    n, D, G = 25, 2.0, 3.0
    assert dual_averaging_average_rate(np.ones(n), G * np.sqrt(n) / D, D, G).value == pytest.approx(D * G / np.sqrt(n))


@pytest.mark.parametrize("name", CASES)
def test_conversion_vs_sdp(name):
    lam, beta = CASES[name]
    lam = np.append(lam, 0.7)
    sdp = li.worst_case(converted_dual_averaging(lam, beta), 1.5, 1.2)
    assert converted_dual_averaging_rate(lam, beta, 1.5, 1.2).value >= sdp.lower * (1 - 1e-7)


@pytest.mark.parametrize("G", [2.0, np.linspace(2.0, 0.5, N + 1), np.linspace(0.5, 2.0, N + 1)])
def test_optimal_conversion_reaches_the_optimum_of_the_sdp(G):
    best = optimal_dual_averaging(N, D=1.5, G=G)
    target = 1.5 / np.sqrt(np.sum(np.full(N + 1, G) ** -2.0)) if np.ndim(G) == 0 else 1.5 / np.sqrt(np.sum(G**-2.0))
    assert best.value == pytest.approx(target, rel=1e-14)
    assert converted_dual_averaging_rate(best.lam, best.beta, 1.5, G).value == pytest.approx(target, rel=1e-14)
    worst = li.worst_case(converted_dual_averaging(best.lam, best.beta), 1.5, G).value
    assert worst == pytest.approx(target, rel=1e-6)
    assert best.value == pytest.approx(li.optimal_schedule(N, D=1.5, G=G).value, rel=1e-12)


def test_scaling_laws():
    lam, beta = CASES["rising"]
    for rate in (dual_averaging_rate, dual_averaging_average_rate):
        base = rate(lam, beta, 1.0, 1.0).value
        assert rate(3.0 * lam, beta, 3.0, 1.0).value == pytest.approx(3.0 * base, rel=1e-9)
        assert rate(lam / 3.0, beta, 1.0, 3.0).value == pytest.approx(3.0 * base, rel=1e-9)
        assert rate(7.0 * lam, 7.0 * beta, 1.0, 1.0).value == pytest.approx(base, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: dual_averaging_rate([-1.0], 1.0), "lam"),
        (lambda: dual_averaging_rate([], 1.0), "lam"),
        (lambda: dual_averaging_rate([1.0, 1.0], [1.0, -1.0]), "beta"),
        (lambda: dual_averaging_rate([1.0, 1.0], [1.0]), "beta"),
        (lambda: dual_averaging_rate([1.0], 1.0, D=0.0), "D"),
        (lambda: dual_averaging_rate([1.0], 1.0, G=np.nan), "G"),
        (lambda: dual_averaging_average_rate([0.0], 1.0), "lam"),
        (lambda: converted_dual_averaging([1.0, 0.0], 1.0), "lam"),
        (lambda: converted_dual_averaging_rate([1.0, 1.0], [1.0, 2.0]), "beta"),
        (lambda: optimal_dual_averaging(0), "n_steps"),
        (lambda: optimal_dual_averaging(3, G=[1.0, 0.0, 1.0]), "G"),
    ],
)
def test_bad_input_names_the_argument(call, where):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == where
