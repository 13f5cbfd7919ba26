r"""The exact worst case of SGD for gradient bounds in any order: the convex program in the numbers u_k, solved exactly.

**Theorem** (docs/design.md). For all h >= 0 and G_k > 0 the worst case of f(x_N) - f* is the least value of

    1/2 ( D^2 / u_0 + sum_{k<N} G_k^2 z_k + G_N^2 u_N ),   u_k = u_{k+1} + 2 h_k + z_k,   z_k u_{k+1} >= h_k^2.

Let F_k(u) be the least cost of the steps from k on given u_k = u, and e_k = F_k' <= G_k^2, nondecreasing in u. Given
u_k the best u_{k+1} is the point t_k where e_{k+1} reaches G_k^2, or, where t_k is out of reach, the nearer of the two
roots of (u + h_k)^2 = u_k u; lambda_k = h_k / u_{k+1} is at most one at the larger root, at least one at the smaller.
In reach, k is a *pivot*: e_k = G_k^2, and what follows does not depend on what came before. Otherwise
e_k = (e_{k+1} - lambda_k^2 G_k^2) / (1 - lambda_k^2). So a pass forwards and one backwards give e_0(u_0), and false
position the u_0 with e_0 = D^2 / u_0^2; a t_k is found in the same way, once, when a pass first asks for it. Where G
never increases none is asked for, and this is the recursion of `exact_rate`.
"""

import math

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

__all__ = ["least_tails"]

PRECISION = 1e-15  # of u_0 and t_k, relative
TINY = 1e-300
SMALLEST = 1e-140  # shorter steps count as zero: their squares would underflow
LEAST = 1e-20  # of u_{k+1} after a step of zero, relative to u_k: zero would need infinite multipliers


def least_tails(steps: Array, D: float, caps: Array, guess: float) -> tuple[Array, Array, float]:
    """Return the numbers u_0..u_N and z_0..z_{N-1} at the optimum, and the optimum.

    Parameters
    ----------
    steps : ndarray, shape (N,)
        Step sizes, in units in which neither squares nor ratios overflow.
    D : float
        Bound on the distance from x_0 to a minimiser.
    caps : ndarray, shape (N+1,)
        Bounds on the subgradient norms.
    guess : float
        A number near u_0, for instance s_0^2 of the recursion: what is far off asks for many t_k in vain.

    Returns
    -------
    tuple of ndarray and float
        u, z and the worst case.

    Examples
    --------
    >>> u, z, value = least_tails(np.array([0.5, 0.0]), 1.0, np.array([1.0, 0.2, 3.0]), 1.0)
    >>> round(value, 6)
    0.20748
    """
    squares = caps**2
    tails, extra = _solve(np.where(steps < SMALLEST, 0.0, steps), D, squares, guess)
    value = 0.5 * (D * (D / tails[0]) + float(squares[:-1] @ extra) + float(squares[-1]) * float(tails[-1]))
    return tails, extra, float(value)


@njit(**JIT)
def _next(step: float, u: float, pivot: float) -> tuple[float, bool]:
    """Return the best u_{k+1} given u_k = u and t_k (NaN: out of reach), negative if none; and whether k is a pivot."""
    if step == 0.0:
        return (max(pivot, LEAST * u), True) if pivot < u else (u, False)
    part = step / u
    if not part <= 0.25:
        return -1.0, False
    larger = 0.5 * u * (1.0 - 2.0 * part + math.sqrt(1.0 - 4.0 * part))
    smaller = step * (step / larger)
    if pivot <= smaller:
        return smaller, False
    return (pivot, True) if pivot < larger else (larger, False)


