"""Maxima of affine pieces, with the oracles that resist: where the rates are attained."""

from functools import partial
from typing import Any

import numpy as np

from lastiterate.theory.base.deprecation import renamed_arguments
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import InputError, check_choice, check_positive, check_real, check_vector
from lastiterate.theory.problems.minimum.solve import solve_minimum

from .arguments import read_dense, read_folder, read_matrix, read_start, read_targets
from .problem import TIES, Minimum, Problem

__all__ = ["max_affine", "max_coordinate", "chain", "worst_case_function"]

_made = partial(Problem, solver=solve_minimum)


@within_float64
def max_affine(
    matrix: Any, offsets: Any, *, x0: Any = None, tie: str = "first", tie_tolerance: float = 1e-9, cache: Any = None
) -> Problem:
    """Return f(x) = max_i a_i x + b_i, bounded below.

    Parameters
    ----------
    matrix : array or scipy sparse matrix, shape (n, d)
        Slopes a_i.
    offsets : array of float, shape (n,)
        Offsets b_i.
    tie : str
        ``first`` answers with the first active piece; ``step`` at query k with piece k where it is active within
        ``tie_tolerance``, the resisting oracle.
    tie_tolerance : float
        Slack of f, relative, within which a piece counts as active.
    x0, cache
        As in `l1_regression`.

    Returns
    -------
    Problem
        Its minimum is solved for on first use.

    Raises
    ------
    InputError
        For data of another shape or kind, an unknown ``tie``, or values beyond float64.

    Examples
    --------
    >>> round(max_affine([[1.0], [-1.0]], [0.0, 2.0]).f_star, 12)
    1.0
    """
    rows = read_matrix(matrix)
    return _made(
        "max affine",
        "max_affine",
        rows,
        read_targets(offsets, rows, "offsets"),
        read_start(x0, rows.shape[1]),
        tie=check_choice(tie, "tie", TIES),
        tie_tolerance=check_positive(tie_tolerance, "tie_tolerance", allow_zero=True),
        cache=read_folder(cache),
    )


@renamed_arguments(caps="G")
@within_float64
def max_coordinate(G: Any, D: float = 1.0) -> Problem:
    """Return f(x) = max(max_k G_k x_k, -c) from x0 = 0 with a resisting oracle, where refined schedules are tight.

    The floor c = D / sqrt(sum G_k^-2) is the value at the nearest minimiser, at distance ``D``. Whatever the steps, N
    steps with gradient norms G_0..G_N leave f(x_N) = 0, a gap of exactly c (arXiv 2310.07831; refined schedules attain
    it).

    Parameters
    ----------
    G : array of float, shape (N + 1,)
        Gradient norms G_0..G_N.
    D : float
        Distance from x0 to the minimiser.

    Returns
    -------
    Problem
        With its minimum in closed form.

    Raises
    ------
    InputError
        For norms that are not positive, or values beyond float64.

    Examples
    --------
    >>> max_coordinate([1.0, 1.0, 1.0, 1.0], D=2.0).f_star
    -1.0
    """
    from scipy import sparse

    caps = check_vector(G, "G")
    if caps.size == 0 or caps.min() <= 0.0:
        raise InputError("G", caps, "positive gradient norms")
    distance, n = check_positive(D, "D"), caps.size
    floor = distance / float(np.sqrt(np.sum(caps**-2)))
    rows = sparse.csr_array((caps, np.arange(n), np.append(np.arange(n + 1), n)), shape=(n + 1, n))
    known = Minimum(-floor / caps, -floor, 0.0, "closed form")
    return _made(
        "max coordinate", "max_affine", rows, np.append(np.zeros(n), -floor), np.zeros(n), tie="step", known=known
    )


