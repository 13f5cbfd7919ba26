"""The table of schedule families, and schedules from text such as ``"wsd:cooldown=0.2,kind=sqrt"``."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import Array, InputError, check_count

from .combine import override
from .curved import circular, cosine, generalised_cosine, generalised_rex, rex
from .cycles import cosine_restarts, cyclic, one_cycle, rewarm
from .decaying import (
    constant,
    exponential,
    inverse_sqrt,
    inverse_time,
    linear,
    one_minus_sqrt,
    polynomial,
    stepwise,
)
from .phases import fast_slow, infinite, power_lr
from .plateau import power_decay, powercool, wsd, wsds
from .points import smooth_nonmonotonic, two_point_linear, two_point_spline
from .sampling import BETWEEN, POWER, RATE, normalised, ramp, whole_steps

__all__ = ["FAMILIES", "GENERAL", "as_steps", "parse"]

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
        wsds,
        rex,
        generalised_rex,
        power_decay,
        powercool,
        power_lr,
        fast_slow,
        infinite,
        one_cycle,
        cosine_restarts,
        cyclic,
        two_point_linear,
        two_point_spline,
        smooth_nonmonotonic,
        rewarm,
    )
}
"""Family name -> function of (n_steps, shape parameters)."""

GENERAL: Mapping[str, Any] = {
    "warmup": 0.0,
    "warmup_kind": "linear",
    "warmup_start": 0.0,
    "warmup_power": POWER,
    "warmup_rate": RATE,
    "sampling": BETWEEN,
    "override": 1.0,
}
"""Options that a text may give to every family, with their defaults; a family's own of the same name comes first."""

COUNTED = ("constant", "inverse_sqrt", "inverse_time")
"""Families of the step number: the sampling concerns their warm-up only. Others without the option have a clock of
their own, which it would not change."""


def parse(text: str, n_steps: int) -> Array:
    """Build a schedule from text such as ``"wsd:cooldown=0.2,kind=sqrt"``.

    Parameters
    ----------
    text : str
        ``family`` or ``family:name=value,...``; hyphens and underscores are the same. A list is written with slashes:
        ``stepwise:milestones=0.5/0.75``. Lengths are counts of steps where they are whole numbers (``warmup=10``) and
        fractions of training where they have a point (``warmup=0.1``, ``warmup=1.0`` for all of it).

        Every family takes ``warmup=LENGTH``, a warm-up followed by the family over the other steps (some have their
        own), with ``warmup_kind``, ``warmup_start``, ``warmup_power`` and ``warmup_rate`` as in `warmup`;
        ``sampling=k/N``, the values that training libraries take; and ``override=PLACE``, from where the schedule is
        left for a linear cooldown to the end (`override`).
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
    >>> parse("linear:warmup=2", 4)
    array([0.5, 1. , 1. , 0.5])
    >>> parse("linaer", 4)
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: schedule: expected one of constant, linear, ..., rewarm, got linaer
    """
    n = check_count(n_steps, "n_steps")
    name, given = parse_spec(text, "schedule")
    if name not in FAMILIES:
        raise InputError("schedule", name, f"one of {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    own = {p.name: p.default for p in list(inspect.signature(family).parameters.values())[1:]}
    general = {key: value for key, value in GENERAL.items() if not (key.startswith("warmup") and "warmup" in own)}
    if "sampling" not in own and name not in COUNTED:
        del general["sampling"]
    known = {**general, **own}
    for key, value in given.items():
        if key not in known:
            raise InputError(f"schedule {name}", key, f"name=value with a name among {', '.join(known)}")
        given[key] = _checked(value, f"{name}:{key}", known[key])
    options = {key: given[key] for key in own if key in given}
    common = {key: given.get(key, default) for key, default in general.items()}
    sampling = common.get("sampling", BETWEEN)
    n_warmup = whole_steps(common["warmup"], f"{name}:warmup", n) if "warmup" in common else 0
    values = family(n - n_warmup, **options) if n_warmup < n else np.ones(0)
    if n_warmup:
        shape = (common["warmup_kind"], common["warmup_start"], common["warmup_power"], common["warmup_rate"])
        values = normalised(np.concatenate([ramp(n_warmup, *shape, sampling=sampling), values]))
    if "override" in given:
        values = normalised(override(values, given["override"], sampling=sampling))
    return values


def as_steps(steps: "npt.ArrayLike | str", n_steps: int | None, name: str = "steps") -> Any:
    """Return the steps that a text names, in ``n_steps`` steps; whatever is no text is returned as it is.

    >>> as_steps("linear", 2).tolist(), as_steps([1.0, 0.5], None)
    ([1.0, 0.5], [1.0, 0.5])
    """
    if isinstance(steps, str):
        if n_steps is None:
            raise InputError("n_steps", n_steps, f"the number of steps of the schedule {steps!r}")
        return parse(steps, n_steps)
    if n_steps is not None:
        with contextlib.suppress(Exception):  # what is no array is refused by the function that wants one
            if np.shape(steps)[-1] == check_count(n_steps, "n_steps"):
                return steps
        raise InputError("n_steps", n_steps, f"nothing beside an array, or its number of steps in {name}")
    return steps


def _checked(value: Any, name: str, default: Any) -> Any:
    """Return an option in the form of its default: a text, a flag, a list of places, else one number."""
    if isinstance(default, str):
        return str(value)
    if isinstance(default, bool):
        return value
    if isinstance(default, tuple) and not isinstance(value, str):
        listed = value if isinstance(value, list) else [] if value is None else [value]
        counted = any(place > 1 for place in listed) and all(float(place).is_integer() for place in listed)
        return [int(place) if counted else float(place) for place in listed]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(name, value, "one number")
    return value
