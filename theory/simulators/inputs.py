"""The arguments of `simulate` as arrays: schedules, base learning rates, seeds, what to record, weights."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.specs import check_options, parse_spec
from lastiterate.theory.base.validation import (
    MAX_SEED,
    Array,
    InputError,
    check_choice,
    check_count,
    check_flag,
    check_integers,
    check_positive,
    check_steps,
    check_vector,
    n_dims,
)
from lastiterate.theory.schedules import parse
from lastiterate.theory.simulators.kernels.averages import by_shares, by_weights, of_kept

__all__ = [
    "AVERAGES",
    "Averaging",
    "read_averaging",
    "read_base_lrs",
    "read_diagnostics",
    "read_record",
    "read_schedules",
    "read_seeds",
    "read_weights",
]

DIAGNOSTICS = ("grad_l2", "grad_l1", "distance", "D_estimate", "step_size", "move")
_MOST_SEEDS = 10_000_000


def read_schedules(steps: Any, n_steps: int | None) -> tuple[Array, list[str]]:
    """Return float64[schedules, N] and a name for each."""
    if n_steps is not None:
        n_steps = check_count(n_steps, "n_steps")
    if isinstance(steps, Mapping):
        named = [(str(name), value) for name, value in steps.items()]
    elif isinstance(steps, str):
        named = [(steps, steps)]
    elif isinstance(steps, Sequence) and any(np.iterable(value) for value in steps):
        named = [(value if isinstance(value, str) else f"schedule {i}", value) for i, value in enumerate(steps)]
    elif isinstance(steps, np.ndarray) and steps.ndim == 2:
        named = [(f"schedule {i}", value) for i, value in enumerate(steps)]
    else:
        named = [("schedule", steps)]
    if not named:
        raise InputError("steps", "no schedule", "at least one schedule")
    rows: list[Array] = []
    for name, value in named:
        label = "steps" if name == "schedule" else f"steps[{name!r}]"
        if isinstance(value, str):
            if n_steps is None:
                raise InputError("n_steps", None, f"the number of steps, because {label} is given as text")
            value = parse(value, n_steps)
        row = check_steps(value, label)
        if n_steps is not None and row.size < n_steps:
            raise InputError(label, f"{row.size} step sizes", f"at least n_steps = {n_steps}")
        if rows and n_steps is None and row.size != rows[0].size:
            raise InputError(label, f"{row.size} step sizes", f"{rows[0].size}, as many as the first schedule")
        rows.append(row[:n_steps])
    return np.ascontiguousarray(rows), [name for name, _ in named]


def read_base_lrs(base_lr: Any) -> Array:
    """Return the base learning rates, one or more nonnegative numbers."""
    if n_dims(base_lr) == 0:
        return np.array([check_positive(base_lr, "base_lr", allow_zero=True)])
    chosen = check_vector(base_lr, "base_lr").tolist()
    if not chosen:
        raise InputError("base_lr", "an empty sequence", "at least one")
    return np.array([check_positive(lr, "base_lr", allow_zero=True) for lr in chosen])


def read_seeds(seeds: Any) -> list[int]:
    """Return the seeds, one or more non-negative integers."""
    if not np.iterable(seeds) or isinstance(seeds, str):
        count = check_count(seeds, "seeds")
        if count > _MOST_SEEDS:
            raise InputError("seeds", count, f"at most {_MOST_SEEDS} seeds, or a sequence of them")
        return list(range(count))
    chosen = [check_count(seed, "seeds", minimum=0, maximum=MAX_SEED) for seed in seeds]
    if not chosen:
        raise InputError("seeds", "an empty sequence", "at least one")
    return chosen


def read_diagnostics(names: Any) -> list[str]:
    """Return the names of the diagnostics as a list."""
    if isinstance(names, str):
        names = [names]
    elif not np.iterable(names):
        raise InputError("diagnostics", names, f"names among {', '.join(DIAGNOSTICS)}")
    return [check_choice(name, "diagnostics", DIAGNOSTICS) for name in names]


def read_record(record: Any, n_steps: int) -> npt.NDArray[np.int64]:
    """Return the steps to record, ascending, always with 0 and N."""
    if not np.iterable(record) or isinstance(record, str):
        count = check_count(record, "record")
        return np.unique(np.round(np.linspace(0, n_steps, min(count, n_steps) + 1)).astype(np.int64))
    chosen = check_integers(record, "record", 0, n_steps)
    return np.unique([*chosen, 0, n_steps]).astype(np.int64)


def read_weights(to_last_iterate: Any, n_steps: int) -> tuple[Array, Array]:
    """Return the weights w_0..w_N and the ratios w_{k+1:N} / w_{0:N}; empty without the wrapper."""
    if isinstance(to_last_iterate, (bool, np.bool_)):
        if not to_last_iterate:
            return np.empty(0), np.empty(0)
        weights = np.ones(n_steps + 1)
    else:
        weights = check_vector(to_last_iterate, "to_last_iterate")
        if weights.size != n_steps + 1 or weights.min() <= 0.0:
            raise InputError("to_last_iterate", weights, f"True or {n_steps + 1} positive weights, one a point")
    with np.errstate(over="ignore"):
        tails = np.cumsum(weights[::-1])[::-1]
    if not np.isfinite(tails[0]):
        raise InputError("to_last_iterate", weights, "weights whose sum is finite")
    return weights, tails[1:] / tails[0]


class Averaging(NamedTuple):
    """An average of the iterates: its compiled function with the shares that it takes, and how many points it keeps."""

    name: str = ""
    follow: Any = by_weights
    shares: Array = np.empty(0)
    kept: int = 0


def _tail(n_steps: int, *, fraction: float = 0.5) -> Averaging:
    if check_positive(fraction, "fraction") > 1.0:
        raise InputError("fraction", fraction, "a number above 0 and at most 1")
    first = n_steps + 1 - max(1, int(np.ceil(fraction * n_steps - 1e-9)))
    return Averaging("tail", by_shares, 1.0 / np.maximum(np.arange(n_steps + 1.0) - first + 1.0, 1.0))


def _ema(n_steps: int, *, decay: float = 0.99) -> Averaging:
    if check_positive(decay, "decay", allow_zero=True) >= 1.0:
        raise InputError("decay", decay, "a number of at least 0 and below 1")
    return Averaging("ema", by_shares, np.full(n_steps + 1, 1.0 - decay))


def _polynomial(n_steps: int, *, gamma: float = 8.0) -> Averaging:
    gamma = check_positive(gamma, "gamma", allow_zero=True)
    return Averaging("polynomial", by_shares, (gamma + 1.0) / (gamma + np.maximum(np.arange(n_steps + 1.0), 1.0)))


def _lawa(n_steps: int, *, every: int = 1, count: int = 10) -> Averaging:
    every, count = check_count(every, "every", maximum=n_steps), check_count(count, "count")
    return Averaging("lawa", of_kept, np.array([float(every)]), min(count, n_steps // every))


AVERAGES = {"tail": _tail, "ema": _ema, "polynomial": _polynomial, "lawa": _lawa}


def read_averaging(average: Any, n_steps: int) -> Averaging:
    """Return which average of the iterates is recorded: the method's own, or one of `AVERAGES` given as text."""
    if not isinstance(average, str):
        check_flag(average, "average")
        return Averaging()
    name, options = parse_spec(average, "average")
    build = AVERAGES[check_choice(name, "average", AVERAGES)]
    check_options(build, options, "average", skip=1)
    return build(n_steps, **options)
