"""The least minimum that recorded values and subgradients allow: a small second-order cone program."""

from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from lastiterate.theory.base.validation import Array

__all__ = ["least_maximum", "mixed", "top"]

TOLERANCE = 1e-12
ROUNDS = 6
LIMIT = 500
"""Pieces that one round takes beside those that mattered in the round before."""


def least_maximum(heights: Array, slopes: Array, radius: float) -> tuple[Array, Array]:
    """Minimise max_t heights[t] + <slopes[t], u> over |u| <= radius.

    Returns the point u and the weights of the pieces: by duality, weights @ heights - radius |weights @ slopes| is the
    same number. Both are feasible whatever the solver's accuracy, so that together they say how far they are from it.
    Each round starts from the best point, in units of what is still at stake there, with the pieces that are highest.
    """
    point, weights = np.zeros(slopes.shape[1]), np.full(heights.size, 1.0 / heights.size)
    best_point, best_weights = point, weights
    unit = float(np.ptp(heights)) + 2.0 * radius * float(np.linalg.norm(slopes, axis=1).max())
    gap, regularised = np.inf, TOLERANCE
    for _ in range(ROUNDS):
        if not 0.0 < unit < np.inf:
            break
        levels = heights + slopes @ best_point
        highest = np.argsort(levels)[-LIMIT:]
        kept = np.union1d(highest[levels[highest] >= levels.max() - 1e4 * unit], np.flatnonzero(weights > 1e-9))
        found = _solve(levels[kept], slopes[kept], best_point, radius, unit, regularised)
        if found is None:
            break
        point, weights = found[0], np.zeros(heights.size)
        weights[kept] = found[1]
        if top(heights, slopes, point) < top(heights, slopes, best_point):
            best_point = point
        if mixed(heights, slopes, weights, radius) > mixed(heights, slopes, best_weights, radius):
            best_weights = weights
        before, gap = gap, top(heights, slopes, best_point) - mixed(heights, slopes, best_weights, radius)
        if gap >= before:  # the solver stood still, and would do so again
            regularised *= 100.0
        unit = min(unit, 1e3 * gap)
    return best_point, best_weights


def top(heights: Array, slopes: Array, point: Array) -> float:
    """Return the largest piece at a point: no smaller than the minimum."""
    return float((heights + slopes @ point).max())


def mixed(heights: Array, slopes: Array, weights: Array, radius: float) -> float:
    """Return the minimum of a mixture of the pieces over the ball: no larger than theirs."""
    return float(weights @ heights) - radius * float(np.linalg.norm(weights @ slopes))


def _solve(
    levels: Array, slopes: Array, point: Array, radius: float, unit: float, regularised: float
) -> tuple[Array, Array] | None:
    """Minimise the top of the pieces, levels at ``point``, over the ball around the origin; values in the given unit.

    Unknowns: the top and the way from the point, in units of ``length``, inside the span of the slopes and the point.
    """
    clarabel: Any = import_module("clarabel")
    n, dimension = slopes.shape
    basis = np.linalg.qr(np.vstack([slopes, point]).T)[0] if dimension > n + 1 else np.eye(dimension)
    k = basis.shape[1]
    size = float(np.linalg.norm(slopes, axis=1).max())
    length = min(radius, unit / size) if size > 0.0 else radius
    rows = np.hstack([np.full((n, 1), -1.0), (slopes @ basis) * (length / unit)])
    ball = np.zeros((k + 1, k + 1))
    ball[1:, 1:] = -np.eye(k) * (length / radius)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.static_regularization_constant = regularised
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = TOLERANCE
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix((k + 1, k + 1)),
        np.append(1.0, np.zeros(k)),
        sparse.csc_matrix(np.vstack([rows, ball])),
        np.concatenate([(levels.max() - levels) / unit, [1.0], point @ basis / radius]),
        [clarabel.NonnegativeConeT(n), clarabel.SecondOrderConeT(k + 1)],
        settings,
    ).solve()
    unknowns, multipliers = np.asarray(solution.x), np.maximum(np.asarray(solution.z)[:n], 0.0)
    if not (np.isfinite(unknowns).all() and 0.0 < multipliers.sum() < np.inf):
        return None
    moved = point + basis @ (length * unknowns[1:])
    share = min(1.0, radius / max(float(np.linalg.norm(moved)), 1e-300))
    return moved * share, multipliers / multipliers.sum()
