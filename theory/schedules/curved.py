"""Families that decay along a curve: cosines, the quarter of a circle, reflected exponentials.

Their common parameters are those of `lastiterate.theory.schedules.decaying`.
"""

import numpy as np

from lastiterate.theory.base.validation import Array, check_fraction, check_positive, is_number

from .sampling import BETWEEN, floored, half_cosine, normalised, progress

__all__ = ["circular", "cosine", "generalised_cosine", "generalised_rex", "rex"]


def cosine(n_steps: int, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """Half a cosine from 1 towards ``minimum``: m + (1 - m)(1 + cos(pi s))/2.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
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
    >>> cosine(3)
    array([1.        , 0.58578644, 0.17157288])
    >>> cosine(4, sampling="k/N").round(3)
    array([1.   , 0.854, 0.5  , 0.146])
    """
    return normalised(floored(half_cosine(progress(n_steps, sampling)), minimum))


def generalised_cosine(n_steps: int, power: float = 1.0, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """Cosine decay raised to a power, m + (1 - m)((1 + cos(pi s))/2)^power (arXiv 2603.10301).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    power : float
        Exponent, positive.
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
    >>> generalised_cosine(3, power=2)
    array([1.        , 0.34314575, 0.02943725])
    """
    profile = half_cosine(progress(n_steps, sampling)) ** check_positive(power, "power")
    return normalised(floored(profile, minimum))


def circular(n_steps: int, power: float = 1.0, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """Quarter of a circle raised to a power, sqrt(1 - s^2)^power (the square-root family of arXiv 2603.10301).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    power : float
        Exponent, positive.
    minimum : float
        Floor, between 0 and 1.
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
    >>> circular(3)
    array([1.        , 0.89442719, 0.68313005])
    """
    s = progress(n_steps, sampling)
    profile = ((1.0 - s) * (1.0 + s)) ** (0.5 * check_positive(power, "power"))
    return normalised(floored(profile, minimum))


def rex(n_steps: int, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """Reflected exponential, (1 - s)/(1 - s/2) (arXiv 2107.04197).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    minimum : float
        Floor, between 0 and 1.
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
    >>> rex(3)
    array([1.        , 0.77777778, 0.46666667])
    """
    return generalised_rex(n_steps, 0.5, minimum, sampling)


def generalised_rex(n_steps: int, b: float = 0.5, minimum: float = 0.0, sampling: str = BETWEEN) -> Array:
    """Reflected exponential with a free constant, (1 - s)/(1 - (1 - b) s) (arXiv 2603.10301).

    b = 1 is linear, b -> 0 constant, b > 1 convex: below linear. b = inf is the limit of the schedules at maximum 1:
    (1 - s)/s where no step is at s = 0 and there is no floor, otherwise one step of 1 (if one is at s = 0) and the
    floor.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    b : float
        Constant, at least zero, infinity included; the beta of the published family.
    minimum : float
        Floor, between 0 and 1.
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
    >>> generalised_rex(4, b=1.0)
    array([1.  , 0.75, 0.5 , 0.25])
    >>> generalised_rex(4, b=3.0, sampling="k/N")
    array([1.  , 0.5 , 0.25, 0.1 ])
    >>> generalised_rex(4, b=np.inf)
    array([1.        , 0.375     , 0.16666667, 0.0625    ])
    """
    s = progress(n_steps, sampling)
    if is_number(b) and b == np.inf:
        away = s[0] > 0.0 and not check_fraction(minimum, "minimum")
        return normalised((1.0 - s) / s if away else floored((s == 0.0).astype(np.float64), minimum))
    return normalised(floored((1.0 - s) / (1.0 - s + check_positive(b, "b", allow_zero=True) * s), minimum))
