"""Minima of the problems to 1e-10 with a certified gap, by solvers that share no code with the simulators.

Piecewise linear problems are linear programs (HiGHS), the l2-regularised hinge loss is a box-constrained dual
quadratic program (Clarabel), logistic losses are solved by Newton's method; every result is certified by weak
duality or strong convexity at the returned point, whatever the solver's status says.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .validation import Array, InputError

if TYPE_CHECKING:
    from .problem_core import Problem

_CACHE_SCHEMA = 1
_GOAL = 1e-10
_NEWTON_GOAL = 1e-12
_NEWTON_STEPS = 200
_SVD_LIMIT = 2000
_REPAIRS = 3
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Minimum:
    """A point, its value, and a certified bound on value - inf f; ``attained`` is False for an infimum at infinity.

    On nearly collinear columns the value of x itself, rounded, can lie above ``value`` by some 1e-10.
    """

    x: Array = field(repr=False)
    value: float
    gap: float
    method: str
    attained: bool = True


def cached_minimum(problem: "Problem") -> Minimum:
    """Return the minimum of ``problem``, read from or written to its cache folder where it has one.

    The file is ``minimum-<sha256>.json`` with point, value, gap, method and package versions; what is read back is
    checked against the problem's own value at the stored point.
    """
    if problem.cache is None:
        return _solve(problem)
    path = problem.cache / f"minimum-{problem.fingerprint()[:32]}.json"
    if path.exists() and (stored := _read(path, problem)) is not None:
        return stored
    found = _solve(problem)
    _write(path, problem, found)
    return found


def _read(path: Path, problem: "Problem") -> Minimum | None:
    """Return the stored minimum, or None where the file is damaged or does not fit the problem."""
    try:
        stored = json.loads(path.read_text())
        point = np.array(stored["x"], dtype=np.float64)
        found = Minimum(point, stored["value"], stored["gap"], stored["method"], stored["attained"])
        fits = stored["schema"] == _CACHE_SCHEMA and point.shape == (problem.dim,)
        return found if fits and abs(problem.value(point) - found.value) <= 1e-8 * (1 + abs(found.value)) else None
    except (ValueError, KeyError, TypeError):
        return None


def _write(path: Path, problem: "Problem", found: Minimum) -> None:
    import scipy

    record = {
        "schema": _CACHE_SCHEMA,
        "problem": problem.name,
        "fingerprint": problem.fingerprint(),
        "value": found.value,
        "gap": found.gap,
        "attained": found.attained,
        "method": found.method,
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        "x": found.x.tolist(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        json.dump(record, file)
    os.replace(name, path)


def _solve(problem: "Problem") -> Minimum:
    solver = {
        "absolute": _least_absolute,
        "hinge": _hinge if problem.l2 == 0.0 else _regularised_hinge,
        "logistic": _newton,
        "softmax": _newton,
        "squared": _least_squares,
        "max_affine": _max_affine,
    }[problem.kind]
    if problem.l2 and problem.kind in ("absolute", "max_affine"):
        raise InputError("l2", problem.l2, f"zero for the kind {problem.kind}")
    found = solver(problem)
    if not found.gap <= _GOAL * max(1.0, abs(found.value)):
        raise RuntimeError(
            f"{problem.name}: the certified gap of the minimum is {found.gap:.1e}, more than {_GOAL:.0e}"
        )
    return found


def _minimum(problem: "Problem", candidates: list[Array], lower: float, method: str) -> Minimum:
    """Pick the best point and certify it by the ``lower`` bound on f."""
    values = [problem.value(x) for x in candidates]
    best = int(np.argmin(values))
    return Minimum(candidates[best], values[best], max(0.0, values[best] - lower), method)


def _linear_program(cost: Array, rows: Any, limit: Array) -> Any:
    """Minimise cost x subject to rows x <= limit with HiGHS at its tightest tolerances."""
    from scipy.optimize import linprog

    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    solution = linprog(cost, A_ub=rows, b_ub=limit, bounds=(None, None), method="highs-ds", options=options)
    if solution.status == 3:
        raise InputError("matrix", "an unbounded problem", "a function that is bounded below")
    if solution.x is None:
        raise RuntimeError(f"HiGHS found no solution: {solution.message}")
    return solution


def _polished_vertex(rows: Any, right: Array, x: Array) -> Array:
    """Solve the active equations again in full precision."""
    rows = rows.toarray() if hasattr(rows, "toarray") else rows
    return x + np.linalg.lstsq(rows, right - rows @ x, rcond=None)[0] if len(right) else x


def _polished_dual(rows: Any, u: Array, low: float, high: float, target: Array) -> Array:
    """Move the strictly interior multipliers so that rows^T u = target in full precision, then clip."""
    u = np.clip(u, low, high)
    free = (u > low + 1e-9) & (u < high - 1e-9)
    u = np.where(free, u, np.where(u > 0.5 * (low + high), high, low))
    inner = rows[free]
    inner = inner.toarray() if hasattr(inner, "toarray") else inner
    if inner.size:
        u[free] += np.linalg.lstsq(inner.T, target - rows.T @ u, rcond=None)[0]
    return np.clip(u, low, high)


def _piecewise_linear(problem: "Problem", rows: Any, shift: Array, low: float) -> Minimum:
    """Minimise mean_i max_{low <= u <= 1} u (rows x + shift)_i."""
    from scipy import sparse

    n, p = rows.shape
    slack = -sparse.eye_array(n)
    upper = sparse.hstack([sparse.csr_array(rows), slack])
    lower = sparse.hstack([low * sparse.csr_array(rows), slack])
    cost = np.concatenate([np.zeros(p), np.full(n, 1.0 / n)])
    solution = _linear_program(cost, sparse.vstack([upper, lower]).tocsr(), np.concatenate([-shift, -low * shift]))
    x = solution.x[:p]
    multipliers = -n * solution.ineqlin.marginals
    u = _polished_dual(rows, multipliers[:n] + low * multipliers[n:], low, 1.0, np.zeros(p))
    active = np.abs(rows @ x + shift) <= 1e-8
    vertex = _polished_vertex(rows[active], -shift[active], x)
    residual = float(np.linalg.norm(rows.T @ u)) / n
    bound = float(u @ shift) / n - residual * (2.0 * float(np.linalg.norm(vertex)) + 1.0)
    bound = max(0.0, bound)  # u = 0 is dual feasible
    longer = vertex * (1.0 + 1e-6)  # on separable data this lifts margins that miss 1 by the solver's tolerance
    return _minimum(problem, [x, vertex, longer], bound, "HiGHS dual simplex, certified by weak duality")


def _least_absolute(problem: "Problem") -> Minimum:
    return _piecewise_linear(problem, problem.matrix, -problem.targets, -1.0)


def _signed_rows(problem: "Problem") -> Any:
    """-b_i a_i, the slopes of 1 - b_i a_i x."""
    from scipy import sparse

    if problem.sparse:
        return sparse.csr_array(sparse.diags_array(-problem.targets) @ problem.matrix)
    return -problem.targets[:, None] * problem.matrix


def _hinge(problem: "Problem") -> Minimum:
    return _piecewise_linear(problem, _signed_rows(problem), np.ones(problem.n_samples), 0.0)


def _regularised_hinge(problem: "Problem") -> Minimum:
    from importlib import import_module

    from scipy import sparse

    clarabel: Any = import_module("clarabel")  # compiled, without type information

    rows: Any = sparse.csc_array(_signed_rows(problem))
    n, p = rows.shape
    quadratic = sparse.block_diag([problem.l2 * sparse.eye_array(p), sparse.csc_array((n, n))], format="csc")
    cost = np.concatenate([np.zeros(p), np.full(n, 1.0 / n)])
    slack = -sparse.eye_array(n)
    left = sparse.bmat([[rows, slack], [None, slack]], format="csc")
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-13
    right = np.concatenate([-np.ones(n), np.zeros(n)])
    cone = [clarabel.NonnegativeConeT(2 * n)]
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix(quadratic), cost, sparse.csc_matrix(left), right, cone, settings
    ).solve()
    x = np.array(solution.x)[:p]
    u = np.clip(n * np.array(solution.z)[:n], 0.0, 1.0)
    from_dual = -(rows.T @ u) / (n * problem.l2)
    bound = float(u.mean()) - 0.5 * problem.l2 * float(from_dual @ from_dual)
    return _minimum(problem, [x, from_dual], bound, "Clarabel interior point, certified by weak duality")


def _max_affine(problem: "Problem") -> Minimum:
    from scipy import sparse

    n, p = problem.matrix.shape
    rows = sparse.csr_array(problem.matrix)
    lifted = sparse.csr_array(sparse.hstack([rows, -np.ones((n, 1))]))
    solution = _linear_program(np.append(np.zeros(p), 1.0), lifted, -problem.targets)
    x, top = solution.x[:p], solution.x[p]
    active = np.abs(rows @ x + problem.targets - top) <= 1e-8
    vertex = _polished_vertex(lifted[active], -problem.targets[active], solution.x)[:p]
    with_one = sparse.csr_array(sparse.hstack([rows, np.ones((n, 1))]))
    u = _polished_dual(with_one, -solution.ineqlin.marginals, 0.0, 1.0, np.append(np.zeros(p), 1.0))
    u = u / u.sum()
    residual = float(np.linalg.norm(rows.T @ u))
    bound = float(u @ problem.targets) - residual * (2.0 * float(np.linalg.norm(vertex)) + 1.0)
    return _minimum(problem, [x, vertex], bound, "HiGHS dual simplex, certified by weak duality")


def _in_row_space(problem: "Problem") -> tuple["Problem", Array]:
    """Return the problem for z with x = basis' z, and the basis: with l2 the minimiser is a combination of rows."""
    matrix = problem.matrix.toarray() if problem.sparse else problem.matrix
    left, sizes, basis = np.linalg.svd(matrix, full_matrices=False)
    return replace(problem, matrix=np.ascontiguousarray(left * sizes)), basis


