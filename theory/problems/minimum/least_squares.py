"""Least squares in closed form, refined once, with the refinement as certificate."""

import numpy as np

from lastiterate.theory.problems.problem import Minimum, Problem

from .coordinates import certified, column_scales
from .newton import in_row_space

__all__ = ["least_squares"]


def least_squares(problem: Problem) -> Minimum:
    """Return the minimum of the mean of (a_i x - b_i)^2 / 2."""
    n, p = problem.matrix.shape
    if problem.l2 and p > n:
        reduced, basis = in_row_space(problem)
        found = least_squares(reduced)
        return certified(problem, [found.x @ basis], found.value - found.gap, found.method)
    matrix = problem.matrix.toarray() if problem.sparse else problem.matrix
    stacked = np.vstack([matrix, np.sqrt(problem.l2 * n) * np.eye(p)]) if problem.l2 else matrix
    right = np.concatenate([problem.targets, np.zeros(len(stacked) - n)])
    scales = column_scales(stacked)
    stacked = stacked / scales
    z = correction = np.linalg.lstsq(stacked, right, rcond=None)[0]
    for _ in range(2):
        correction = np.linalg.lstsq(stacked, right - stacked @ z, rcond=None)[0]
        z = z + correction
    x = z / scales
    decrease = 0.5 * float(np.sum((stacked @ correction) ** 2)) / n
    return Minimum(x, problem.value(x), decrease, "LAPACK least squares, certified by one step of refinement")
