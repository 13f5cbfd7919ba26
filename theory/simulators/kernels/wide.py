# pyright: reportMissingParameterType=false
"""Compiled values and subgradients of means of losses of a_i x: dense rows so wide that memory sets the pace.

A few rows are read for their margins and, while they are still in the shared cache, again for the gradient. The columns
fall into strips, whose order fixes every sum; each thread keeps to strips of its own in both passes, so that no number
moves between the caches of two cores. Numba does not notice edits of ``margins.py`` and ``rows.py`` in the cache of the
functions here.
"""

from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads
from numba.np.ufunc import threading_layer

from .margins import copy_labels, slopes_of
from .protocol import KERNEL, KIND, L2, STRIP, SUMS, named
from .rows import add_wide_rows, set_wide_products
from .vectors import shared_norm2

__all__: list[str] = []  # compiled code, for the simulators alone

NUMBERS, MOST = 1 << 20, 16  # so many numbers stay in the shared cache between passes; more rows gain nothing
ALLOCATES: dict[str, Any] = {**SUMS, "_nrt": True}
U = np.uint64

to_slopes = njit(**SUMS)(named(slopes_of, "to_slopes"))  # all losses: few wait for it


@njit(**KERNEL)
def _rows_at_once(d):
    """Return how many rows, a power of two, are read for their margins before they are read again."""
    count = MOST
    while count > 2 and count * d > NUMBERS:
        count //= 2
    return count


@njit(**SUMS)
def _regularise(l2, x, low, high, g):
    """Add the gradient of the l2 term to g over some columns, unless it is empty; return the sum of their squares."""
    square = 0.0
    for j in range(U(low), U(high)):
        square += x[j] * x[j]
    for j in range(U(low), U(high if g.size else low)):
        g[j] += l2 * x[j]
    return square


@njit(**KERNEL)
def _total(parts, i):
    """Sum column i of the parts in the order of the strips."""
    total = 0.0
    for strip in range(parts.shape[0]):
        total += parts[strip, i]
    return total


def _margin(k, x, rows, values, index, target, params, with_value, work, g):
    """Dense rows; strips of columns are shared among threads."""
    kind, l2, d, stride = int(params[KIND]), params[L2], U(x.size), U(index[0])
    count = U(rows.size if rows.size else target.size)
    block, strips = U(_rows_at_once(x.size)), (x.size + STRIP - 1) // STRIP
    parts = np.empty((strips, MOST))
    value, first, scale = 0.0, U(0), 1.0 / count
    while first < count:
        size = min(block, count - first)
        copy_labels(target, rows, first, size, work)
        for strip in prange(strips):
            low = U(strip * STRIP)
            set_wide_products(values, stride, rows, first, size, x, low, min(low + U(STRIP), d), parts[strip])
        for i in range(size):
            work[i] = _total(parts, i)
        value += to_slopes(kind, size, scale, with_value, work)
        if g.size:
            for strip in prange(strips):
                low = U(strip * STRIP)
                add_wide_rows(values, stride, rows, first, size, work, low, min(low + U(STRIP), d), g)
        first += size
    value /= count
    if l2 > 0.0:
        for strip in prange(strips):
            parts[strip, 0] = _regularise(l2, x, strip * STRIP, min((strip + 1) * STRIP, x.size), g)
        value += 0.5 * l2 * _total(parts, 0)
    return value


wide_margin = njit(**ALLOCATES)(named(_margin, "wide_margin"))
shared_margin = njit(**ALLOCATES, parallel=True)(named(_margin, "shared_margin"))


def threads_start_quickly() -> bool:
    """Whether threads share work within microseconds; Numba's own pool, where OpenMP is missing, takes far longer."""
    before = get_num_threads()
    set_num_threads(1)  # threads that this one leaves behind would hinder others
    shared_norm2(np.zeros(1))  # only with the first work does Numba choose
    set_num_threads(before)
    return threading_layer() != "workqueue"
