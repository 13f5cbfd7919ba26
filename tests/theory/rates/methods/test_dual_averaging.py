"""Dual averaging against semidefinite programs, simulations and the optimum."""

import pickle

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.methods.dual_averaging import (
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


@pytest.mark.parametrize("name", ["rising", "modernised weights", "mild"])
def test_last_iterate_vs_sdp(name):
    """The small tier is the worst case itself, with a function that attains it."""
    lam, beta = CASES[name]
    G = np.linspace(1.0, 0.8, N + 1)
    sdp = li.worst_case(li.step_matrix.dual_averaging(lam, beta), 1.5, G)
    rate = dual_averaging_rate(lam, beta, 1.5, G)
    assert not rate.exact
    assert rate.method == "program"
    assert rate.value == pytest.approx(sdp.value, rel=1e-7)
    assert rate.lower == pytest.approx(sdp.lower, rel=1e-7)
    assert float(rate.certificate().prove()) <= rate.value * (1 + 1e-11)


def test_without_forward_pairs_the_bound_survives_noise():
    """A little above the worst case, because the pairs that noise breaks are active in it."""
    n = 20
    lam, beta = np.ones(n), np.sqrt(np.arange(1, n + 1))
    sdp = li.worst_case(li.step_matrix.dual_averaging(lam, beta))
    noisy = dual_averaging_rate(lam, beta, stochastic=True)
    assert sdp.value * (1 + 1e-6) < noisy.value <= 1.01 * sdp.value
    assert np.triu(noisy.certificate().pairs.T, 1).max() == 0.0


@pytest.mark.parametrize("name", ["rising", "modernised weights", "mild"])
def test_any_length_vs_its_certificate_and_sdp(name):
    lam, beta = CASES[name]
    G = np.linspace(0.7, 1.3, N + 1)
    rate = dual_averaging_rate(lam, beta, 1.5, G, search_limit=0)
    assert rate.method == "planar"
    assert rate.certificate().value <= rate.value * (1 + 1e-9)
    assert rate.certificate().check()
    sdp = li.worst_case(li.step_matrix.dual_averaging(lam, beta), 1.5, G)
    assert sdp.lower * (1 - 1e-7) <= rate.value <= 1.2 * sdp.value
    assert 0.0 < rate.lower <= sdp.value * (1 + 1e-7)


def test_nearly_constant_scaling_is_nearly_sgd():
    """The bound passes over to the exact rate of SGD as the growth of the scaling vanishes."""
    n = 60
    lam = np.full(n, 0.1)
    rate = dual_averaging_rate(lam, 1.0 + 1e-9 * np.arange(n))
    assert rate.value == pytest.approx(li.exact_rate(lam).value, rel=1e-5)


def test_long_runs_come_as_intervals():
    n = 1000
    k = np.arange(1.0, n + 1.0)
    rate = dual_averaging_rate(np.full(n, li.tune_base_lr(np.ones(n) / n).base_lr), k)
    assert (rate.method, rate.lower_note) == ("planar", "attained")
    assert rate.lower <= rate.value <= 1.21 * rate.lower


def test_results_can_be_pickled():
    rate = dual_averaging_rate(*CASES["rising"], search_limit=0)
    again = pickle.loads(pickle.dumps(rate))
    assert (again.value, again.lower, again.certificate().value) == (rate.value, rate.lower, rate.certificate().value)


def test_without_a_cone_solver(monkeypatch):
    monkeypatch.setattr("lastiterate.theory.pep.cone.find_spec", lambda _: None)
    assert dual_averaging_rate(*CASES["rising"]).method == "planar (no cone solver)"


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
    assert converted_dual_averaging_rate(best.weights, best.scalings, 1.5, G).value == pytest.approx(target, rel=1e-14)
    worst = li.worst_case(converted_dual_averaging(best.weights, best.scalings), 1.5, G).value
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
        (lambda: dual_averaging_rate([-1.0], 1.0), "weights"),
        (lambda: dual_averaging_rate([], 1.0), "weights"),
        (lambda: dual_averaging_rate([1.0, 1.0], [1.0, -1.0]), "scalings"),
        (lambda: dual_averaging_rate([1.0, 1.0], [1.0]), "scalings"),
        (lambda: dual_averaging_rate([1.0, 1.0, 1.0], [1.0, 3.0, 2.0]), "scalings"),
        (lambda: dual_averaging_rate([1.0, 1.0, 1.0], [1.0, 3.0, 2.0], search_limit=2), "scalings"),
        (lambda: dual_averaging_rate([1.0, 0.0, 1.0], [1.0, 2.0, 3.0]), "weights"),
        (lambda: dual_averaging_rate([1.0, 0.0, 1.0], [1.0, 2.0, 3.0], search_limit=2), "weights"),
        (lambda: dual_averaging_rate([1.0, 0.0], 2.0), "weights"),
        (lambda: dual_averaging_rate([1.0, 1.0], [1.0, 2.0], stochastic="no"), "stochastic"),
        (lambda: dual_averaging_rate([1.0], 1.0, D=0.0), "D"),
        (lambda: dual_averaging_rate([1.0], 1.0, G=np.nan), "G"),
        (lambda: dual_averaging_average_rate([0.0], 1.0), "weights"),
        (lambda: converted_dual_averaging([1.0, 0.0], 1.0), "weights"),
        (lambda: converted_dual_averaging_rate([1.0, 1.0], [1.0, 2.0]), "scalings"),
        (lambda: optimal_dual_averaging(0), "n_steps"),
        (lambda: optimal_dual_averaging(3, G=[1.0, 0.0, 1.0]), "G"),
    ],
)
def test_bad_input_names_the_argument(call, where):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == where
