"""Minima of logistic losses, binary and multinomial, by damped Newton steps with a certified gap."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.problem import Minimum, Problem

from .coordinates import WHITEN_LIMIT, certified, whitened

__all__ = ["in_row_space", "newton"]

_GOAL = 1e-12
_CLOSE = 1e-18  # where Newton's method converges quadratically, the point too becomes exact
_STEPS = 200
_ROUNDING = 1e-13  # relative changes of f that rounding may hide
_REPAIRS = 3
_BLOCK = 4_000_000
_ROOT2 = float(np.sqrt(2.0))


def in_row_space(problem: Problem) -> tuple[Problem, Array]:
    """Return the problem for z with x = basis' z, and the basis: with l2 the minimiser is a combination of rows."""
    matrix = problem.matrix.toarray() if problem.sparse else problem.matrix
    left, sizes, basis = np.linalg.svd(matrix, full_matrices=False)
    return replace(problem, matrix=np.ascontiguousarray(left * sizes)), basis


def newton(problem: Problem) -> Minimum:
    """Return the minimum, without l2 found in an orthonormal basis, where minima at infinity stay well scaled."""
    n, p = problem.matrix.shape
    if problem.l2 and p > n:
        reduced, basis = in_row_space(problem)
        found, back = _damped_newton(reduced), lambda blocks: blocks @ basis
    elif problem.l2 or min(n, p) > WHITEN_LIMIT:
        return _damped_newton(problem)
    else:
        rows, back = whitened(problem.matrix)
        found = _damped_newton(replace(problem, matrix=rows))
    x = np.ascontiguousarray(back(found.x.reshape(problem.n_outputs, -1))).ravel()
    return certified(problem, [x], found.value - found.gap, found.method, found.attained)


def _damped_newton(problem: Problem) -> Minimum:
    x = np.zeros(problem.dim)
    value, best = problem.value(x), None
    for _ in range(_STEPS):
        gradient = problem.subgradient(x)
        system = _newton_system(problem, x)
        step = -system.solve(gradient)
        slope = float(gradient @ step)
        gap, reason = _gap(problem, x, value, gradient, system)
        attained = problem.l2 > 0.0 or float(np.linalg.norm(step)) <= 1e-3 * (1.0 + float(np.linalg.norm(x)))
        hidden = -slope <= _ROUNDING * max(1.0, value)
        if best is None or gap < best.gap:
            best = Minimum(x, value, gap, f"damped Newton, certified by {reason}", attained)
        elif hidden:
            break
        if gap <= (_CLOSE if attained else _GOAL):
            break
        scale = 1.0
        while (trial := problem.value(x + scale * step)) > value + 0.1 * scale * slope and scale > 1e-9 and not hidden:
            scale *= 0.5
        if trial >= value and not hidden:
            break
        x, value = x + scale * step, trial
    assert best is not None
    return best


class _System(NamedTuple):
    """Minimum-norm solver of the Hessian, its diagonal^-1/2, its smallest eigenvalue in that scale, its nullity."""

    solve: Callable[[Array], Array]
    scales: Array
    smallest: float
    nullity: int


def _newton_system(problem: Problem, x: Array) -> _System:
    """Decompose the Hessian, which is singular for a softmax along equal shifts of all classes."""
    hessian = _logistic_hessian(problem, x)
    diagonal = np.diag(hessian)
    scales = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    eigenvalues, vectors = np.linalg.eigh(scales[:, None] * hessian * scales)
    keep = eigenvalues > 1e-15 * eigenvalues[-1]
    vectors, eigenvalues = vectors[:, keep], eigenvalues[keep]
    return _System(
        lambda right: scales * (vectors @ ((vectors.T @ (scales * right)) / eigenvalues)),
        scales,
        float(eigenvalues[0]) if eigenvalues.size else 1.0,
        int(np.sum(~keep)),
    )


def _gap(problem: Problem, x: Array, value: float, gradient: Array, system: _System) -> tuple[float, str]:
    """Return the smallest certified bound on f(x) - inf f, and what certifies it."""
    gaps = [(_self_concordant_gap(problem, gradient, system), "self-concordance"), (value, "f >= 0")]
    if problem.l2:
        gaps.append((float(gradient @ gradient) / (2.0 * problem.l2), "strong convexity"))
    else:
        gaps.append((value - _entropy_bound(problem, x, system.solve), "weak duality"))
    gap, reason = min(gaps)
    return max(0.0, gap), reason


def _self_concordant_gap(problem: Problem, gradient: Array, system: _System) -> float:
    """Bound f(x) - f* by the Newton decrement, whatever the scale (Bach, arXiv 0910.4627, without his constants).

    Along d = x* - x the third derivative is at most r ||d|| times the second, in the norm of the Hessian H, where r is
    the largest spread of the scores over ||d||, at most max ||a_i||_{H^-1} (times sqrt 2 for differences of classes).
    Then the decrement is at least (1 - exp(-r ||d||)) / r, which bounds ||d||, and the gap is at most the decrement
    times ||d||.
    """
    if system.nullity not in ((0, problem.n_features) if problem.kind == "softmax" else (0,)):
        return float("inf")
    decrement = float(np.sqrt(max(0.0, gradient @ system.solve(gradient))))
    squares = problem.matrix * problem.matrix
    norms = squares @ (system.scales.reshape(problem.n_outputs, -1) ** 2).T
    spread = (_ROOT2 if problem.kind == "softmax" else 1.0) * float(np.sqrt(norms.max() / system.smallest))
    if spread * decrement >= 1.0:
        return float("inf")
    return -decrement * float(np.log1p(-spread * decrement)) / spread if spread else 0.0


def _probabilities(problem: Problem, x: Array) -> Array:
    """Class probabilities float64[n, K] (K = 2 with classes -1, +1 for ``logistic``)."""
    from scipy.special import expit, softmax

    if problem.kind == "softmax":
        return np.asarray(softmax(problem.matrix @ x.reshape(problem.n_outputs, -1).T, axis=1))
    margins = problem.matrix @ x
    return np.stack([expit(-margins), expit(margins)], axis=1)


def _logistic_hessian(problem: Problem, x: Array) -> Array:
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


def _entropy_bound(problem: Problem, x: Array, solve: Callable[[Array], Array]) -> float:
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


def _misfit(problem: Problem, dual: Array, chosen: Any) -> Array:
    residual = dual.copy()
    residual[np.arange(len(chosen)), chosen] -= 1.0
    used = residual[:, 1:] if problem.kind == "logistic" else residual
    return np.asarray(problem.matrix.T @ used).T.ravel() / problem.n_samples
