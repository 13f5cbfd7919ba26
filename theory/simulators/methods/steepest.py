# pyright: reportMissingParameterType=false
"""Steps of a length of their own, the steepest descent of some norm.

Normalised SGD (Euclidean), sign descent and Lion (largest coordinate), Muon (spectral norm of x as a matrix).
"""

import math

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.simulators.kernels.protocol import (
    FIRST,
    KERNEL,
    STEP_SIZE,
    SUMS,
    WEIGHT,
    Bound,
    Method,
    RunFacts,
    no_bound,
)
from lastiterate.theory.simulators.kernels.vectors import dot

__all__ = ["lion", "muon", "muon_exact", "normalized_sgd", "normalized_sgd_bound", "sign_sgd"]

TOTAL, SPENT = FIRST, FIRST + 1  # sums of the steps in units of the gradient, and of their squared lengths


@njit(**KERNEL)
def _sign(number):
    return 1.0 if number > 0.0 else (-1.0 if number < 0.0 else 0.0)


@njit(**KERNEL)
def normalized_sgd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """m_{k+1} = beta m_k + (1 - beta) g_k; x_{k+1} = x_k - lr_k m_{k+1} / (||m_{k+1}|| + eps) (arXiv 2002.03305)."""
    beta, m, largest = options[0], state[0], 0.0
    for j in range(x.size):
        m[j] = beta * m[j] + (1.0 - beta) * g[j]
        largest = max(largest, abs(m[j]))
    square = 0.0
    for j in range(x.size if largest > 0.0 else 0):  # scaled, so that no square leaves the range of numbers
        square += (m[j] / largest) ** 2
    size = largest * math.sqrt(square) + options[1]
    step = lr / size if size > 0.0 else 0.0
    scalars[WEIGHT] = scalars[STEP_SIZE] = step
    scalars[TOTAL] += step
    scalars[SPENT] += (step * (size - options[1])) ** 2
    for j in range(x.size):
        x[j] -= lr * (m[j] / size) if size > 0.0 else 0.0


@njit(**KERNEL)
def sign_sgd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """m_{k+1} = beta m_k + (1 - beta) g_k; x_{k+1} = x_k - lr_k sign(m_{k+1}), with sign(0) = 0 (arXiv 1802.04434)."""
    beta, m = options[0], state[0]
    for j in range(x.size):
        m[j] = beta * m[j] + (1.0 - beta) * g[j]
        x[j] -= lr * _sign(m[j])


