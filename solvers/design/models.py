"""The two convex models of schedule design, in units in which the unconstrained optimum is one everywhere."""

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import Array, InputError, check_choice
from lastiterate.theory.optimal.closed_form import theorem10_optimum
from lastiterate.theory.rates.sgd import theorem10_rate

from .constraints import Constraints
from .region import Region

WEIGHT_SHAPES = ("nonincreasing", "nondecreasing", "convex", "concave")
TOLERANCE = 1e-12


@dataclass(frozen=True)
class ConvexSolution:
    """Steps and objective of a convex model, as the solver left them; weights of the model in the weights."""

    steps: Array
    objective: float
    status: str
    weights: Array | None = None


def solve_steps(D: float, G: Array, constraints: Constraints) -> ConvexSolution:
    """Minimise the bound of Theorem 10 (arXiv 2310.07831, jointly convex in the steps) under linear constraints.

    1/2 (D^2 / t_{-1} + sum_k h_k^2 G_k^2 / t_k + h_N G_N^2) with t_{k-1} = t_k + h_k, t_N-1 = h_N > 0 fictitious.
    """
    if constraints.n_free == 0:
        return ConvexSolution(constraints.fixed, theorem10_rate(constraints.fixed, D, G).value, "fixed")
    cp: Any = import_module("cvxpy")
    n = constraints.n_steps
    best = theorem10_optimum(n, D, G)
    reference = best.steps
    tails = np.cumsum(np.append(reference, best.last_value)[::-1])[::-1]
    unit = D**2 / tails[0]
    free_scale = (
        np.asarray((constraints.basis.T @ reference) / np.maximum(constraints.basis.sum(axis=0).A1, 1e-300))
        if hasattr(constraints.basis.sum(axis=0), "A1")
        else constraints.basis.T @ reference / constraints.basis.sum(axis=0)
    )
    free, tail, cost = cp.Variable(constraints.n_free), cp.Variable(n + 1), cp.Variable(n)
    basis = sparse.diags(1.0 / reference) @ constraints.basis @ sparse.diags(free_scale)
    steps = basis @ free + constraints.fixed / reference
    kept, added = tails[1:] / tails[:-1], reference / tails[:-1]
    balance = tail[:-1] == cp.multiply(kept, tail[1:]) + cp.multiply(added, steps)
    cones = cp.SOC(cost + tail[1:], cp.vstack([2.0 * steps, cost - tail[1:]]), axis=0)
    weights = reference**2 * G[:-1] ** 2 / tails[1:] / unit
    objective = cp.inv_pos(tail[0]) + weights @ cost + (tails[-1] * float(G[-1]) ** 2 / unit) * tail[-1]
    limits = _limits(cp, constraints.region(), free_scale, free)
    value, status = _solve(cp, cp.Problem(cp.Minimize(objective), [balance, cones, *limits]))
    found = constraints.basis @ (free_scale * np.asarray(free.value)) + constraints.fixed
    return ConvexSolution(found, float(0.5 * unit * value), status)


def _limits(cp: Any, region: Region, scale: Array, free: Any) -> list[Any]:
    """Bounds and rows on the free values, which are ``scale`` times the variable ``free``."""
    limits: list[Any] = [free >= region.low / scale]
    capped = np.isfinite(region.high)
    if capped.any():
        limits.append(free[capped] <= (region.high / scale)[capped])
    rows = (region.others.rows @ sparse.diags(scale)).tocsr()
    if rows.shape[0] == 0:
        return limits
    size = np.maximum(abs(rows).max(axis=1).toarray().ravel(), 1e-300)
    rows = (sparse.diags(1.0 / size) @ rows).tocsr()
    low, high = region.others.low / size, region.others.high / size
    below, above = np.isfinite(low), np.isfinite(high)
    if below.any():
        limits.append(rows[below] @ free >= low[below])
    if above.any():
        limits.append(rows[above] @ free <= high[above])
    return limits


def solve_weights(
    D: float, G: Array, *, floors: Array | None = None, tail_weights: Array | None = None, shape: str | None = None
) -> ConvexSolution:
    """Minimise the exact rate over the weights w_0, ..., w_N of the points, s_k = s_{k+1} + w_k.

    1/2 (D^2 / s_0^2 + sum_k w_k^2 G_k^2) is convex in w; the steps are h_k = w_k s_{k+1}. Lower limits on the steps are
    hyperbolic constraints; a given end of the weights and a shape of the weights are linear.
    """
    cp: Any = import_module("cvxpy")
    n = G.size - 1
    inverse = 1.0 / G**2
    total = float(inverse.sum())
    first = np.sqrt(D * np.sqrt(total))
    reference = first * inverse / total
    sums = np.cumsum(reference[::-1])[::-1]
    weight, tail = cp.Variable(n + 1, nonneg=True), cp.Variable(n + 1)
    ratio = sums[1:] / sums[:-1]
    constraints: list[Any] = [
        tail[:-1] == cp.multiply(ratio, tail[1:]) + cp.multiply(1.0 - ratio, weight[:-1]),
        tail[-1] == weight[-1],
    ]
    if floors is not None and floors.max(initial=0.0) > 0.0:
        positive = np.flatnonzero(floors > 0.0)
        root = 2.0 * np.sqrt(floors[positive] / (reference[positive] * sums[1:][positive]))
        own, after = weight[positive], tail[positive + 1]
        constraints.append(cp.SOC(own + after, cp.vstack([root, own - after]), axis=0))
    if tail_weights is not None:
        count = tail_weights.size
        constraints.append(weight[n + 1 - count :] == tail_weights / reference[n + 1 - count :])
    if shape is not None:
        constraints.append(_shape_constraint(cp, cp.multiply(reference / reference.max(), weight), shape))
    objective = 0.5 * cp.square(cp.inv_pos(tail[0])) + 0.5 * cp.sum_squares(
        cp.multiply(np.sqrt(reference / first), weight)
    )
    value, status = _solve(cp, cp.Problem(cp.Minimize(objective), constraints))
    weights = reference * np.maximum(np.asarray(weight.value), 0.0)
    if floors is None and tail_weights is None:  # homogeneous: the best scale is known
        weights *= np.sqrt(D / (weights.sum() * np.linalg.norm(weights * G)))
    found = weights[:-1] * np.cumsum(weights[::-1])[::-1][1:]
    if floors is not None:
        found = np.maximum(found, floors)
    return ConvexSolution(found, float(D**2 / first**2 * value), status, weights)


def _shape_constraint(cp: Any, weights: Any, shape: str) -> Any:
    check_choice(shape, "weights_shape", WEIGHT_SHAPES)
    if shape in ("nonincreasing", "nondecreasing"):
        return cp.diff(weights) <= 0.0 if shape == "nonincreasing" else cp.diff(weights) >= 0.0
    return cp.diff(weights, 2) >= 0.0 if shape == "convex" else cp.diff(weights, 2) <= 0.0


def _solve(cp: Any, model: Any) -> tuple[float, str]:
    """Solve with Clarabel to tight tolerances; the status is reported, what counts is re-evaluated by the caller."""
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "solution may be inaccurate": judged by what is re-evaluated
        try:
            model.solve(solver=cp.CLARABEL, max_iter=300, **options)
        except cp.error.SolverError as error:
            raise SolverError(f"Clarabel failed on the design problem: {error}") from error
    if model.status in ("infeasible", "infeasible_inaccurate"):
        raise InputError("constraints", model.status, "constraints that some schedule satisfies")
    if model.value is None or not np.isfinite(model.value):
        raise SolverError(f"Clarabel returned no design (status {model.status})")
    return float(model.value), str(model.status)
