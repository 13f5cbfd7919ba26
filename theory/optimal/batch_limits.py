r"""Sharing samples among the steps: maximise sum_k B_k / (a_k B_k + b_k) for a given sum of B_k, under limits.

Each term is concave in B_k. So whole multiples are shared out exactly by their marginal gains; powers of two and a
few constant pieces are solved exactly at a price a sample, and the price is chosen so that the samples suffice.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

__all__ = ["continuous", "in_pieces", "information", "multiples", "powers_of_two"]

_LEVELS = 48  # candidate batch sizes of the search for pieces
_PLACES = 500  # candidate ends of them


def information(batches: npt.ArrayLike, a: Array, b: Array) -> Array:
    """B / (a B + b) = 1 / (g^2 + s^2 / B) with a = g^2, b = s^2."""
    sizes = np.asarray(batches, dtype=np.float64)
    return sizes / (a * sizes + b)


def continuous(a: Array, b: Array, total: float, low: float, high: float) -> Array:
    """The best real batches in [low, high]: B = (mu sqrt(b) - b) / a, clipped."""
    root = np.sqrt(b)

    def batches(mu: float) -> Array:
        return np.clip((mu * root - b) / a, low, high)

    return batches(_largest(lambda mu: batches(mu).sum() <= total, a, b, high))


def multiples(a: Array, b: Array, total: int, unit: int, high: int) -> npt.NDArray[np.int64]:
    """The best whole multiples of ``unit`` up to ``high``: by falling marginal gain, exact for concave terms."""

    def batches(root: float) -> Array:
        # the last unit gains unit b / ((a B + b) (a (B - unit) + b)) >= 1 / root^2
        free = (np.sqrt(unit * b * root * root + (a * unit / 2.0) ** 2) + a * unit / 2.0 - b) / a
        return np.clip(unit * np.floor(np.where(b > 0.0, free, 0.0) / unit), unit, high // unit * unit)

    found = batches(_largest(lambda root: batches(root).sum() <= total, a, b, high)).astype(np.int64)
    return _top_up(found, a, b, total, np.full(a.size, unit), high)


def powers_of_two(a: Array, b: Array, total: int, high: int) -> npt.NDArray[np.int64]:
    """Powers of two up to ``high``: optimal at a price a sample, then doubled where that gains most and still fits."""

    def batches(root: float) -> Array:
        # doubling B gains b / ((2 a B + b) (a B + b)) a sample
        free = (np.sqrt(b * b / 4.0 + 2.0 * b * root * root) - 1.5 * b) / (2.0 * a)
        exponent = np.floor(np.log2(np.maximum(np.where(b > 0.0, free, 0.0), 0.5))) + 1.0
        return 2.0 ** np.clip(exponent, 0.0, math.floor(math.log2(high)))

    found = batches(_largest(lambda root: batches(root).sum() <= total, a, b, high)).astype(np.int64)
    return _top_up(found, a, b, total, found, high)


def in_pieces(a: Array, b: Array, total: int, unit: int, high: int, pieces: int) -> npt.NDArray[np.int64]:
    """Batches that are constant on ``pieces`` stretches, whose ends are found on at most 500 of the steps."""
    every = -(-a.size // _PLACES)
    chosen = slice(every // 2, None, every)
    share = max(total * a[chosen].size // a.size, unit * a[chosen].size)
    starts = every * _stretches(a[chosen], b[chosen], share, unit, high, pieces)
    return _whole_pieces(a, b, starts, total, unit, high)


def _stretches(a: Array, b: Array, total: int, unit: int, high: int, pieces: int) -> npt.NDArray[np.intp]:
    """Where the stretches begin.

    Dynamic programming at a price a sample finds them; they move while that gains, since the best stretches for a
    given number of samples need not be best at any price.
    """
    levels = np.unique(np.geomspace(unit, high, _LEVELS))
    gains = information(levels[:, None], a, b)

    def chosen(root: float) -> npt.NDArray[np.int64]:
        return _best_levels(gains - levels[:, None] / root**2, pieces)

    level = chosen(_largest(lambda root: levels[chosen(root)].sum() <= total, a, b, high, digits=1e-9))
    starts = np.flatnonzero(np.diff(level, prepend=-1))

    def worth(begin: npt.NDArray[np.intp]) -> float:
        return float(information(_whole_pieces(a, b, begin, total, unit, high), a, b).sum())

    best, stride = worth(starts), a.size // 8
    while stride > 0:
        before = best
        for boundary, move in itertools.product(range(1, starts.size), (-stride, stride)):
            moved = starts.copy()
            moved[boundary] += move
            if (np.diff(np.append(moved, a.size)) > 0).all() and (gain := worth(moved)) > best:
                starts, best = moved, gain
        stride = stride if best > before else stride // 2
    return starts


def _whole_pieces(
    a: Array, b: Array, starts: npt.NDArray[np.intp], total: int, unit: int, high: int
) -> npt.NDArray[np.int64]:
    """The best multiple of ``unit`` for each given stretch: at a price, from its marginal gain, then one by one."""
    sizes = np.diff(np.append(starts, a.size))
    owner = np.repeat(np.arange(sizes.size), sizes)
    top = high // unit

    def gain(count: npt.NDArray[np.int64]) -> Array:
        more, now = ((unit * c)[owner] for c in (count + 1, count))
        return np.add.reduceat(information(more, a, b) - information(now, a, b), starts) / (unit * sizes)

    def counts(root: float) -> npt.NDArray[np.int64]:
        low, up = np.ones(sizes.size, dtype=np.int64), np.full(sizes.size, top)
        while (low < up).any():  # the last count whose last unit is worth its price
            middle = (low + up) // 2
            worth = gain(middle) >= 1.0 / root**2
            low, up = np.where(worth & (low < up), middle + 1, low), np.where(worth, up, middle)
        return low

    count = counts(_largest(lambda root: int(unit * (counts(root) @ sizes)) <= total, a, b, high, digits=1e-9))
    while True:
        fits = (count < top) & (unit * (count @ sizes + sizes) <= total)
        if not fits.any():
            return np.repeat(unit * count, sizes)
        count[np.argmax(np.where(fits, gain(count), -np.inf))] += 1


def _largest(fits: Callable[[float], bool], a: Array, b: Array, top: float, digits: float = 0.0) -> float:
    """The largest mu, one over the root of the price of a sample, at which the batches fit; at most that of ``top``."""
    noisy = b > 0.0
    low, high = 0.0, 2.0 * float(((a * top + b)[noisy] / np.sqrt(b[noisy])).max(initial=1.0))
    if fits(high):
        return high
    while high - low > digits * high:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _top_up(
    found: npt.NDArray[np.int64], a: Array, b: Array, total: int, more: npt.NDArray[np.int64], high: int
) -> npt.NDArray[np.int64]:
    """Spend what is left on the increments that gain most; they tie, or the search ended between two of them."""
    left = total - int(found.sum())
    gain = (information(found + more, a, b) - information(found, a, b)) / more
    result = found.copy()
    for k in np.argsort(-gain, kind="stable").tolist():
        if more[k] <= left and found[k] + more[k] <= high and gain[k] > 0.0:
            result[k] += more[k]
            left -= int(more[k])
    return result


@njit(**JIT)
def _best_levels(profit: Array, pieces: int) -> npt.NDArray[np.int64]:
    """For each step a level, at most ``pieces`` - 1 changes, of the largest summed profit[level, step]."""
    n_levels, n_steps = profit.shape
    best = np.full((pieces, n_levels), -np.inf)
    best[0] = profit[:, 0]
    came = np.full((n_steps, pieces, n_levels), -1, dtype=np.int8)  # -1: the level stays
    for k in range(1, n_steps):
        for p in range(pieces - 1, -1, -1):
            other = -1 if p == 0 else int(np.argmax(best[p - 1]))
            for j in range(n_levels):
                if p > 0 and best[p - 1, other] > best[p, j]:
                    best[p, j] = best[p - 1, other]
                    came[k, p, j] = other
                best[p, j] += profit[j, k]
    chosen = np.empty(n_steps, dtype=np.int64)
    p, level = 0, 0
    for q in range(pieces):
        for j in range(n_levels):
            if best[q, j] > best[p, level]:
                p, level = q, j
    for k in range(n_steps - 1, -1, -1):
        chosen[k] = level
        if came[k, p, level] >= 0:
            level = came[k, p, level]
            p -= 1
    return chosen
