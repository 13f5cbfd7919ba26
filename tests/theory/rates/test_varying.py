"""The tightened bound for varying gradient bounds against the worst-case semidefinite program and its own proof."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.varying import tightened_rate


def literal_theorem(steps, G, c, e, w_N, D=1.0):
    """The theorem as it is written, for any admissible parameters."""
    n = len(steps)
    w, s = np.zeros(n + 1), np.zeros(n + 2)
    w[n] = s[n] = w_N
    for k in range(n - 1, -1, -1):
        w[k] = (steps[k] / s[k + 1] + e[k]) / c[k]
        s[k] = s[k + 1] + w[k]
    total = D**2 / s[0] ** 2 + np.sum(c * w**2 * G**2)
    total += sum(e[k] ** 2 * G[k] ** 2 / (c[k + 1] - c[k]) for k in range(n) if e[k] > 0)
    return total / 2


def random_problem(rng, n_steps, spread=1.0):
    return 10.0 ** rng.uniform(-2, 1, n_steps), 10.0 ** rng.uniform(-spread, spread, n_steps + 1)


@pytest.mark.parametrize("seed", range(6))
def test_every_parameter_gives_a_bound_vs_worst_case_program(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    steps, G = random_problem(rng, n)
    worst = li.worst_case(li.step_matrix.sgd(steps), 1.0, G).value
    for _ in range(50):
        c = np.cumsum(np.append(1.0, rng.exponential(1.0, n) * rng.integers(0, 2, n)))
        e = rng.exponential(0.5, n) * (np.diff(c) > 0)
        assert literal_theorem(steps, G, c, e, 10.0 ** rng.uniform(-2, 1)) >= worst * (1 - 1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_tightened_rate_vs_worst_case_program(seed):
    rng = np.random.default_rng(100 + seed)
    steps, G = random_problem(rng, int(rng.integers(2, 8)), spread=1.0 if seed % 2 else 0.3)
    rate = tightened_rate(steps, 1.0, G)
    worst = li.worst_case(li.step_matrix.sgd(steps), 1.0, G).value
    assert worst * (1 - 1e-6) <= rate.value <= worst * (1 + 1e-6)


def test_the_loosest_recursion_known_is_repaired():
    """A rising row of bounds, where the recursion is four times too large."""
    rate = tightened_rate([0.1246, 0.0337, 0.0100], G=[0.1321, 0.2687, 0.6844, 1.5964])
    worst = li.worst_case(li.step_matrix.sgd([0.1246, 0.0337, 0.0100]), 1.0, [0.1321, 0.2687, 0.6844, 1.5964])
    assert rate.recursion_value > 4.0 * rate.value
    assert rate.value == pytest.approx(worst.value, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=8), st.floats(0.1, 10.0), st.integers(0, 10**6))
@example([5e-324], 1.0, 1)  # the weights' squares overflow
@example([5e-324], 1.0, 3)  # the last weight underflows
@example([0.0, 0.0, 1.0, 5e-324], 1.0, 0)
def test_never_above_the_recursion_and_equal_without_increase(steps, D, seed):
    steps = np.array(steps)
    G = 10.0 ** np.random.default_rng(seed).uniform(-1, 1, steps.size + 1)
    rate = tightened_rate(steps, D, G)
    assert rate.recursion_value == li.exact_rate(steps, D, G).value
    assert rate.value <= rate.recursion_value
    falling = np.sort(G)[::-1]
    assert tightened_rate(steps, D, falling).value == li.exact_rate(steps, D, falling).value
    assert rate.value >= D / math.sqrt((G**-2.0).sum()) * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_certificate_proves_the_value(seed):
    rng = np.random.default_rng(seed)
    steps, G = random_problem(rng, 6)
    rate = tightened_rate(steps, 2.0, G)
    certificate = rate.certificate()
    assert certificate.check()
    assert float(certificate.prove()) <= rate.value * (1 + 1e-9)


def test_scaling_laws():
    steps, G = random_problem(np.random.default_rng(2), 6)
    base = tightened_rate(steps, 1.0, G).value
    assert tightened_rate(3.0 * steps, 3.0, G).value == pytest.approx(3.0 * base, rel=1e-5)
    assert tightened_rate(steps / 7.0, 1.0, 7.0 * G).value == pytest.approx(7.0 * base, rel=1e-5)


def test_long_runs_and_extreme_steps_stay_valid():
    rng = np.random.default_rng(0)
    for steps in (rng.random(300) * 0.1, 10.0 ** rng.uniform(-70, 70, 12)):
        G = np.geomspace(0.1, 1.0, steps.size + 1)
        rate = tightened_rate(steps, 1.0, G)
        assert 0.0 < rate.value <= rate.recursion_value
        assert np.isfinite(rate.weights).all()
    # every query is at x_0, where each subgradient bounds f(x_0) - f*
    assert tightened_rate(np.zeros(3), 2.0, [1.0, 2.0, 3.0, 4.0]).value == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"steps": []}, "steps"),
        ({"steps": [-1.0]}, "steps"),
        ({"steps": [1.0], "D": 0.0}, "D"),
        ({"steps": [1.0], "G": [1.0, 2.0, 3.0]}, "G"),
        ({"steps": [1.0], "G": [1.0, 0.0]}, "G"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        tightened_rate(**arguments)
