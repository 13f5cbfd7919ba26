"""The pieces of a ``chain``: f(x) = max(0, max_t <g_t, x>) with g_t = sum_{r<t} alpha_r e_r + beta_t e_t.

A matrix of two rows, alpha and beta, stands for N + 1 pieces of N + 1 numbers; all values at a point cost one prefix
sum.
"""

import numpy as np

from lastiterate.theory.base.validation import Array

__all__ = ["piece_values", "piece_gradient", "piece_norms"]


def piece_values(matrix: Array, x: Array) -> Array:
    """Return <g_0, x>, ..., <g_N, x>, 0."""
    alpha, beta = matrix
    return np.append(_sums_before(alpha * x) + beta * x, 0.0)


def piece_gradient(matrix: Array, piece: int) -> Array:
    """Return g_t, or zero for the last, constant piece."""
    alpha, beta = matrix
    gradient = np.zeros(alpha.size)
    if piece < alpha.size:
        gradient[:piece] = alpha[:piece]
        gradient[piece] = beta[piece]
    return gradient


def piece_norms(matrix: Array) -> Array:
    """Return the norms of g_0, ..., g_N, 0."""
    alpha, beta = matrix
    return np.append(np.sqrt(_sums_before(alpha * alpha) + beta * beta), 0.0)


def _sums_before(terms: Array) -> Array:
    sums = np.cumsum(terms)
    return np.append(0.0, sums[:-1])
