"""Minima of piecewise linear losses: linear programs by HiGHS, with an l2 term quadratic programs by Clarabel.

Both sides of the duality are polished in full precision, and every minimum is certified by weak duality.
"""

from importlib import import_module
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.problems.problem import Minimum, Problem

from .coordinates import WHITEN_LIMIT, certified, column_scales, scaled, whitened

__all__ = ["least_absolute", "max_of_affine", "hinge", "regularised_hinge"]

_METHOD = "HiGHS dual simplex, certified by weak duality"
_QUADRATIC = "Clarabel interior point, certified by weak duality"
_GOAL = 1e-12
_EDGE = 1e-9  # multipliers this close to a limit are at it
_ROUNDS = 8
_SUPPORT_LIMIT = 2000


def least_absolute(problem: Problem) -> Minimum:
    """Return the minimum of the mean of |a_i x - b_i|."""
    return _piecewise_linear(problem, problem.matrix, -problem.targets, -1.0)


def hinge(problem: Problem) -> Minimum:
    """Return the minimum of the hinge loss: a quadratic program with l2, a linear one without."""
    if problem.l2:
        return regularised_hinge(problem)
    return _piecewise_linear(problem, _signed_rows(problem), np.ones(problem.n_samples), 0.0)


def _signed_rows(problem: Problem) -> Any:
    """-b_i a_i, the slopes of 1 - b_i a_i x."""
    from scipy import sparse

    if problem.sparse:
        return sparse.csr_array(sparse.diags_array(-problem.targets) @ problem.matrix)
    return -problem.targets[:, None] * problem.matrix


def _coordinates(matrix: Any) -> list[Any]:
    """Return the changes of coordinates to try in turn: sparse rows stay sparse unless that fails."""
    if min(matrix.shape) > WHITEN_LIMIT:
        return [scaled]
    return [scaled, whitened] if hasattr(matrix, "tocsr") else [whitened, scaled]


def _piecewise_linear(problem: Problem, matrix: Any, shift: Array, low: float) -> Minimum:
    """Minimise mean_i max_{low <= u <= 1} u (matrix x + shift)_i."""
    unit = float(np.abs(shift).max()) or 1.0
    found = None
    for change in _coordinates(matrix):
        rows, back = change(matrix)
        points, u = _linear_program(rows, shift / unit, np.zeros(rows.shape[1]), low)
        residual = float(np.linalg.norm(rows.T @ u)) * (2.0 * float(np.linalg.norm(points[0])) + 1.0)
        lower = max(0.0, float(u @ shift) - unit * residual) / len(u)  # u = 0 is dual feasible
        # longer points: on separable data they lift margins that miss 1 by the solver's tolerance
        candidates = [back(unit * longer * z) for z in points for longer in (1.0, 1.0 + 1e-6)]
        found = _better(found, certified(problem, candidates, lower, _METHOD))
        if found.gap <= _GOAL * max(1.0, found.value):
            break
    assert found is not None
    return found


def max_of_affine(problem: Problem) -> Minimum:
    """Return the minimum of max a_i x + b_i, or refuse a function that is not bounded below."""
    offsets = problem.targets - problem.targets.max()
    unit = float(np.abs(offsets).max()) or 1.0
    found = None
    for change in _coordinates(problem.matrix):
        rows, back = change(problem.matrix)
        lifted = _with_ones(rows)
        points, u = _linear_program(lifted, offsets / unit, np.append(np.zeros(rows.shape[1]), 1.0), 0.0)
        u = u / u.sum()
        residual = float(np.linalg.norm(rows.T @ u)) * (2.0 * float(np.linalg.norm(points[0][:-1])) + 1.0)
        lower = float(u @ problem.targets) - unit * residual
        candidates = [back(unit * z[:-1]) for z in points]
        found = _better(found, certified(problem, candidates, lower, _METHOD))
        if found.gap <= _GOAL * max(1.0, abs(found.value)):
            break
    assert found is not None
    return found


def _better(old: Minimum | None, new: Minimum) -> Minimum:
    return new if old is None or new.gap < old.gap else old


def _with_ones(rows: Any) -> Any:
    from scipy import sparse

    ones = np.ones((rows.shape[0], 1))
    return sparse.csr_array(sparse.hstack([rows, ones])) if hasattr(rows, "tocsr") else np.hstack([rows, ones])


