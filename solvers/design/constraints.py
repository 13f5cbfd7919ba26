"""What a schedule must obey: limits on single steps, and what ties several steps together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array

from .contradictions import ROUNDING, feasible, raise_contradiction, raise_if_only_zero
from .options import Given, Ramp
from .rows import Rows, rows_of

__all__ = ["Constraints"]


@dataclass(frozen=True)
class Constraints:
    """Constraints on N steps that can hold together.

    Attributes
    ----------
    low, high : ndarray, shape (N,)
        Limits on single steps; equal where a step is fixed, infinite where there is none.
    budget : float
        Upper limit on the sum, or infinite.
    given : Given
        The options that say the rest.
    rows : tuple of Rows
        Every constraint as linear rows.
    """

    low: Array
    high: Array
    budget: float
    given: Given
    rows: tuple[Rows, ...]

    @classmethod
    def of(cls, n_steps: int, options: Mapping[str, Any]) -> "Constraints":
        """Check the options; raise `InputError` where one is wrong or where they contradict each other."""
        given = Given.of(n_steps, options)
        found = cls(*_limits(given), given.budget, given, rows_of(given))
        if not found.can_hold():
            raise_contradiction(n_steps, found.rows)
        if not found.simple:
            raise_if_only_zero(n_steps, found.rows)
        return found

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.low.size

    @property
    def ramp(self) -> Ramp | None:
        """The warm-up."""
        return self.given.ramp

    @property
    def ordered_from(self) -> int | None:
        """The step from which on the schedule may not increase."""
        return self.given.ordered_from

    def scaled(self, factor: float) -> "Constraints":
        """Return the same constraints on ``factor`` times the steps."""
        with np.errstate(over="ignore"):  # an upper limit beyond all numbers is none
            return replace(
                self,
                low=self.low * factor,
                high=self.high * factor,
                budget=self.budget * factor,
                rows=tuple(replace(rows, low=rows.low * factor, high=rows.high * factor) for rows in self.rows),
            )

    @property
    def simple(self) -> bool:
        """Whether there are no blocks and no ratios: only limits, an order, a warm-up and a budget."""
        return self.given.block_starts.size == self.n_steps and math.isinf(self.given.max_ratio)

    def can_hold(self) -> bool:
        """Whether some schedule satisfies everything: by inspection, or by a linear program for blocks and ratios."""
        if not self.simple:
            return feasible(self.n_steps, self.rows)
        if (self.low > self.high).any():
            return False
        least, most = self.peak_range()
        low, high = self.box(least)
        return least <= most and bool(np.all(low <= high)) and math.fsum(low) <= self.budget * (1.0 + ROUNDING)

    def peak_range(self) -> tuple[float, float]:
        """Return the least and the largest peak of the warm-up that the limits, and the order, allow."""
        if self.ramp is None:
            return 0.0, 0.0
        low, high = self.low.copy(), self.high
        if self.ordered_from is not None:
            low[self.ramp.end - 1] = np.max(low[self.ramp.end - 1 :])
        inside, shape = slice(self.ramp.first, self.ramp.end), self.ramp.shape
        with np.errstate(divide="ignore", invalid="ignore"):
            least = np.where(shape > 0.0, low[inside] / shape, np.where(low[inside] > 0.0, np.inf, 0.0))
            most = np.where(shape > 0.0, high[inside] / shape, np.inf)
        least, most = float(np.max(least)), float(np.min(most))
        return (most, most) if most < least <= most * (1.0 + ROUNDING) else (least, most)

    def box(self, peak: float | None = None) -> tuple[Array, Array]:
        """Return the limits on single steps that the order implies, with the warm-up fixed at a peak.

        Where steps may not increase, an upper limit holds for all later steps and a lower limit for all earlier ones.
        """
        low, high = self.low.copy(), self.high.copy()
        if self.ramp is not None and peak is not None:
            inside = slice(self.ramp.first, self.ramp.end)
            low[inside] = high[inside] = np.clip(peak * self.ramp.shape, low[inside], high[inside])
        if self.ordered_from is not None:
            late = slice(self.ordered_from, None)
            high[late] = np.minimum.accumulate(high[late])
            low[late] = np.maximum.accumulate(low[late][::-1])[::-1]
        return low, high

    def joint(self) -> tuple[Rows, ...]:
        """Return the rows that tie several steps together: all but the limits on single steps."""
        return tuple(rows for rows in self.rows if rows.name in ("warmup", "blocks", "monotone", "budget", "max_ratio"))

    def residual(self, steps: Array) -> float:
        """Return the largest violation of any constraint, relative to the largest step."""
        worst = max([-float(steps.min()), *(rows.violation(steps) for rows in self.rows)])
        return max(0.0, worst) / max(float(steps.max()), np.finfo(float).tiny)

    def tidy(self, steps: Array) -> Array:
        """Return steps that satisfy the limits and equalities to the last bit, next to ones that nearly do."""
        starts = self.given.block_starts
        counts = np.diff(np.append(starts, self.n_steps))
        tidied = np.repeat(np.add.reduceat(steps, starts) / counts, counts)
        low = np.repeat(np.maximum.reduceat(self.low, starts), counts)
        high = np.repeat(np.minimum.reduceat(self.high, starts), counts)
        tidied = np.clip(tidied, low, high)
        if self.ramp is not None:
            inside, shape = slice(self.ramp.first, self.ramp.end), self.ramp.shape
            tidied[inside] = float(shape @ steps[inside]) / float(shape @ shape) * shape
            tidied[inside] = np.clip(tidied[inside], self.low[inside], self.high[inside])
        return tidied


def _limits(given: Given) -> tuple[Array, Array]:
    """Return the limits on single steps; a fixed step outside its limits by rounding alone is inside."""
    n_steps = given.n_steps
    low = np.zeros(n_steps) if given.min_step is None else given.min_step.copy()
    high = np.full(n_steps, np.inf) if given.max_step is None else given.max_step.copy()
    for inside, values in (
        (slice(0, given.prefix.size), given.prefix),
        (slice(n_steps - given.tail.size, n_steps), given.tail),
    ):
        close = (values <= high[inside] * (1.0 + ROUNDING)) & (values >= low[inside] * (1.0 - ROUNDING))
        low[inside] = np.where(close, values, np.maximum(low[inside], values))
        high[inside] = np.where(close, values, np.minimum(high[inside], values))
    return low, high
