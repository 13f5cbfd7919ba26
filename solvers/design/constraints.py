"""What a schedule must obey: the options of `design_schedule`, checked, and as linear rows on the steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from scipy import sparse

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_flag,
    check_positive,
    check_steps,
    check_vector,
)

from .contradictions import ROUNDING, Rows, feasible, raise_contradiction

__all__ = ["Constraints", "Options", "Ramp"]


class Options(TypedDict, total=False):
    """The constraints that `design_schedule` knows, see there; what is left out or None does not constrain."""

    max_step: npt.ArrayLike | None
    min_step: npt.ArrayLike | None
    monotone: bool
    warmup: npt.ArrayLike | None
    blocks: npt.ArrayLike | None
    prefix: npt.ArrayLike | None
    tail: npt.ArrayLike | None
    budget: float | None
    max_ratio: float | None


@dataclass(frozen=True)
class Ramp:
    """Steps first, first + 1, ... that are proportional to a shape with largest value one; the factor is the peak."""

    first: int
    shape: Array

    @property
    def end(self) -> int:
        """The step after the ramp."""
        return self.first + self.shape.size


@dataclass(frozen=True)
class Constraints:
    """Checked constraints on N steps.

    Attributes
    ----------
    low, high : ndarray, shape (N,)
        Limits on single steps; equal where a step is fixed, infinite where there is none.
    ramp : Ramp or None
        The warm-up.
    ordered_from : int or None
        The step from which on the schedule may not increase.
    block_starts : ndarray of int
        The first step of every block of equal steps; N of them where every step is its own.
    budget, max_ratio : float
        Infinite where there is none.
    named : tuple of Rows
        Every constraint as linear rows, with the option that asked for it.
    """

    low: Array
    high: Array
    ramp: Ramp | None
    ordered_from: int | None
    block_starts: npt.NDArray[np.int64]
    budget: float
    max_ratio: float
    named: tuple[Rows, ...]

    @classmethod
    def of(cls, n_steps: int, options: Mapping[str, Any]) -> "Constraints":
        """Check the options; raise `InputError` where one is wrong or where they contradict each other."""
        unknown = set(options) - set(Options.__annotations__)
        if unknown:
            raise TypeError(f"design_schedule() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        given = {name: value for name, value in options.items() if value is not None}
        parts = _Parts.of(n_steps, given)
        low, high = _box(n_steps, parts)
        ordered = check_flag(given.get("monotone", False), "monotone")
        found = cls(
            low=low,
            high=high,
            ramp=parts.ramp,
            ordered_from=max(parts.free_from - 1, 0) if ordered else None,
            block_starts=_block_starts(n_steps, given.get("blocks"), parts),
            budget=check_positive(given["budget"], "budget") if "budget" in given else np.inf,
            max_ratio=_check_ratio(given["max_ratio"]) if "max_ratio" in given else np.inf,
            named=(),
        )
        found = replace(found, named=tuple(_named(n_steps, parts, found)))
        if not found.can_hold():
            raise_contradiction(n_steps, found.named)
        return found

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.low.size

    def scaled(self, factor: float) -> "Constraints":
        """Return the same constraints on ``factor`` times the steps."""
        with np.errstate(over="ignore"):  # an upper limit beyond all numbers is none
            return replace(
                self,
                low=self.low * factor,
                high=self.high * factor,
                budget=self.budget * factor,
                named=tuple(replace(rows, low=rows.low * factor, high=rows.high * factor) for rows in self.named),
            )

    @property
    def simple(self) -> bool:
        """Whether there are no blocks and no ratios: only limits, an order, a warm-up and a budget."""
        return self.block_starts.size == self.n_steps and math.isinf(self.max_ratio)

    def can_hold(self) -> bool:
        """Whether some schedule satisfies everything: by inspection, or by a linear program for blocks and ratios."""
        if not self.simple:
            return feasible(self.n_steps, self.named)
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
        return tuple(
            rows for rows in self.named if rows.name in ("warmup", "blocks", "monotone", "budget", "max_ratio")
        )

    def residual(self, steps: Array) -> float:
        """Return the largest violation of any constraint, relative to the largest step."""
        worst = max([-float(steps.min()), *(rows.violation(steps) for rows in self.named)])
        return max(0.0, worst) / max(float(steps.max()), np.finfo(float).tiny)

    def tidy(self, steps: Array) -> Array:
        """Return steps that satisfy the limits and equalities to the last bit, next to ones that nearly do."""
        counts = np.diff(np.append(self.block_starts, self.n_steps))
        tidied = np.repeat(np.add.reduceat(steps, self.block_starts) / counts, counts)
        low = np.repeat(np.maximum.reduceat(self.low, self.block_starts), counts)
        high = np.repeat(np.minimum.reduceat(self.high, self.block_starts), counts)
        tidied = np.clip(tidied, low, high)
        if self.ramp is not None:
            inside, shape = slice(self.ramp.first, self.ramp.end), self.ramp.shape
            tidied[inside] = float(shape @ steps[inside]) / float(shape @ shape) * shape
            tidied[inside] = np.clip(tidied[inside], self.low[inside], self.high[inside])
        return tidied


@dataclass(frozen=True)
class _Parts:
    """The pieces of a run: prefix, ramp, free steps, tail, and the limits on all of them."""

    prefix: Array
    ramp: Ramp | None
    tail: Array
    max_step: Array | None
    min_step: Array | None

    @classmethod
    def of(cls, n_steps: int, given: Mapping[str, Any]) -> "_Parts":
        prefix, tail = (_check_part(given.get(name), name, n_steps) for name in ("prefix", "tail"))
        between = n_steps - prefix.size - tail.size
        if between < 0:
            raise InputError(
                "prefix and tail", f"{prefix.size} and {tail.size} steps", f"at most {n_steps} steps together"
            )
        shape = _check_warmup(given.get("warmup"), between)
        limits = {
            name: _check_limits(given[name], name, n_steps) if name in given else None
            for name in ("max_step", "min_step")
        }
        return cls(prefix, Ramp(prefix.size, shape) if shape.size else None, tail, **limits)

    @property
    def free_from(self) -> int:
        """The first step after prefix and ramp."""
        return self.prefix.size if self.ramp is None else self.ramp.end


def _check_part(values: Any, name: str, n_steps: int) -> Array:
    if values is None:
        return np.zeros(0)
    part = check_steps(values, name, allow_empty=True)
    if part.size > n_steps:
        raise InputError(name, f"{part.size} steps", f"at most n_steps = {n_steps} steps")
    return part


def _check_limits(values: Any, name: str, n_steps: int) -> Array:
    """Return a limit for every step, from a number or an array."""
    if np.ndim(values) == 0:
        return np.full(n_steps, check_positive(values, name, allow_zero=True))
    limits = check_steps(values, name)
    if limits.size != n_steps:
        raise InputError(name, f"an array of length {limits.size}", f"a number or an array of length {n_steps}")
    return limits


def _check_warmup(warmup: Any, available: int) -> Array:
    """Return the multiples of the peak during warm-up: a linear ramp for a length, or the shape as given."""
    if warmup is None:
        return np.zeros(0)
    if np.ndim(warmup) == 0:
        shape = np.arange(1.0, check_count(warmup, "warmup", minimum=0) + 1.0)
    else:
        shape = check_steps(warmup, "warmup")
        if shape.max() == 0.0:
            raise InputError("warmup", "zeros", "a shape with at least one positive value")
    if shape.size > available:
        raise InputError("warmup", f"{shape.size} steps", f"at most the {available} steps that are free")
    return shape / np.max(shape, initial=np.finfo(float).tiny)


def _check_ratio(value: Any) -> float:
    ratio = check_positive(value, "max_ratio")
    if ratio < 1.0:
        raise InputError("max_ratio", ratio, "a number of at least 1")
    return ratio


def _block_starts(n_steps: int, blocks: Any, parts: _Parts) -> npt.NDArray[np.int64]:
    """Return where blocks begin; every step of prefix, ramp and tail is its own block."""
    if blocks is None:
        return np.arange(n_steps)
    if np.ndim(blocks) == 0:
        starts = np.arange(0, n_steps, check_count(blocks, "blocks"))
    else:
        lengths = check_vector(blocks, "blocks")
        if np.any(lengths < 1) or np.any(lengths != np.floor(lengths)) or lengths.sum() != n_steps:
            raise InputError("blocks", blocks, f"a block length, or lengths that add up to n_steps = {n_steps}")
        starts = np.append(0, np.cumsum(lengths)[:-1]).astype(np.int64)
    first, last = parts.free_from, n_steps - parts.tail.size
    alone = np.concatenate([np.arange(min(first + 1, n_steps)), np.arange(last, n_steps)])
    return np.union1d(starts, alone)


def _box(n_steps: int, parts: _Parts) -> tuple[Array, Array]:
    """Return the limits on single steps; a fixed step outside its limits by rounding alone is inside."""
    low = np.zeros(n_steps) if parts.min_step is None else parts.min_step.copy()
    high = np.full(n_steps, np.inf) if parts.max_step is None else parts.max_step.copy()
    for inside, values in (
        (slice(0, parts.prefix.size), parts.prefix),
        (slice(n_steps - parts.tail.size, n_steps), parts.tail),
    ):
        close = (values <= high[inside] * (1.0 + ROUNDING)) & (values >= low[inside] * (1.0 - ROUNDING))
        low[inside] = np.where(close, values, np.maximum(low[inside], values))
        high[inside] = np.where(close, values, np.minimum(high[inside], values))
    return low, high


def _named(n_steps: int, parts: _Parts, found: Constraints) -> list[Rows]:
    """Return every constraint as linear rows."""
    identity: Any = sparse.identity(n_steps, format="csr")
    nothing, unlimited = np.full(n_steps, -np.inf), np.full(n_steps, np.inf)
    named: list[Rows] = []
    if parts.prefix.size:
        named.append(Rows("prefix", identity[: parts.prefix.size], parts.prefix, parts.prefix))
    if parts.tail.size:
        named.append(Rows("tail", identity[n_steps - parts.tail.size :], parts.tail, parts.tail))
    if parts.max_step is not None:
        named.append(Rows("max_step", identity, nothing, parts.max_step))
    if parts.min_step is not None:
        named.append(Rows("min_step", identity, parts.min_step, unlimited))
    if found.ramp is not None:
        named.append(_ramp_rows(n_steps, found.ramp))
    if found.block_starts.size < n_steps:
        same = np.setdiff1d(np.arange(1, n_steps), found.block_starts) - 1
        named.append(Rows("blocks", _differences(same, n_steps), np.zeros(same.size), np.zeros(same.size)))
    if found.ordered_from is not None:
        steps = np.arange(found.ordered_from, n_steps - 1)
        named.append(Rows("monotone", _differences(steps, n_steps), np.zeros(steps.size), np.full(steps.size, np.inf)))
    if np.isfinite(found.budget):
        ones = sparse.csr_matrix(np.ones((1, n_steps)))
        named.append(Rows("budget", ones, np.array([-np.inf]), np.array([found.budget])))
    if np.isfinite(found.max_ratio):
        steps = np.arange(n_steps - 1)
        falling, rising = (
            _differences(steps, n_steps, found.max_ratio),
            _differences(steps, n_steps, 1.0, found.max_ratio),
        )
        matrix: Any = sparse.vstack([-falling, rising], format="csr")
        named.append(Rows("max_ratio", matrix, np.full(2 * steps.size, -np.inf), np.zeros(2 * steps.size)))
    return named


def _ramp_rows(n_steps: int, ramp: Ramp) -> Rows:
    """Steps proportional to the ramp: cross products with its largest value vanish."""
    top = int(np.argmax(ramp.shape))
    others = np.delete(np.arange(ramp.shape.size), top)
    rows = np.arange(others.size)
    entries = np.concatenate([np.ones(others.size), -ramp.shape[others]])
    columns = ramp.first + np.concatenate([others, np.full(others.size, top)])
    matrix = sparse.csr_matrix((entries, (np.tile(rows, 2), columns)), shape=(others.size, n_steps))
    return Rows("warmup", matrix, np.zeros(others.size), np.zeros(others.size))


def _differences(steps: Any, n_steps: int, own: float = 1.0, following: float = 1.0) -> Any:
    """Rows own * h_k - following * h_{k+1}."""
    rows = np.tile(np.arange(steps.size), 2)
    entries = np.repeat([own, -following], steps.size)
    return sparse.csr_matrix((entries, (rows, np.concatenate([steps, steps + 1]))), shape=(steps.size, n_steps))
