# pyright: reportMissingParameterType=false
"""Compiled values and subgradients: one oracle a family of losses and layout of the data (see ``protocol.py``).

Rows are handled in blocks: all margins, then all slopes, then the sum of slope times row, so that each loop vectorises.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from ..numba_options import JIT
from ..problem_core import KINDS
from .protocol import SUMS

BLOCK, TILE = 64, 1 << 14  # rows a block, columns a tile
MEDIUM, WIDE = 1 << 11, 1 << 19  # between these widths blocks of four rows stay in a cache for their second pass
KIND, OUTPUTS, L2, TIE, TOLERANCE = range(5)
ABSOLUTE, HINGE, LOGISTIC, SQUARED = KINDS["absolute"], KINDS["hinge"], KINDS["logistic"], KINDS["squared"]


@njit(**JIT)
def _loss(kind, margin, target):
    """Return one sample's loss."""
    if kind == LOGISTIC:
        z = target * margin
        return math.log1p(math.exp(-abs(z))) + max(0.0, -z)
    if kind == HINGE:
        return max(0.0, 1.0 - target * margin)
    if kind == ABSOLUTE:
        return abs(margin - target)
    return 0.5 * (margin - target) ** 2


@njit(**JIT)
def _slopes(kind, rows, first, size, target, scale, with_value, work):
    """Turn the margins in ``work[:size]`` into ``scale`` times the derivatives; return the sum of the losses."""
    value = 0.0
    for i in range(size):
        label, margin = target[rows[first + i]] if rows.size else target[first + i], work[i]
        if with_value:
            value += _loss(kind, margin, label)
        if kind == LOGISTIC:
            work[i] = -scale * label / (1.0 + math.exp(label * margin))
        elif kind == HINGE:
            work[i] = -scale * label if label * margin < 1.0 else 0.0
        elif kind == ABSOLUTE:
            work[i] = scale * np.sign(margin - label)
        else:
            work[i] = scale * (margin - label)
    return value


@njit(**SUMS)
def _regularised(l2, x, value, g):
    """Add the gradient of the l2 term to g; return the value with it."""
    square = 0.0
    if l2 > 0.0:
        for j in range(x.size):
            g[j] += l2 * x[j]
            square += x[j] * x[j]
    return value + 0.5 * l2 * square


@njit(**JIT)
def _start(rows, i, d):
    """Return where row i of the batch begins; unsigned, because Numba tests signed indices for wrapping around."""
    return np.uint64(rows[i] if rows.size else i) * np.uint64(d)


@njit(**SUMS)
def _products(values, rows, first, size, x, work):
    """Write a_i x for the rows of a block into ``work[:size]``: four rows at a time, tile by tile of x."""
    d, fours = x.size, size - size % 4
    for i in range(size):
        work[i] = 0.0
    for low in range(0, d, TILE):
        high = min(low + TILE, d)
        for i in range(0, fours, 4):
            a, b = _start(rows, first + i, d), _start(rows, first + i + 1, d)
            c, e = _start(rows, first + i + 2, d), _start(rows, first + i + 3, d)
            s, t, u, v = 0.0, 0.0, 0.0, 0.0
            for j in range(low, high):
                q = np.uint64(j)
                s += values[a + q] * x[q]
                t += values[b + q] * x[q]
                u += values[c + q] * x[q]
                v += values[e + q] * x[q]
            work[i] += s
            work[i + 1] += t
            work[i + 2] += u
            work[i + 3] += v
        for i in range(fours, size):
            a, s = _start(rows, first + i, d), 0.0
            for j in range(low, high):
                q = np.uint64(j)
                s += values[a + q] * x[q]
            work[i] += s


