"""How schedules are compared: a base learning rate chosen on tuning seeds, values reported on other seeds.

The grid of a schedule starts where theory puts its best base learning rate relative to that of linear decay, goes by
factors of two, and grows until the best rate has a neighbour on both sides.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.rates.sgd import tune_base_lr

__all__ = ["CHOSEN", "Choice", "Outcome", "Runner", "Shape", "predicted_ratio", "report", "tune"]

CHOSEN = "validation"
"""The metric that chooses learning rates; everything else is only reported."""

FACTOR = 2.0
EXTENSIONS = 4
RESAMPLED = 1000

Shape = Callable[[float], Array]
"""From a base learning rate to the learning rates of every step, float64[N]."""


@dataclass(frozen=True)
class Outcome:
    """What a set of runs gave: metrics float64[rows, seeds], NaN for runs that diverged, and recorded norms.

    Attributes
    ----------
    metrics : dict of str to ndarray
        Among them `CHOSEN`.
    l1, l2 : float64[rows, seeds, places]
        Gradient norms, empty unless asked for.
    positions : float64[places]
        The steps at which they were recorded.
    """

    metrics: Mapping[str, Array]
    l1: Array = field(default_factory=lambda: np.empty((0, 0, 0)))
    l2: Array = field(default_factory=lambda: np.empty((0, 0, 0)))
    positions: Array = field(default_factory=lambda: np.empty(0))


class Runner(Protocol):
    """Trains every row of learning rates once for every seed."""

    def __call__(self, rows: Array, seeds: Sequence[int], *, norms: bool = False) -> Outcome:
        """Return the outcome for learning rates float64[rows, N]."""
        ...


@dataclass(frozen=True)
class Choice:
    """The base learning rate of a schedule, and how it was found.

    Attributes
    ----------
    base_lr, predicted : float
        The chosen rate and the one at which the grid started.
    inside : bool
        Whether both neighbours were tried.
    tried : dict of float to float
        Mean of `CHOSEN` over the tuning seeds by rate; infinite where a run diverged.
    """

    base_lr: float
    predicted: float
    inside: bool
    tried: Mapping[float, float]


def predicted_ratio(steps: Array) -> float:
    """Return theory's best base learning rate of a schedule over that of linear decay, both with maximum 1.

    >>> round(predicted_ratio(np.ones(1000)), 2)
    0.31
    """
    n = min(steps.size, RESAMPLED)
    places = (np.arange(n) + 0.5) / n * steps.size - 0.5
    coarse = np.interp(places, np.arange(steps.size), steps / steps.max())
    linear = 1.0 - np.arange(n) / n
    return float(tune_base_lr(coarse).base_lr / tune_base_lr(linear).base_lr)


def tune(
    run: Runner, shapes: Mapping[str, Shape], starts: Mapping[str, float], seeds: Sequence[int]
) -> dict[str, Choice]:
    """Choose the base learning rate of each shape by the mean of `CHOSEN` over ``seeds``.

    Parameters
    ----------
    run : Runner
    shapes : mapping of str to Shape
    starts : mapping of str to float
        The middle of each first grid of three.
    seeds : sequence of int

    Returns
    -------
    dict of str to Choice
    """
    tried: dict[str, dict[int, float]] = {name: {} for name in shapes}
    wanted = [(name, power) for name in shapes for power in (-1, 0, 1)]
    while wanted:
        rows: dict[tuple[str, int], Array] = {}
        for name, power in wanted:
            tried[name][power] = math.inf
            with suppress(InputError):  # no learning rates give this effective rate: as bad as a run that diverges
                rows[name, power] = shapes[name](starts[name] * FACTOR**power)
        if rows:
            values = run(np.stack(list(rows.values())), seeds).metrics[CHOSEN].mean(axis=1)
            for (name, power), value in zip(rows, values, strict=True):
                tried[name][power] = float(value) if math.isfinite(value) else math.inf
        wanted = [(name, power) for name in shapes for power in _next(tried[name])]
    return {name: _choice(tried[name], starts[name]) for name in shapes}


def _best(tried: Mapping[int, float]) -> int:
    return min(tried, key=lambda power: (tried[power], power))


def _next(tried: Mapping[int, float]) -> list[int]:
    best = _best(tried)
    if len(tried) >= 3 + EXTENSIONS:
        return []
    return [power for power in (best - 1, best + 1) if power not in tried]


def _choice(tried: Mapping[int, float], start: float) -> Choice:
    best = _best(tried)
    inside = best - 1 in tried and best + 1 in tried and math.isfinite(tried[best])
    rates = {start * FACTOR**power: tried[power] for power in sorted(tried)}
    return Choice(start * FACTOR**best, start, inside, rates)


def report(
    run: Runner, shapes: Mapping[str, Shape], choices: Mapping[str, Choice], seeds: Sequence[int]
) -> dict[str, dict[str, Array]]:
    """Return every metric of each shape at its chosen rate, float64[seeds], on seeds that chose nothing."""
    rows = np.stack([shapes[name](choices[name].base_lr) for name in shapes])
    metrics = run(rows, seeds).metrics
    return {name: {key: values[i] for key, values in metrics.items()} for i, name in enumerate(shapes)}
