"""Checks of what rates take: schedules, D, G, and whether the result is a floating point number with all its digits."""

import math
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_array,
    check_gradient_bounds,
    check_positive,
    check_steps,
    n_dims,
)

__all__ = ["check_schedules", "check_constants", "check_rate", "check_base_lr"]


def check_schedules(steps: Any) -> Array:
    """Return a read-only copy of one schedule, float64[N], or of m schedules as rows, float64[m, N]."""
    if n_dims(steps) != 2:
        checked = check_steps(steps, allow_empty=True)
    else:
        checked = check_array(steps, "steps", 2, "finite step sizes, one schedule a row")
        if 0 in checked.shape:
            raise InputError("steps", f"an array of shape {checked.shape}", "at least one schedule and one step size")
        if checked.min() < 0.0:
            row, column = np.argwhere(checked < 0.0)[0]
            given = f"steps[{row}, {column}] = {checked[row, column]}"
            raise InputError("steps", given, "finite step sizes that are at least zero")
    checked.flags.writeable = False
    return checked


def check_constants(D: Any, G: Any, n_steps: int) -> tuple[float, Array]:
    """Return D and the gradient bounds, one where they are all equal, else N + 1."""
    distance = check_positive(D, "D")
    if n_dims(G) == 0:
        caps = np.array([check_positive(G, "G")])
    else:
        caps = check_gradient_bounds(G, n_steps)
        if (caps == caps[0]).all():
            caps = caps[:1]
    least, most = float(caps.min()), float(caps.max())
    if not 1e-290 < distance * least <= distance * most < 1e290:
        raise InputError("D", distance, f"D G between 1e-290 and 1e290; G is {least:g}")
    if least < 1e-140 * most:
        raise InputError("G", f"values from {least:g} to {most:g}", "gradient bounds within 140 orders of magnitude")
    caps = caps.copy()
    caps.flags.writeable = False
    return distance, caps


def check_rate(value: float, steps: Array) -> float:
    """Refuse a rate beyond the floating point range."""
    if not math.isfinite(value):
        raise InputError("steps", f"a largest step of {steps.max():g}", "steps for which the rate is a finite number")
    return value


def check_base_lr(value: float, steps: Array) -> float:
    """Refuse a base learning rate beyond the floating point range."""
    if not 1e-305 < value < 1e305:
        given = f"a largest step of {steps.max():g}"
        raise InputError("steps", given, "steps whose best base learning rate lies between 1e-305 and 1e305")
    return value
