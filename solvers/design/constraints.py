"""What a schedule must obey, as linear constraints on its steps, and which of them contradict each other.

Equalities (a prefix, a warm-up shape, blocks, a fixed tail) are removed: steps = basis @ free + fixed. What is left are
named groups of rows low <= A @ steps <= high.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import optimize, sparse

from lastiterate.theory.base.validation import Array, InputError, check_count, check_positive, check_steps, check_vector

from .region import Region

INFINITE = np.inf


@dataclass(frozen=True)
class Group:
    """Rows low <= matrix @ steps <= high with the name of the option that asked for them."""

    name: str
    matrix: Any
    low: Array
    high: Array

    def residual(self, steps: Array) -> float:
        """Return the largest violation."""
        rows = self.matrix @ steps
        return float(max(np.max(self.low - rows, initial=0.0), np.max(rows - self.high, initial=0.0)))


@dataclass(frozen=True)
class Constraints:
    """All constraints on N steps: groups of inequalities and equalities, and the basis that removes the equalities."""

    n_steps: int
    inequalities: tuple[Group, ...]
    equalities: tuple[Group, ...]
    basis: Any
    fixed: Array

    @property
    def n_free(self) -> int:
        """Number of free values."""
        return int(self.basis.shape[1])

    def residual(self, steps: Array) -> float:
        """Return the largest violation of any constraint, nonnegativity included."""
        groups = self.inequalities + self.equalities
        return max([max(0.0, -float(np.min(steps, initial=0.0))), *(group.residual(steps) for group in groups)])

    def free_values(self, steps: Array) -> Array:
        """Return the free values of the schedule nearest to ``steps`` among those that satisfy the equalities."""
        squares = np.asarray(self.basis.multiply(self.basis).sum(axis=0)).ravel()
        return np.maximum(np.asarray(self.basis.T @ (steps - self.fixed)).ravel() / squares, 0.0)

    def nearest(self, steps: Array) -> Array:
        """Return a schedule that satisfies every constraint, next to one that nearly does."""
        free = self.region().project(self.free_values(steps)) if self.n_free else np.zeros(0)
        return np.asarray(self.basis @ free).ravel() + self.fixed

    def region(self) -> Region:
        """Return the inequalities on the free values, nonnegativity included."""
        identity = sparse.identity(self.n_steps, format="csr")
        positive = Group("steps", identity, np.zeros(self.n_steps), np.full(self.n_steps, INFINITE))
        groups = (positive, *self.inequalities)
        stacked: Any = sparse.vstack([group.matrix for group in groups], format="csr")
        shift = stacked @ self.fixed
        matrix: Any = (stacked @ self.basis).tocsr()
        low = np.concatenate([group.low for group in groups]) - shift
        high = np.concatenate([group.high for group in groups]) - shift
        kept = np.diff(matrix.indptr) > 0
        return Region.of(matrix[kept], low[kept], high[kept])

    def require_feasible(self) -> None:
        """Raise `InputError` that names the contradicting options where no schedule satisfies them all."""
        groups = (*self.equalities, *self.inequalities)
        if self._feasible(groups):
            return
        for size in (1, 2, 3):
            for chosen in combinations(groups, size):
                if not self._feasible(chosen):
                    names = " and ".join(group.name for group in chosen)
                    raise InputError(
                        names, "constraints that contradict each other", "constraints that can hold together"
                    )
        names = ", ".join(group.name for group in groups)
        raise InputError(names, "constraints that contradict each other", "constraints that can hold together")

    def _feasible(self, groups: Sequence[Group]) -> bool:
        """Whether nonnegative steps satisfy the groups (a linear program in the largest violation)."""
        if not groups:
            return True
        rows: Any = sparse.vstack([group.matrix for group in groups], format="csr")
        low = np.concatenate([group.low for group in groups])
        high = np.concatenate([group.high for group in groups])
        below, above = np.isfinite(low), np.isfinite(high)
        matrix = sparse.vstack([-rows[below], rows[above]], format="csr")
        right = np.concatenate([-low[below], high[above]])
        size = np.maximum(np.abs(right), 1e-3 * float(np.abs(right).max(initial=0.0)))
        size[size == 0.0] = 1.0
        scale = 1.0 / size
        matrix = sparse.hstack([sparse.diags(scale) @ matrix, -np.ones((right.size, 1))], format="csr")
        cost = np.append(np.zeros(self.n_steps), 1.0)
        found: Any = optimize.linprog(cost, A_ub=matrix, b_ub=right * scale, bounds=(0.0, None), method="highs")
        return bool(found.status == 0 and found.fun <= 1e-9)


def build(
    n_steps: int,
    *,
    max_step: Any = None,
    min_step: Any = None,
    monotone: bool = False,
    warmup: Any = None,
    blocks: Any = None,
    prefix: Any = None,
    tail: Any = None,
    budget: Any = None,
    max_ratio: Any = None,
) -> Constraints:
    """Translate the options of `design_schedule` into constraints; see there for their meaning."""
    start = _check_part(prefix, "prefix", n_steps)
    end = _check_part(tail, "tail", n_steps)
    first = 0 if start is None else start.size
    last = n_steps - (0 if end is None else end.size)
    if first > last:
        raise InputError("prefix and tail", f"{first} and {n_steps - last} steps", f"at most {n_steps} steps together")
    ramp = _check_warmup(warmup, last - first)
    plateau = first + ramp.size
    labels = _block_labels(blocks, n_steps)
    equalities = list(_fixed_groups(n_steps, first, last, start, end))
    if ramp.size:
        equalities.append(_ramp_group(n_steps, first, ramp))
    if labels is not None:
        equalities.append(_block_group(n_steps, labels, plateau, last))
    inequalities: list[Group] = []
    for name, value in (("max_step", max_step), ("min_step", min_step)):
        if value is not None:
            limits = check_limits(value, name, n_steps)
            bounds = (np.zeros(n_steps), limits) if name == "max_step" else (limits, np.full(n_steps, INFINITE))
            inequalities.append(Group(name, sparse.identity(n_steps, format="csr"), *bounds))
    if monotone:
        inequalities.append(_monotone_group(n_steps, max(plateau - 1, 0)))
    if budget is not None:
        total = check_positive(budget, "budget")
        ones = sparse.csr_matrix(np.ones((1, n_steps)))
        inequalities.append(Group("budget", ones, np.zeros(1), np.array([total])))
    if max_ratio is not None:
        inequalities.append(_ratio_group(n_steps, check_positive(max_ratio, "max_ratio")))
    basis, fixed = _basis(n_steps, first, last, ramp, labels, start, end)
    return Constraints(n_steps, tuple(inequalities), tuple(equalities), basis, fixed)


def _check_part(values: Any, name: str, n_steps: int) -> Array | None:
    if values is None:
        return None
    part = check_steps(values, name, allow_empty=True)
    if part.size > n_steps:
        raise InputError(name, f"{part.size} steps", f"at most n_steps = {n_steps} steps")
    return part


def check_limits(values: Any, name: str, n_steps: int) -> Array:
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
        length = check_count(warmup, "warmup", minimum=0)
        ramp = np.arange(1, length + 1) / max(length, 1)
    else:
        ramp = check_steps(warmup, "warmup")
        if ramp.max() == 0.0:
            raise InputError("warmup", "zeros", "a shape with at least one positive value")
    if ramp.size > available:
        raise InputError("warmup", f"{ramp.size} steps", f"at most the {available} steps that are free")
    return ramp


def _block_labels(blocks: Any, n_steps: int) -> Any:
    """Return the number of the block that each step belongs to."""
    if blocks is None:
        return None
    if np.ndim(blocks) == 0:
        return np.arange(n_steps) // check_count(blocks, "blocks")
    lengths = check_vector(blocks, "blocks")
    if lengths.size == 0 or np.any(lengths < 1) or np.any(lengths != np.floor(lengths)) or lengths.sum() != n_steps:
        raise InputError("blocks", blocks, f"a block length, or lengths that add up to n_steps = {n_steps}")
    return np.repeat(np.arange(lengths.size), lengths.astype(np.int64))


def _fixed_groups(n_steps: int, first: int, last: int, start: Array | None, end: Array | None) -> list[Group]:
    groups: list[Group] = []
    eye: Any = sparse.identity(n_steps, format="csr")
    if start is not None and first:
        groups.append(Group("prefix", eye[:first], start, start))
    if end is not None and last < n_steps:
        groups.append(Group("tail", eye[last:], end, end))
    return groups


def _ramp_group(n_steps: int, first: int, ramp: Array) -> Group:
    """Steps proportional to the ramp: cross products with its largest value vanish."""
    top = int(np.argmax(ramp))
    others = np.delete(np.arange(ramp.size), top)
    rows = np.arange(others.size)
    entries = np.concatenate([np.full(others.size, ramp[top]), -ramp[others]])
    columns = np.concatenate([first + others, np.full(others.size, first + top)])
    matrix = sparse.csr_matrix((entries, (np.tile(rows, 2), columns)), shape=(others.size, n_steps))
    return Group("warmup", matrix, np.zeros(others.size), np.zeros(others.size))


def _block_group(n_steps: int, labels: Any, plateau: int, last: int) -> Group:
    steps = np.arange(plateau, last - 1)
    same = steps[labels[steps] == labels[steps + 1]]
    matrix = _differences(same, n_steps, 1.0)
    return Group("blocks", matrix, np.zeros(same.size), np.zeros(same.size))


def _monotone_group(n_steps: int, peak: int) -> Group:
    steps = np.arange(peak, n_steps - 1)
    return Group("monotone", _differences(steps, n_steps, 1.0), np.zeros(steps.size), np.full(steps.size, INFINITE))


def _ratio_group(n_steps: int, ratio: float) -> Group:
    """Neither neighbour exceeds ``ratio`` times the other."""
    if ratio < 1.0:
        raise InputError("max_ratio", ratio, "a number of at least 1")
    steps = np.arange(n_steps - 1)
    falling, rising = _differences(steps, n_steps, ratio), _differences(steps, n_steps, 1.0, ratio)
    matrix: Any = sparse.vstack([-falling, rising], format="csr")
    return Group("max_ratio", matrix, np.full(2 * steps.size, -INFINITE), np.zeros(2 * steps.size))


def _differences(steps: Any, n_steps: int, own: float, following: float = 1.0) -> Any:
    """Rows own * h_k - following * h_{k+1}."""
    rows = np.arange(steps.size)
    entries = np.concatenate([np.full(steps.size, own), np.full(steps.size, -following)])
    return sparse.csr_matrix(
        (entries, (np.tile(rows, 2), np.concatenate([steps, steps + 1]))), shape=(steps.size, n_steps)
    )


def _basis(
    n_steps: int, first: int, last: int, ramp: Array, labels: Any, start: Array | None, end: Array | None
) -> tuple[Any, Array]:
    """Return basis and fixed part of steps = basis @ free + fixed; the free values are in the order of time."""
    fixed = np.zeros(n_steps)
    if start is not None:
        fixed[:first] = start
    if end is not None:
        fixed[last:] = end
    plateau = first + ramp.size
    later = np.arange(plateau, last)
    if labels is None or not later.size:
        column = np.arange(later.size)
    else:
        column = np.concatenate([[0], np.cumsum(labels[later][1:] != labels[later][:-1])])
    offset = 1 if ramp.size else 0
    rows = np.concatenate([np.arange(first, plateau), later])
    columns = np.concatenate([np.zeros(ramp.size), column + offset]).astype(np.int64)
    entries = np.concatenate([ramp / np.max(ramp, initial=0.0), np.ones(later.size)])
    size = offset + (int(column[-1]) + 1 if later.size else 0)
    return sparse.csr_matrix((entries, (rows, columns)), shape=(n_steps, size)), fixed