@njit(**JIT)
def _slope(
    first: int, u: float, steps: Array, squares: Array, known: Array, tails: Array, ratios: Array
) -> tuple[float, int]:
    """Return e_k at u_k = u for k = first, or the index whose t has to be known before, else -1."""
    n, last = steps.size, steps.size
    tails[first] = u
    for k in range(first, n):
        tails[k + 1], pivot = _next(steps[k], tails[k], known[k])
        if tails[k + 1] < 0.0:
            return -np.inf, -1
        if pivot:
            last = k
            break
        ratios[k] = steps[k] / tails[k + 1] if steps[k] > 0.0 else 0.0
    slope = squares[last]
    for k in range(last - 1, first - 1, -1):
        if slope > squares[k] and np.isnan(known[k]):
            return 0.0, k
        part = ratios[k] ** 2
        slope = min((slope - part * squares[k]) / (1.0 - part), squares[k]) if part != 1.0 else -np.inf
    return slope, -1


@njit(**JIT)
def _path(u: float, steps: Array, known: Array) -> tuple[Array, Array]:
    """Return u_k and z_k forwards from u_0, then backwards without the rounding of the roots."""
    n = steps.size
    tails, extra = np.empty(n + 1), np.empty(n)
    tails[0] = u
    for k in range(n):
        tails[k + 1], pivot = _next(steps[k], tails[k], known[k])
        extra[k] = tails[k] - tails[k + 1] - 2.0 * steps[k] if pivot else 0.0
    for k in range(n - 1, -1, -1):
        least = steps[k] * (steps[k] / tails[k + 1]) if steps[k] > 0.0 else 0.0
        extra[k] = max(extra[k], least)
        tails[k] = tails[k + 1] + 2.0 * steps[k] + extra[k]
    return tails, extra


@njit(**JIT)
def _solve(steps: Array, D: float, squares: Array, guess: float) -> tuple[Array, Array]:
    """Find u_0 (index -1), around a guess, and, on a stack, every t_k that a pass asks for, by false position."""
    n = steps.size
    known = np.full(n, np.nan)
    tails, ratios = np.empty(n + 1), np.empty(n)
    index, low, high = np.empty(n + 1, dtype=np.int64), np.zeros(n + 1), np.full(n + 1, np.inf)
    below, above = np.full(n + 1, -np.inf), np.full(n + 1, np.inf)  # slope minus target at low and high
    side = np.zeros(n + 1, dtype=np.int64)  # which end moved last: the other one's slope counts half then
    index[0] = -1
    depth, margin = 0, 1e-12
    while True:
        i, k = depth, index[depth]
        if i == 0 and np.isinf(high[0]):
            middle = guess if low[0] == 0.0 else low[0] * (1.0 + margin)
        elif i == 0 and low[0] == 0.0:
            middle = high[0] / (1.0 + margin)
        elif np.isinf(below[i]) or np.isinf(above[i]):
            middle = 0.5 * (low[i] + high[i])
        else:
            nudge = 0.5 * PRECISION * high[i]
            middle = low[i] + (high[i] - low[i]) * (below[i] / (below[i] - above[i]))
            middle = min(max(middle, low[i] + nudge), high[i] - nudge)
        if high[i] - low[i] <= PRECISION * middle or high[i] < TINY or not low[i] < middle < high[i]:
            if depth == 0:
                break
            known[k] = high[i]
            depth -= 1
            continue
        slope, asked = _slope(k + 1, middle, steps, squares, known, tails, ratios)
        if asked == n - 1:  # e_N is the same everywhere
            known[asked] = 0.0
        elif asked >= 0:
            depth += 1
            index[depth], low[depth], high[depth] = asked, 0.0, tails[asked + 1]
            below[depth], above[depth], side[depth] = -np.inf, np.inf, 0
        else:
            margin = min(8.0 * margin, 1.0) if i == 0 else margin
            excess = slope - (squares[k] if k >= 0 else (D / middle) ** 2)
            if excess >= 0.0:
                below[i] *= 0.5 if side[i] > 0 else 1.0
                high[i], above[i], side[i] = middle, excess, 1
            else:
                above[i] *= 0.5 if side[i] < 0 else 1.0
                low[i], below[i], side[i] = middle, excess, -1
    return _path(high[0], steps, known)
