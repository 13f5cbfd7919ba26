# pyright: reportMissingParameterType=false
"""Compiled operations on vectors that the loop needs between two steps."""

import math

import numpy as np
from numba import njit, prange

from lastiterate.theory.base.jit import JIT_PARALLEL

from .protocol import KERNEL, PART, STRIP, SUMS

__all__: list[str] = []  # compiled code, for the simulators alone


@njit(**SUMS)
def norm1(v):
    """Sum of absolute values."""
    total = 0.0
    for j in range(v.size):
        total += abs(v[j])
    return total


@njit(**SUMS)
def dot(a, b):
    """<a, b>."""
    total = 0.0
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@njit(**SUMS)
def squares(v, low, high):
    """Sum of squares of some entries."""
    total = 0.0
    for j in range(np.uint64(low), np.uint64(high)):  # of signed indices Numba tests each for wrapping around
        total += v[j] * v[j]
    return total


@njit(**KERNEL)
def norm2(v):
    """Euclidean norm, summed in strips; not finite as soon as one entry is not."""
    total = 0.0
    for low in range(0, v.size, STRIP):
        total += squares(v, low, min(low + STRIP, v.size))
    return math.sqrt(total)


@njit(**JIT_PARALLEL)
def shared_norm2(v):
    """Euclidean norm as `norm2` has it, to the last digit, with the strips shared among threads."""
    strips = (v.size + STRIP - 1) // STRIP
    parts = np.empty(strips)
    for strip in prange(strips):
        parts[strip] = squares(v, strip * STRIP, min((strip + 1) * STRIP, v.size))
    total = 0.0
    for strip in range(strips):
        total += parts[strip]
    return math.sqrt(total)


@njit(**SUMS)
def distance(a, b):
    """Euclidean distance."""
    total = 0.0
    for j in range(a.size):
        away = a[j] - b[j]
        total += away * away
    return math.sqrt(total)


@njit(**PART)
def add_decay(g, decay, x):
    """g += decay x: weight decay coupled with the gradient."""
    if decay != 0.0:
        for j in range(x.size):
            g[j] += decay * x[j]


@njit(**SUMS)
def move_towards(target, source, share):
    """target += share (source - target)."""
    for j in range(target.size):
        target[j] += share * (source[j] - target[j])


@njit(**SUMS)
def add_moved(x, ratio, after, before):
    """x += ratio (after - before)."""
    for j in range(x.size):
        x[j] += ratio * (after[j] - before[j])


@njit(**SUMS)
def product_with_difference(g, a, b):
    """<g, a - b>."""
    total = 0.0
    for j in range(g.size):
        total += g[j] * (a[j] - b[j])
    return total
