"""The feasible schedule nearest to a given one, and the free values that equal constraints leave."""

from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import Array

from .constraints import Constraints

__all__ = ["free_values", "nearest"]


def nearest(steps: Array, constraints: Constraints) -> Array:
    """Return the feasible steps with the least Euclidean distance to ``steps``, by a quadratic program.

    Raises
    ------
    SolverError
        If the solver ends without a solution.

    Examples
    --------
    >>> nearest(np.array([1.0, 3.0]), Constraints.of(2, {"monotone": True, "max_step": 1.5})).round(9)
    array([1.5, 1.5])
    """
    unit = max(float(np.abs(steps).max()), np.finfo(float).tiny)
    scaled = constraints.scaled(1.0 / unit)
    wanted = steps / unit
    if scaled.residual(wanted) == 0.0:
        return constraints.tidy(steps)
    clarabel: Any = import_module("clarabel")  # compiled, without type information
    n = wanted.size
    matrices: list[Any] = [-sparse.identity(n, format="csr")]
    rights: list[Array] = [np.zeros(n)]
    for rows in scaled.rows:
        for matrix, right in ((rows.matrix, rows.high), (-rows.matrix, -rows.low)):
            kept = np.isfinite(right)
            matrices.append(sparse.csr_matrix(matrix)[kept])
            rights.append(right[kept])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    right = np.concatenate(rights)
    found = clarabel.DefaultSolver(
        sparse.identity(n, format="csc"),
        -wanted,
        sparse.vstack(matrices, format="csc"),
        right,
        [clarabel.NonnegativeConeT(right.size)],
        settings,
    ).solve()
    if "Solved" not in str(found.status):
        raise SolverError(f"Clarabel found no nearest schedule (status {found.status})")
    return constraints.tidy(np.maximum(np.array(found.x), 0.0) * unit)


def free_values(constraints: Constraints) -> tuple[Any, Array]:
    """Return a sparse basis, shape (N, free), and the fixed part of steps = basis @ values + fixed, in order of time.

    A fixed step has no value, a warm-up one (its peak), a block of equal steps one.

    Examples
    --------
    >>> basis, fixed = free_values(Constraints.of(4, {"prefix": [0.5], "blocks": [1, 1, 2]}))
    >>> basis.toarray(), fixed
    (array([[0., 0.],
           [1., 0.],
           [0., 1.],
           [0., 1.]]), array([0.5, 0. , 0. , 0. ]))
    """
    n, ramp = constraints.n_steps, constraints.ramp
    label = np.searchsorted(constraints.given.block_starts, np.arange(n), side="right")
    weight = np.ones(n)
    if ramp is not None:
        inside = slice(ramp.first, ramp.end)
        label[inside], weight[inside] = label[ramp.end - 1], ramp.shape
    is_fixed = constraints.low == constraints.high
    fixed = np.where(is_fixed, constraints.low, 0.0)
    free = np.flatnonzero(~is_fixed)
    values, columns = np.unique(label[free], return_inverse=True)
    return sparse.csr_matrix((weight[free], (free, columns)), shape=(n, values.size)), fixed