def _wide(problem: "Problem") -> bool:
    return problem.l2 > 0.0 and problem.matrix.shape[1] > problem.matrix.shape[0]


def _least_squares(problem: "Problem") -> Minimum:
    if _wide(problem):
        reduced, basis = _in_row_space(problem)
        found = _least_squares(reduced)
        return replace(found, x=found.x @ basis)
    n, p = problem.matrix.shape
    matrix = problem.matrix.toarray() if problem.sparse else problem.matrix
    stacked = np.vstack([matrix, np.sqrt(problem.l2 * n) * np.eye(p)]) if problem.l2 else matrix
    right = np.concatenate([problem.targets, np.zeros(len(stacked) - n)])
    x = np.linalg.lstsq(stacked, right, rcond=None)[0]
    correction = np.linalg.lstsq(stacked, right - stacked @ x, rcond=None)[0]
    decrease = 0.5 * float(np.sum((stacked @ correction) ** 2)) / n
    x = x + correction
    return Minimum(x, problem.value(x), decrease, "LAPACK least squares, certified by one step of refinement")


def _newton(problem: "Problem") -> Minimum:
    """Damped Newton, without l2 in an orthonormal basis of the columns, where minima at infinity stay well scaled."""
    if _wide(problem):
        reduced, basis = _in_row_space(problem)
        found = _damped_newton(reduced)
        return replace(found, x=(found.x.reshape(problem.n_outputs, -1) @ basis).ravel())
    if problem.l2 or min(problem.matrix.shape) > _SVD_LIMIT:
        return _damped_newton(problem)
    matrix = problem.matrix.toarray() if problem.sparse else problem.matrix
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    keep = sizes > 1e-12 * sizes[0]
    if not keep.any():
        return _minimum(problem, [np.zeros(problem.dim)], problem.value(np.zeros(problem.dim)), "the matrix is zero")
    scale = np.sqrt(problem.n_samples)
    found = _damped_newton(replace(problem, matrix=np.ascontiguousarray(left[:, keep] * scale)))
    blocks = found.x.reshape(problem.n_outputs, -1)
    x = np.ascontiguousarray((blocks * (scale / sizes[keep])) @ right[keep]).ravel()
    return replace(found, x=x)


