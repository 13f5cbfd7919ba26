"""Combinators: warm-up, cooldown, override, concatenation and scaling of any schedule, weight decay beside it."""

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_fraction,
    check_positive,
    check_steps,
)

from .sampling import BETWEEN, POWER, RATE, clock, cooldown_profile, floored, ramp, whole_steps

__all__ = ["cooldown", "join", "override", "scale", "warmup", "weight_decay"]


def warmup(
    steps: npt.ArrayLike,
    n_warmup: float,
    start: float = 0.0,
    kind: str = "linear",
    *,
    power: float = POWER,
    rate: float = RATE,
    sampling: str = BETWEEN,
) -> Array:
    """Multiply the first steps by a ramp from ``start`` (exclusive) to 1 (inclusive).

    Parameters
    ----------
    steps : array_like, shape (N,)
        Step sizes.
    n_warmup : int or float
        Length in steps, or as a fraction of the schedule.
    start : float
        Between 0 and 1.
    kind : {"linear", "cosine", "polynomial", "exponential", "1-sqrt"}
        Shape with progress u: u, half a cosine, u^power, 1 - exp(-rate u), 1 - sqrt(1 - u).
    power, rate : float
        Of the polynomial and of the exponential warm-up.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Progress 1/W, ..., 1, or 0, 1/W, ..., (W - 1)/W, as training libraries have it.

    Returns
    -------
    ndarray, shape (N,)

    Raises
    ------
    InputError
        For bad steps, or a parameter out of its range.

    Examples
    --------
    >>> warmup([1, 1, 1, 1], n_warmup=2)
    array([0.5, 1. , 1. , 1. ])
    """
    h = check_steps(steps).copy()
    n = whole_steps(n_warmup, "n_warmup", h.size)
    h[:n] *= ramp(n, kind, start, power, rate, sampling)
    return h


def cooldown(
    steps: npt.ArrayLike, n_cooldown: float, kind: str = "linear", *, minimum: float = 0.0, sampling: str = BETWEEN
) -> Array:
    """Multiply the last steps by a decay whose end is the step after the last one.

    Parameters
    ----------
    steps : array_like, shape (N,)
        Step sizes.
    n_cooldown : int or float
        Length in steps, or as a fraction of the schedule.
    kind : {"linear", "sqrt", "cosine", "1-sqrt", "exponential"}
        See `wsd`.
    minimum : float
        What it ends at, between 0 and 1.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Progress 1/(C + 1), ..., or 0, 1/C, ..., as training libraries have it.

    Returns
    -------
    ndarray, shape (N,)

    Raises
    ------
    InputError
        For bad steps, or a parameter out of its range.

    Examples
    --------
    >>> cooldown([1, 1, 1, 1], n_cooldown=3)
    array([1.  , 0.75, 0.5 , 0.25])
    """
    h = check_steps(steps).copy()
    n = whole_steps(n_cooldown, "n_cooldown", h.size)
    h[h.size - n :] *= _falling(n, kind, minimum, sampling)
    return h


def override(
    steps: npt.ArrayLike,
    start: float,
    n_cooldown: int | None = None,
    kind: str = "linear",
    *,
    minimum: float = 0.0,
    sampling: str = BETWEEN,
) -> Array:
    """Leave a schedule at some step and cool down from the value it has there: a release on demand.

    Parameters
    ----------
    steps : array_like, shape (N,)
        The schedule that is left.
    start : int or float
        First step of the cooldown, or the fraction of the schedule that is kept.
    n_cooldown : int, optional
        Its length; by default the cooldown takes the steps that are left.
    kind : str
        Shape, see `wsd`.
    minimum : float
        What it ends at, as a fraction of the value at ``start``.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Progress of the cooldown; with "k/N" its first step is that of the schedule.

    Returns
    -------
    ndarray, shape (start + n_cooldown,)
        The run ends with its cooldown.

    Raises
    ------
    InputError
        For bad steps, or a start that is not before the last step.

    Examples
    --------
    >>> override([1.0, 1.0, 0.9, 0.8], 2, n_cooldown=3, sampling="k/N")
    array([1. , 1. , 0.9, 0.6, 0.3])
    """
    h = check_steps(steps)
    first = whole_steps(start, "start", h.size)
    if first >= h.size:
        raise InputError("start", start, f"a step before the end of the schedule, {h.size}")
    n = h.size - first if n_cooldown is None else check_count(n_cooldown, "n_cooldown", minimum=0)
    return np.concatenate([h[:first], h[first] * _falling(n, kind, minimum, sampling)])


