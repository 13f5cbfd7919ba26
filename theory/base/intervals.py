"""Confidence intervals of a mean and of a median, with the level that they truly have."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .validation import Array, InputError, check_fraction

__all__ = ["Interval", "median_interval", "t_interval"]


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval.

    Attributes
    ----------
    value, low, high : float
        The estimate and the ends of its interval; infinite ends say that the values do not bound it.
    level : float
        Probability with which such an interval covers the true value.
    """

    value: float
    low: float
    high: float
    level: float


def t_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean with Student's t interval.

    Exact for normal values, whatever their number. Without spread (one value, or values that are equal up to
    rounding) nothing is known about it, and the interval is infinite: two seeds that agree are not certain.

    Parameters
    ----------
    values : array_like, shape (n,)
        Independent values, for instance differences between paired runs; NaN and infinity make the mean NaN.
    level : float
        Confidence level.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        If ``values`` is not a vector with at least one value, or ``level`` not between 0 and 1.

    Examples
    --------
    >>> found = t_interval([1.0, 2.0, 3.0])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (2.0, -0.484, 4.484)
    >>> t_interval([1.0, 1.0])
    Interval(value=1.0, low=-inf, high=inf, level=0.95)
    """
    from scipy.special import stdtrit

    sample = _check_sample(values)
    check_fraction(level, "level")
    if not np.isfinite(sample).all():
        return Interval(math.nan, -math.inf, math.inf, level)
    mean = float(sample.mean())
    if sample.size < 2 or np.ptp(sample) <= 1e-12 * np.abs(sample).max():
        return Interval(mean, -math.inf, math.inf, level)
    half = float(stdtrit(sample.size - 1, 0.5 + level / 2.0) * sample.std(ddof=1)) / math.sqrt(sample.size)
    return Interval(mean, mean - half, mean + half, level)


def median_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the median with the narrowest symmetric pair of order statistics that covers at the wanted level.

    The interval from the j-th smallest to the j-th largest of n values covers the median of any continuous
    distribution with probability 1 - 2 P(B < j), B binomial (n, 1/2); see David and Nagaraja, Order Statistics
    (3rd edition, 2003), section 7.1. ``level`` of the result is that probability. Under six values no pair reaches
    0.95: the whole range is returned, with the level that it has. The median of an even number of values is the upper
    of the two in the middle, which is finite as soon as the lower half and one more are.

    Parameters
    ----------
    values : array_like, shape (n,)
        Independent values without NaN; infinite ones (diverged runs) are allowed.
    level : float
        Level that is asked for.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        If ``values`` is not a vector without NaN with at least one value, or ``level`` not between 0 and 1.

    Examples
    --------
    >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    Interval(value=3.0, low=1.0, high=5.0, level=0.9375)
    >>> median_interval(range(10))
    Interval(value=5.0, low=1.0, high=8.0, level=0.978515625)
    """
    from scipy.special import bdtr

    sample = np.sort(_check_sample(values))
    if np.isnan(sample).any():
        raise InputError("values", values, "a vector without NaN, at least one value")
    check_fraction(level, "level")
    n = sample.size
    covered = 1.0 - 2.0 * np.asarray(bdtr(np.arange((n + 1) // 2), n, 0.5))  # of the pairs (1, n), (2, n - 1), ...
    j = max(int(np.count_nonzero(covered >= level)) - 1, 0)
    return Interval(float(sample[n // 2]), float(sample[j]), float(sample[n - 1 - j]), float(covered[j]))


def _check_sample(values: npt.ArrayLike) -> Array:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise InputError("values", values, "a vector with at least one value")
    return sample
