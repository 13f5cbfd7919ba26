"""What all families share: where a profile is sampled, floors, whole steps, shapes of warm-ups and cooldowns.

A family of N steps is its profile sampled at the progress s_k = (k + 1)/(N + 1), k = 0..N-1, divided by its maximum:
the N + 1 iterates x_0..x_N split [0, 1], and the value at s = 1, mostly zero, would be a step that is never taken.
Training libraries sample at k/N; ``sampling="k/N"`` does as they do.
"""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_fraction,
    check_positive,
    is_number,
)

__all__ = [
    "BETWEEN",
    "COOLDOWNS",
    "FROM_ZERO",
    "POWER",
    "RATE",
    "SAMPLINGS",
    "WARMUPS",
    "as_list",
    "clock",
    "cooldown_profile",
    "floored",
    "half_cosine",
    "is_whole",
    "normalised",
    "progress",
    "ramp",
    "whole_steps",
]

BETWEEN, FROM_ZERO = "(k+1)/(N+1)", "k/N"
SAMPLINGS = (BETWEEN, FROM_ZERO)
"""Names of the two samplings: between the ends, which is the default, and from zero, as training libraries do."""

POWER, RATE = 2.0, 5.0
"""Defaults of a polynomial and of an exponential warm-up."""


def clock(n_steps: int, sampling: str = BETWEEN) -> tuple[Array, int]:
    """Return the times t_0..t_{N-1} of the steps and the time T of the end; the progress is t/T.

    >>> clock(3), clock(3, "k/N")
    ((array([1., 2., 3.]), 4), (array([0., 1., 2.]), 3))
    """
    n = check_count(n_steps, "n_steps")
    first = 1 if check_choice(sampling, "sampling", SAMPLINGS) == BETWEEN else 0
    return np.arange(first, n + first, dtype=np.float64), n + first


def progress(n_steps: int, sampling: str = BETWEEN) -> Array:
    """Return the sampling points of a family, float64[n_steps].

    >>> progress(3), progress(4, "k/N")
    (array([0.25, 0.5 , 0.75]), array([0.  , 0.25, 0.5 , 0.75]))
    """
    times, end = clock(n_steps, sampling)
    return times / end


def normalised(values: Array) -> Array:
    """Return ``values`` divided by their maximum, so that the base learning rate is the largest step.

    >>> normalised(np.array([1.0, 4.0]))
    array([0.25, 1.  ])
    """
    peak = values.max()
    if not 0.0 < peak < np.inf:
        raise InputError("shape", f"a schedule whose maximum is {peak}", "parameters that give some positive step")
    with np.errstate(over="ignore"):  # none exceeds 1, but NumPy 1.26 divides unused lanes of a vector too
        return values / peak


def floored(profile: Array, minimum: Any) -> Array:
    """Return m + (1 - m) profile, the profile over a floor.

    >>> floored(np.array([1.0, 0.0]), 0.1)
    array([1. , 0.1])
    """
    m = check_fraction(minimum, "minimum")
    return m + (1.0 - m) * profile if m else profile


def is_whole(value: Any) -> bool:
    """Return whether a length is a count of steps (an int) rather than a fraction of training (a float)."""
    return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))


def as_list(values: Any, name: str) -> list[Any]:
    """Return one value or a sequence of them as a list."""
    if is_number(values):
        return [values]
    try:
        return list(values)
    except Exception as error:  # whatever a foreign __iter__ raises
        raise InputError(name, values, "a number or a list of numbers") from error


def whole_steps(value: Any, name: str, n_steps: int) -> int:
    """Return a length in steps: an int counts them, a float is a fraction of training, rounded.

    >>> whole_steps(10, "warmup", 50), whole_steps(0.1, "warmup", 50)
    (10, 5)
    """
    if not is_whole(value):
        return round(check_fraction(value, name) * n_steps)
    count = check_count(value, name, minimum=0)
    if count > n_steps:
        raise InputError(name, value, f"at most the {n_steps} steps of the schedule, or a fraction between 0.0 and 1.0")
    return count


def ramp(
    n_warmup: int,
    kind: str = "linear",
    start: float = 0.0,
    power: float = POWER,
    rate: float = RATE,
    sampling: str = BETWEEN,
) -> Array:
    """Return a warm-up of ``n_warmup`` steps: 1/W, ..., 1, or 0, ..., (W - 1)/W where the sampling is ``"k/N"``.

    >>> ramp(4), ramp(4, "cosine", sampling="k/N").round(3)
    (array([0.25, 0.5 , 0.75, 1.  ]), array([0.   , 0.146, 0.5  , 0.854]))
    """
    first = 1 if check_choice(sampling, "sampling", SAMPLINGS) == BETWEEN else 0
    u = np.arange(first, n_warmup + first, dtype=np.float64) / max(n_warmup, 1)
    p, r = check_positive(power, "power"), check_positive(rate, "rate")
    shape = WARMUPS[check_choice(kind, "kind", WARMUPS)](u, p, r)
    low = check_fraction(start, "start")
    return low + (1.0 - low) * shape if low else shape


def cooldown_profile(u: Array, kind: str) -> Array:
    """Return the cooldown at its own progress u in [0, 1], from 1 to 0; see `COOLDOWNS`.

    >>> cooldown_profile(np.array([0.0, 0.25, 1.0]), "sqrt")
    array([1. , 0.5, 0. ])
    """
    check_choice(kind, "kind", COOLDOWNS)
    return COOLDOWNS[kind](u)


def half_cosine(s: Array) -> Array:
    """Return half a cosine from 1 at s = 0 to 0 at s = 1."""
    return np.cos(0.5 * np.pi * s) ** 2  # equals (1 + cos(pi s))/2 without cancellation near s = 1


def _linear(u: Array) -> Array:
    return 1.0 - u


def _one_minus_sqrt(u: Array) -> Array:
    return 1.0 - np.sqrt(u)


def _exponential(u: Array) -> Array:
    return 2.0 * 0.5**u - 1.0


COOLDOWNS: dict[str, Callable[[Array], Array]] = {
    "linear": _linear,
    "sqrt": _one_minus_sqrt,
    "cosine": half_cosine,
    "1-sqrt": _one_minus_sqrt,
    "exponential": _exponential,
}
"""Shapes of a cooldown: 1 - u, 1 - sqrt(u) (under both its names), half a cosine, 2^(1 - u) - 1 (as Megatron-LM)."""

WARMUPS: dict[str, Callable[[Array, float, float], Array]] = {
    "linear": lambda u, power, rate: u,
    "cosine": lambda u, power, rate: half_cosine(1.0 - u),
    "polynomial": lambda u, power, rate: u**power,
    "exponential": lambda u, power, rate: -np.expm1(-rate * u),
    "1-sqrt": lambda u, power, rate: 1.0 - np.sqrt(1.0 - u),
}
"""Shapes of a warm-up: u, half a cosine, u^power, 1 - exp(-rate u), which jumps to 1 at its end, 1 - sqrt(1 - u)."""
