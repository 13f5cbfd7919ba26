"""Families that come back up: one cycle, warm restarts, cyclic rates, re-warming after a finished run."""

import math

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_flag,
    check_fraction,
    check_positive,
)

from .curved import cosine
from .sampling import BETWEEN, clock, floored, half_cosine, is_whole, normalised, whole_steps

__all__ = ["cosine_restarts", "cyclic", "one_cycle", "rewarm"]

ANNEALING = {"cosine": half_cosine, "linear": lambda u: 1.0 - u}
MODES = ("triangular", "triangular2", "exp_range")


def one_cycle(
    n_steps: int,
    peak: float = 0.3,
    start: float = 0.04,
    end: float = 4e-6,
    kind: str = "cosine",
    three_phase: bool = False,
) -> Array:
    """One cycle: half a cosine up from ``start`` to 1, half a cosine down to ``end``.

    The rates of ``torch.optim.lr_scheduler.OneCycleLR`` with ``total_steps=n_steps`` and ``pct_start=peak``, divided by
    their maximum; the defaults are its own (div_factor 25, final_div_factor 1e4). Unlike the other families it is
    sampled as torch does: step 0 takes ``start``, step ``peak n_steps - 1`` (if whole) takes 1, the last one ``end``.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    peak : float
        Where the peak is, as a fraction of training.
    start, end : float
        First and last value, between 0 and 1.
    kind : {"cosine", "linear"}
        Shape of all phases.
    three_phase : bool
        Come down to ``start`` as fast as it went up, then go to ``end``.

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
    >>> one_cycle(5, peak=0.6).round(3)
    array([0.04, 0.52, 1.  , 0.5 , 0.  ])
    """
    p = check_fraction(peak, "peak")
    low, last = check_fraction(start, "start"), check_fraction(end, "end")
    shape = ANNEALING[check_choice(kind, "kind", ANNEALING)]
    k = np.arange(check_count(n_steps, "n_steps"), dtype=np.float64)
    top, final = p * k.size - 1.0, k.size - 1.0
    phases = [(top, low, 1.0), (final, 1.0, last)]
    if check_flag(three_phase, "three_phase"):
        phases[1:] = [(2.0 * top, 1.0, low), (final, low, last)]
    values, begin, waiting = np.empty_like(k), 0.0, np.ones(k.size, dtype=np.bool_)
    for stop, first, then in phases:
        here = waiting & ((k <= stop) | (stop == final))
        u = (k[here] - begin) / (stop - begin) if stop > begin else np.ones(int(here.sum()))
        values[here] = then + (first - then) * shape(np.clip(u, 0.0, 1.0))
        waiting &= ~here
        begin = stop
    return normalised(values)


def cosine_restarts(
    n_steps: int, period: float = 0.25, factor: float = 1.0, minimum: float = 0.0, sampling: str = BETWEEN
) -> Array:
    """Cosine with warm restarts (SGDR, arXiv 1608.03983): cycles of length period, period factor, period factor^2, ...

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    period : float or int
        Length of the first cycle, as a fraction of training or in steps, at least one step.
    factor : float
        What each cycle is longer than the one before, at least 1.
    minimum : float
        Floor, between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Progress within each cycle.

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
    >>> cosine_restarts(6, period=2, factor=2, sampling="k/N").round(3)
    array([1.   , 0.5  , 1.   , 0.854, 0.5  , 0.146])
    """
    n = check_count(n_steps, "n_steps")
    whole = is_whole(period)
    length = max(float(whole_steps(period, "period", n) if whole else check_fraction(period, "period") * n), 1.0)
    growth = 1.0 + check_positive(check_positive(factor, "factor") - 1.0, "factor - 1", allow_zero=True)
    k = np.arange(n, dtype=np.float64)
    u = np.empty(n)
    offset = clock(1, sampling)[0][0]
    begin = 0.0
    while begin < n:
        inside = slice(math.ceil(begin), math.ceil(min(begin + length, n)))
        u[inside] = (k[inside] - begin + offset) / (length + offset)
        begin, length = begin + length, length * growth
    return normalised(floored(half_cosine(np.minimum(u, 1.0)), minimum))


def cyclic(
    n_steps: int,
    rise: float = 0.1,
    fall: float | None = None,
    base: float = 0.1,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> Array:
    """Cyclical rates (arXiv 1506.01186): straight lines between ``base`` and 1, as torch's CyclicLR.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    rise, fall : float or int
        Lengths of the two halves of a cycle, as fractions of training or in steps; equal by default.
    base : float
        Lowest value, relative to the highest, between 0 and 1.
    mode : {"triangular", "triangular2", "exp_range"}
        Height of the cycles: the same, halved each time, or times ``gamma`` each step.
    gamma : float
        For ``"exp_range"``, between 0 (excluded) and 1.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1 (a run that ends in its first rise is divided by its last step).

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> cyclic(6, rise=2, base=0.2)
    array([0.2, 0.6, 1. , 0.6, 0.2, 0.6])
    """
    n = check_count(n_steps, "n_steps")
    up = max(whole_steps(rise, "rise", n), 1)
    down = up if fall is None else max(whole_steps(fall, "fall", n), 1)
    low = check_fraction(base, "base")
    g = check_fraction(gamma, "gamma", low=1e-300)
    k = np.arange(n)
    cycle, at = np.divmod(k, up + down)
    height = np.where(at <= up, at / up, (up + down - at) / down)
    scale = {"triangular": np.ones(n), "triangular2": 0.5**cycle, "exp_range": g**k}
    return normalised(low + (1.0 - low) * height * scale[check_choice(mode, "mode", MODES)])


def rewarm(n_steps: int, finished: float = 0.5, warmup: float = 0.01, peak: float = 1.0, minimum: float = 0.1) -> Array:
    """Re-warming (arXiv 2308.04014): a finished cosine run, then linear warm-up and a second cosine decay.

    Parameters
    ----------
    n_steps : int
        Number of steps N of both runs, at least 2.
    finished : float or int
        Steps that belong to the finished run, a cosine from 1 to ``minimum``, as a fraction or a count; rounded to
        whole steps, at least one on either side.
    warmup : float or int
        Linear warm-up of the continuation, as a fraction of the *new* steps, rounded to whole steps, or a count.
    peak, minimum : float
        Largest and smallest value of the continuation, relative to the first run's peak.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1: with a peak above 1 the base learning rate is that of the continuation.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> rewarm(6, warmup=0.4, minimum=0.0).round(3)
    array([1.   , 0.586, 0.172, 1.   , 0.75 , 0.25 ])
    """
    n = check_count(n_steps, "n_steps", minimum=2)
    low = check_fraction(minimum, "minimum")
    top = check_positive(peak, "peak")
    if low > top:
        raise InputError("minimum", minimum, f"at most peak = {peak}")
    first = min(max(whole_steps(finished, "finished", n), 1), n - 1)
    new = n - first
    # gpt-neox counts from it = 1 (its AnnealingLR), so the first new step is already above zero
    it = np.arange(1, new + 1, dtype=np.float64)
    rise = whole_steps(warmup, "warmup", new)
    decay = low + (top - low) * np.cos(0.5 * np.pi * np.clip((it - rise) / max(new - rise + 1, 1), 0.0, 1.0)) ** 2
    second = np.where(it <= rise, top * np.minimum(it / max(rise, 1), 1.0), decay)
    return normalised(np.concatenate([cosine(first, minimum=low), second]))
