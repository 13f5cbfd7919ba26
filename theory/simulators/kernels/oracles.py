# pyright: reportMissingParameterType=false
"""Compiled values and subgradients: one oracle a family of losses and layout of the data (see ``protocol.py``).

The losses of a_i x are in ``margins.py``; here are multinomial logistic regression and maxima of affine pieces.
Numba does not notice edits of `regularised` in the cache of the functions here.
"""

import math
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.losses import KINDS, LOSSES

from .margins import VECTORISED, WIDE, dense_margin, regularised, sparse_margin
from .protocol import KERNEL, L2, OUTPUTS, SUMS, TIE, TOLERANCE
from .wide import shared_margin, threads_start_quickly, wide_margin

__all__: list[str] = []  # compiled code, for the simulators alone


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
        start = row * index[0]
        a = values[start : start + p]
        for c in range(classes):
            block = x[c * p : (c + 1) * p]
            margin = 0.0
            for j in range(p):
                margin += a[j] * block[j]
            margins[c] = margin
        value += _softmax_slopes(margins, int(target[row]), 1.0 / count)
        for c in range(classes if g.size else 0):
            block, slope = g[c * p : (c + 1) * p], margins[c]
            for j in range(p):
                block[j] += slope * a[j]
    return regularised(params[L2], x, value / count, g)


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
        for c in range(classes if g.size else 0):
            for j in range(start, stop):
                g[c * p + index[n + 1 + j]] += margins[c] * values[j]
    return regularised(params[L2], x, value / count, g)


@njit(**KERNEL)
def _dense_piece(i, x, values, stride, offset):
    """Return the value of the affine piece i, summed in the order of the features."""
    total = 0.0
    for j in range(x.size):
        total += values[i * stride + j] * x[j]
    return total + offset[i]


@njit(**KERNEL)
def dense_max_affine(k, x, rows, values, index, target, params, with_value, work, g):
    """Maximum of a_i x + b_i, dense rows; with ``tie`` set, piece k whenever it is active within the tolerance."""
    stride, top, best = index[0], 0, -np.inf
    for i in range(target.size):
        piece = _dense_piece(i, x, values, stride, target)
        if not piece <= best:  # a NaN stays
            top, best = i, piece
    slack = params[TOLERANCE] * (1.0 + abs(best))
    if params[TIE] > 0.0 and k < target.size and _dense_piece(k, x, values, stride, target) >= best - slack:
        top = k
    for j in range(g.size):
        g[j] = values[top * stride + j]
    return regularised(params[L2], x, best, g)


@njit(**KERNEL)
def _sparse_piece(i, x, values, index, offset):
    """Return the value of the affine piece i."""
    total, n = 0.0, offset.size
    for j in range(index[i], index[i + 1]):
        total += values[j] * x[index[n + 1 + j]]
    return total + offset[i]


@njit(**KERNEL)
def sparse_max_affine(k, x, rows, values, index, target, params, with_value, work, g):
    """Maximum of a_i x + b_i, CSR rows; with ``tie`` set, piece k whenever it is active within the tolerance."""
    n, top, best = target.size, 0, -np.inf
    for i in range(n):
        piece = _sparse_piece(i, x, values, index, target)
        if not piece <= best:  # a NaN stays
            top, best = i, piece
    slack = params[TOLERANCE] * (1.0 + abs(best))
    if params[TIE] > 0.0 and k < n and _sparse_piece(k, x, values, index, target) >= best - slack:
        top = k
    g[:] = 0.0
    for j in range(index[top], index[top + 1] if g.size else 0):
        g[index[n + 1 + j]] = values[j]
    return regularised(params[L2], x, best, g)


@njit(**KERNEL)
def chain_pieces(k, x, rows, values, index, target, params, with_value, work, g):
    """Maximum of 0 and the pieces of a chain; piece k, or the last one, whenever it is active within the tolerance."""
    n, stride = x.size, index[0]
    alpha, beta = values[:n], values[stride : stride + n]
    wanted = min(k, n - 1)
    top, best, asked, before = n, 0.0, 0.0, 0.0
    for t in range(n):
        piece = before + beta[t] * x[t]
        before += alpha[t] * x[t]
        if t == wanted:
            asked = piece
        if not piece <= best:  # a NaN stays
            top, best = t, piece
    if asked >= best - params[TOLERANCE]:
        top = wanted
    for j in range(g.size):
        g[j] = 0.0 if j > top else alpha[j]
    if g.size and top < n:
        g[top] = beta[top]
    elif g.size:
        g[:] = 0.0
    return best


_FAMILY = {
    "chain": (chain_pieces, chain_pieces),
    "max_affine": (dense_max_affine, sparse_max_affine),
    "softmax": (dense_softmax, sparse_softmax),
}


@cache
def plain_oracle(kind: str, sparse: bool) -> Any:
    """Return the oracle of a loss from its scalar form: a reference for the vector kernels, and what others run on."""
    scalar = LOSSES[kind].scalar
    if scalar is None:
        raise InputError("kind", kind, "a loss with a scalar form")
    loss = njit(nogil=True, error_model="numpy")(scalar)

    @njit(nogil=True, error_model="numpy")
    def dense(k, x, rows, values, index, target, params, with_value, work, g):
        stride, count = index[0], rows.size if rows.size else target.size
        value = 0.0
        g[:] = 0.0
        for i in range(count):
            row = rows[i] if rows.size else i
            margin = 0.0
            for j in range(x.size):
                margin += values[row * stride + j] * x[j]
            one, slope = loss(margin, target[row])
            value += one
            for j in range(g.size):
                g[j] += slope / count * values[row * stride + j]
        return regularised(params[L2], x, value / count, g)

    @njit(nogil=True, error_model="numpy")
    def compressed(k, x, rows, values, index, target, params, with_value, work, g):
        n, count = target.size, rows.size if rows.size else target.size
        value = 0.0
        g[:] = 0.0
        for i in range(count):
            row = rows[i] if rows.size else i
            margin = 0.0
            for j in range(index[row], index[row + 1]):
                margin += values[j] * x[index[n + 1 + j]]
            one, slope = loss(margin, target[row])
            value += one
            for j in range(index[row], index[row + 1] if g.size else index[row]):
                g[index[n + 1 + j]] += slope / count * values[j]
        return regularised(params[L2], x, value / count, g)

    return compressed if sparse else dense


def oracle_of(kind: str, sparse: bool, width: int, alone: bool = False) -> Any:
    """Return the compiled oracle for a kind of problem, layout and width of data; a run alone has all threads."""
    if kind in _FAMILY:
        return _FAMILY[kind][sparse]
    if kind not in VECTORISED:
        return plain_oracle(kind, sparse)
    if sparse:
        return sparse_margin(KINDS[kind])
    if width < WIDE:
        return dense_margin(KINDS[kind])
    return shared_margin if alone and threads_start_quickly() else wide_margin