def _damped_newton(problem: "Problem") -> Minimum:
    x = np.zeros(problem.dim)
    value, gap, step = problem.value(x), np.inf, x
    for _ in range(_NEWTON_STEPS):
        gradient = problem.subgradient(x)
        solve = _pseudo_inverse(_logistic_hessian(problem, x))
        step = -solve(gradient)
        if problem.l2:
            gap = float(gradient @ gradient) / (2.0 * problem.l2)
        else:
            gap = max(0.0, min(value, value - _entropy_bound(problem, x, solve)))
        if gap <= _NEWTON_GOAL:
            break
        slope, scale = float(gradient @ step), 1.0
        while (trial := problem.value(x + scale * step)) > value + 0.1 * scale * slope and scale > 1e-9:
            scale *= 0.5
        if trial >= value:
            break
        x, value = x + scale * step, trial
    certificate = "strong convexity" if problem.l2 else "weak duality"
    attained = float(np.linalg.norm(step)) <= 1e-3 * (1.0 + float(np.linalg.norm(x)))
    return Minimum(x, value, gap, f"damped Newton, certified by {certificate}", attained)


def _pseudo_inverse(hessian: Array) -> Callable[[Array], Array]:
    """Minimum-norm solution: the Hessian of a softmax is singular along equal shifts of all classes."""
    eigenvalues, vectors = np.linalg.eigh(hessian)
    keep = eigenvalues > 1e-15 * eigenvalues[-1]
    vectors, eigenvalues = vectors[:, keep], eigenvalues[keep]
    return lambda right: vectors @ ((vectors.T @ right) / eigenvalues)


