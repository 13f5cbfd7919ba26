"""Which constraints contradict each other: a linear program in the largest relative violation."""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from scipy import optimize, sparse

from lastiterate.theory.base.validation import InputError

from .rows import Rows

__all__ = ["ROUNDING", "feasible", "raise_contradiction"]

ROUNDING = 1e-12  # limits that cross by less than this, relative, are a rounding error and no contradiction


def raise_contradiction(n_steps: int, named: Sequence[Rows]) -> NoReturn:
    """Raise `InputError` that names options that contradict each other, none of which could be left out."""
    chosen = list(named)
    for rows in named:
        others = [other for other in chosen if other is not rows]
        if not feasible(n_steps, others):
            chosen = others
    names = " and ".join(rows.name for rows in chosen)
    raise InputError(names, "constraints that contradict each other", "constraints that can hold together")


def feasible(n_steps: int, named: Sequence[Rows]) -> bool:
    """Whether nonnegative steps satisfy the rows. Without a positive lower limit the schedule of zeros does."""
    floors = [float(rows.low.max(initial=0.0)) for rows in named]
    unit = max(floors, default=0.0)
    if unit == 0.0:
        return True
    matrix: Any = sparse.vstack([rows.matrix for rows in named], format="csr")
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