def _linear_program(rows: Any, cost: Array, target: Array, low: float) -> tuple[list[Array], Array]:
    """Maximise cost u subject to rows' u = target and low <= u <= 1; return candidates for its multipliers, and u.

    The multipliers z are the points of the primal: rows z + cost vanishes where u is inside its limits. With as many
    rows as variables of the primal, this dual takes HiGHS a small part of the primal's time.
    """
    from scipy.optimize import linprog

    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    solution = linprog(-cost, A_eq=rows.T, b_eq=target, bounds=(low, 1.0), method="highs-ds", options=options)
    if solution.status == 2 and target.any():  # u = 0 is feasible otherwise
        raise InputError("matrix", "an unbounded problem", "a function that is bounded below")
    if solution.x is None:  # nothing that could be certified, so that other coordinates are tried
        return [np.zeros(len(target))], np.full(len(cost), 1.0 / len(cost))
    z, u = np.asarray(solution.eqlin.marginals), np.clip(solution.x, low, 1.0)
    inside = (u > low + _EDGE) & (u < 1.0 - _EDGE)
    active = np.abs(rows @ z + cost) <= 1e-8
    points = [_polished_vertex(rows[chosen], -cost[chosen], z) for chosen in (inside | active, inside)]
    return [*points, z], _polished_dual(rows, u, inside, low, target)


def _polished_vertex(rows: Any, right: Array, z: Array) -> Array:
    """Solve the active equations again in full precision."""
    if not len(right):
        return z
    rows = rows.toarray() if hasattr(rows, "tocsr") else rows
    for _ in range(2):
        z = z + np.linalg.lstsq(rows, right - rows @ z, rcond=None)[0]
    return z


def _polished_dual(rows: Any, u: Array, inside: Any, low: float, target: Array) -> Array:
    """Move the strictly interior multipliers so that rows' u = target in full precision, then clip."""
    u = np.where(inside, u, np.where(u > 0.5 * (low + 1.0), 1.0, low))
    free = rows[inside]
    free = free.toarray() if hasattr(free, "tocsr") else free
    for _ in range(2 if free.size else 0):
        u[inside] += np.linalg.lstsq(free.T, target - rows.T @ u, rcond=None)[0]
    return np.clip(u, low, 1.0)


def regularised_hinge(problem: Problem) -> Minimum:
    """Return the minimum of the hinge loss with l2: Clarabel's point, then exact steps between active sets."""
    signed = _signed_rows(problem)
    scales = column_scales(signed)
    rows, weights = scaled(signed).rows, problem.l2 / scales**2
    norms = np.sqrt(np.asarray((rows * rows).sum(axis=1)).ravel())
    push = 0.1 * problem.n_samples / np.maximum((rows * rows) @ (1.0 / weights), 1e-300)
    found, lower = None, 0.0
    for units in (np.ones(len(norms)), np.where(norms > 0.0, norms, 1.0)):
        z, u = _interior_point(rows, weights, units)
        for _ in range(_ROUNDS):
            slopes = rows.T @ u / len(u)
            from_dual = -slopes / weights
            lower = max(lower, float(u.mean()) + 0.5 * float(slopes @ from_dual))
            candidates = [z / scales, from_dual / scales]
            found = _better(found, certified(problem, candidates, lower, _QUADRATIC))
            if found.gap <= _GOAL * max(1.0, found.value):
                return found
            inside = (u > _EDGE) & (u < 1.0 - _EDGE)
            if np.sum(inside) > _SUPPORT_LIMIT:
                break
            z, u = _polished_support(rows, weights, inside, u)
            u = np.clip(u + push * (1.0 + rows @ z), 0.0, 1.0)
    assert found is not None
    return found


def _interior_point(rows: Any, weights: Array, units: Array) -> tuple[Array, Array]:
    """Minimise mean_i max(0, 1 + r_i z) + sum_j weights_j z_j^2 / 2; return z and the multipliers in [0, 1].

    The solver sees row i divided by ``units[i]``.
    """
    from scipy import sparse

    clarabel: Any = import_module("clarabel")  # compiled, without type information

    n, p = rows.shape
    quadratic = sparse.block_diag([sparse.diags_array(weights), sparse.csc_array((n, n))], format="csc")
    slack = -sparse.eye_array(n)
    divided = sparse.diags_array(1.0 / units) @ sparse.csr_array(rows)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-13
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix(quadratic),
        np.concatenate([np.zeros(p), units / n]),
        sparse.csc_matrix(sparse.bmat([[divided, slack], [None, slack]])),
        np.concatenate([-1.0 / units, np.zeros(n)]),
        [clarabel.NonnegativeConeT(2 * n)],
        settings,
    ).solve()
    return np.array(solution.x)[:p], np.clip(n * np.array(solution.z)[:n] / units, 0.0, 1.0)


def _polished_support(rows: Any, weights: Array, inside: Any, u: Array) -> tuple[Array, Array]:
    """Solve the optimality conditions in full precision, with the samples ``inside`` on the margin."""
    n, p = rows.shape
    u = np.where(inside, 0.0, np.round(u))
    support = rows[inside].toarray() if hasattr(rows, "tocsr") else rows[inside]
    conditions = np.block([[np.diag(weights), support.T], [support, np.zeros((len(support), len(support)))]])
    right = np.concatenate([-(rows.T @ u) / n, -np.ones(len(support))])
    solution = np.zeros(len(right))
    for _ in range(2):
        solution += np.linalg.lstsq(conditions, right - conditions @ solution, rcond=None)[0]
    u[inside] = n * solution[p:]
    return solution[:p], np.clip(u, 0.0, 1.0)
