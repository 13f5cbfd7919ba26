"""Families of several phases, mostly for runs whose end is open: power laws of the step, infinite and fast-slow decay.

Lengths are a count of steps where they are ints and a fraction of training where they are floats.
"""

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_fraction,
    check_positive,
    check_real,
)

from .sampling import BETWEEN, clock, half_cosine, normalised, ramp, whole_steps

__all__ = ["fast_slow", "infinite", "power_lr"]


def fast_slow(
    n_steps: int,
    warmup: float = 0.032,
    plateau: float = 0.064,
    knee: float = 0.56,
    level: float = 0.2,
    power: float = 0.6,
) -> Array:
    """Fast, then slow decay: warm-up, plateau, 1 - (1 - level) u^power to the knee, then linear to zero.

    The schedule of modded-nanogpt's pull request 351, whose run of 3125 steps has its phases at 100, 200 and 1750. As
    in `linear`, the step that would be zero is never taken.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    warmup, plateau, knee : float or int
        Ends of the first three phases, as fractions of training (rounded to whole steps) or in steps, in this order.
    level : float
        Value at the knee, between 0 and 1.
    power : float
        Exponent of the fast decay, positive.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range, or phases out of order.

    Examples
    --------
    >>> fast_slow(8, warmup=2, plateau=3, knee=5, level=0.3, power=1)
    array([0.5 , 1.  , 1.  , 1.  , 0.65, 0.3 , 0.2 , 0.1 ])
    """
    n = check_count(n_steps, "n_steps")
    named = {"warmup": warmup, "plateau": plateau, "knee": knee}
    rise, hold, bend = (whole_steps(value, name, n) for name, value in named.items())
    if not rise <= hold <= bend:
        raise InputError("plateau", (warmup, plateau, knee), "warmup <= plateau <= knee")
    low, p = check_fraction(level, "level"), check_positive(power, "power")
    fast = 1.0 + (low - 1.0) * (np.arange(bend - hold) / max(bend - hold, 1)) ** p
    slow = low * np.arange(n - bend, 0, -1) / max(n - bend, 1)
    return normalised(np.concatenate([ramp(rise), np.ones(hold - rise), fast, slow]))


def power_lr(
    n_steps: int,
    exponent: float = -0.51,
    warmup: float = 0.05,
    cooldown: float = 0.1,
    minimum: float = 0.0,
    sampling: str = BETWEEN,
) -> Array:
    """Power law of the step, (t/W)^exponent after a warm-up of W steps, then a linear tail.

    The power scheduler (arXiv 2408.13359) in the form of OLMo-core's PowerLR: until the tail no step depends on the
    horizon.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    exponent : float
        Negative.
    warmup : float or int
        Linear warm-up W, as a fraction of training or in steps, at least one step.
    cooldown : float or int
        Linear tail, as a fraction of training or in steps.
    minimum : float
        Value at which the tail ends, relative to the peak, between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Times t of the steps: 1..N with the end N + 1, or 0..N - 1 with the end N.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range, or a warm-up and a tail that overlap.

    Examples
    --------
    >>> power_lr(8, exponent=-0.5, warmup=1, cooldown=3).round(3)
    array([1.   , 0.707, 0.577, 0.5  , 0.447, 0.408, 0.272, 0.136])
    """
    times, end = clock(n_steps, sampling)
    b = -check_real(exponent, "exponent", "a negative number")
    if not 0.0 < b < np.inf:
        raise InputError("exponent", exponent, "a negative number")
    rise = max(whole_steps(warmup, "warmup", n_steps), 1)
    fall = whole_steps(cooldown, "cooldown", n_steps)
    if rise + fall > n_steps:
        raise InputError("warmup", warmup, f"at most what the cooldown leaves, {n_steps - fall} steps")
    low = check_fraction(minimum, "minimum")
    values = np.where(times <= rise, times / rise, np.maximum(times / rise, 1.0) ** -b)
    if fall:
        start = ((end - fall) / rise) ** -b
        tail = times >= end - fall
        values[tail] = low + (start - low) * (end - times[tail]) / fall
    return normalised(values)


def infinite(
    n_steps: int,
    warmup: float = 0.0,
    fall: float = 0.2,
    level: float = 0.5,
    cooldown: float = 0.1,
    minimum: float = 0.01,
    sampling: str = BETWEEN,
) -> Array:
    """Infinite schedule: half a cosine down to a level that is held for as long as data comes, then an exponential end.

    The cosine form of arXiv 2403.08763. For a cooldown of another shape, or at a step that is found while the run goes
    on, see `override`.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    warmup, fall : float or int
        Linear warm-up, and the fall to the level, as fractions of training or in steps.
    level : float
        What is held, relative to the peak, between ``minimum`` and 1.
    cooldown : float or int
        Exponential end, as a fraction of training or in steps.
    minimum : float
        Value at which it ends, above 0.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of the progress after the warm-up.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range, or phases longer than training.

    Examples
    --------
    >>> infinite(8, fall=3, level=0.5, cooldown=2, minimum=0.125, sampling="k/N").round(3)
    array([1.   , 0.875, 0.625, 0.5  , 0.5  , 0.5  , 0.5  , 0.25 ])
    """
    n = check_count(n_steps, "n_steps")
    named = {"warmup": warmup, "fall": fall, "cooldown": cooldown}
    rise, down, last = (whole_steps(value, name, n) for name, value in named.items())
    if rise + down + last > n:
        raise InputError("cooldown", cooldown, f"at most the {n - rise - down} steps that warm-up and fall leave")
    held = check_fraction(level, "level", low=1e-300)
    low = check_fraction(minimum, "minimum", low=1e-300, high=held)
    first = ramp(rise, sampling=sampling)
    if rise == n:
        return normalised(first)
    times, end = clock(n - rise, sampling)
    values = np.full(n - rise, held)
    early = times < down
    values[early] = held + (1.0 - held) * half_cosine(times[early] / max(down, 1))
    late = times > end - last
    values[late] = held * (low / held) ** ((times[late] - (end - last)) / max(last, 1))
    return normalised(np.concatenate([first, values]))
