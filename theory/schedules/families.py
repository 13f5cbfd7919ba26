"""The table of schedule families, and schedules from text such as ``"wsd:cooldown=0.2,kind=sqrt"``."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import Array, InputError, check_count, check_fraction

from .decaying import (
    circular,
    constant,
    cosine,
    exponential,
    generalised_cosine,
    generalised_rex,
    inverse_sqrt,
    inverse_time,
    linear,
    one_minus_sqrt,
    polynomial,
    rex,
    stepwise,
    wsd,
)
from .rising import one_cycle, rewarm, smooth_nonmonotonic, two_point_linear, two_point_spline

__all__ = ["FAMILIES", "parse"]

FAMILIES: dict[str, Callable[..., Array]] = {
    family.__name__: family
    for family in (
        constant,
        linear,
        polynomial,
        one_minus_sqrt,
        cosine,
        generalised_cosine,
        circular,
        inverse_sqrt,
        inverse_time,
        exponential,
        stepwise,
        wsd,
        rex,
        generalised_rex,
        one_cycle,
        two_point_linear,
        two_point_spline,
        smooth_nonmonotonic,
        rewarm,
    )
}
"""Family name -> function of (n_steps, shape parameters)."""


def parse(text: str, n_steps: int) -> Array:
    """Build a schedule from text such as ``"wsd:cooldown=0.2,kind=sqrt"``.

    Parameters
    ----------
    text : str
        ``family`` or ``family:name=value,...``; hyphens and underscores are the same. A list is written with slashes:
        ``stepwise:milestones=0.5/0.75``. Every family takes ``warmup=FRACTION``: a linear warm-up over that fraction
        of the steps, followed by the family over the others (``wsd`` has its own).
    n_steps : int
        Number of steps N.

    Returns
    -------
    ndarray of float64, shape (n_steps,)
        The step sizes, maximum 1.

    Raises
    ------
    InputError
        For an unknown family or parameter (the message lists the known ones) or a value that is no number.

    Examples
    --------
    >>> parse("linear", 4)
    array([1.  , 0.75, 0.5 , 0.25])
    >>> parse("linear:warmup=0.5", 4)
    array([0.5, 1. , 1. , 0.5])
    >>> parse("linaer", 4)
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: schedule: expected one of constant, linear, ..., rewarm, got linaer
    """
    n = check_count(n_steps, "n_steps")
    name, options = parse_spec(text, "schedule")
    if name not in FAMILIES:
        raise InputError("schedule", name, f"one of {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    own = list(inspect.signature(family).parameters)[1:]
    for key, value in options.items():
        if key not in (*own, "warmup"):
            known = ", ".join(dict.fromkeys([*own, "warmup"]))
            raise InputError(f"schedule {name}", key, f"name=value with a name among {known}")
        options[key] = _checked(value, f"{name}:{key}", key)
    if "warmup" in own or "warmup" not in options:
        return family(n, **options)
    n_warmup = round(check_fraction(options.pop("warmup"), f"{name}:warmup", high=1.0) * n)
    ramp = np.arange(1, n_warmup + 1, dtype=np.float64) / max(n_warmup, 1)
    return ramp if n_warmup == n else np.concatenate([ramp, family(n - n_warmup, **options)])


def _checked(value: Any, name: str, key: str) -> Any:
    """Return an option in the form its family takes: a text for a kind, a list for milestones, else one number."""
    if key == "kind":
        return str(value)
    if key == "milestones" and not isinstance(value, str):
        return value if isinstance(value, list) else [] if value is None else [float(value)]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(name, value, "one number")
    return value
