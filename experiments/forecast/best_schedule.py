"""The schedule with the least predicted last loss under the constraints of `design_schedule`.

Laws built on a worst-case rate hand the task to `design_schedule`, because their loss grows with the rate. For the
others the schedule is piecewise linear between at most 96 knots, denser towards both ends, and a sequential quadratic
program with exact gradients starts from several shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, sparse

from lastiterate.solvers.design.constraints import Constraints
from lastiterate.solvers.design.nearest import free_values, nearest
from lastiterate.theory.base.validation import Array, check_count
from lastiterate.theory.laws.protocol import Run

if TYPE_CHECKING:
    from .result import LossFit

__all__ = ["BestSchedule", "best_schedule", "minimise"]

KNOTS = 96
ITERATIONS = 150
EQUALITIES = ("prefix", "tail", "warmup", "blocks")  # the free values satisfy them


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
    norm = fit.run_of(np.full(n, fit.scope.high_peak))

    def value(steps: Array) -> tuple[float, Array]:
        return fit.fitted.law.final_gradient(fit.theta, Run(steps, norm.weight_decay, norm.init_std))

    return minimise(value, n, fit.scope.high_peak, options)


def minimise(value: Callable[[Array], tuple[float, Array]], n: int, scale: float, options: Any) -> BestSchedule:
    """Minimise a function of n steps of about ``scale``, which also gives its gradient, under the constraints."""
    constraints = Constraints.of(n, options)
    basis, fixed = _knot_basis(constraints)
    rows, low, high = _rows(constraints, basis, fixed)
    linear: Any = optimize.LinearConstraint
    found: list[BestSchedule] = []
    for steps in _starts(value, n, scale, constraints):
        found.append(BestSchedule(steps, float(value(steps)[0])))
        unit = float(steps.max())

        def at_knots(free: Array, unit: float = unit) -> tuple[float, Array]:
            loss, slopes = value(np.maximum(basis @ (unit * free) + fixed, 0.0))
            return loss, unit * np.asarray(basis.T @ slopes)

        start = np.maximum(sparse.linalg.lsqr(basis, steps - fixed)[0], 0.0) / unit
        solved: Any = optimize.minimize(
            at_knots,
            start,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, None)] * start.size,
            constraints=[linear(rows * unit, low, high)] if rows.shape[0] else [],
            options={"maxiter": ITERATIONS, "ftol": 1e-10},
        )
        steps = nearest(np.maximum(basis @ (unit * solved.x) + fixed, 0.0), constraints)
        found.append(BestSchedule(steps, float(value(steps)[0])))
    return min(found, key=float)


def _starts(
    value: Callable[[Array], tuple[float, Array]], n: int, scale: float, constraints: Constraints
) -> list[Array]:
    """Return feasible schedules next to usual shapes, each at the best of some heights."""
    s = np.arange(1, n + 1) / (n + 1.0)
    shapes = (1.0 - s, np.minimum(1.0, (1.0 - s) / 0.3), (1.0 - s) ** 2)
    heights = scale * 2.0 ** np.arange(-6, 3)
    best = [min(heights.tolist(), key=lambda height, shape=shape: value(height * shape)[0]) for shape in shapes]
    return [nearest(height * shape, constraints) for height, shape in zip(best, shapes, strict=True)]


def _knot_basis(constraints: Constraints) -> tuple[Any, Array]:
    """Basis and fixed part of steps = basis @ knots + fixed: hat functions over the free values of the constraints."""
    basis, fixed = free_values(constraints)
    count = basis.shape[1]
    if count <= KNOTS:
        return basis, fixed
    places = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, KNOTS))
    knots = np.unique(np.rint(places * (count - 1)).astype(np.int64))
    index = np.arange(count)
    left = np.clip(np.searchsorted(knots, index, side="right") - 1, 0, knots.size - 2)
    share = (index - knots[left]) / (knots[left + 1] - knots[left])
    entries = np.concatenate([1.0 - share, share])
    hats = sparse.csr_matrix((entries, (np.tile(index, 2), np.concatenate([left, left + 1]))), (count, knots.size))
    return sparse.csr_matrix(basis @ hats), fixed


def _rows(constraints: Constraints, basis: Any, fixed: Array) -> tuple[Array, Array, Array]:
    """Inequalities on the knots; of rows with the same knots, which lie between them, the first and last suffice."""
    matrices: list[Array] = []
    lows: list[Array] = []
    highs: list[Array] = []
    for group in constraints.rows:
        if group.name in EQUALITIES:
            continue
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
