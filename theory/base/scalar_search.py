r"""Global minimisation of a positive function of one scale parameter, with a certified tolerance.

Every bound of this folder has one free scale sigma > 0 and is a sum V of terms exp(c phi(tau)), tau = log sigma, each
phi being (a difference of) logarithms of maps sigma -> s(sigma) that send the right half plane into itself:
s -> s + h / s for the exact rate, u -> t + u for Theorem 10. By the Schwarz-Pick lemma on the strip |Im tau| < pi/2,

    |phi'| <= 1   and   |phi''| <= 1 - phi'^2   on the real axis,

(for s -> s + h / s a two-line induction: with r = d log s / d tau and u = (s - w) / (s + w) in [-1, 1], w = h / s, the
next r is r u, its derivative r' u + r^2 (1 - u^2), and |r'| <= 1 - r^2 gives |r' u + r^2 (1 - u^2)| <= 1 - r^2 u^2).
Hence V'' <= growth^2 V with growth = 2 for sums of s^2 and s^-2, 4 for products of two of these, 1 for sums of u and
1 / (t + u), 2 for their products.

Two consequences make the search global instead of hopeful:

* Between two points V lies above the solution of y'' = growth^2 y through them (maximum principle), so a cell of a
  grid is discarded only when it provably holds no better value.
* V is analytic in the strip and grows there by known factors, so 16 Chebyshev nodes on a short cell determine it to
  1e-14, relative; the minimiser on what the grid left over is the minimiser of that polynomial.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from .validation import Array

__all__ = ["ScalarMinimum", "global_minimum"]

Objective = Callable[[Array], Array]

_NODES = 16
_ANGLES = (np.arange(_NODES) + 0.5) * (np.pi / _NODES)
_CHEBYSHEV_POINTS = np.cos(_ANGLES)[::-1].copy()
_TO_COEFFICIENTS = (2.0 / _NODES) * np.cos(np.outer(np.arange(_NODES), _ANGLES[::-1]))
_TO_COEFFICIENTS[0] /= 2.0
_NOISE = 1e-25  # of the largest coefficient: far below the rounding errors of all of them
_LANES = 8  # evaluations come in multiples of this: the kernels work on that many values at once


class ScalarMinimum(NamedTuple):
    """A minimiser, the value there, and how far below it the global minimum can be, relative."""

    point: float
    value: float
    tolerance: float


def global_minimum(
    objective: Objective, low: float, high: float, growth: float, *, unimodal: bool = False
) -> ScalarMinimum:
    """Minimise a positive V with V'' <= growth^2 V over [low, high]; ``objective`` maps arrays to arrays.

    For a ``unimodal`` V only the cells beside the best point stay in play.
    """
    width = min(0.25, 0.5 / growth)
    count = 2 * _LANES if unimodal else _LANES * math.ceil(max(1.0, growth * (high - low)) / _LANES)
    points = np.linspace(low, high, count)
    values = objective(points)
    while True:
        gaps = np.diff(points)
        best = int(np.argmin(values))
        if unimodal:
            alive = np.abs(np.arange(gaps.size) + 0.5 - best) < 1.0
        else:
            alive = _cell_floor(values[:-1], values[1:], growth * gaps) < values[best]
        wide = np.flatnonzero(alive & (gaps > width / 4.0))
        if wide.size == 0:
            break
        parts = max(2, (2 if unimodal else 4) * _LANES // wide.size)
        inner = (points[wide, None] + gaps[wide, None] * (np.arange(1, parts) / parts)).ravel()
        order = np.searchsorted(points, inner)
        points = np.insert(points, order, inner)
        values = np.insert(values, order, objective(inner))
    cells = _merged(points, alive, width)
    if len(cells) == 0:
        return ScalarMinimum(float(points[best]), float(values[best]), 0.0)
    centres, radii = (cells[:, 1] + cells[:, 0]) / 2.0, (cells[:, 1] - cells[:, 0]) / 2.0
    nodes = centres[:, None] + radii[:, None] * _CHEBYSHEV_POINTS
    samples = objective(nodes.ravel()).reshape(nodes.shape)
    lowest = [_polynomial_minimum(_TO_COEFFICIENTS @ row) for row in samples]
    candidates = centres + radii * np.array([x for x, _ in lowest])
    reached = objective(candidates)
    winner = int(np.argmin(reached))
    point, value = float(candidates[winner]), float(reached[winner])
    if values[best] < value:
        point, value = float(points[best]), float(values[best])
    floor = min(y for _, y in lowest)
    return ScalarMinimum(point, value, max(0.0, value - floor) / value + _interpolation_error(width / 2.0, growth))


def _cell_floor(left: Array, right: Array, span: Array) -> Array:
    """Least value of the solution of y'' = y with the given values at the two ends of each span."""
    with np.errstate(all="ignore"):  # infinite ends, and logarithms that np.where does not use
        rising = (right - left * np.exp(-span)) / (2.0 * np.sinh(span))
        falling = (left * np.exp(span) - right) / (2.0 * np.sinh(span))
        turning = 0.5 * np.log(falling / rising)
        inside = (rising > 0.0) & (falling > 0.0) & (turning > 0.0) & (turning < span)
        return np.where(inside, 2.0 * np.sqrt(rising) * np.sqrt(falling), np.fmin(left, right))


def _merged(points: Array, alive: np.ndarray, width: float) -> Array:
    """Join neighbouring live cells into intervals of at most the given width."""
    cells: list[list[float]] = []
    for index in np.flatnonzero(alive):
        start, stop = float(points[index]), float(points[index + 1])
        if cells and cells[-1][1] == start and stop - cells[-1][0] <= width:
            cells[-1][1] = stop
        else:
            cells.append([start, stop])
    return np.array(cells).reshape(-1, 2)


def _polynomial_minimum(coefficients: Array) -> tuple[float, float]:
    """Minimiser and minimum over [-1, 1] of a Chebyshev series."""
    slope = chebyshev.chebder(coefficients)
    slope = chebyshev.chebtrim(slope, _NOISE * np.abs(slope).max())  # the roots divide by the last coefficient
    roots = chebyshev.chebroots(slope) if slope.size > 1 else np.empty(0)
    stationary = roots.real[(np.abs(roots.imag) < 1e-6) & (np.abs(roots.real) < 1.0)]
    points = np.concatenate([[-1.0, 1.0], stationary])
    values = chebyshev.chebval(points, coefficients)
    best = int(np.argmin(values))
    return float(points[best]), float(values[best])


def _interpolation_error(radius: float, growth: float) -> float:
    """Relative error of the interpolation on a cell: Bernstein ellipse of height 1 inside the strip."""
    rho = 1.0 / radius + math.hypot(1.0 / radius, 1.0)
    half_axis = radius * (rho + 1.0 / rho) / 2.0
    sideways = math.log(math.tan(1.0) + 1.0 / math.cos(1.0))  # how far Re phi can move over a height of 1
    return 4.0 * math.exp(growth * (sideways + half_axis + radius)) * rho ** -(_NODES - 1) / (rho - 1.0)
