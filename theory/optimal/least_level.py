r"""A certified lower bound for a minimax problem of convex ratios: no steps have a smaller largest ratio.

For any weights p_i >= 0 of sum one, with g_i the gradients of the convex ratios F_i at some steps h,

    max_i F_i(h')  >=  sum_i p_i (F_i(h) + <g_i, h' - h>)  >=  sum_i p_i c_i + sum_k b_k min(0, sum_i p_i g_ik)

for all 0 <= h'_k <= b_k, with c_i = F_i(h) - <g_i, h>. A linear program finds good weights; the bound is computed from
them anew, so it owes nothing to the program's tolerances.
"""

import numpy as np

from lastiterate.theory.base.validation import Array

from .stopping import Stops, ratios_and_slopes

__all__ = ["BOX", "least_level"]

BOX = 10.0  # the bound holds against steps up to so many times the given ones
_GROUPS = 1000  # unknowns of the linear program
_ENTRIES = 2e7  # numbers in the matrix of gradients
_SHARPNESS = (1e3, 1e4, 1e5)  # of soft maxima, whose weights are tried as well
_DAMPING = 0.03  # how far towards the steps that the first program proposes the second set of gradients is taken


def least_level(steps: Array, stops: Stops) -> float:
    """Return a number that max_i ratio_i(h') is never below, for all steps 0 <= h' <= 10 ``steps``."""
    count = max(2, min(stops.horizons.size, int(_ENTRIES / 3 / stops.n_steps)))
    stops = stops.at(np.unique(np.linspace(0, stops.horizons.size - 1, count).round().astype(np.intp)))
    edges = np.unique(np.linspace(0, stops.n_steps, min(stops.n_steps, _GROUPS) + 1).astype(np.intp))
    constants, slopes = _cuts(steps, steps, stops)
    values = constants + slopes.sum(axis=1)
    soft = [_value(np.exp(sharpness * (values - values.max())), constants, slopes) for sharpness in _SHARPNESS]
    first, moved = _bound(constants, slopes, edges)
    nearby = steps * (1.0 + _DAMPING * (np.repeat(moved, np.diff(edges)) - 1.0))
    more_constants, more_slopes = _cuts(nearby, steps, stops)
    second, _ = _bound(np.append(constants, more_constants), np.vstack([slopes, more_slopes]), edges)
    return max(first, second, *soft)


def _cuts(at: Array, unit: Array, stops: Stops) -> tuple[Array, Array]:
    """c_i and the gradients at some steps, in units of the given ones; cuts far below the largest ratio are useless."""
    values, slopes = ratios_and_slopes(at, stops)
    near = values > values.max() - 0.02
    return values[near] - slopes[near] @ at, slopes[near] * unit


def _bound(constants: Array, slopes: Array, edges: np.ndarray) -> tuple[float, Array]:
    """The bound by the best weights, and the steps, one factor a group, that the linear program proposes."""
    from scipy.optimize import linprog

    grouped = np.add.reduceat(slopes, edges[:-1], axis=1)
    found = linprog(
        np.append(np.zeros(edges.size - 1), 1.0),
        A_ub=np.column_stack([grouped, -np.ones(constants.size)]),
        b_ub=-constants,
        bounds=[(0.0, BOX)] * (edges.size - 1) + [(None, None)],
    )
    if found.x is None:
        return -np.inf, np.ones(edges.size - 1)
    return _value(np.maximum(-found.ineqlin.marginals, 0.0), constants, slopes), found.x[:-1]


def _value(weights: Array, constants: Array, slopes: Array) -> float:
    """The bound by given weights, on any scale."""
    share = weights / weights.sum()
    return float(share @ constants + BOX * np.minimum(share @ slopes, 0.0).sum())