def join(*parts: npt.ArrayLike) -> Array:
    """Concatenate schedules as they are, without rescaling.

    Parameters
    ----------
    *parts : array_like, shape (N_i,)
        Schedules.

    Returns
    -------
    ndarray, shape (N_1 + N_2 + ...,)

    Raises
    ------
    InputError
        If there is none, or one is bad.

    Examples
    --------
    >>> join([0.5, 1.0], [0.25])
    array([0.5 , 1.  , 0.25])
    """
    if not parts:
        raise InputError("parts", "no schedule", "at least one schedule")
    return np.concatenate([check_steps(part, f"parts[{i}]") for i, part in enumerate(parts)])


@within_float64
def scale(steps: npt.ArrayLike, base_lr: float) -> Array:
    """Multiply a schedule by a base learning rate.

    Parameters
    ----------
    steps : array_like, shape (N,)
        Multipliers.
    base_lr : float
        At least zero.

    Returns
    -------
    ndarray, shape (N,)

    Raises
    ------
    InputError
        For bad steps or a bad base learning rate.

    Examples
    --------
    >>> scale([1.0, 0.5], base_lr=0.2)
    array([0.2, 0.1])
    """
    return check_steps(steps) * check_positive(base_lr, "base_lr", allow_zero=True)


COUPLINGS = ("constant", "proportional", "independent")


def weight_decay(steps: npt.ArrayLike, coupling: str = "proportional") -> Array:
    """Return multipliers of the weight decay beside a schedule of learning rates.

    With decoupled decay the weights shrink by lr_k wd_k a step. ``"proportional"`` scales wd with the learning rate, as
    AdamC does, so that gradient norms of normalised layers do not rise at the end (arXiv 2506.02285);
    ``"independent"`` keeps lr_k wd_k constant, the form in which the decay does not follow the schedule (arXiv
    1711.05101); ``"constant"`` is what torch's AdamW does by itself.

    Parameters
    ----------
    steps : array_like, shape (N,)
        Schedule of the learning rate.
    coupling : {"constant", "proportional", "independent"}

    Returns
    -------
    ndarray, shape (N,)
        Multipliers of the base weight decay; any other schedule can be used in their place.

    Raises
    ------
    InputError
        For bad steps, steps that are all zero, or ``"independent"`` beside a step of zero.

    Examples
    --------
    >>> weight_decay([2.0, 1.0]), weight_decay([2.0, 1.0], "independent")
    (array([1. , 0.5]), array([1., 2.]))
    """
    h = check_steps(steps)
    kind = check_choice(coupling, "coupling", COUPLINGS)
    if h.max() <= 0.0 or (kind == "independent" and h.min() <= 0.0):
        raise InputError("steps", f"steps from {h.min():g} to {h.max():g}", "positive steps")
    if kind == "constant":
        return np.ones_like(h)
    with np.errstate(over="ignore"):
        multipliers = h / h.max() if kind == "proportional" else h.max() / h
    return check_steps(multipliers, "multipliers")


def _falling(n: int, kind: str, minimum: float, sampling: str) -> Array:
    if n == 0:
        return np.ones(0)
    times, end = clock(n, sampling)
    return floored(cooldown_profile(times / end, kind), check_fraction(minimum, "minimum"))
