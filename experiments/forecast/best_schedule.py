"""The schedule with the least predicted last loss under the constraints of `design_schedule`.

Laws built on a worst-case rate hand the task to `design_schedule`, because their loss grows with the rate. For the
others the schedule is piecewise linear between at most 96 knots, denser towards both ends, and a sequential quadratic
program with exact gradients starts from several shapes.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, sparse

from lastiterate.solvers.design.constraints import Constraints, build
from lastiterate.theory.base.validation import Array, check_count
from lastiterate.theory.laws.protocol import Run

if TYPE_CHECKING:
    from .result import LossFit

KNOTS = 96
ITERATIONS = 150


@dataclass(frozen=True, eq=False)
class BestSchedule:
    """Learning rates and the loss that the law predicts at their end."""

    steps: Array = field(repr=False)
    value: float

    def __float__(self) -> float:
        """Return the predicted last loss."""
        return self.value


def best_schedule(fit: "LossFit", n_steps: int, **options: Any) -> BestSchedule:
    """See `LossFit.best_schedule`."""
    n = check_count(n_steps, "n_steps", minimum=2)
    options = {"max_step": fit.scope.high_peak, "monotone": True, **options}
    if fit.law in ("exact", "theorem10"):
        from lastiterate.solvers.design.design import design_schedule

        steps = design_schedule(n, D=fit.D_over_G, **options).steps
        return BestSchedule(steps, fit.final(fit.run_of(steps)))
    constraints = build(n, **options)
    constraints.require_feasible()
    basis, fixed = _knot_basis(n, constraints)
    rows, low, high = _rows(constraints, basis, fixed)
    norm = fit.run_of(np.full(n, fit.scope.high_peak))
    scale = fit.scope.high_peak

    def value(free: Array) -> tuple[float, Array]:
        steps = np.maximum(basis @ (scale * free) + fixed, 0.0)
        loss, slopes = fit.fitted.law.final_gradient(fit._theta, Run(steps, norm.weight_decay, norm.init_std))
        return loss, scale * np.asarray(basis.T @ slopes)

    linear: Any = optimize.LinearConstraint
    limits = [linear(rows * scale, low, high)] if rows.shape[0] else []
    found: list[BestSchedule] = []
    for start in _starts(n, basis, fixed, constraints, scale):
        solved: Any = optimize.minimize(
            value,
            start,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, None)] * start.size,
            constraints=limits,
            options={"maxiter": ITERATIONS, "ftol": 1e-10},
        )
        for free in (start, solved.x):  # the program may end above its start
            steps = constraints.nearest(np.maximum(basis @ (scale * free) + fixed, 0.0))
            found.append(BestSchedule(steps, fit.final(fit.run_of(steps))))
    return min(found, key=float)


def _knot_basis(n: int, constraints: Constraints) -> tuple[Any, Array]:
    """Basis and fixed part of steps = basis @ knots + fixed: hat functions over the free values of the constraints."""
    count = constraints.n_free
    if count <= KNOTS:
        return sparse.csr_matrix(constraints.basis), constraints.fixed
    places = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, KNOTS))
    knots = np.unique(np.rint(places * (count - 1)).astype(np.int64))
    index = np.arange(count)
    left = np.clip(np.searchsorted(knots, index, side="right") - 1, 0, knots.size - 2)
    share = (index - knots[left]) / (knots[left + 1] - knots[left])
    entries = np.concatenate([1.0 - share, share])
    hats = sparse.csr_matrix((entries, (np.tile(index, 2), np.concatenate([left, left + 1]))), (count, knots.size))
    return sparse.csr_matrix(constraints.basis @ hats), constraints.fixed


def _rows(constraints: Constraints, basis: Any, fixed: Array) -> tuple[Array, Array, Array]:
    """Inequalities on the knots; of rows with the same knots, which lie between them, the first and last suffice."""
    matrices: list[Array] = []
    lows: list[Array] = []
    highs: list[Array] = []
    for group in constraints.inequalities:
        matrix = sparse.csr_matrix(group.matrix @ basis)
        shift = np.asarray(group.matrix @ fixed).ravel()
        touched = np.array([hash(part.tobytes()) for part in np.split(matrix.indices, matrix.indptr[1:-1])])
        change = np.flatnonzero(np.diff(touched, prepend=touched[0] + 1, append=touched[-1] + 1))
        kept = np.unique(np.concatenate([change[:-1], change[1:] - 1]))
        kept = kept[np.diff(matrix.indptr)[kept] > 0]
        matrices.append(matrix[kept].toarray())
        lows.append((group.low - shift)[kept])
        highs.append((group.high - shift)[kept])
    if not matrices:
        return np.zeros((0, basis.shape[1])), np.zeros(0), np.zeros(0)
    return np.vstack(matrices), np.concatenate(lows), np.concatenate(highs)


def _starts(n: int, basis: Any, fixed: Array, constraints: Constraints, scale: float) -> list[Array]:
    """Knots, in units of the scale, of feasible versions of some usual shapes."""
    s = np.arange(1, n + 1) / (n + 1.0)
    shapes = (1.0 - s, np.minimum(1.0, (1.0 - s) / 0.3), 0.5 * (1.0 - s) ** 2)
    starts: list[Array] = []
    for shape in shapes:
        steps = constraints.nearest(scale * shape) - fixed
        solved: Any = sparse.linalg.lsqr(basis, steps)
        starts.append(np.maximum(solved[0], 0.0) / scale)
    return starts
