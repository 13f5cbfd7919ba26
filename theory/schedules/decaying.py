"""Families that only decay (or stay constant): one pure function each.

The common parameters: ``n_steps`` is N; ``minimum`` is the floor of the profile, relative to its start; ``sampling`` is
where the profile is read, see `lastiterate.theory.schedules.sampling`.
"""

from collections.abc import Sequence

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_fraction,
    check_positive,
    check_vector,
    is_number,
)

from .sampling import BETWEEN, clock, floored, normalised, progress

__all__ = [
    "constant",
    "exponential",
    "inverse_sqrt",
    "inverse_time",
    "linear",
    "one_minus_sqrt",
    "polynomial",
    "stepwise",
]


def constant(n_steps: int) -> Array:
    """Constant steps, 1.

    Parameters
    ----------
    n_steps : int
        Number of steps N.

    Returns
    -------
    ndarray, shape (N,)

    Raises
    ------
    InputError
        If N is no positive integer.

    Examples
    --------
    >>> constant(3)
    array([1., 1., 1.])
    """
    return np.ones(check_count(n_steps, "n_steps"))


def linear(n_steps: int, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """Linear decay, 1 - s: the minimax optimal shape for a constant gradient bound (arXiv 2310.07831, Corollary 2).

    Without a floor both samplings give (N - k)/N: the step that would be zero is never taken.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    minimum : float
        Floor m of m + (1 - m)(1 - s), between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of s.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> linear(4)
    array([1.  , 0.75, 0.5 , 0.25])
    >>> linear(5, minimum=0.1, sampling="k/N")
    array([1.  , 0.82, 0.64, 0.46, 0.28])
    """
    times, end = clock(n_steps, sampling)
    m = check_fraction(minimum, "minimum")
    return normalised(m * end + (1.0 - m) * (end - times))


def polynomial(n_steps: int, power: float = 2.0, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """Polynomial decay, m + (1 - m)(1 - s)^power.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    power : float
        Exponent, at least zero.
    minimum : float
        Floor m, between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of s.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> polynomial(3, power=2)
    array([1.        , 0.44444444, 0.11111111])
    """
    p = check_positive(power, "power", allow_zero=True)
    return normalised(floored((1.0 - progress(n_steps, sampling)) ** p, minimum))


def one_minus_sqrt(n_steps: int, power: float = 0.5, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """One minus square root, m + (1 - m)(1 - s^power) with the power 1/2.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    power : float
        Exponent, positive; the square root by default.
    minimum : float
        Floor m, between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of s.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> one_minus_sqrt(3)
    array([1.        , 0.58578644, 0.26794919])
    """
    profile = 1.0 - progress(n_steps, sampling) ** check_positive(power, "power")
    return normalised(floored(profile, minimum))


def inverse_sqrt(n_steps: int, offset: float = 1.0, minimum: float = 0.0) -> Array:
    """Inverse square root, m + (1 - m) sqrt(offset / (k + offset)), with the offset in steps.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    offset : float
        Steps after which the square has halved, positive.
    minimum : float
        Floor m, between 0 and 1.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> inverse_sqrt(4)
    array([1.        , 0.70710678, 0.57735027, 0.5       ])
    """
    b = check_positive(offset, "offset")
    k = np.arange(check_count(n_steps, "n_steps"), dtype=np.float64)
    return floored(np.sqrt(b / (k + b)), minimum)


def inverse_time(n_steps: int, offset: float = 1.0, minimum: float = 0.0) -> Array:
    """Inverse time, m + (1 - m) offset / (k + offset), with the offset in steps.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    offset : float
        Steps after which half is left, positive.
    minimum : float
        Floor m, between 0 and 1.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> inverse_time(4)
    array([1.        , 0.5       , 0.33333333, 0.25      ])
    """
    b = check_positive(offset, "offset")
    return floored(b / (np.arange(check_count(n_steps, "n_steps"), dtype=np.float64) + b), minimum)


def exponential(n_steps: int, end: float = 0.01, sampling: str = BETWEEN) -> Array:
    """Exponential decay, end^s: a constant ratio from step to step.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    end : float
        Value at s = 1, between 0 (excluded) and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of s.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> exponential(3, end=0.0001)
    array([1.  , 0.1 , 0.01])
    """
    return normalised(check_fraction(end, "end", low=1e-300) ** progress(n_steps, sampling))


def stepwise(
    n_steps: int, milestones: Sequence[float] = (0.3, 0.6, 0.9), factor: float = 0.1, sampling: str = BETWEEN
) -> Array:
    """Drops by ``factor`` at each milestone (30-60-90 by default).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    milestones : sequence of float, or of int
        Fractions of training; ints are the numbers of the first steps that are lower.
    factor : float
        What each milestone multiplies the steps by, between 0 (excluded) and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Progress to which fractions are compared.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> stepwise(9)
    array([1.   , 1.   , 0.1  , 0.1  , 0.1  , 0.01 , 0.01 , 0.01 , 0.001])
    >>> stepwise(4, milestones=[3], factor=0.5)
    array([1. , 1. , 1. , 0.5])
    """
    listed = [milestones] if is_number(milestones) else milestones
    marks = check_vector(listed, "milestones")
    counted = marks.size > 0 and np.asarray(listed).dtype.kind in "iu"
    if marks.size and not (marks.min() >= 0.0 and (counted or marks.max() <= 1.0)):
        raise InputError("milestones", milestones, "fractions of training between 0.0 and 1.0, or numbers of steps")
    n = check_count(n_steps, "n_steps")
    places = np.arange(n, dtype=np.float64) if counted else progress(n, sampling)
    drops = np.searchsorted(np.sort(marks), places, side="right")
    return normalised(check_fraction(factor, "factor", low=1e-300) ** drops.astype(np.float64))