@njit(**KERNEL)
def lion(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x_{k+1} = x_k - lr_k (sign(beta1 m_k + (1 - beta1) g_k) + decay x_k), m averages g (arXiv 2302.06675)."""
    beta1, beta2, decay, m = options[0], options[1], options[2], state[0]
    for j in range(x.size):
        x[j] -= lr * (_sign(beta1 * m[j] + (1.0 - beta1) * g[j]) + decay * x[j])
        m[j] = beta2 * m[j] + (1.0 - beta2) * g[j]


@njit(**SUMS)
def _momentum(x, g, m, update, beta, looks_ahead):
    """Advance m <- beta m + (1 - beta) g, the form of torch's Muon, and set the update to it or one step ahead."""
    for j in range(x.size):
        m[j] = beta * m[j] + (1.0 - beta) * g[j]
        update[j] = g[j] + beta * (m[j] - g[j]) if looks_ahead else m[j]


@njit(**KERNEL)
def _move(x, lr, decay, update, rows, like_adamw):
    """Decoupled decay and the step, scaled by sqrt(max(1, rows / columns)) or 0.2 sqrt(max(rows, columns))."""
    columns = x.size // rows
    scale = 0.2 * math.sqrt(max(rows, columns)) if like_adamw else math.sqrt(max(1.0, rows / columns))
    for j in range(x.size):
        x[j] = (1.0 - lr * decay) * x[j] - lr * scale * update[j]


@njit(**SUMS)
def _polynomial(update, gram, cube, column, rows, a, b, c):
    """Replace the matrix X by a X + (b A + c A^2) X with A = X X^T; where X has more rows than columns, X^T."""
    columns = update.size // rows
    short, across, along = (rows, columns, 1) if rows <= columns else (columns, 1, columns)
    long = update.size // short
    for i in range(short):
        for h in range(i + 1):
            total = 0.0
            for j in range(long):
                total += update[i * across + j * along] * update[h * across + j * along]
            gram[i * short + h] = gram[h * short + i] = total
    for i in range(short):
        for h in range(short):
            total = 0.0
            for j in range(short):
                total += gram[i * short + j] * gram[j * short + h]
            cube[i * short + h] = b * gram[i * short + h] + c * total
    for j in range(long):
        for i in range(short):
            column[i] = a * update[i * across + j * along]
            for h in range(short):
                column[i] += cube[i * short + h] * update[h * across + j * along]
        for i in range(short):
            update[i * across + j * along] = column[i]


@njit(**KERNEL)
def muon(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Momentum orthogonalised by the published Newton-Schulz steps; x holds the matrix row by row, ``blocks`` rows."""
    update, n_rows = state[1], int(options[0])
    _momentum(x, g, state[0], update, options[1], options[2] > 0.0)
    size = max(math.sqrt(dot(update, update)), options[4])
    for j in range(x.size if size > 0.0 else 0):
        update[j] /= size
    for _ in range(int(options[6])):
        _polynomial(update, state[2], state[3], g, n_rows, options[7], options[8], options[9])
    _move(x, lr, options[3], update, n_rows, options[5] > 0.0)


@njit(**JIT)
def muon_exact(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Momentum orthogonalised exactly: U V^T of its singular values that rounding does not explain (LAPACK)."""
    update, n_rows = state[1], int(options[0])
    _momentum(x, g, state[0], update, options[1], options[2] > 0.0)
    largest = 0.0
    for j in range(x.size):
        largest = max(largest, abs(update[j]))
    if largest > 0.0:
        matrix = (update / largest).reshape(n_rows, x.size // n_rows)
        left, values, right = np.linalg.svd(matrix, False)
        least = values[0] * 2.2e-16 * max(matrix.shape)
        for j in range(x.size):
            update[j] = 0.0
        for i in range(values.size):
            for r in range(n_rows if values[i] > least else 0):
                for c in range(matrix.shape[1]):
                    update[r * matrix.shape[1] + c] += left[r, i] * right[i, c]
    _move(x, lr, options[3], update, n_rows, options[4] > 0.0)


def normalized_sgd_bound(facts: RunFacts) -> Bound:
    """Return (D^2 + sum lr_k^2) / (2 sum lr_k / ||g_k||), the bound of subgradient steps lr_k / ||g_k||, g_k not 0.

    It speaks of the average of x_0..x_{N-1} with the weights lr_k / ||g_k|| (Shor; Nesterov 2004, Theorem 3.2.2).
    """
    if facts.stochastic or np.any(facts.options["beta"]):
        return Bound(None, "average", reason="proved for deterministic subgradients without momentum")
    total = facts.scalars[TOTAL]
    if not 0.0 < total < np.inf:
        return Bound(None, "average", reason="no step was taken")
    value = (facts.D**2 + facts.scalars[SPENT]) / (2.0 * total)
    return Bound(float(value), "average", "subgradient steps of given length (Nesterov 2004, Theorem 3.2.2)")


_MUON = {"blocks": "n_outputs", "momentum": 0.95, "nesterov": True, "weight_decay": 0.1}
_NEWTON_SCHULZ = {"ns_steps": 5.0, "ns_a": 3.4445, "ns_b": -4.775, "ns_c": 2.0315}
_BIASED = no_bound("signs of subgradients need not lead to a minimum of a convex function")
_NO_RATE = no_bound("no rate is known for Muon on nonsmooth convex functions")

METHODS = {
    "normalized_sgd": Method(
        normalized_sgd,
        {"beta": 0.0, "eps": 0.0},
        vectors=1,
        scalars=2,
        averages=True,
        posterior=True,
        bound=normalized_sgd_bound,
        squares=False,
    ),
    "sign_sgd": Method(sign_sgd, {"beta": 0.0}, vectors=1, bound=_BIASED, squares=False),
    "lion": Method(lion, {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}, vectors=1, bound=_BIASED, squares=False),
    "muon": Method(muon, {**_MUON, "eps": 1e-7, "match_rms": False, **_NEWTON_SCHULZ}, vectors=4, bound=_NO_RATE),
    "muon_exact": Method(muon_exact, {**_MUON, "match_rms": False}, vectors=2, bound=_NO_RATE),
}
