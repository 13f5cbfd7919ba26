r"""A lower bound on the worst case for gradient bounds that rise: the program of which the worst case is the value.

For any G the worst case is the least value of (D^2 / u_0 + sum_k (G_k^2 - G_{k-1}^2) u_k) / 2 - sum_k G_k^2 h_k, G_{-1}
= 0, over u_k >= (u_{k+1} + h_k)^2 / u_{k+1} (docs/design.md has the proof). A barrier method in u, whose Newton systems
are tridiagonal, gives multipliers d_k / 2, and with rho_k = G_k^2 - (1 + h_k / u_{k+1}) d_k a function that attains

    D sqrt(e_0) - sum_k rho_k h_k,   e_N = G_N^2,   e_k = rho_k + p_k q_k / (p_k + q_k),
    q_k = G_k^2 - rho_k,   p_k = e_{k+1} - rho_k,

whatever rho is, once it is lowered until p and q are at least zero, as long as e_0 >= 0. So the bound holds however far
the method got.
"""

import math
from typing import Any

import numpy as np

from lastiterate.theory.base.jit import Array, run

__all__ = ["lower_bound"]

_GAP = 1e-10
_ROUNDS = 100
_SHORT = 1e-9  # of a Newton step: rounding errors lead out of the region
_LEAST = 1e-13  # below this weight of the barrier its Newton systems are rounding errors


def lower_bound(steps: Array, caps: Array, D: float, sigma: float) -> float:
    """Return a value that some function attains, at least zero; ``sigma`` starts the method."""
    moves = np.flatnonzero(steps)  # a point that a step of length zero repeats has the least of its gradient bounds
    caps, steps = np.minimum.reduceat(caps, np.append(0, moves + 1)), steps[moves]
    squares = caps * caps
    rises = np.diff(squares, prepend=0.0)
    u = np.empty(caps.size)
    u[-1] = sigma * sigma
    for k in range(steps.size - 1, -1, -1):
        u[k] = (1.0 + 1.0 / steps.size) * (u[k + 1] + steps[k]) ** 2 / u[k + 1]

    def room_left(u: Array) -> Array:
        return u[:-1] - (u[1:] + steps) ** 2 / u[1:]

    def value(u: Array) -> float:
        return 0.5 * (D * D / u[0] + float(rises @ u)) - float(squares[:-1] @ steps)

    best, mu = 0.0, value(u) / steps.size
    for _ in range(_ROUNDS):
        left = room_left(u)
        kept = 1.0 - (steps / u[1:]) ** 2
        slope = 0.5 * rises / mu
        slope[0] -= 0.5 * D * D / u[0] ** 2 / mu
        slope[:-1] -= 1.0 / left
        slope[1:] += kept / left
        diagonal = np.zeros(u.size)
        diagonal[0] = D * D / u[0] ** 3 / mu
        diagonal[:-1] += 1.0 / left**2
        diagonal[1:] += (kept / left) ** 2 + 2.0 * steps**2 / u[1:] ** 3 / left
        move = np.asarray(run(tridiagonal, diagonal, -kept / left**2, -slope))
        share = 1.0
        while share > _SHORT and not ((u + share * move).min() > 0.0 and room_left(u + share * move).min() > 0.0):
            share *= 0.5
        if share <= _SHORT:
            break
        decrement = float(-slope @ move)
        u = u + (share if share == 1.0 else 0.9 * share) * move
        ratios = steps / u[1:]
        rho = squares[:-1] - (1.0 + ratios) * multipliers(u[0], ratios, rises, D)
        best = max(best, attained_by(rho, squares, steps, D))
        if value(u) - best <= _GAP * best or mu < _LEAST * best:
            break
        if decrement < 1.0:
            mu *= 0.2
    return best


def attained_by(rho: Array, squares: Array, steps: Array, D: float) -> float:
    """Return what the function of these inner products attains, minus infinity if there is none."""
    common, total = float(squares[-1]), 0.0
    for slope, square, h in zip(rho[::-1].tolist(), squares[-2::-1].tolist(), steps[::-1].tolist(), strict=True):
        lowered = min(slope, square, common)
        own, later = square - lowered, common - lowered
        common = lowered + own * (later / (own + later)) if own > 0.0 and later > 0.0 else lowered
        total += lowered * h
    return D * math.sqrt(common) - total if common >= 0.0 else -math.inf


def multipliers(first: float, ratios: Array, rises: Array, D: float) -> Array:
    """Return d_0..d_{N-1}: d_0 = G_0^2 - D^2 / u_0^2, d_{k+1} = (1 - lambda_k^2) d_k + G_{k+1}^2 - G_k^2."""
    d, out = float(rises[0]) - (D / first) ** 2, np.empty(ratios.size)
    for k, (ratio, rise) in enumerate(zip(ratios.tolist(), rises[1:].tolist(), strict=True)):
        out[k] = d = max(d, 0.0)  # zero at a pivot
        d = (1.0 - ratio * ratio) * d + rise
    return out


def tridiagonal(diagonal: Any, beside: Any, right: Any) -> Any:
    """Solve a symmetric positive definite system by elimination without pivoting."""
    n = len(diagonal)
    pivot, solution = [diagonal[0]] * n, [right[0]] * n
    for k in range(1, n):
        factor = beside[k - 1] / pivot[k - 1]
        rest = diagonal[k] - factor * beside[k - 1]
        pivot[k] = rest if rest > 0.0 else math.inf  # lost to rounding: that unknown stays where it is
        solution[k] = right[k] - factor * solution[k - 1]
    solution[n - 1] /= pivot[n - 1]
    for k in range(n - 2, -1, -1):
        solution[k] = (solution[k] - beside[k] * solution[k + 1]) / pivot[k]
    return solution