def _probabilities(problem: "Problem", x: Array) -> Array:
    """Class probabilities float64[n, K] (K = 2 with classes -1, +1 for ``logistic``)."""
    from scipy.special import expit, softmax

    if problem.kind == "softmax":
        return np.asarray(softmax(problem.matrix @ x.reshape(problem.n_outputs, -1).T, axis=1))
    margins = problem.matrix @ x
    return np.stack([expit(-margins), expit(margins)], axis=1)


def _logistic_hessian(problem: "Problem", x: Array) -> Array:
    chances, matrix = _probabilities(problem, x), problem.matrix
    n, p = matrix.shape
    if problem.kind == "logistic":
        hessian = _weighted_gram(matrix, chances[:, 0] * chances[:, 1]) / n
        return hessian + problem.l2 * np.eye(p)
    if problem.sparse:
        matrix = matrix.toarray()
    hessian = _softmax_hessian(matrix, chances).reshape(problem.dim, problem.dim) / n
    return hessian + problem.l2 * np.eye(problem.dim)


def _softmax_hessian(matrix: Array, chances: Array) -> Array:
    """Sum of (diag(q) - q q^T) x a a^T over samples, float64[K, p, K, p], by one product of pairwise products."""
    (n, p), classes = matrix.shape, chances.shape[1]
    i, j = np.triu_indices(p)
    k, m = np.triu_indices(classes)
    mixed, own = np.zeros((i.size, k.size)), np.zeros((i.size, classes))
    block = max(1, _BLOCK // max(i.size, k.size))
    for start in range(0, n, block):
        rows, share = matrix[start : start + block], chances[start : start + block]
        pairs = (rows[:, i] * rows[:, j]).T
        mixed -= pairs @ (share[:, k] * share[:, m])
        own += pairs @ share
    mixed[:, k == m] += own
    hessian = np.empty((classes, p, classes, p))
    for left, right in ((k, m), (m, k)):
        for row, column in ((i, j), (j, i)):
            hessian[left[None, :], row[:, None], right[None, :], column[:, None]] = mixed
    return hessian


def _weighted_gram(matrix: Any, weight: Array) -> Array:
    if isinstance(matrix, np.ndarray):
        return matrix.T @ (weight[:, None] * matrix)
    return (matrix.T @ (matrix * weight[:, None])).toarray()


def _entropy_bound(problem: "Problem", x: Array, solve: Callable[[Array], Array]) -> float:
    """Lower bound on inf f: the entropy of class probabilities that Newton steps have made dual feasible.

    Dual feasible means matrix^T (probabilities - labels) = 0; what clipping and rounding leave of it is paid for.
    """
    from scipy.special import entr

    binary = problem.kind == "logistic"
    chosen = (problem.targets > 0.0 if binary else problem.targets).astype(np.int64)
    chances = _probabilities(problem, x)
    dual = chances.copy()
    misfit = _misfit(problem, dual, chosen)
    for _ in range(_REPAIRS):
        step = -solve(misfit)
        moved = problem.matrix @ step.reshape(problem.n_outputs, -1).T
        moved = np.hstack([np.zeros_like(moved), moved]) if binary else moved
        dual = np.maximum(dual + chances * (moved - np.sum(chances * moved, axis=1, keepdims=True)), 0.0)
        dual /= dual.sum(axis=1, keepdims=True)
        misfit = _misfit(problem, dual, chosen)
    slack = float(np.linalg.norm(misfit)) * (2.0 * float(np.linalg.norm(x)) + 1.0)
    return float(np.mean(entr(dual).sum(axis=1))) - slack


def _misfit(problem: "Problem", dual: Array, chosen: Any) -> Array:
    residual = dual.copy()
    residual[np.arange(len(chosen)), chosen] -= 1.0
    used = residual[:, 1:] if problem.kind == "logistic" else residual
    return np.asarray(problem.matrix.T @ used).T.ravel() / problem.n_samples
