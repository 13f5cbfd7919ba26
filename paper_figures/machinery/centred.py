"""The base learning rate of each schedule: a grid by factors of two that starts where theory puts its best rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.rates.sgd import tune_base_lr

__all__ = ["Choice", "tune_all", "tuned"]

FACTOR = 2.0
EXTENSIONS = 12
Losses = Callable[[Array, Sequence[float]], Array]


@dataclass(frozen=True)
class Choice:
    """The chosen base learning rate, and the whole grid that was tried.

    Attributes
    ----------
    base_lr : float
    grid : tuple of float
        Increasing.
    inside : bool
        Whether the chosen rate has two neighbours on the grid.
    """

    base_lr: float
    grid: tuple[float, ...]

    @property
    def inside(self) -> bool:
        """Whether the chosen rate has two neighbours on the grid."""
        return self.grid[0] < self.base_lr < self.grid[-1]


def tuned(losses: Losses, steps: Array, centre: float, width: int = 1) -> Choice:
    """Choose the base learning rate with the lowest mean loss, on a grid that grows until the best has two neighbours.

    Parameters
    ----------
    losses : callable
        (steps, rates) -> losses [rates][seeds]; what is not finite is infinitely bad.
    steps : float64[n]
    centre : float
        Middle of the first grid, which has ``width`` rates on either side by factors of two.
    width : int

    Returns
    -------
    Choice
        After at most 12 extensions, and two more rates, a factor of sqrt 2 beside the best; where the extensions do
        not suffice, ``inside`` says so.

    Raises
    ------
    InputError
        If every rate diverges.

    Examples
    --------
    >>> parabola = lambda steps, rates: (np.log2(np.array(rates))[:, None] - 5.0) ** 2
    >>> found = tuned(parabola, np.ones(3), 1.0)
    >>> found.base_lr, found.inside, [round(rate, 1) for rate in found.grid]
    (32.0, True, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 22.6, 32.0, 45.3, 64.0])
    """
    found: dict[float, float] = {}

    def add(rates: Sequence[float]) -> None:
        values = np.asarray(losses(steps, rates), dtype=np.float64)
        means = np.where(np.isfinite(values), values, np.inf).mean(axis=1)
        found.update(zip(rates, means.tolist(), strict=True))

    add([centre * FACTOR**k for k in range(-width, width + 1)])
    for _ in range(EXTENSIONS):
        grid = sorted(found)
        best = min(grid, key=found.__getitem__)
        if best == grid[0]:  # also where all diverged
            add([grid[0] / FACTOR])
        elif best == grid[-1]:
            add([grid[-1] * FACTOR])
        else:
            add([best / FACTOR**0.5, best * FACTOR**0.5])
            break
    grid = sorted(found)
    best = min(grid, key=found.__getitem__)
    if not np.isfinite(found[best]):
        raise InputError("losses", f"not finite at all of {len(grid)} base learning rates", "one that does not diverge")
    return Choice(best, tuple(grid))


def tune_all(losses: Losses, shapes: Mapping[str, Array], baseline: Choice, reference: Array) -> dict[str, Choice]:
    """Choose the rate of every schedule on a grid around the baseline's best rate times theory's ratio of best rates.

    Parameters
    ----------
    losses : callable
        As for `tuned`.
    shapes : mapping of str to float64[n]
    baseline : Choice
        Of ``reference``.
    reference : float64[n]

    Returns
    -------
    dict of str to Choice
    """
    unit = baseline.base_lr / tune_base_lr(reference).base_lr
    return {name: tuned(losses, steps, unit * float(tune_base_lr(steps).base_lr)) for name, steps in shapes.items()}
