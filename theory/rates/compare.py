"""Several schedules side by side, each at its best base learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory import schedules as families
from lastiterate.theory.base.validation import (
    InputError,
    check_count,
    check_gradient_bounds,
    check_positive,
    check_steps,
)

from .sgd import BOUNDS, tune_base_lr

__all__ = ["compare", "ComparedSchedule", "DEFAULT_FAMILIES"]

DEFAULT_FAMILIES = (
    "linear",
    "one_minus_sqrt",
    "rex",
    "cosine",
    "polynomial:power=2",
    "wsd:cooldown=0.2",
    "exponential",
    "inverse_sqrt",
    "stepwise",
    "constant",
)


@dataclass(frozen=True)
class ComparedSchedule:
    """One row of `compare`: rates at the best base learning rate of each bound, in units of the optimum.

    That is D G / sqrt(N + 1), and D / sqrt(sum_k G_k^-2) for bounds that vary.

    Attributes
    ----------
    schedule : str
        Its name.
    exact, theorem10, average : float
        The exact rate, Theorem 10 and the classical bound on the average iterate; 1 is the optimum of the first.
    base_lr : float
        The base learning rate of the exact rate.
    """

    schedule: str
    exact: float
    theorem10: float
    average: float
    base_lr: float


def compare(
    schedules: Sequence[str] | Mapping[str, npt.ArrayLike] = DEFAULT_FAMILIES,
    n_steps: int = 1000,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
) -> list[ComparedSchedule]:
    """Compare schedules at their best base learning rates, the best exact rate first.

    Parameters
    ----------
    schedules : sequence of str, or mapping of str to array_like, shape (N,)
        Specifications of families such as ``"wsd:cooldown=0.2"``, or names with steps of any length. Ten families by
        default.
    n_steps : int
        N of the specifications.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N, as in `lastiterate.theory.rates.sgd.exact_rate`.

    Returns
    -------
    list of ComparedSchedule

    Raises
    ------
    InputError
        For a specification that cannot be read, and as `exact_rate` does.

    Examples
    --------
    >>> for row in compare(["cosine", "linear"], n_steps=99):
    ...     print(row.schedule, round(row.exact, 4))
    linear 1.0
    cosine 1.0308
    """
    count, distance = check_count(n_steps, "n_steps"), check_positive(D, "D")
    if not isinstance(schedules, Mapping | list | tuple) or len(schedules) == 0:
        raise InputError("schedules", schedules, "a nonempty list of specifications, or a mapping of names to steps")
    if not isinstance(schedules, Mapping):
        schedules = {text: families.parse(text, count) for text in schedules}
    rows = [_row(name, check_steps(steps), distance, G) for name, steps in schedules.items()]
    return sorted(rows, key=lambda row: row.exact)


def _row(name: str, steps: Any, D: float, G: Any) -> ComparedSchedule:
    caps = check_gradient_bounds(G, np.size(steps))
    # D / sqrt(sum G_k^-2), the optimum of these bounds (`optimal_schedule`); DG/sqrt(N+1) where they are all G
    unit = D * caps.min() / np.sqrt(np.sum((caps.min() / caps) ** 2))
    tuned = {bound: tune_base_lr(steps, D, G, bound) for bound in BOUNDS}
    values = {bound: float(rate.value / unit) for bound, rate in tuned.items()}
    return ComparedSchedule(name, **values, base_lr=tuned["exact"].base_lr)
