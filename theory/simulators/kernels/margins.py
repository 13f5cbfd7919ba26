# pyright: reportMissingParameterType=false
"""Compiled values and subgradients of means of losses of a_i x: absolute, hinge, logistic, squared; dense and CSR rows.

Rows are handled in blocks: all margins, then all slopes, then the sum of slope times row, eight rows at a time (see
``rows.py``). Dense rows from `WIDE` columns on are in ``wide.py``.
"""

import math
from functools import cache
from typing import Any

import numpy as np
from numba import float64, njit
from numba.extending import intrinsic

from lastiterate.theory.problems.losses import KINDS

from .logistic import AT_ONCE, logistic_losses, logistic_slopes
from .protocol import L2, PART, SUMS
from .rows import add_rows, fetch_rows, set_products

__all__: list[str] = []  # compiled code, for the simulators alone

BLOCK, WORK = 64, 192  # rows a block, numbers of scratch
MEDIUM, WIDE = 1 << 11, 1 << 16  # from these widths on only eight rows stay in a cache between passes, and fewer
CACHED = 1 << 17  # numbers that stay in a cache of a core
VECTORISED = ("absolute", "hinge", "logistic", "squared")
ABSOLUTE, HINGE, LOGISTIC, SQUARED = (KINDS[name] for name in VECTORISED)
U = np.uint64  # of indices: Numba tests signed ones for wrapping around


@njit(**PART)
def row_of(rows, i):
    """Return the number of row i of the batch."""
    return U(rows[i]) if rows.size else i


@njit(**PART)
def copy_labels(target, rows, first, size, work):
    """Copy the targets of a block to where `to_slopes` reads them, early: what was just written is slow to read."""
    for i in range(size):
        work[U(BLOCK) + i] = target[row_of(rows, first + i)]


@intrinsic
def _times(typing_context, a: Any = None, b: Any = None):
    """Return a * b; where sums may be reordered, LLVM would divide by the count instead of taking its reciprocal."""

    def codegen(context, builder, signature, arguments):
        return builder.fmul(*arguments, flags=("contract",))

    return float64(float64, float64), codegen


def slopes_of(kind, size, scale, with_value, work):
    """Turn the margins in ``work[:size]`` into ``scale`` times the derivatives; return the sum of the losses."""
    value = 0.0
    if kind == LOGISTIC:
        if with_value:
            for i in range(U(BLOCK)):
                work[U(2 * BLOCK) + i] = work[i] * work[U(BLOCK) + i]
            for i in range(U(0), size, U(AT_ONCE)):
                logistic_losses(work, U(2 * BLOCK) + i)
            for i in range(size):
                value += work[U(2 * BLOCK) + i]
        for i in range(U(0), size, U(AT_ONCE)):
            logistic_slopes(work, i, U(BLOCK) + i, scale)
    else:
        for i in range(size):
            label, margin = work[U(BLOCK) + i], work[i]
            if kind == HINGE:
                slack = 1.0 - label * margin
                value += 0.0 if slack <= 0.0 else slack
                slope = 0.0 if slack <= 0.0 else -scale * label
                work[i] = slope if math.isfinite(slack) else math.nan  # an overflowed margin stays visible
            elif kind == ABSOLUTE:
                value += abs(margin - label)
                work[i] = scale * np.sign(margin - label)
            else:
                value += 0.5 * ((margin - label) * (margin - label))
                work[i] = _times(scale, margin - label)
    return value


to_slopes = njit(**PART)(slopes_of)


@njit(**PART)
def regularised(l2, x, value, g):
    """Add the gradient of the l2 term to g, unless that is empty; return the value with it."""
    square = 0.0
    if l2 > 0.0:
        for j in range(x.size):
            square += x[j] * x[j]
        for j in range(g.size):
            g[j] += l2 * x[j]
    return value + 0.5 * l2 * square


@cache
def dense_margin(kind: int) -> Any:
    """Return the oracle of one loss for dense rows: with the others, it would take twice as long to compile."""

    @njit(**SUMS)
    def dense_margin(k, x, rows, values, index, target, params, with_value, work, g):
        d, stride = U(x.size), U(index[0])
        count, block = U(rows.size if rows.size else target.size), U(BLOCK if x.size < MEDIUM else 8)
        value, first, scale = 0.0, U(0), 1.0 / count
        while first < count:
            size = count - first
            if size > block:
                size = block
            copy_labels(target, rows, first, size, work)
            if rows.size and values.size > CACHED:
                fetch_rows(values, stride, rows, first, size, d)
            set_products(values, stride, rows, first, size, x, U(0), d, work)
            value += to_slopes(kind, size, scale, with_value, work)
            if g.size:
                add_rows(values, stride, rows, first, size, work, U(0), d, g)
            first += size
        return regularised(params[L2], x, value / count, g)

    return dense_margin


@cache
def sparse_margin(kind: int) -> Any:
    """Return the oracle of one loss for CSR rows."""

    @njit(**SUMS)
    def sparse_margin(k, x, rows, values, index, target, params, with_value, work, g):
        columns = index[target.size + 1 :]
        count = U(rows.size if rows.size else target.size)
        for j in range(g.size):
            g[j] = 0.0
        value, first, scale = 0.0, U(0), 1.0 / count
        while first < count:
            size = count - first
            if size > U(BLOCK):
                size = U(BLOCK)
            copy_labels(target, rows, first, size, work)
            for i in range(size):
                row = row_of(rows, first + i)
                margin = 0.0
                for j in range(index[row], index[row + U(1)]):
                    margin += values[j] * x[columns[j]]
                work[i] = margin
            value += to_slopes(kind, size, scale, with_value, work)
            for i in range(size if g.size else U(0)):
                row = row_of(rows, first + i)
                for j in range(index[row], index[row + U(1)]):
                    g[columns[j]] += work[i] * values[j]
            first += size
        return regularised(params[L2], x, value / count, g)

    return sparse_margin
