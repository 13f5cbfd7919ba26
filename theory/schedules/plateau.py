"""Families that hold a level before they fall: WSD, its releases, and powers of what is left.

Lengths are a count of steps where they are ints and a fraction of training where they are floats.
"""

from collections.abc import Sequence

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_fraction,
    check_positive,
)

from .sampling import (
    BETWEEN,
    FROM_ZERO,
    as_list,
    clock,
    cooldown_profile,
    floored,
    is_whole,
    normalised,
    whole_steps,
)

__all__ = ["power_decay", "powercool", "wsd", "wsds"]


def wsd(
    n_steps: int,
    cooldown: float = 0.2,
    kind: str = "linear",
    warmup: float = 0.0,
    minimum: float = 0.0,
    sampling: str = BETWEEN,
) -> Array:
    """Warm-up, stable, decay: constant, then a cooldown at the end of training.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    cooldown : float or int
        Final decay, as a fraction of training or in steps.
    kind : {"linear", "sqrt", "cosine", "1-sqrt", "exponential"}
        Shape of the cooldown with progress u in [0, 1]: 1 - u, 1 - sqrt(u), half a cosine, 2^(1 - u) - 1.
    warmup : float or int
        Linear warm-up, as a fraction of training or in steps; with the cooldown at most the whole.
    minimum : float
        Floor of the cooldown, between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of the progress.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range, or a warm-up and a cooldown that overlap.

    Examples
    --------
    >>> wsd(4, cooldown=0.5)
    array([1. , 1. , 0.8, 0.4])
    >>> wsd(6, cooldown=2, warmup=2, minimum=0.1, sampling="k/N")
    array([0.  , 0.5 , 1.  , 1.  , 1.  , 0.55])
    """
    times, end = clock(n_steps, sampling)
    c = _share(cooldown, "cooldown", n_steps, end, more=end - n_steps)
    w = _share(warmup, "warmup", n_steps, end)
    if c + w > 1.0 + 1e-12:  # 0.9 and 0.1 leave 1 - 0.9 < 0.1 by rounding: no stable phase
        raise InputError("warmup", warmup, f"at most what the cooldown leaves, 1 - {c!r}")
    s = times / end
    values = np.ones_like(s)
    if c > 0.0 and cooldown:
        values = floored(cooldown_profile(np.interp(s, [1.0 - c, 1.0], [0.0, 1.0]), kind), minimum)
    if w > 0.0:
        values = np.minimum(values, np.interp(s, [0.0, w], [0.0, 1.0]))
    return normalised(values)


def wsds(
    n_steps: int,
    releases: Sequence[float] = (0.5, 1.0),
    cooldown: float = 0.2,
    kind: str = "linear",
    warmup: float = 0.0,
    minimum: float = 0.0,
    sampling: str = BETWEEN,
) -> Array:
    """WSD with several releases, WSD-S: each period ends in a cooldown, the next one goes on at the peak.

    Every period is a WSD schedule of its own (arXiv 2410.05192).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    releases : sequence of float, or of int
        Ends of the periods, increasing, as fractions of training (rounded to whole steps) or in steps; the last one is
        the end of training.
    cooldown : float or int
        Final decay of each period, as a fraction of the period or in steps.
    kind : str
        As in `wsd`.
    warmup : float or int
        Linear warm-up of the first period, as a fraction of that period or in steps.
    minimum : float
        Floor of the cooldowns, between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Progress within each period; "k/N" takes the floor as first step of each further period, as OLMo-core does.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For releases that do not increase to the end of training, or as `wsd` does.

    Examples
    --------
    >>> wsds(8, cooldown=0.5).round(3)
    array([1.   , 1.   , 0.667, 0.333, 1.   , 1.   , 0.667, 0.333])
    """
    n = check_count(n_steps, "n_steps")
    ends = [whole_steps(release, "releases", n) for release in as_list(releases, "releases")]
    lengths = np.diff([0, *ends])
    if not ends or ends[-1] != n or lengths.min() < 1:
        raise InputError("releases", releases, f"increasing ends of periods up to the end of training, 1.0 or {n}")
    parts: list[Array] = []
    for index, length in enumerate(lengths.tolist()):
        fall = whole_steps(cooldown, "cooldown", length)
        rise = whole_steps(warmup, "warmup", length) if index == 0 else 0
        parts.append(wsd(length, fall, kind, rise, minimum, sampling))
    values = np.concatenate(parts)
    if sampling == FROM_ZERO:
        values[ends[:-1]] = check_fraction(minimum, "minimum")
    return normalised(values)


def power_decay(
    n_steps: int, power: float = 2.0, cooldown: float = 1.0, minimum: float = 0.0, sampling: str = BETWEEN
) -> Array:
    """Hold, then a power of what is left: m + (1 - m) min(1, ((1 - s)/c)^power).

    With the cooldown c = 1 this is `polynomial`; the exponent 2 beta - 1 is the optimum of the functional scaling law
    for easy tasks (arXiv 2602.06797).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    power : float
        Exponent, at least zero.
    cooldown : float or int
        Length of the decay, as a fraction of training or in steps.
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
    >>> power_decay(4, power=2, cooldown=0.5, sampling="k/N")
    array([1.  , 1.  , 1.  , 0.25])
    """
    times, end = clock(n_steps, sampling)
    whole = is_whole(cooldown)
    c = whole_steps(cooldown, "cooldown", n_steps) if whole else check_fraction(cooldown, "cooldown") * end
    left = np.minimum(end - times, c) / c if c else np.ones(n_steps)
    return normalised(floored(left ** check_positive(power, "power", allow_zero=True), minimum))


def powercool(n_steps: int, power: float = 1.2, flat: float = 0.2, end: float = 1.0, sampling: str = BETWEEN) -> Array:
    """PowerCool: min(1, ((e - s)/(e - f))^power), flat until f, zero from e on.

    The schedule of the modded-nanogpt records: lr = min(peak, c (t_end - t)^1.2). An end beyond 1 is a run that stops
    before its schedule does: record 46 stopped at 2690 of 2900 steps, ``end=1.078``.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    power : float
        Exponent, at least zero.
    flat : float
        Fraction of training that is flat, below ``end``.
    end : float
        Where the schedule reaches zero, in units of training, positive.
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
    >>> powercool(5, power=1, flat=0.5, sampling="k/N")
    array([1. , 1. , 1. , 0.8, 0.4])
    """
    times, last = clock(n_steps, sampling)
    stop, hold = check_positive(end, "end"), check_fraction(flat, "flat")
    if hold >= stop:
        raise InputError("flat", flat, f"less than end = {end}")
    left = np.clip((stop - times / last) / (stop - hold), 0.0, 1.0)
    return normalised(left ** check_positive(power, "power", allow_zero=True))


def _share(length: float, name: str, n_steps: int, end: int, more: int = 0) -> float:
    """Length as a fraction of the time to the end; ``more`` whole steps belong to it where steps are counted."""
    return (whole_steps(length, name, n_steps) + more) / end if is_whole(length) else check_fraction(length, name)
