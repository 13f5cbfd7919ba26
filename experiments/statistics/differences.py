"""Differences between paired runs: Student's t interval, t-test, equivalence at a margin, what could be detected."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.intervals import t_interval
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_fraction,
    check_positive,
)

__all__ = ["Difference", "detectable_difference", "equivalence", "holm", "holm_confidence", "paired_difference"]


@dataclass(frozen=True)
class Difference:
    """Mean of candidate minus reference over paired runs, with its t interval and the paired t-test.

    Interval and test come from one statistic: the interval excludes 0 exactly if ``p_value`` is below
    1 - ``confidence``.

    Attributes
    ----------
    mean, low, high : float
        Mean of the differences and its interval; infinite ends where nothing is known of the spread (one pair, or
        differences that are all equal). NaN and infinite ends where a run diverged.
    confidence : float
        Confidence level of the interval.
    p_value : float
        Two-sided, uncorrected. 1 for equal runs; NaN where there is no statement.
    spread : float
        Standard deviation of the differences.
    n : int
        Number of pairs.
    n_below : int
        Number of pairs in which the candidate's value lies below the reference's.
    """

    mean: float
    low: float
    high: float
    confidence: float
    p_value: float
    spread: float
    n: int
    n_below: int


def paired_difference(candidate: npt.ArrayLike, reference: npt.ArrayLike, *, confidence: float = 0.95) -> Difference:
    """Compare two sets of runs pair by pair (same seed, same data order).

    Parameters
    ----------
    candidate, reference : array_like, shape (n_seeds,)
        Final values, seed by seed; NaN or infinite where a run diverged.
    confidence : float
        Confidence level of the interval.

    Returns
    -------
    Difference

    Raises
    ------
    InputError
        For values that are no vectors of one length, or a confidence not between 0 and 1.

    Examples
    --------
    >>> found = paired_difference([0.5, 1.4, 2.6], [1.0, 2.0, 3.0])
    >>> round(found.mean, 3), found.high < 0.0, found.p_value < 0.05, found.n_below
    (-0.5, True, True, 3)
    """
    values, base = _pairs(candidate, reference)
    differences = _subtract(values, base)
    interval = t_interval(differences, confidence)
    finite = bool(np.isfinite(differences).all())
    return Difference(
        mean=interval.value,
        low=interval.low,
        high=interval.high,
        confidence=confidence,
        p_value=1.0 if finite and values.size > 1 and not differences.any() else _p_two_sided(differences),
        spread=float(differences.std(ddof=1)) if finite and values.size > 1 else math.nan,
        n=values.size,
        n_below=int(np.count_nonzero(_diverged_last(values) < _diverged_last(base))),
    )


def equivalence(candidate: npt.ArrayLike, reference: npt.ArrayLike, margin: float, *, relative: bool = False) -> float:
    """Return the p value of the claim that two sets of paired runs have equal means up to a margin.

    Two one-sided t-tests (Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987): the larger of the p values of "the
    candidate is worse by the margin or more" and "better by the margin or more". A relative margin is a share of the
    mean of the reference and is tested exactly, on candidate - (1 +- margin) reference.

    Parameters
    ----------
    candidate, reference : array_like, shape (n_seeds,)
        Final values, seed by seed.
    margin : float
        Fixed before the run, in the unit of the values, or as a share of the mean of the reference.
    relative : bool
        Whether the margin is such a share.

    Returns
    -------
    float
        NaN where there is no statement: one pair, no spread, or a run that diverged.

    Raises
    ------
    InputError
        For values that are no vectors of one length, or a margin that is not positive.

    Examples
    --------
    >>> reference = [1.0, 1.1, 0.9, 1.05]
    >>> candidate = [1.001, 1.099, 0.902, 1.049]
    >>> equivalence(candidate, reference, 0.01) < 0.05, equivalence(candidate, reference, 0.001) < 0.05
    (True, False)
    """
    values, base = _pairs(candidate, reference)
    check_positive(margin, "margin")
    with np.errstate(invalid="ignore"):  # of a reference that diverged
        shift = margin * base if relative else np.full(base.size, margin)
        above, below = _subtract(values, base + shift), _subtract(values, base - shift)
        if relative and base.mean() < 0.0:
            above, below = below, above
    return float(np.maximum(_p_below(above), _p_below(-below)))


def holm(p_values: npt.ArrayLike) -> Array:
    """Return p values corrected by Holm's step-down method, valid under any dependence.

    Parameters
    ----------
    p_values : array_like, shape (n_contrasts,)
        NaN (no statement) counts as a contrast and stays NaN.

    Returns
    -------
    float64[n_contrasts]

    Raises
    ------
    InputError
        For anything else than a vector of numbers between 0 and 1.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, 0.5]).tolist()
    [0.04, 0.09, 0.09, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or (p < 0.0).any() or (p > 1.0).any():
        raise InputError("p_values", p_values, "a vector of numbers between 0 and 1, or NaN")
    order = np.argsort(p, kind="stable")  # NaN last, where it takes nothing from the others but its place
    corrected = np.empty(p.size)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return corrected


def holm_confidence(p_values: npt.ArrayLike, level: float = 0.05) -> Array:
    """Return the confidence levels of intervals that exclude zero exactly where Holm's method finds a difference.

    Holm compares the smallest of k p values with level / k, the next with level / (k - 1), and so on until one is too
    large; the rest is compared with what that one was. An interval at one minus what its p value was compared with says
    the same as the test. None is narrower than one at 1 - ``level``, so that each covers the truth at least as often
    as that; that all of a family do so at once is not claimed.

    Parameters
    ----------
    p_values : array_like, shape (n_contrasts,)
        Not corrected; NaN (no statement) counts as a contrast.
    level : float
        Level of the whole family.

    Returns
    -------
    float64[n_contrasts]

    Raises
    ------
    InputError
        As `holm`, and for a level not between 0 and 1.

    Examples
    --------
    >>> (1.0 - holm_confidence([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
    [0.0125, 0.0167, 0.0167, 0.0167]
    """
    corrected = holm(p_values)
    check_fraction(level, "level")
    p = np.asarray(p_values, dtype=np.float64)
    rank = np.empty(p.size, dtype=np.int64)
    rank[np.argsort(p, kind="stable")] = np.arange(p.size)
    found = int(np.count_nonzero(corrected <= level))
    return 1.0 - level / (p.size - np.minimum(rank, found))


def detectable_difference(
    n: int, spread: float = 1.0, *, power: float = 0.8, level: float = 0.05, n_contrasts: int = 1
) -> float:
    """Return the true mean difference that a paired t-test finds with probability ``power``.

    Parameters
    ----------
    n : int
        Number of pairs (seeds).
    spread : float
        Standard deviation of the paired differences, in whose unit the answer is.
    power : float
        Wanted probability of finding it, with its sign.
    level : float
        Level of the whole family of contrasts.
    n_contrasts : int
        Size of the family: the smallest p value of Holm's method is compared with ``level / n_contrasts``.

    Returns
    -------
    float
        Infinite for a single pair.

    Raises
    ------
    InputError
        Naming the argument, its value and what is expected.

    Examples
    --------
    >>> round(detectable_difference(10), 3), round(detectable_difference(3, n_contrasts=4), 1)
    (0.996, 6.5)
    """
    from scipy.special import nctdtrinc, stdtrit

    n, n_contrasts = check_count(n, "n"), check_count(n_contrasts, "n_contrasts")
    check_positive(spread, "spread", allow_zero=True)
    check_fraction(level, "level")
    check_fraction(power, "power", low=level)
    if n < 2:
        return math.inf
    critical = float(stdtrit(n - 1, 1.0 - level / (2.0 * n_contrasts)))
    return spread * float(nctdtrinc(n - 1, 1.0 - power, critical)) / math.sqrt(n)


def _pairs(candidate: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[Array, Array]:
    values, base = np.asarray(candidate, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if base.ndim != 1 or base.size == 0:
        raise InputError("reference", reference, "a vector of final values, one a seed")
    if values.shape != base.shape:
        raise InputError("candidate", f"shape {values.shape}", f"{base.size} values, one a seed of the reference")
    return values, base


def _subtract(values: Array, base: Array) -> Array:
    """Return the differences; what is equal up to rounding is equal, and a run that diverged equals none."""
    with np.errstate(invalid="ignore"):
        differences = values - base
    rounding = 1e-14 * np.maximum(np.abs(values), np.abs(base))
    differences[np.isfinite(differences) & (np.abs(differences) <= rounding)] = 0.0
    return differences


def _diverged_last(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.inf)


def _statistic(differences: Array) -> float:
    """Return Student's t of the mean; NaN where nothing is known of the spread."""
    if differences.size < 2 or not np.isfinite(differences).all():
        return math.nan
    if np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return math.nan
    return float(differences.mean() / differences.std(ddof=1)) * math.sqrt(differences.size)


def _p_below(differences: Array) -> float:
    """Return the p value of the claim that the mean lies below zero."""
    from scipy.special import stdtr

    return float(stdtr(differences.size - 1, _statistic(differences)))


def _p_two_sided(differences: Array) -> float:
    from scipy.special import stdtr

    return 2.0 * float(stdtr(differences.size - 1, -abs(_statistic(differences))))
