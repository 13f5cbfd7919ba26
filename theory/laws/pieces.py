"""A run cut into pieces of nearly equal rate, so that a law's sums over steps become short sums over pieces."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.validation import Array

from .protocol import Points

__all__ = ["Pieces", "cut", "falls", "falls_adjoint", "warmup_end"]

WARMUP_PIECES = 8
JUMP = 0.1
LOWEST = 1e-4
LAST_PIECES = 12
FEW_POINTS = 4


@dataclass(frozen=True, eq=False)
class Pieces:
    """All pairs of a point and an earlier piece, flat: the pairs of point i start at ``first[i]``.

    Attributes
    ----------
    clock : ndarray, shape (m,)
        Sum of the rates up to each point.
    first : ndarray of int64, shape (m,)
    near, far : ndarray, shape (pairs,)
        Clock from the end and from the start of the piece to the point.
    rate : ndarray, shape (pairs,)
        Mean rate of the piece.
    drop : ndarray, shape (pairs,)
        What the rate falls by at the start of the piece, see `falls`.
    age : ndarray, shape (pairs,)
        Steps from the start of the piece to the point.
    """

    clock: Array
    first: Points
    near: Array
    far: Array
    rate: Array
    drop: Array
    age: Array

    @classmethod
    def joined(cls, parts: "Sequence[Pieces]") -> "Pieces":
        """Return the points of several runs as one."""
        starts = np.cumsum([0, *(part.near.size for part in parts[:-1])])
        first = np.concatenate([part.first + start for part, start in zip(parts, starts.tolist(), strict=True)])
        names = ("near", "far", "rate", "drop", "age")
        clock = np.concatenate([part.clock for part in parts])
        return cls(clock, first, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def sum(self, values: Array) -> Array:
        """Sum values of pairs, shape (pairs, ...), over the pieces of each point."""
        if not self.first.size:
            return np.zeros((0, *values.shape[1:]))
        return np.add.reduceat(values, self.first, axis=0)


def cut(rates: Array, at: Points, *, exact: bool = False, refine: int = 1) -> Pieces:
    """Cut a run at the points, finer towards each, in the warm-up, and wherever the rate has changed by a tenth.

    Parameters
    ----------
    rates : ndarray, shape (N,)
        Rate of every step on the law's clock.
    at : ndarray of int64, shape (m,)
        Points, as numbers of steps taken, each at least 1, increasing.
    exact : bool
        A piece a step.
    refine : int
        Cut every piece into so many equal ones.
    """
    edges = np.arange(int(at[-1]) + 1) if exact else _edges(rates, at, refine)
    clock = np.concatenate([[0.0], np.cumsum(rates)])
    widths = np.diff(clock[edges])
    mean = widths / np.diff(edges)
    drops = falls(mean)
    count = np.searchsorted(edges, at)  # pieces that end at or before the point
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    piece = np.arange(int(count.sum())) - np.repeat(first, count)
    end = np.repeat(at, count)
    far = clock[end] - clock[edges[piece]]
    near = np.maximum(far - widths[piece], 0.0)
    return Pieces(clock[at], first, near, far, mean[piece], drops[piece], (end - edges[piece]).astype(np.float64))


def falls(rates: Array) -> Array:
    """Return by how much each rate lies further below the highest one so far than the rate before it did.

    That is the fall of the rate where it falls, and minus the rise where it recovers; a rise to a new height, such as
    the warm-up, is free.
    """
    return np.diff(np.maximum.accumulate(rates) - rates, prepend=0.0)


def falls_adjoint(rates: Array, slopes: Array) -> Array:
    """Return the derivatives to the rates of a function with the derivatives ``slopes`` to their `falls`."""
    to_depth = slopes - np.append(slopes[1:], 0.0)
    highest = np.maximum.accumulate(np.where(rates >= np.maximum.accumulate(rates), np.arange(rates.size), 0))
    return np.bincount(highest, to_depth, rates.size) - to_depth


def warmup_end(rates: Array) -> int:
    """Return the length of the first rise of the rates."""
    falling = np.flatnonzero(np.diff(rates) < -1e-9 * rates.max(initial=0.0))
    rise = rates[: int(falling[0]) + 1] if falling.size else rates
    return int(np.argmax(rise >= rise.max() * (1.0 - 1e-6))) + 1 if rise.size else 0


def _edges(rates: Array, at: Points, refine: int) -> Points:
    end = int(at[-1])
    warmup = warmup_end(rates[:end]) - 1
    ramp = np.rint(np.linspace(0, warmup, WARMUP_PIECES + 1))
    level = np.floor(np.log(np.maximum(rates[:end], LOWEST * rates.max() + 1e-300)) / JUMP)
    jumps = np.flatnonzero(np.diff(level)) + 1
    jumps = jumps if jumps.size <= max(end // 8, 256) else jumps[:0]  # rates that jump all the time have no pieces
    gaps = np.diff(at, prepend=0)
    spacing = int(np.median(gaps)) if at.size > FEW_POINTS else max(end // 48, 1)
    grid = np.arange(end, 0, -max(spacing, 1))
    levels = LAST_PIECES if at.size <= FEW_POINTS else FEW_POINTS
    tails = at[:, None] - np.minimum(gaps, spacing)[:, None] * 0.5 ** np.arange(1, levels)
    marks = np.concatenate([[0, end], ramp, jumps, grid, at, np.rint(tails).ravel()])
    edges = np.unique(np.clip(marks, 0, end).astype(np.int64))
    if refine == 1:
        return edges
    finer = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(refine) / refine)
    return np.unique(np.append(np.rint(finer).astype(np.int64).ravel(), end))
