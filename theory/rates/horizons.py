r"""The pass of the exact rate for every horizon at once, in near-linear time.

Let Phi_m(s) be the s_0 that the recursion reaches from s_m = s over the first m steps. The least s_0 of horizon n is
that of horizon n-1 if step n-1 is free there, 2 sqrt(h) < theta_{n-1}, and Phi_{n-1}(2 sqrt(h)) otherwise, h = h_{n-1}.
So a horizon costs one evaluation of Phi. log Phi_m is analytic in log s in a strip of half width pi/2 whatever m, so
values on a uniform grid hold it. One grid at a time is kept, at the last multiple of `_BLOCK` steps: an evaluation runs
back to it by the recursion and interpolates once, and the grid moves on by `_BLOCK` steps at once for all of its
points.

The grid reaches from theta_m, below which no evaluation falls, to 2 sqrt(h_m + ... + h_{N-1}), above which none does,
because (s + h/s)^2 <= s^2 + 3 h for s^2 >= h. The recursion contracts, so the few points below theta_m that only the
interpolation needs stay inside of the grid before. Twelve decades of steps take a few hundred points.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT, Array

from .closed_form import OnePass

__all__ = ["passes_of_all_horizons"]

_BLOCK = 256
_SPACING = 1.0 / 32.0
_POINTS = 10  # of one interpolation
_MARGIN = _POINTS // 2
_SIGNED = np.array([(-1.0) ** j * math.comb(_POINTS - 1, j) for j in range(_POINTS)])  # barycentric weights
_ASIDE = 1e150  # where the recursion leaves the places that no evaluation uses


def passes_of_all_horizons(steps: Array) -> OnePass:
    """Return `one_pass` of steps[:n] for n = 1..N as arrays of length N, to about 1e-13, relative."""
    n = steps.size
    first, squares, free, binding = np.empty(n), np.empty(n), np.empty(n), np.empty(n, dtype=np.int64)
    _all_horizons(steps, np.cumsum(steps[::-1])[::-1].copy(), first, squares, free, binding)
    total = np.cumsum(steps, dtype=np.longdouble)
    difference = (first.astype(np.longdouble) ** 2 - 2.0 * (total - free)).astype(np.float64)
    better = difference > 0.25 * first**2  # Q = M_0^2 - 2 sum_{k<m} h_k, where the difference loses nothing
    squares[better] = difference[better]
    return OnePass(first, squares, free, total.astype(np.float64), binding)


@njit(**JIT)
def _run_back(steps: Array, s: Array, gain: Array, lost: Array, squares: Array) -> None:
    """Run the recursion back over the steps from every s, to s + gain; ``squares`` gains the w_k^2."""
    for k in range(steps.size - 1, -1, -1):
        h = steps[k]
        for j in range(s.size):
            w = h / (s[j] + gain[j])
            added = w + lost[j]
            longer = gain[j] + added
            lost[j] = added - (longer - gain[j])
            gain[j] = longer
            squares[j] += w * w


@njit(**JIT)
def _look_up(position: float, grid: Array) -> tuple[float, float]:
    """Return log(Phi / s) and log(1 + sum of w^2 / s^2), less what they are at the last point, by interpolation."""
    if grid.shape[1] == 0:
        return 0.0, 0.0
    start = min(max(int(position) - _MARGIN + 1, 0), grid.shape[1] - _POINTS)
    longer, squares, total = 0.0, 0.0, 0.0
    for j in range(_POINTS):
        away = position - (start + j)
        if away == 0.0:
            return grid[0, start + j], grid[1, start + j]
        share = _SIGNED[j] / away
        total += share
        longer += share * grid[0, start + j]
        squares += share * grid[1, start + j]
    return longer / total, squares / total


@njit(**JIT)
def _move(
    steps: Array, theta: float, ahead: float, base: float, last: tuple[float, float], grid: Array
) -> tuple[float, tuple[float, float], Array]:
    """Return the grid after the given steps; ``ahead`` is the sum of those to come.

    A grid is its first point, Phi / s and the sum of w^2 / s^2 at its last point, and the logarithms of `_look_up`,
    which stay small over decays of hundreds of orders of magnitude. Thousands of grids follow each other: what an error
    can add to at every move is taken as a difference, log(1 + gain / s), that is as small as the move.
    """
    new_base = theta * math.exp(-_MARGIN * _SPACING)
    change = (new_base - base) / base
    shift = math.log1p(change) if abs(change) < 0.5 else math.log(new_base / base)
    reach = max(math.log(2.0 * math.sqrt(ahead) / theta), 0.0) if ahead > 0.0 else 0.0
    count = int(reach / _SPACING) + 2 * _POINTS
    s = np.empty(count)
    for j in range(count):
        s[j] = new_base * math.exp(j * _SPACING)
    gain, squares = np.zeros(count), np.zeros(count)
    _run_back(steps, s, gain, np.zeros(count), squares)
    values = np.empty((2, count))
    for j in range(count):
        longer = math.log1p(gain[j] / s[j])
        more, before = _look_up(j + (shift + longer) / _SPACING, grid)
        values[0, j] = longer + more
        growth = 1.0 + gain[j] / s[j]
        values[1, j] = squares[j] / s[j] / s[j] + growth * growth * _excess(before, last[1])
    top, most = values[0, -1], values[1, -1]
    for j in range(count):
        values[0, j] -= top
        values[1, j] = math.log1p((values[1, j] - most) / (1.0 + most))
    return new_base, (last[0] * math.exp(top), most), values


@njit(**JIT)
def _excess(logarithm: float, last: float) -> float:
    """Return the sum of w^2 / s^2 from its logarithm in `_look_up` and its value at the last point."""
    return math.expm1(logarithm) * (1.0 + last) + last


@njit(**JIT)
def _all_horizons(
    steps: Array, ahead: Array, first: Array, squares: Array, free: Array, binding: npt.NDArray[np.int64]
) -> None:
    theta, base, last, grid = 0.0, 1.0, (1.0, 0.0), np.empty((2, 0))
    least, reached, unbound, count = 0.0, 0.0, 0.0, 0
    s, gain, lost, sums = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, steps.size, _BLOCK):
        size = min(_BLOCK, steps.size - start)
        block = steps[start : start + size]
        if start > 0 and theta > 0.0:
            base, last, grid = _move(steps[start - _BLOCK : start], theta, ahead[start], base, last, grid)
        for i in range(size):
            root = math.sqrt(block[i])
            gain[i], lost[i], sums[i] = 0.0, 0.0, 0.0
            if block[i] > 0.0 and 2.0 * root >= theta:
                theta, s[i] = root, 2.0 * root
            else:
                theta = 0.5 * (theta + math.sqrt((theta - 2.0 * root) * (theta + 2.0 * root)))
                s[i] = _ASIDE
        for k in range(size - 2, -1, -1):  # evaluation i runs back over the steps before step i
            _run_back(block[k : k + 1], s[k + 1 : size], gain[k + 1 : size], lost[k + 1 : size], sums[k + 1 : size])
        for i in range(size):
            if s[i] < _ASIDE:
                begin = s[i] + gain[i]
                longer, before = _look_up(math.log(begin / base) / _SPACING, grid)
                least = begin * last[0] * math.exp(longer)
                reached = 2.0 * block[i] + sums[i] + begin * begin * _excess(before, last[1])
                unbound, count = 0.0, start + i + 1
            else:
                unbound += block[i]
            first[start + i], squares[start + i] = least, reached
            free[start + i], binding[start + i] = unbound, count
