"""Step matrices against literal simulations of the methods on random gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.methods import step_matrix as step_matrices

N = 7
RNG = np.random.default_rng(5)
STEPS, BETA, C, SCALE = RNG.random(N), RNG.random(N), RNG.random(N), RNG.random(N) + 0.1
GRADIENTS = RNG.standard_normal(N + 1)


def points(H):
    return -H @ GRADIENTS


def test_momentum_vs_literal_buffer():
    buffer, x, path = 0.0, 0.0, [0.0]
    for k in range(N):
        buffer = BETA[k] * buffer + GRADIENTS[k]
        x -= STEPS[k] * buffer
        path.append(x)
    assert points(step_matrices.momentum(STEPS, BETA)) == pytest.approx(path, rel=1e-13)


def test_spa_vs_literal_two_sequences():
    z, x, path = 0.0, 0.0, [0.0]
    for k in range(N):
        z -= STEPS[k] * GRADIENTS[k]
        x = (1 - C[k]) * x + C[k] * z
        path.append(x)
    assert points(step_matrices.spa(STEPS, C)) == pytest.approx(path, rel=1e-13)


def test_primal_averaging_vs_literal_weighted_mean():
    weights = RNG.random(N + 1) + 0.1
    z = [0.0]
    for k in range(N):
        z.append(z[-1] - STEPS[k] * GRADIENTS[k])
    means = [np.average(z[: k + 1], weights=weights[: k + 1]) for k in range(N + 1)]
    assert points(step_matrices.primal_averaging(STEPS, weights)) == pytest.approx(means, rel=1e-12)


def test_dual_averaging_vs_literal_sum():
    z = [-(STEPS[: k + 1] @ GRADIENTS[: k + 1]) / SCALE[k] for k in range(N)]
    assert points(step_matrices.dual_averaging(STEPS, SCALE))[1:] == pytest.approx(z, rel=1e-13)
    x, path = 0.0, []
    for k in range(N):
        x = (1 - C[k]) * x + C[k] * z[k]
        path.append(x)
    assert points(step_matrices.dual_averaging(STEPS, SCALE, C))[1:] == pytest.approx(path, rel=1e-13)


def test_conversion_vs_literal_recursion():
    weights = RNG.random(N + 1) + 0.1
    H = step_matrices.dual_averaging(STEPS, SCALE)
    z = points(H)
    x, path = 0.0, [0.0]
    for k in range(N):
        x += weights[k + 1 :].sum() / weights.sum() * (z[k + 1] - z[k])
        path.append(x)
    assert points(step_matrices.last_iterate_conversion(H, weights)) == pytest.approx(path, rel=1e-12)


@given(st.floats(0.0, 0.95), st.floats(1e-3, 10.0))
@settings(max_examples=30, deadline=None)
def test_constant_momentum_is_spa_and_heavy_ball(beta, h):
    """Three published forms of the same method."""
    H = step_matrices.momentum(np.full(N, h), beta)
    assert step_matrices.spa(np.full(N, h / (1 - beta)), 1 - beta) == pytest.approx(H, rel=1e-11)
    heavy = np.zeros_like(H)
    for k in range(N):
        heavy[k + 1] = heavy[k] + beta * (heavy[k] - heavy[k - 1] if k else 0.0)
        heavy[k + 1, k] += h
    assert heavy == pytest.approx(H, rel=1e-11)


def test_special_cases_reduce_to_sgd():
    plain = step_matrices.sgd(STEPS)
    assert np.array_equal(step_matrices.momentum(STEPS, 0.0), plain)
    assert np.array_equal(step_matrices.spa(STEPS, 1.0), plain)
    assert np.allclose(step_matrices.dual_averaging(STEPS, 2.0), plain / 2.0, rtol=1e-15)
    assert step_matrices.sgd(np.empty(0)).shape == (1, 1)
    decay = 1.0 - np.arange(1, N + 1) / (N + 1)
    linear = step_matrices.last_iterate_conversion(step_matrices.sgd(np.ones(N)), np.ones(N + 1))
    assert linear == pytest.approx(step_matrices.sgd(decay), rel=1e-13)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: step_matrices.sgd([]), "steps"),
        (lambda: step_matrices.sgd([[1.0]]), "steps"),
        (lambda: step_matrices.momentum([1.0], 1.0), "beta"),
        (lambda: step_matrices.momentum([1.0], [0.5, 0.5]), "beta"),
        (lambda: step_matrices.momentum([1.0], True), "beta"),
        (lambda: step_matrices.spa([1.0], 1.5), "c"),
        (lambda: step_matrices.spa([1.0, 1.0], [0.5, np.nan]), "c"),
        (lambda: step_matrices.spa([1.0, 1.0], [[0.5], [0.5, 1.0]]), "c"),
        (lambda: step_matrices.primal_averaging([1.0], [1.0]), "weights"),
        (lambda: step_matrices.primal_averaging([1.0], [1.0, 0.0]), "weights"),
        (lambda: step_matrices.dual_averaging([1.0], 0.0), "beta"),
        (lambda: step_matrices.dual_averaging([-1.0], 1.0), "lam"),
        (lambda: step_matrices.last_iterate_conversion(np.eye(2), [1.0, 1.0]), "H"),
        (lambda: step_matrices.last_iterate_conversion(np.zeros((2, 3)), [1.0, 1.0]), "H"),
        (lambda: step_matrices.last_iterate_conversion([[0, 0], [1j, 0]], [1.0, 1.0]), "H"),
        (lambda: step_matrices.last_iterate_conversion([[0, 0], [np.inf, 0]], [1.0, 1.0]), "H"),
        (lambda: step_matrices.last_iterate_conversion([[0, 0], [1, 0]], [1.0, -1.0]), "weights"),
    ],
)
def test_bad_input_names_the_argument(call, where):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == where
