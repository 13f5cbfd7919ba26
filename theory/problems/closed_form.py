"""Functions whose minimum is known: absolute values and a quadratic."""

from functools import partial
from typing import Any

import numpy as np

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import InputError, check_vector
from lastiterate.theory.problems.minimum.solve import solve_minimum

from .arguments import read_start
from .problem import Minimum, Problem

__all__ = ["absolute_value", "weighted_absolute", "quadratic"]

_made = partial(Problem, solver=solve_minimum)


def absolute_value(x0: float = 1.0) -> Problem:
    """Return f(x) = |x| on the line, started at ``x0``; f* = 0 and G = 1 exactly.

    Parameters
    ----------
    x0 : float
        The start, at distance |x0| from the minimum.

    Returns
    -------
    Problem
        With its minimum in closed form.

    Raises
    ------
    InputError
        For a start that is no finite number, or values beyond float64.

    Examples
    --------
    >>> absolute_value(-2.0).D
    2.0
    """
    return weighted_absolute([1.0], [x0])


@within_float64
def weighted_absolute(weights: Any, x0: Any) -> Problem:
    """Return f(x) = sum_i weights_i |x_i|, started at ``x0``; f* = 0 and G = ||weights|| exactly.

    Parameters
    ----------
    weights : array of float, shape (d,)
        Positive weights.
    x0 : array of float, shape (d,)
        The start.

    Returns
    -------
    Problem
        With its minimum in closed form.

    Raises
    ------
    InputError
        For weights that are not positive, a start of another length, or values beyond float64.

    Examples
    --------
    >>> weighted_absolute([3.0, 4.0], [1.0, 1.0]).G
    5.0
    """
    from scipy import sparse

    weights = check_vector(weights, "weights")
    if weights.size == 0 or weights.min() <= 0.0:
        raise InputError("weights", weights, "positive numbers")
    d = weights.size
    rows = sparse.csr_array((d * weights, np.arange(d), np.arange(d + 1)), shape=(d, d))
    known = Minimum(np.zeros(d), 0.0, 0.0, "closed form")
    name = "absolute value" if d == 1 else "weighted absolute values"
    return _made(name, "absolute", rows, np.zeros(d), read_start(x0, d), known=known)


@within_float64
def quadratic(spectrum: Any, x0: Any = None) -> Problem:
    """Return f(x) = sum_i spectrum_i x_i^2 / 2, started at ``x0`` (all ones by default); f* = 0.

    With the recursion of `linear_recursion` this is the linear workload of the schedule search (arXiv 2603.10301).

    Parameters
    ----------
    spectrum : array of float, shape (d,)
        Eigenvalues, at least zero.
    x0 : float64[d], optional
        The start; ones by default.

    Returns
    -------
    Problem
        With its minimum in closed form.

    Raises
    ------
    InputError
        For a negative eigenvalue, a start of another length, or values beyond float64.

    Examples
    --------
    >>> problem = quadratic([1.0, 0.25])
    >>> round(problem.value(problem.x0), 12)
    0.625
    """
    from scipy import sparse

    spectrum = check_vector(spectrum, "spectrum")
    if spectrum.size == 0 or spectrum.min() < 0.0:
        raise InputError("spectrum", spectrum, "eigenvalues that are at least zero")
    d = spectrum.size
    rows = sparse.csr_array((np.sqrt(d * spectrum), np.arange(d), np.arange(d + 1)), shape=(d, d))
    known = Minimum(np.zeros(d), 0.0, 0.0, "closed form")
    start = read_start(np.ones(d) if x0 is None else x0, d)
    return _made("quadratic", "squared", rows, np.zeros(d), start, known=known)
