"""The worst-case function of an average, from the inner products of `lastiterate.theory.rates.averages.bouncing`."""

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.pieces import worst_case_function
from lastiterate.theory.problems.problem import Problem

from .bouncing import AT, BEFORE, NORMAL, Bouncing
from .emulated import MergedRun

__all__ = ["function_of"]


def function_of(run: MergedRun, found: Bouncing, n_steps: int, D: float, G: float) -> Problem:
    """Return f(x) = max(0, max_k G <g_k, x>) with its start, and an oracle that answers call k with g_k.

    Calls across zero steps and after the last weighted point are answered with the slope that holds there next.
    """
    slopes, start = _vectors(run, found)
    call = np.searchsorted(run.taken, np.arange(n_steps + 1))
    rows = G * found.slope * slopes[np.minimum(call, run.steps.size)]
    points = np.tile(D * start, (n_steps + 1, 1))
    values = np.sum(rows * points, axis=1)
    return worst_case_function(points, rows, values, np.zeros(start.size), tie_tolerance=1e-9)


def _vectors(run: MergedRun, found: Bouncing) -> tuple[Array, Array]:
    """Return the unit slopes g_0..g_{n-1}, g as rows, and x_0 - x* for D = 1."""
    n = run.steps.size
    part = np.zeros(2 + int(np.count_nonzero(found.kinds == NORMAL)))  # p, the part of g in the space of the slopes
    part[0] = np.sqrt(1.0 - found.left[0]) if n else 1.0
    first = part.copy()
    parts, slopes = np.zeros((n, part.size)), np.zeros((n + 1, part.size))
    axis = 0
    for k in range(n):
        parts[k] = part
        if found.kinds[k] == NORMAL:
            axis += 1
            new = np.sqrt(found.left[k])
            slopes[k] = part
            slopes[k, axis] = new
            part[axis] = -found.turns[k] * new
    final = part
    final[-1] = np.sqrt(found.end_left)
    before = found.kinds == BEFORE
    slopes[:n][found.kinds == AT] = final
    slopes[:n][before] = parts[before] - found.turns[before, None] * (final - parts[before])
    slopes[n] = final
    start = found.alpha * first
    if n and found.kinds[0] == AT:
        start += run.steps[0] * found.slope * (final - first)
    return slopes, start
