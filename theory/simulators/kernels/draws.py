# pyright: reportMissingParameterType=false
"""Compiled random numbers of a run: its batches and its noise, from counters that its seed alone sets.

``draw(random, batch, order, picks, n)`` puts the rows of the next batch into ``order`` and returns where they begin.
``disturb(random, scale, g)`` adds noise to the gradient.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import float64, int64, njit, types, uint64

from .protocol import KERNEL, PART, Rows, Vector
from .views import part

__all__: list[str] = []  # compiled code, for the simulators alone

DRAW = int64(uint64[::1], int64, Rows, Rows, int64)
NOISE = types.void(uint64[::1], float64, Vector)

FULL, REPLACEMENT, PERMUTATION = 0, 1, 2
PICKS = 64  # numbers drawn ahead of the swaps of a shuffle
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


def _mix(z):
    """Return 64 bits that look random, different for every z (SplitMix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


_mixed = njit(**PART)(_mix)


def seeded(seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return where the counters of every run begin, uint64[runs, 2]: for its batches and for its noise."""
    first = _mix(seeds + GOLDEN) + GOLDEN
    return np.column_stack([first, _mix(first)])


@njit(**PART)
def next_bits(random):
    """Advance the generator held in ``random[0]`` and return 64 fresh bits."""
    random[0] += GOLDEN
    return _mixed(random[0])


@njit(**PART)
def _scaled(bits, n):
    """Return an integer in 0..n-1 (bias below n / 2^32)."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(**KERNEL)
def add_noise(random, scale, g):
    """Add Gaussian noise with E ||noise||^2 = scale^2 to the gradient (Box-Muller)."""
    unit, size = 2.0**-53, scale / math.sqrt(g.size)
    for j in range(0, g.size, 2):
        radius = size * math.sqrt(-2.0 * math.log((np.float64(next_bits(random) >> np.uint64(11)) + 1.0) * unit))
        angle = 2.0 * math.pi * np.float64(next_bits(random) >> np.uint64(11)) * unit
        g[j] += radius * math.cos(angle)
        if j + 1 < g.size:
            g[j + 1] += radius * math.sin(angle)


@njit(**PART)
def _shuffle(random, order, picks, n):
    """Shuffle order[:n] (Fisher and Yates); numbers are drawn ahead of the swaps, so that their loop vectorises."""
    last = n - 1
    while last > 0:
        state, count = random[0], picks.size
        if count > last:
            count = last
        for i in range(count):
            picks[i] = _scaled(_mixed(state + np.uint64(i + 1) * GOLDEN), last - i + 1)
        random[0] = state + np.uint64(count) * GOLDEN
        for i in range(count):
            order[last - i], order[picks[i]] = order[picks[i]], order[last - i]
        last -= count


@njit(**KERNEL)
def by_replacement(random, batch, order, picks, n):
    """Draw a batch into ``order`` with replacement; it begins at 0."""
    state = random[0]  # the numbers of a counter do not wait for each other, so this loop vectorises
    for i in range(batch):
        order[i] = _scaled(_mixed(state + np.uint64(i + 1) * GOLDEN), n)
    random[0] = state + np.uint64(batch) * GOLDEN
    return np.int64(0)  # of the declared type: Numba 0.60 takes a literal for another one


@njit(**KERNEL)
def by_permutation(random, batch, order, picks, n):
    """Return where in ``order`` the next batch begins; the order is shuffled anew at the start of every epoch.

    ``picks[0]`` is where this batch begins; the other numbers are scratch.
    """
    start = picks[0]
    if start == 0:
        _shuffle(random, order, part(picks, 1, picks.size), n)
    picks[0] = start + batch if start + batch < n else 0
    return start
