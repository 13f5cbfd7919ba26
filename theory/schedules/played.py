"""Schedules as other programs play them, and what those programs are given to play."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.result import Scheduled
from lastiterate.theory.base.validation import Array, InputError, check_count, check_steps

from .families import as_steps
from .files import ScheduleFile

__all__ = ["Playable", "from_callable", "from_torch", "playable"]

Playable = npt.ArrayLike | Scheduled | ScheduleFile
"""What schedulers take: multipliers, the text of a schedule, a result that is one, what a schedule file holds."""


def playable(schedule: Playable, n_steps: int | None = None) -> tuple[Array, bool]:
    """Return the steps to play, and whether they are learning rates rather than multipliers of one.

    Parameters
    ----------
    schedule : array_like, shape (n,), or str, or a result with steps, or ScheduleFile
        Arrays and texts are multipliers; results and files say what they are (``absolute``).
    n_steps : int, optional
        Length of a schedule that is given as a text.

    Returns
    -------
    steps : ndarray, shape (n,)
    absolute : bool

    Raises
    ------
    InputError
        If the steps are no finite nonnegative sequence, or a text comes without its length.

    Examples
    --------
    >>> playable("linear", 2)
    (array([1. , 0.5]), False)
    """
    if isinstance(schedule, Scheduled | ScheduleFile):
        own = schedule.steps if isinstance(schedule, Scheduled) else schedule.values
        return check_steps(as_steps(own, n_steps)), schedule.absolute
    return check_steps(as_steps(schedule, n_steps)), False  # pyright: ignore[reportArgumentType]


def from_callable(schedule: Callable[[int], Any], n_steps: int) -> Array:
    """Return the values of a function of the step number, such as an optax schedule.

    Parameters
    ----------
    schedule : callable
        Step number k = 0, 1, ... -> learning rate or multiplier. Optax computes in float32 unless jax is told not to.
    n_steps : int
        Number of steps N.

    Returns
    -------
    ndarray, shape (N,)
        The values as they are.

    Raises
    ------
    InputError
        If a value is no finite number of at least zero.

    Examples
    --------
    >>> from_callable(lambda k: 0.5 / (k + 1), 2)
    array([0.5 , 0.25])
    """
    n = check_count(n_steps, "n_steps")
    if not callable(schedule):
        raise InputError("schedule", schedule, "a function of the step number")
    try:
        values = [_number(schedule(k), k) for k in range(n)]
    except TypeError as error:
        raise InputError("schedule", f"{schedule!r} ({error})", "a function of the step number") from error
    return check_steps(np.array(values), "schedule")


def from_torch(scheduler: Any, n_steps: int, group: int | None = None) -> Array:
    """Return the learning rates that a torch scheduler would set in its next steps; it stays where it is.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        Any scheduler that follows the step number alone, transformers' included.
    n_steps : int
        Number of steps N.
    group : int, optional
        Parameter group; needed where the groups have learning rates that are not multiples of each other.

    Returns
    -------
    ndarray, shape (N,)
        Learning rates of the group (the first one by default), as they are.

    Raises
    ------
    InputError
        For a scheduler that waits for a metric, one that ends before N steps, or groups that differ in shape.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    >>> from_torch(torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=4), 4)
    array([0.5  , 0.375, 0.25 , 0.125])
    """
    n = check_count(n_steps, "n_steps")
    if not all(hasattr(scheduler, name) for name in ("optimizer", "step", "state_dict")):
        raise InputError("scheduler", scheduler, "a torch scheduler")
    groups = scheduler.optimizer.param_groups
    kept = [{key: copy.deepcopy(value) for key, value in g.items() if key != "params"} for g in groups]
    state = copy.deepcopy(scheduler.state_dict())
    rates = np.empty((n, len(groups)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of steps without the optimizer's
            for k in range(n):
                rates[k] = [float(g["lr"]) for g in groups]
                if k + 1 < n:
                    scheduler.step()
    except TypeError as error:
        raise InputError("scheduler", type(scheduler).__name__, "one that needs no metric") from error
    except ValueError as error:
        raise InputError("n_steps", n_steps, f"steps that {type(scheduler).__name__} has ({error})") from error
    finally:
        scheduler.load_state_dict(state)
        for g, values in zip(groups, kept, strict=True):
            _put_back(g, values)
    if group is not None:
        return check_steps(rates[:, check_count(group, "group", minimum=0, maximum=len(groups) - 1)], "scheduler")
    peaks = rates.max(axis=0)
    shapes = rates / np.where(peaks > 0.0, peaks, 1.0)
    if not np.allclose(shapes, shapes[:, :1], rtol=1e-9, atol=1e-12):
        raise InputError("group", group, f"the number of a parameter group, below {len(groups)}: their shapes differ")
    return check_steps(rates[:, 0], "scheduler")


def _put_back(group: dict[str, Any], values: dict[str, Any]) -> None:
    """Restore the options of a group; a learning rate that is a tensor keeps its identity."""
    for key, value in values.items():
        if hasattr(group[key], "fill_"):
            group[key].fill_(value)
        else:
            group[key] = value


def _number(value: Any, step: int) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError("schedule", f"{value!r} at step {step}", "one number for every step") from error
