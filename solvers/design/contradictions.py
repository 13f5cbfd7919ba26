"""Which constraints contradict each other: a linear program in the largest relative violation."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
from scipy import optimize, sparse

from lastiterate.theory.base.validation import InputError

from .rows import Rows

__all__ = ["ROUNDING", "feasible", "raise_contradiction", "raise_if_only_zero"]

ROUNDING = 1e-12  # limits that cross by less than this, relative, are a rounding error and no contradiction


def raise_contradiction(n_steps: int, named: Sequence[Rows]) -> NoReturn:
    """Raise `InputError` that names options that contradict each other, none of which could be left out."""
    names = _needed(named, lambda others: not feasible(n_steps, others))
    raise InputError(names, "constraints that contradict each other", "constraints that can hold together")


def raise_if_only_zero(n_steps: int, named: Sequence[Rows]) -> None:
    """Raise `InputError` where options on the shape leave nothing but the schedule of zeros.

    A warm-up that doubles within ``max_ratio`` of 1.5 is satisfied by zeros alone. Limits of zero on every step are
    not such a case: whoever sets them means them.
    """
    if not _dead(n_steps, named) or _dead(n_steps, [rows for rows in named if rows.name == "max_step"]):
        return
    names = _needed(named, lambda others: _dead(n_steps, others))
    raise InputError(names, "constraints that only zeros satisfy", "constraints that allow a positive step")


def _needed(named: Sequence[Rows], fails: Callable[[Sequence[Rows]], bool]) -> str:
    """Return the names of a set of options that fails and of which none could be left out."""
    chosen = list(named)
    for rows in named:
        others = [other for other in chosen if other is not rows]
        if fails(others):
            chosen = others
    return " and ".join(rows.name for rows in chosen)


def _dead(n_steps: int, named: Sequence[Rows]) -> bool:
    """Whether zeros alone satisfy the rows with a limit of zero, at any scale."""
    parts = [sign * rows.matrix[side == 0.0] for rows in named for sign, side in ((1.0, rows.high), (-1.0, rows.low))]
    parts = [part for part in parts if part.shape[0]]
    if not parts:
        return False
    limits: Any = sparse.vstack(parts, format="csr")
    largest = optimize.linprog(
        -np.ones(n_steps), A_ub=limits, b_ub=np.zeros(limits.shape[0]), bounds=(0.0, 1.0), method="highs"
    )
    return bool(largest.status == 0 and -largest.fun <= ROUNDING)


def feasible(n_steps: int, named: Sequence[Rows]) -> bool:
    """Whether nonnegative steps satisfy the rows. Without a positive lower limit the schedule of zeros does."""
    floors = [float(rows.low.max(initial=0.0)) for rows in named]
    unit = max(floors, default=0.0)
    if unit == 0.0:
        return True
    matrix: Any = sparse.vstack([rows.matrix for rows in named], format="csr")
    with np.errstate(over="ignore"):  # an upper limit that is out of range holds nothing back
        low, high = (np.concatenate([getattr(rows, side) for rows in named]) / unit for side in ("low", "high"))
    if matrix.nnz == matrix.shape[0] == matrix.sum():  # limits on single steps only
        box = np.zeros(n_steps), np.full(n_steps, np.inf)
        np.maximum.at(box[0], matrix.indices, low)
        np.minimum.at(box[1], matrix.indices, high)
        return bool(np.all(box[0] <= box[1] * (1.0 + ROUNDING)))
    below, above = np.isfinite(low), np.isfinite(high)
    stacked = sparse.vstack([-matrix[below], matrix[above]], format="csr")
    right = np.concatenate([-low[below], high[above]])
    size = np.where(right == 0.0, 1.0, np.maximum(np.abs(right), 1e-6))
    scaled = sparse.hstack([sparse.diags(1.0 / size) @ stacked, -np.ones((right.size, 1))], format="csr")
    cost = np.append(np.zeros(n_steps), 1.0)
    found: Any = optimize.linprog(cost, A_ub=scaled, b_ub=right / size, bounds=(0.0, None), method="highs")
    return bool(found.status == 0 and found.fun <= 1e3 * ROUNDING)