@njit(**SUMS)
def _combine(values, rows, first, size, work, g):
    """Add the rows of a block, each times its slope in ``work``, to g: four rows at a time, tile by tile of g.

    Backwards, because the last tiles that `_products` read may still be in a cache.
    """
    d, fours = g.size, size - size % 4
    for tile in range((d - 1) // TILE, -1, -1):
        low = tile * TILE
        high = min(low + TILE, d)
        for i in range(0, fours, 4):
            a, b = _start(rows, first + i, d), _start(rows, first + i + 1, d)
            c, e = _start(rows, first + i + 2, d), _start(rows, first + i + 3, d)
            s, t, u, v = work[i], work[i + 1], work[i + 2], work[i + 3]
            for j in range(low, high):
                q = np.uint64(j)
                g[q] += s * values[a + q] + t * values[b + q] + u * values[c + q] + v * values[e + q]
        for i in range(fours, size):
            a, s = _start(rows, first + i, d), work[i]
            for j in range(low, high):
                q = np.uint64(j)
                g[q] += s * values[a + q]


@njit(**SUMS)
def dense_margin(k, x, rows, values, index, target, params, with_value, work, g):
    """Mean of losses of a_i x (absolute, hinge, logistic, squared), dense rows."""
    kind = int(params[KIND])
    count = rows.size if rows.size else target.size
    block = 4 if MEDIUM <= x.size < WIDE else BLOCK
    for j in range(x.size):
        g[j] = 0.0
    value, first = 0.0, 0
    while first < count:
        size = min(block, count - first)
        _products(values, rows, first, size, x, work)
        value += _slopes(kind, rows, first, size, target, 1.0 / count, with_value, work)
        _combine(values, rows, first, size, work, g)
        first += size
    return _regularised(params[L2], x, value / count, g)


@njit(**SUMS)
def sparse_margin(k, x, rows, values, index, target, params, with_value, work, g):
    """Mean of losses of a_i x (absolute, hinge, logistic, squared), CSR rows."""
    kind, n = int(params[KIND]), target.size
    count = rows.size if rows.size else n
    for j in range(x.size):
        g[j] = 0.0
    value, first = 0.0, 0
    while first < count:
        size = min(BLOCK, count - first)
        for i in range(size):
            row = rows[first + i] if rows.size else first + i
            margin = 0.0
            for j in range(index[row], index[row + 1]):
                margin += values[j] * x[index[n + 1 + j]]
            work[i] = margin
        value += _slopes(kind, rows, first, size, target, 1.0 / count, with_value, work)
        for i in range(size):
            row = rows[first + i] if rows.size else first + i
            for j in range(index[row], index[row + 1]):
                g[index[n + 1 + j]] += work[i] * values[j]
        first += size
    return _regularised(params[L2], x, value / count, g)


@njit(**SUMS)
def _softmax_slopes(margins, label, scale):
    """Turn the margins of one sample into ``scale`` times its slopes, softmax minus the class; return its loss."""
    top, total = margins[0], 0.0
    for c in range(margins.size):
        top = max(top, margins[c])
    chosen = margins[label] - top
    for c in range(margins.size):
        margins[c] = math.exp(margins[c] - top)
        total += margins[c]
    for c in range(margins.size):
        margins[c] *= scale / total
    margins[label] -= scale
    return math.log(total) - chosen


@njit(**SUMS)
def dense_softmax(k, x, rows, values, index, target, params, with_value, work, g):
    """Mean multinomial logistic loss; x holds one block of p numbers per class; dense rows."""
    classes = int(params[OUTPUTS])
    p = x.size // classes
    count = rows.size if rows.size else target.size
    margins = work[:classes]
    g[:] = 0.0
    value = 0.0
    for i in range(count):
        row = rows[i] if rows.size else i
        a = values[row * p : (row + 1) * p]
        for c in range(classes):
            block = x[c * p : (c + 1) * p]
            margin = 0.0
            for j in range(p):
                margin += a[j] * block[j]
            margins[c] = margin
        value += _softmax_slopes(margins, int(target[row]), 1.0 / count)
        for c in range(classes):
            block, slope = g[c * p : (c + 1) * p], margins[c]
            for j in range(p):
                block[j] += slope * a[j]
    return _regularised(params[L2], x, value / count, g)


@njit(**SUMS)
def sparse_softmax(k, x, rows, values, index, target, params, with_value, work, g):
    """Mean multinomial logistic loss; x holds one block of p numbers per class; CSR rows."""
    classes, n = int(params[OUTPUTS]), target.size
    p = x.size // classes
    count = rows.size if rows.size else n
    margins = work[:classes]
    g[:] = 0.0
    value = 0.0
    for i in range(count):
        row = rows[i] if rows.size else i
        start, stop = index[row], index[row + 1]
        for c in range(classes):
            margins[c] = 0.0
            for j in range(start, stop):
                margins[c] += values[j] * x[c * p + index[n + 1 + j]]
        value += _softmax_slopes(margins, int(target[row]), 1.0 / count)
        for c in range(classes):
            for j in range(start, stop):
                g[c * p + index[n + 1 + j]] += margins[c] * values[j]
    return _regularised(params[L2], x, value / count, g)


@njit(**JIT)
def _dense_piece(i, x, values, offset):
    """Return the value of the affine piece i, summed in the order of the features."""
    total = 0.0
    for j in range(x.size):
        total += values[i * x.size + j] * x[j]
    return total + offset[i]


@njit(**JIT)
def dense_max_affine(k, x, rows, values, index, target, params, with_value, work, g):
    """Maximum of a_i x + b_i, dense rows; with ``tie`` set, piece k whenever it is active within the tolerance."""
    d, top, best = x.size, 0, -np.inf
    for i in range(target.size):
        piece = _dense_piece(i, x, values, target)
        if piece > best:
            top, best = i, piece
    slack = params[TOLERANCE] * (1.0 + abs(best))
    if params[TIE] > 0.0 and k < target.size and _dense_piece(k, x, values, target) >= best - slack:
        top = k
    for j in range(d):
        g[j] = values[top * d + j]
    return _regularised(params[L2], x, best, g)


@njit(**JIT)
def _sparse_piece(i, x, values, index, offset):
    """Return the value of the affine piece i."""
    total, n = 0.0, offset.size
    for j in range(index[i], index[i + 1]):
        total += values[j] * x[index[n + 1 + j]]
    return total + offset[i]


@njit(**JIT)
def sparse_max_affine(k, x, rows, values, index, target, params, with_value, work, g):
    """Maximum of a_i x + b_i, CSR rows; with ``tie`` set, piece k whenever it is active within the tolerance."""
    n, top, best = target.size, 0, -np.inf
    for i in range(n):
        piece = _sparse_piece(i, x, values, index, target)
        if piece > best:
            top, best = i, piece
    slack = params[TOLERANCE] * (1.0 + abs(best))
    if params[TIE] > 0.0 and k < n and _sparse_piece(k, x, values, index, target) >= best - slack:
        top = k
    g[:] = 0.0
    for j in range(index[top], index[top + 1]):
        g[index[n + 1 + j]] = values[j]
    return _regularised(params[L2], x, best, g)


_FAMILY = {
    "max_affine": (dense_max_affine, sparse_max_affine),
    "softmax": (dense_softmax, sparse_softmax),
}


def oracle_of(kind: str, sparse: bool) -> Any:
    """Return the compiled oracle for a kind of problem and layout of its data."""
    return _FAMILY.get(kind, (dense_margin, sparse_margin))[sparse]