def chain(alpha: Any, beta: Any, x0: Any, *, name: str = "chain", tie_tolerance: float = 1e-9) -> Problem:
    """Return f(x) = max(0, max_t <g_t, x>), g_t = sum_{r<t} alpha_r e_r + beta_t e_t, with a resisting oracle.

    The minimiser is 0. Time and memory are linear in the number of pieces. It is the form of the functions that attain
    the exact rate (`lastiterate.theory.rates.attained`).

    Parameters
    ----------
    alpha, beta, x0 : array of float, shape (n,)
        The entries of the pieces, and the start. The last alpha has no effect.
    name : str
        What to call it.
    tie_tolerance : float
        Slack of f, absolute, within which piece t counts as active at query t.

    Returns
    -------
    Problem
        With its minimum, 0, in closed form.

    Raises
    ------
    InputError
        For arrays of different lengths, or values beyond float64.

    Examples
    --------
    >>> problem = chain([0.0, 0.0], [1.0, 1.0], [0.6, 0.8])
    >>> problem.value(problem.x0), problem.subgradient(problem.x0, step=1)
    (0.8, array([0., 1.]))
    """
    rows = np.array([check_vector(alpha, "alpha"), read_start(beta, np.size(alpha), "beta")])
    start, size = read_start(x0, rows.shape[1]), rows.shape[1]
    known = Minimum(np.zeros(size), 0.0, 0.0, "closed form")
    tolerance = check_positive(tie_tolerance, "tie_tolerance", allow_zero=True)
    return Problem(name, "chain", rows, np.zeros(size + 1), start, tie="step", tie_tolerance=tolerance, known=known)


@within_float64
def worst_case_function(
    points: Any, gradients: Any, values: Any, x_star: Any, *, f_star: float = 0.0, tie_tolerance: float = 1e-7
) -> Problem:
    """Return f(x) = max(f_star, max_k f_k + <g_k, x - x_k>) with a resisting oracle, started at points[0].

    Parameters
    ----------
    points, gradients : array of float, shape (N + 1, d)
        Iterates x_k and subgradients g_k of the interpolated function.
    values : array of float, shape (N + 1,)
        Values f_k.
    x_star : array of float, shape (d,)
        A minimiser; every piece is at most ``f_star`` there, up to ``tie_tolerance``.
    f_star : float
        The minimum.
    tie_tolerance : float
        Relative slack within which piece k counts as active at query k.

    Returns
    -------
    Problem
        With ``x_star`` as its minimum.

    Raises
    ------
    InputError
        For arrays that do not fit each other, or an ``x_star`` that is no minimiser, or values beyond float64.

    Examples
    --------
    >>> problem = worst_case_function([[1.0], [0.0]], [[1.0], [-1.0]], [1.0, 0.5], [0.5], f_star=0.5)
    >>> problem.value(problem.x0)
    1.0
    """
    points, gradients = read_dense(points, "points"), read_dense(gradients, "gradients")
    if gradients.shape != points.shape:
        raise InputError("gradients", f"an array of shape {gradients.shape}", f"the shape {points.shape} of points")
    values, x_star = check_vector(values, "values"), read_start(x_star, points.shape[1], "x_star")
    if values.size != len(points):
        raise InputError("values", f"an array of length {values.size}", f"one value for each of {len(points)} points")
    least = check_real(f_star, "f_star", "a finite number")
    slack = check_positive(tie_tolerance, "tie_tolerance", allow_zero=True)
    if not abs(least) < np.inf:
        raise InputError("f_star", f_star, "a finite number")
    rows = np.vstack([gradients, np.zeros(points.shape[1])])
    offsets = np.append(values - np.sum(gradients * points, axis=1), least)
    excess = float(np.max(rows @ x_star + offsets)) - least
    if excess > slack * (1.0 + abs(least)):
        raise InputError("x_star", f"a point where f exceeds f_star by {excess:.2e}", "a minimiser")
    known = Minimum(x_star, least + max(0.0, excess), max(0.0, excess), "given")
    return _made(
        "worst-case function",
        "max_affine",
        np.ascontiguousarray(rows),
        offsets,
        points[0].copy(),
        tie="step",
        tie_tolerance=slack,
        known=known,
    )
