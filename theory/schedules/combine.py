"""Combinators: warm-up, cooldown, concatenation and scaling of any schedule."""

from typing import Any

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_fraction,
    check_positive,
    check_steps,
)

from .decaying import cooldown_profile

__all__ = ["cooldown", "join", "scale", "warmup"]


def warmup(steps: Any, n_warmup: int, start: float = 0.0) -> Array:
    """Multiply the first ``n_warmup`` steps by a linear ramp from ``start`` (exclusive) to 1 (inclusive).

    >>> warmup([1, 1, 1, 1], n_warmup=2)
    array([0.5, 1. , 1. , 1. ])
    """
    h = check_steps(steps).copy()
    n = _check_part(n_warmup, "n_warmup", h.size)
    low = check_fraction(start, "start")
    h[:n] *= low + (1.0 - low) * np.arange(1, n + 1) / max(n, 1)
    return h


def cooldown(steps: Any, n_cooldown: int, kind: str = "linear") -> Array:
    """Multiply the last ``n_cooldown`` steps by a decay whose zero is the step after the last one.

    >>> cooldown([1, 1, 1, 1], n_cooldown=3)
    array([1.  , 0.75, 0.5 , 0.25])
    """
    h = check_steps(steps).copy()
    n = _check_part(n_cooldown, "n_cooldown", h.size)
    h[h.size - n :] *= cooldown_profile(np.arange(1, n + 1, dtype=np.float64) / (n + 1), kind)
    return h


def join(*parts: Any) -> Array:
    """Concatenate schedules as they are, without rescaling.

    >>> join([0.5, 1.0], [0.25])
    array([0.5 , 1.  , 0.25])
    """
    if not parts:
        raise InputError("parts", "no schedule", "at least one schedule")
    return np.concatenate([check_steps(part, f"parts[{i}]") for i, part in enumerate(parts)])


def scale(steps: Any, base_lr: float) -> Array:
    """Multiply a schedule by a base learning rate.

    >>> scale([1.0, 0.5], base_lr=0.2)
    array([0.2, 0.1])
    """
    return check_steps(steps) * check_positive(base_lr, "base_lr", allow_zero=True)


def _check_part(count: Any, name: str, n_steps: int) -> int:
    n = check_count(count, name, minimum=0)
    if n > n_steps:
        raise InputError(name, count, f"at most the {n_steps} steps of the schedule")
    return n
