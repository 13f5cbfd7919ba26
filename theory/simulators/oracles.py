# pyright: reportMissingParameterType=false
"""Compiled values and subgradients: one oracle a family of losses and layout of the data (see ``protocol.py``).

Sums over features may be reordered (``reassoc``, ``contract``) so that they vectorise; NaN and infinity stay intact.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from ..numba_options import JIT
from ..problem_core import KINDS

SUMS: dict[str, Any] = {**JIT, "fastmath": {"reassoc", "contract"}}
BLOCK = 64  # rows that share one pass over the gradient
KIND, OUTPUTS, L2, TIE, TOLERANCE = range(5)
ABSOLUTE, HINGE, LOGISTIC, SQUARED = KINDS["absolute"], KINDS["hinge"], KINDS["logistic"], KINDS["squared"]


@njit(**JIT)
def _slope(kind, margin, target):
    """Return the derivative of one sample's loss with respect to its margin a_i x."""
    if kind == LOGISTIC:
        return -target / (1.0 + math.exp(target * margin))
    if kind == HINGE:
        return -target if target * margin < 1.0 else 0.0
    if kind == ABSOLUTE:
        return np.sign(margin - target)
    return margin - target


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


@njit(**SUMS)
def _regularise(l2, x, scale, value, with_value, g):
    """Divide the accumulated gradient by the number of rows and add the l2 term; return the value of the mean."""
    square = 0.0
    for j in range(x.size):
        g[j] = g[j] * scale + l2 * x[j]
    if with_value and l2 > 0.0:
        for j in range(x.size):
            square += x[j] * x[j]
    return value * scale + 0.5 * l2 * square


@njit(**SUMS)
def dense_margin(k, x, rows, values, index, target, params, with_value, work, g):
    """Mean of losses of a_i x (absolute, hinge, logistic, squared), dense rows."""
    kind, d = int(params[KIND]), x.size
    count = rows.size if rows.size else target.size
    g[:] = 0.0
    value = 0.0
    for i in range(count):
        row = rows[i] if rows.size else i
        a = values[row * d : (row + 1) * d]
        margin = 0.0
        for j in range(d):
            margin += a[j] * x[j]
        slope = _slope(kind, margin, target[row])
        for j in range(d):
            g[j] += slope * a[j]
        if with_value:
            value += _loss(kind, margin, target[row])
    return _regularise(params[L2], x, 1.0 / count, value, with_value, g)


@njit(**SUMS)
def sparse_margin(k, x, rows, values, index, target, params, with_value, work, g):
    """Mean of losses of a_i x (absolute, hinge, logistic, squared), CSR rows."""
    kind, n = int(params[KIND]), target.size
    count = rows.size if rows.size else n
    g[:] = 0.0
    value = 0.0
    for i in range(count):
        row = rows[i] if rows.size else i
        start, stop = index[row], index[row + 1]
        margin = 0.0
        for j in range(start, stop):
            margin += values[j] * x[index[n + 1 + j]]
        slope = _slope(kind, margin, target[row])
        for j in range(start, stop):
            g[index[n + 1 + j]] += slope * values[j]
        if with_value:
            value += _loss(kind, margin, target[row])
    return _regularise(params[L2], x, 1.0 / count, value, with_value, g)


@njit(**SUMS)
def _softmax_slopes(margins, label):
    """Turn the margins of one sample into softmax minus the unit vector of its class; return its loss."""
    top, total = margins[0], 0.0
    for c in range(margins.size):
        top = max(top, margins[c])
    chosen = margins[label] - top
    for c in range(margins.size):
        margins[c] = math.exp(margins[c] - top)
        total += margins[c]
    for c in range(margins.size):
        margins[c] /= total
    margins[label] -= 1.0
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
        value += _softmax_slopes(margins, int(target[row]))
        for c in range(classes):
            block, slope = g[c * p : (c + 1) * p], margins[c]
            for j in range(p):
                block[j] += slope * a[j]
    return _regularise(params[L2], x, 1.0 / count, value, with_value, g)


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
        value += _softmax_slopes(margins, int(target[row]))
        for c in range(classes):
            for j in range(start, stop):
                g[c * p + index[n + 1 + j]] += margins[c] * values[j]
    return _regularise(params[L2], x, 1.0 / count, value, with_value, g)


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
    return _regularise(params[L2], x, 1.0, best, with_value, g)


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
    return _regularise(params[L2], x, 1.0, best, with_value, g)


_FAMILY = {
    "max_affine": (dense_max_affine, sparse_max_affine),
    "softmax": (dense_softmax, sparse_softmax),
}


def oracle_of(kind: str, sparse: bool) -> Any:
    """Return the compiled oracle for a kind of problem and layout of its data."""
    return _FAMILY.get(kind, (dense_margin, sparse_margin))[sparse]
