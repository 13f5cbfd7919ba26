"""The free values of a schedule: their bounds, their other constraints, and the nearest point that satisfies both."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from lastiterate.theory.base.validation import Array


@dataclass(frozen=True)
class Chart:
    """Coordinates y >= 0 of the free values: scaled values, and scaled decrements from index ``chain`` on."""

    scale: Array
    chain: int
    unit: float

    @classmethod
    def at(cls, free: Array, chain: int) -> "Chart":
        """Scale by a start; ``unit`` is the size of its largest value, in which rows are measured."""
        raw = cls(np.ones(free.size), chain, 1.0).coordinates(free)
        return cls(np.maximum(raw, 1e-4 * max(float(raw.max()), 1e-300)), chain, max(float(free.max()), 1e-300))

    def free(self, y: Array) -> Array:
        """Return the free values: from ``chain`` on, suffix sums of the decrements."""
        values = y * self.scale
        values[self.chain :] = np.cumsum(values[self.chain :][::-1])[::-1]
        return values

    def coordinates(self, free: Array) -> Array:
        """Return the coordinates of free values."""
        values = free.copy()
        values[self.chain : -1] -= free[self.chain + 1 :]
        return values / self.scale

    def pull_back(self, gradient: Array) -> Array:
        """Return the gradient in the coordinates."""
        values = gradient.copy()
        values[self.chain :] = np.cumsum(values[self.chain :])
        return values * self.scale


@dataclass(frozen=True)
class Rows:
    """Rows low <= rows @ free <= high."""

    rows: Any
    low: Array
    high: Array


@dataclass(frozen=True)
class Region:
    """Bounds on the free values, other rows (largest entry one), and the index from which rows say that they decay."""

    low: Array
    high: Array
    others: Rows
    chain: int

    @classmethod
    def of(cls, rows: Any, low: Array, high: Array) -> "Region":
        """Turn rows with one entry into bounds and find the chain of z_j >= z_{j+1} that reaches the last value."""
        rows, size = rows.tocsr(), rows.shape[1]
        rows.sort_indices()
        single = np.diff(rows.indptr) == 1
        alone = rows[single]
        limits = np.sort(np.vstack([low[single], high[single]]) / alone.data, axis=0)
        bounds = np.vstack([np.zeros(size), np.full(size, np.inf)])
        np.maximum.at(bounds[0], alone.indices, limits[0])
        np.minimum.at(bounds[1], alone.indices, limits[1])
        rest = rows[~single]
        largest = np.maximum.reduceat(np.abs(rest.data), rest.indptr[:-1]) if rest.nnz else np.zeros(0)
        scaled: Any = (sparse.diags(1.0 / largest) @ rest).tocsr()
        scaled.sort_indices()
        others = Rows(scaled, low[~single] / largest, high[~single] / largest)
        ordered = np.zeros(size, dtype=bool)
        ordered[scaled.indices[scaled.indptr[:-1][_is_order(others)]]] = True
        ordered[-1] = True
        gaps = np.flatnonzero(~ordered)
        return cls(bounds[0], bounds[1], others, int(gaps[-1]) + 1 if gaps.size else 0)

    def in_chart(self, chart: Chart) -> tuple[Array, Array, Rows]:
        """Return bounds on the coordinates, and the rows on the free values that are not bounds there."""
        low, high = self.low / chart.scale, self.high / chart.scale
        if self.chain >= low.size - 1:
            return low, high, self.others
        low[self.chain : -1], high[self.chain :] = 0.0, np.inf
        ceiling = np.minimum.accumulate(self.high[self.chain :])
        floor = np.maximum.accumulate(self.low[self.chain :][::-1])[::-1]
        upper = np.isfinite(ceiling) & (ceiling < np.append(np.inf, ceiling[:-1]))
        lower = np.append(floor[:-1] > floor[1:], False)
        kept = ~_is_order(self.others)
        identity: Any = sparse.identity(low.size, format="csr")
        selected = identity[self.chain :]
        return (
            low,
            high,
            Rows(
                sparse.vstack([self.others.rows[kept], selected[upper], selected[lower]], format="csr"),
                np.concatenate([self.others.low[kept], np.full(int(upper.sum()), -np.inf), floor[lower]]),
                np.concatenate([self.others.high[kept], ceiling[upper], np.full(int(lower.sum()), np.inf)]),
            ),
        )

    def project(self, point: Array) -> Array:
        """Return the nearest point that satisfies bounds and rows."""
        low = np.concatenate([self.low, self.others.low])
        high = np.concatenate([self.high, self.others.high])
        stacked: Any = sparse.vstack([sparse.identity(point.size), self.others.rows], format="csr")
        at_least, at_most = np.isfinite(low), np.isfinite(high)
        matrix: Any = sparse.vstack([-stacked[at_least], stacked[at_most]], format="csc")
        room = np.concatenate([-low[at_least], high[at_most]]) - matrix @ point
        size = -float(np.min(room, initial=0.0))
        if size == 0.0:
            return point
        clarabel: Any = import_module("clarabel")
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
        cones = [clarabel.NonnegativeConeT(room.size)]
        quadratic = sparse.identity(point.size, format="csc")
        solution = clarabel.DefaultSolver(quadratic, np.zeros(point.size), matrix, room / size, cones, settings).solve()
        return np.clip(point + size * np.asarray(solution.x), self.low, self.high)


def _is_order(rows: Rows) -> Any:
    """Which rows say z_j - z_{j+1} >= 0."""
    matrix = rows.rows
    start = matrix.indptr[:-1]
    pair = (np.diff(matrix.indptr) == 2) & (rows.low == 0.0) & np.isinf(rows.high)
    first, second = start[pair], start[pair] + 1
    order = np.zeros(pair.size, dtype=bool)
    order[pair] = (matrix.indices[second] == matrix.indices[first] + 1) & (matrix.data[first] == 1.0)
    order[pair] &= matrix.data[second] == -1.0
    return order
