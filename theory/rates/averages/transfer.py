r"""From proofs for primal averaging to every method that takes its gradients between z and x.

z_{k+1} = z_k - h_k g(y_k), x_{k+1} = (1 - c_{k+1}) x_k + c_{k+1} z_{k+1}, y_k = (1 - beta_k) z_k + beta_k x_k. With
beta = 1 this is momentum in averaging form, whose bounds have multipliers b_kr of f_r >= f_k + <g_k, x_r - x_k> and a_k
of f* >= f_k + <g_k, x* - x_k>; let p_k = a_k + sum_r b_kr and free_k = c_k / (1 - beta_k (1 - c_k)).

**Theorem T.** If b_{k,k-1} >= (1 - free_k) p_k for 0 < k < N, the same numbers prove the same bound for beta.

*Proof.* On the line through x_{k-1} and z_k the points stand in the order z_k, y_k, x_k, x_{k-1}, and
x_k = (1 - free_k) x_{k-1} + free_k y_k. Hence f(x_k) <= (1 - free_k) f(x_{k-1}) + free_k f(y_k), which costs no
gradient. Bound p_k free_k f(y_k) with g_k = g(y_k), by b_{k,k-1} - (1 - free_k) p_k times the inequality at x_{k-1},
b_kr times that at x_r and a_k times that at x*. The function values add up to row k of the proof for beta = 1, and
since free_k y_k = x_k - (1 - free_k) x_{k-1} so do the inner products. Row 0 and row N are at x_0 and x_N. QED

For beta = 0 the condition b_{k,k-1} >= (1 - c_k) p_k is that of the regret bound (arXiv 2405.15682, Theorem 2: there it
holds with equality); for beta = 1 it is empty. All gradients go to earlier points: the bounds survive noise.
"""

from typing import NamedTuple

import numpy as np

from lastiterate.theory.base.validation import Array

from .bounds import AverageProof

__all__ = ["Proof", "free_shares", "transferred"]


class Proof(NamedTuple):
    """A step matrix, in units with D = G = 1, and the multipliers that bound its last point."""

    H: Array
    multipliers: AverageProof


def free_shares(c: Array, beta: Array) -> Array:
    """Return free_1..free_N; the gradient of the last point is taken at x_N itself."""
    between = 1.0 - np.append(beta[1:], 1.0) * (1.0 - c)
    return np.divide(c, between, out=np.ones_like(c), where=between > 0.0)


def transferred(steps: Array, c: Array, beta: Array, proof: AverageProof) -> Proof:
    """Return the proof of Theorem T from one for beta = 1 (``proof.norms`` given), for the points that it takes.

    They are y_0 = x_0, y_1, x_1, ..., y_{N-1}, x_{N-1}, x_N; the gradients at x_1..x_{N-1} move nothing.
    """
    n, free = steps.size, free_shares(c, beta)
    y, x = np.append(0, 2 * np.arange(n) + 1), np.append(0, 2 * np.arange(n) + 2)
    x[n] = y[n]
    H = np.zeros((2 * n, 2 * n))
    fast, mean = np.zeros(2 * n), np.zeros(2 * n)
    for k in range(n):
        H[x[k]] = mean
        H[y[k]] = (1.0 - beta[k]) * fast + beta[k] * mean if k else 0.0
        fast[y[k]] = steps[k]
        mean = (1.0 - c[k]) * mean + c[k] * fast
    H[y[n]] = mean
    given = proof.pairs
    optimum = given.sum(axis=1) - given.sum(axis=0)  # of f* >= ..., less that of f_k >= f*
    optimum[n] += 1.0
    spare = np.zeros(n + 1) if proof.monotone is None else proof.monotone
    totals = np.maximum(optimum, 0.0) + spare + given.sum(axis=0)
    pairs = np.zeros((2 * n, 2 * n))
    pairs[np.ix_(x, y)] = given
    inner = np.arange(1, n)
    held = (1.0 - free[:-1]) * totals[1:n]
    pairs[x[inner - 1], y[inner]] = np.maximum(given[inner - 1, inner] - held, 0.0)
    pairs[x[inner - 1], x[inner]] = held
    pairs[y[inner], x[inner]] = free[:-1] * totals[1:n]
    norms, monotone = np.zeros(2 * n), np.zeros(2 * n)
    if proof.norms is not None:
        norms[y] = proof.norms
    monotone[y] = spare
    return Proof(H, AverageProof(pairs, proof.tau, norms, monotone))
