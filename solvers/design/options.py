"""The options of `design_schedule`, spelled once, and their checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_flag,
    check_positive,
    check_steps,
    check_vector,
)

__all__ = ["Given", "Options", "Ramp"]


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
class Given:
    """Checked options: a run is prefix, warm-up, free steps and tail.

    Attributes
    ----------
    prefix, tail : ndarray
        Fixed steps, perhaps none.
    ramp : Ramp or None
        The warm-up.
    max_step, min_step : ndarray, shape (N,), or None
        Limits.
    ordered_from : int or None
        The step from which on the schedule may not increase.
    block_starts : ndarray of int
        The first step of every block of equal steps; N of them where every step is its own.
    budget, max_ratio : float
        Infinite where there is none.
    """

    n_steps: int
    prefix: Array
    tail: Array
    ramp: Ramp | None
    max_step: Array | None
    min_step: Array | None
    ordered_from: int | None
    block_starts: npt.NDArray[np.int64]
    budget: float
    max_ratio: float

    @classmethod
    def of(cls, n_steps: int, options: Mapping[str, Any]) -> "Given":
        """Check every option by itself; raise `InputError` or, for an unknown name, TypeError."""
        unknown = sorted(set(options) - set(Options.__annotations__))
        if unknown:
            raise TypeError(f"design_schedule() got an unexpected keyword argument {unknown[0]!r}")
        given = {name: value for name, value in options.items() if value is not None}
        prefix, tail = (_check_part(given.get(name), name, n_steps) for name in ("prefix", "tail"))
        last = n_steps - tail.size
        if prefix.size > last:
            sizes = f"{prefix.size} and {tail.size} steps"
            raise InputError("prefix and tail", sizes, f"at most {n_steps} steps together")
        shape = _check_warmup(given.get("warmup"), last - prefix.size)
        start = prefix.size + shape.size
        ordered = check_flag(given.get("monotone", False), "monotone")
        return cls(
            n_steps=n_steps,
            prefix=prefix,
            tail=tail,
            ramp=Ramp(prefix.size, shape) if shape.size else None,
            max_step=_check_limits(given["max_step"], "max_step", n_steps) if "max_step" in given else None,
            min_step=_check_limits(given["min_step"], "min_step", n_steps) if "min_step" in given else None,
            ordered_from=max(start - 1, 0) if ordered else None,
            block_starts=_block_starts(given.get("blocks"), n_steps, start, last),
            budget=check_positive(given["budget"], "budget") if "budget" in given else np.inf,
            max_ratio=_check_ratio(given["max_ratio"]) if "max_ratio" in given else np.inf,
        )


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


def _block_starts(blocks: Any, n_steps: int, start: int, last: int) -> npt.NDArray[np.int64]:
    """Return where blocks begin; every step before ``start`` and from ``last`` on is its own."""
    if blocks is None:
        return np.arange(n_steps)
    if np.ndim(blocks) == 0:
        starts = np.arange(0, n_steps, check_count(blocks, "blocks"))
    else:
        lengths = check_vector(blocks, "blocks")
        if np.any(lengths < 1) or np.any(lengths != np.floor(lengths)) or lengths.sum() != n_steps:
            raise InputError("blocks", blocks, f"a block length, or lengths that add up to n_steps = {n_steps}")
        starts = np.append(0, np.cumsum(lengths)[:-1]).astype(np.int64)
    alone = np.concatenate([np.arange(min(start + 1, n_steps)), np.arange(last, n_steps)])
    return np.union1d(starts, alone)
