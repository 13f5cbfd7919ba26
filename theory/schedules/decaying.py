"""Families that only decay (or stay constant): one pure function each.

A family of N steps is its profile sampled at the progress s_k = (k + 1)/(N + 1), k = 0..N-1, divided by its maximum:
the N + 1 iterates x_0..x_N split [0, 1], and the value at s = 1, mostly zero, would be a step that is never taken.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_fraction,
    check_positive,
    check_vector,
    is_number,
)

__all__ = [
    "circular",
    "constant",
    "cooldown_profile",
    "cosine",
    "exponential",
    "generalised_cosine",
    "generalised_rex",
    "half_cosine",
    "inverse_sqrt",
    "inverse_time",
    "linear",
    "normalised",
    "one_minus_sqrt",
    "polynomial",
    "progress",
    "rex",
    "stepwise",
    "wsd",
]


def progress(n_steps: int) -> Array:
    """Return the sampling points s_k = (k + 1)/(N + 1) of every family, float64[n_steps].

    >>> progress(3)
    array([0.25, 0.5 , 0.75])
    """
    n = check_count(n_steps, "n_steps")
    return np.arange(1, n + 1, dtype=np.float64) / (n + 1)


def normalised(values: Array) -> Array:
    """Return ``values`` divided by their maximum, so that the base learning rate is the largest step.

    >>> normalised(np.array([1.0, 4.0]))
    array([0.25, 1.  ])
    """
    peak = values.max()
    if not 0.0 < peak < np.inf:
        raise InputError("shape", f"a schedule whose maximum is {peak}", "parameters that give some positive step")
    return values / peak


def constant(n_steps: int) -> Array:
    """Constant steps, 1.

    >>> constant(3)
    array([1., 1., 1.])
    """
    return np.ones_like(progress(n_steps))


def linear(n_steps: int) -> Array:
    """Linear decay, 1 - s: the minimax optimal shape for a constant gradient bound (arXiv 2310.07831, Corollary 2).

    The N steps are (N - k)/N; the step that would be zero is never taken.

    >>> linear(4)
    array([1.  , 0.75, 0.5 , 0.25])
    """
    n = check_count(n_steps, "n_steps")
    return np.arange(n, 0, -1, dtype=np.float64) / n


def polynomial(n_steps: int, power: float = 2.0) -> Array:
    """Polynomial decay, (1 - s)^power.

    >>> polynomial(3, power=2)
    array([1.        , 0.44444444, 0.11111111])
    """
    return normalised((1.0 - progress(n_steps)) ** check_positive(power, "power", allow_zero=True))


def one_minus_sqrt(n_steps: int) -> Array:
    """One minus square root, 1 - sqrt(s).

    >>> one_minus_sqrt(3)
    array([1.        , 0.58578644, 0.26794919])
    """
    return normalised(1.0 - np.sqrt(progress(n_steps)))


def cosine(n_steps: int, minimum: float = 0.0) -> Array:
    """Half a cosine from 1 towards ``minimum``: m + (1 - m)(1 + cos(pi s))/2.

    >>> cosine(3)
    array([1.        , 0.58578644, 0.17157288])
    """
    m = check_fraction(minimum, "minimum")
    return normalised(m + (1.0 - m) * half_cosine(progress(n_steps)))


def generalised_cosine(n_steps: int, power: float = 1.0, minimum: float = 0.0) -> Array:
    """Cosine decay raised to a power, m + (1 - m)((1 + cos(pi s))/2)^power (arXiv 2603.10301).

    >>> generalised_cosine(3, power=2)
    array([1.        , 0.34314575, 0.02943725])
    """
    m = check_fraction(minimum, "minimum")
    return normalised(m + (1.0 - m) * half_cosine(progress(n_steps)) ** check_positive(power, "power"))


def circular(n_steps: int, power: float = 1.0) -> Array:
    """Quarter of a circle raised to a power, sqrt(1 - s^2)^power (the square-root family of arXiv 2603.10301).

    >>> circular(3)
    array([1.        , 0.89442719, 0.68313005])
    """
    s = progress(n_steps)
    return normalised(((1.0 - s) * (1.0 + s)) ** (0.5 * check_positive(power, "power")))


def inverse_sqrt(n_steps: int, offset: float = 1.0) -> Array:
    """Inverse square root, sqrt(offset / (k + offset)), with the offset in steps.

    >>> inverse_sqrt(4)
    array([1.        , 0.70710678, 0.57735027, 0.5       ])
    """
    b = check_positive(offset, "offset")
    return np.sqrt(b / (np.arange(check_count(n_steps, "n_steps"), dtype=np.float64) + b))


def inverse_time(n_steps: int, offset: float = 1.0) -> Array:
    """Inverse time, offset / (k + offset), with the offset in steps.

    >>> inverse_time(4)
    array([1.        , 0.5       , 0.33333333, 0.25      ])
    """
    b = check_positive(offset, "offset")
    return b / (np.arange(check_count(n_steps, "n_steps"), dtype=np.float64) + b)


def exponential(n_steps: int, end: float = 0.01) -> Array:
    """Exponential decay, end^s: a constant ratio from step to step.

    >>> exponential(3, end=0.0001)
    array([1.  , 0.1 , 0.01])
    """
    return normalised(check_fraction(end, "end", low=1e-300) ** progress(n_steps))


def stepwise(n_steps: int, milestones: Sequence[float] = (0.3, 0.6, 0.9), factor: float = 0.1) -> Array:
    """Drops by ``factor`` at each milestone, a fraction of training (30-60-90 by default).

    >>> stepwise(9)
    array([1.   , 1.   , 0.1  , 0.1  , 0.1  , 0.01 , 0.01 , 0.01 , 0.001])
    """
    marks = check_vector([milestones] if is_number(milestones) else milestones, "milestones")
    if marks.size and not (marks.min() >= 0.0 and marks.max() <= 1.0):
        raise InputError("milestones", milestones, "fractions of training between 0 and 1")
    drops = np.searchsorted(np.sort(marks), progress(n_steps), side="right")
    return normalised(check_fraction(factor, "factor", low=1e-300) ** drops.astype(np.float64))


def wsd(n_steps: int, cooldown: float = 0.2, kind: str = "linear", warmup: float = 0.0) -> Array:
    """Warm-up, stable, decay: constant, then a cooldown over the last fraction of training.

    Parameters
    ----------
    cooldown : float
        Fraction of training in the final decay.
    kind : {"linear", "sqrt", "cosine"}
        Shape of the cooldown with progress u in [0, 1]: 1 - u, 1 - sqrt(u), or half a cosine.
    warmup : float
        Fraction of training in the linear warm-up, 0 by default; with the cooldown at most 1.

    Examples
    --------
    >>> wsd(4, cooldown=0.5)
    array([1. , 1. , 0.8, 0.4])
    """
    c = check_fraction(cooldown, "cooldown")
    w = check_fraction(warmup, "warmup")
    if c + w > 1.0 + 1e-12:  # 0.9 and 0.1 leave 1 - 0.9 < 0.1 by rounding: no stable phase
        raise InputError("warmup", warmup, f"at most what the cooldown leaves, 1 - {c!r}")
    s = progress(n_steps)
    values = np.ones_like(s)
    if c > 0.0:
        values = cooldown_profile(np.interp(s, [1.0 - c, 1.0], [0.0, 1.0]), kind)
    if w > 0.0:
        values = np.minimum(values, np.interp(s, [0.0, w], [0.0, 1.0]))
    return normalised(values)


def cooldown_profile(u: Array, kind: str) -> Array:
    """Return the cooldown at its own progress u in [0, 1]: 1 - u, 1 - sqrt(u), or half a cosine.

    >>> cooldown_profile(np.array([0.0, 0.25, 1.0]), "sqrt")
    array([1. , 0.5, 0. ])
    """
    check_choice(kind, "kind", COOLDOWNS)
    return COOLDOWNS[kind](u)


def rex(n_steps: int) -> Array:
    """Reflected exponential, (1 - s)/(1 - s/2) (arXiv 2107.04197).

    >>> rex(3)
    array([1.        , 0.77777778, 0.46666667])
    """
    return generalised_rex(n_steps, b=0.5)


def generalised_rex(n_steps: int, b: float = 0.5) -> Array:
    """Reflected exponential with a free constant, (1 - s)/(1 - (1 - b) s): b = 1 is linear, b -> 0 constant.

    >>> bool(np.allclose(generalised_rex(5, b=1.0), linear(5), rtol=1e-15))
    True
    """
    s = progress(n_steps)
    return normalised((1.0 - s) / (1.0 - (1.0 - check_fraction(b, "b")) * s))


def half_cosine(s: Array) -> Array:
    """Return half a cosine from 1 at s = 0 to 0 at s = 1."""
    return np.cos(0.5 * np.pi * s) ** 2  # equals (1 + cos(pi s))/2 without cancellation near s = 1


def _linear(u: Array) -> Array:
    return 1.0 - u


def _one_minus_sqrt(u: Array) -> Array:
    return 1.0 - np.sqrt(u)


COOLDOWNS: dict[str, Callable[[Array], Array]] = {
    "linear": _linear,
    "sqrt": _one_minus_sqrt,
    "cosine": half_cosine,
}
