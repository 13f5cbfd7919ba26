"""Constraints on a schedule as linear rows, each group with the option that asked for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from lastiterate.theory.base.validation import Array

from .options import Given, Ramp

__all__ = ["Rows", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """Rows low <= matrix @ steps <= high with the name of the option that asked for them."""

    name: str
    matrix: Any
    low: Array
    high: Array

    def violation(self, steps: Array) -> float:
        """Return the largest violation."""
        rows = self.matrix @ steps
        return float(max(np.max(self.low - rows, initial=0.0), np.max(rows - self.high, initial=0.0)))


def rows_of(given: Given) -> tuple[Rows, ...]:
    """Return every constraint as linear rows."""
    n_steps = given.n_steps
    identity: Any = sparse.identity(n_steps, format="csr")
    nothing, unlimited = np.full(n_steps, -np.inf), np.full(n_steps, np.inf)
    named: list[Rows] = []
    if given.prefix.size:
        named.append(Rows("prefix", identity[: given.prefix.size], given.prefix, given.prefix))
    if given.tail.size:
        named.append(Rows("tail", identity[n_steps - given.tail.size :], given.tail, given.tail))
    if given.max_step is not None:
        named.append(Rows("max_step", identity, nothing, given.max_step))
    if given.min_step is not None:
        named.append(Rows("min_step", identity, given.min_step, unlimited))
    if given.ramp is not None:
        named.append(_ramp_rows(n_steps, given.ramp))
    if given.block_starts.size < n_steps:
        same = np.setdiff1d(np.arange(1, n_steps), given.block_starts) - 1
        named.append(Rows("blocks", _differences(same, n_steps), np.zeros(same.size), np.zeros(same.size)))
    if given.ordered_from is not None:
        steps = np.arange(given.ordered_from, n_steps - 1)
        named.append(Rows("monotone", _differences(steps, n_steps), np.zeros(steps.size), np.full(steps.size, np.inf)))
    if np.isfinite(given.budget):
        ones = sparse.csr_matrix(np.ones((1, n_steps)))
        named.append(Rows("budget", ones, np.array([-np.inf]), np.array([given.budget])))
    if np.isfinite(given.max_ratio):
        steps = np.arange(n_steps - 1)
        falling, rising = (
            _differences(steps, n_steps, given.max_ratio),
            _differences(steps, n_steps, 1.0, given.max_ratio),
        )
        matrix: Any = sparse.vstack([-falling, rising], format="csr")
        named.append(Rows("max_ratio", matrix, np.full(2 * steps.size, -np.inf), np.zeros(2 * steps.size)))
    return tuple(named)


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
