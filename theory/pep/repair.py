"""From what a solver returned to bounds that hold: repaired multipliers (upper) and a repaired function (lower)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array

from .cone import Inequalities, Scaled

__all__ = [
    "RepairedLower",
    "UpperBound",
    "balance",
    "cross_terms",
    "lower_bound",
    "shortest_distances",
    "upper_bound",
    "violated",
]

Index = npt.NDArray[np.int64]

ROUNDING = 1e-14
CONSISTENT = 3e-10
MIXTURES = (0.0, *(10.0 ** np.arange(-12.0, -1.9, 0.5)).tolist())


@dataclass(frozen=True)
class UpperBound:
    """Feasible multipliers: pairs[t, r] on f_r >= f_t + <g_t, x_r - x_t> (index n is x*), caps on the squared norms."""

    value: float
    pairs: Array
    caps: Array


@dataclass(frozen=True)
class RepairedLower:
    """A feasible function: Gram matrix of (u_0, ..., u_n) and values f_i - f* that satisfy every inequality."""

    value: float
    gram: Array
    levels: Array


def upper_bound(problem: Scaled, pairs: Array, caps: Array | None) -> UpperBound:
    """Make multipliers feasible (nonnegative, flow conserved, slack matrix semidefinite) and return their value."""
    balanced = balance(np.maximum(pairs, 0.0))
    matrix = cross_terms(problem, balanced)
    dominant = np.abs(matrix).sum(axis=1) - np.abs(np.diag(matrix)) - np.diag(matrix)
    choices = [dominant if problem.equality else np.maximum(dominant, 0.0)]
    if caps is not None:
        signed = caps if problem.equality else np.maximum(caps, 0.0)
        signed[0] = max(signed[0], 0.0)
        slack = np.linalg.eigvalsh(matrix + np.diag(signed))
        choices.append(signed + max(0.0, -float(slack[0])) + 1e-15 * float(np.abs(slack).max()))
    best = min(choices, key=lambda nu: float(nu.sum()))
    return UpperBound(float(best.sum()), balanced, best)


def balance(pairs: Array) -> Array:
    """Conserve the flow: what enters point i (one unit at the last point) leaves it, the rest of it towards x*."""
    n = pairs.shape[0] - 1
    pairs = pairs.copy()
    np.fill_diagonal(pairs, 0.0)
    demand = pairs[n, :n].copy()
    demand[-1] += 1.0
    for _ in range(n + 1):  # one sweep is enough when all pairs go from later to earlier points
        excess = 0.0
        for i in range(n - 1, -1, -1):
            entering, leaving = demand[i] + pairs[:n, i].sum(), pairs[i, :n].sum()
            if leaving > entering:
                pairs[i, :n] *= entering / leaving
                excess = max(excess, leaving - entering)
        if excess <= ROUNDING:
            break
    rest = demand + pairs[:n, :n].sum(axis=0) - pairs[:n, :n].sum(axis=1)
    pairs[:n, n] = np.maximum(rest, 0.0)
    pairs[n, :n] += np.maximum(-rest, 0.0)
    return pairs


def cross_terms(problem: Scaled, pairs: Array) -> Array:
    """Symmetric matrix M with <M, P> = sum over pairs of the multiplier times <g_t, x_r - x_t>."""
    n = problem.n_points
    ends = np.vstack([problem.points, np.zeros(problem.points.shape[1])])
    rows = (pairs[:n] @ ends - pairs[:n].sum(axis=1)[:, None] * problem.points) * problem.slopes[:, None]
    matrix = np.zeros((n + 1, n + 1))
    matrix[1:] = rows
    return 0.5 * (matrix + matrix.T)


def lower_bound(problem: Scaled, gram: Array) -> RepairedLower | None:
    """Make a Gram matrix feasible and find the largest values f_i for it.

    Mixing in a strictly feasible one satisfies all inequalities to rounding. Where that costs more than 1e-7 (points
    that nearly coincide leave no interior), inequalities may be broken by `CONSISTENT`, below the ties of the oracle.
    """
    values, vectors = np.linalg.eigh(gram)
    gram = (vectors * np.maximum(values, 0.0)) @ vectors.T
    scale = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1.0))
    gram = gram * scale[:, None] * scale[None, :]
    interiors = [interior for make in (_common_slope, _quadratic) if (interior := make(problem)) is not None]
    found = [_least_mixture(problem, gram, interior) for interior in interiors]
    best = max((bound for bound in found if bound is not None), key=lambda bound: bound.value, default=None)
    if problem.equality:
        np.fill_diagonal(gram[1:, 1:], 1.0)
    levels = shortest_distances(problem.allowances(gram), CONSISTENT)
    if levels is not None and (best is None or levels[-1] > best.value * (1.0 + 1e-7)):
        return RepairedLower(float(levels[-1]), gram, levels)
    return best


def _least_mixture(problem: Scaled, gram: Array, interior: Array) -> RepairedLower | None:
    """Mix in as little of the interior as makes the inequalities consistent."""
    for mixture in MIXTURES:
        mixed = (1.0 - mixture) * gram + mixture * interior
        if problem.equality:
            np.fill_diagonal(mixed[1:, 1:], 1.0)
        levels = shortest_distances(problem.allowances(mixed))
        if levels is not None:
            return RepairedLower(float(levels[-1]), mixed, levels)
    return None


def _common_slope(problem: Scaled) -> Array | None:
    """Orthogonal gradients plus a small common part along x_0 - x*, strictly feasible where all steps are positive."""
    reach = np.abs(problem.points[:, 1:]).sum(axis=1).max()
    common = 0.5 * min(1.0, problem.points[0, 0] / max(reach, 1e-300))
    gram = np.full((problem.n_points + 1, problem.n_points + 1), common**2)
    gram[0, :] = gram[:, 0] = common
    np.fill_diagonal(gram, 1.0)
    return gram


def _quadratic(problem: Scaled) -> Array | None:
    """The run on a quadratic with many curvatures, strictly feasible for any step matrix with distinct points.

    None where the caps differ by more than float64 can follow.
    """
    n, dimension = problem.n_points, problem.n_points + 1
    spectrum = np.linspace(0.1, 1.0, dimension)
    curvature = 1.0 / max(1.0, float(np.abs(problem.points[:, 1:]).sum(axis=1).max()))
    while curvature > 1e-150:
        vectors = np.zeros((n + 1, dimension))
        vectors[0] = 1.0 / np.sqrt(dimension)
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(n):
                vectors[k + 1] = curvature * spectrum * (problem.points[k] @ vectors) / problem.slopes[k]
            largest = float(np.linalg.norm(vectors[1:], axis=1).max())
        if not np.isfinite(largest):
            curvature *= 1e-10
        elif largest <= 1.0:
            return vectors @ vectors.T
        else:
            curvature *= min(0.5, 0.9 / largest)
    return None


def shortest_distances(allowed: Array, slack: float = ROUNDING) -> Array | None:
    """Largest f with f_i - f_j <= allowed[i, j] and f = 0 at the last node, or None where a cycle forbids it."""
    n = allowed.shape[0] - 1
    tolerance = slack * max(1.0, float(np.abs(allowed).max()))
    levels = allowed[:n, n].copy()
    for _ in range(n + 2):
        shorter = np.minimum(levels, (allowed[:n, :n] + levels[None, :]).min(axis=1))
        settled = float(np.max(levels - shorter, initial=0.0)) <= tolerance
        levels = shorter
        if float(np.min(levels, initial=0.0)) < -tolerance:
            return None
        if settled:
            return np.maximum(levels, 0.0)
    return None


def violated(problem: Scaled, gram: Array, levels: Array, kept: Inequalities, tolerance: float) -> tuple[Index, Index]:
    """Pairs (-1 is x*) whose dropped inequality the solution breaks by more than ``tolerance``."""
    n = problem.n_points
    excess = levels[:, None] - levels[None, :] - problem.allowances(gram)[:n, :n]
    np.fill_diagonal(excess, -np.inf)
    excess = np.block([[excess, np.full((n, 1), -np.inf)], [-levels[None, :], -np.inf]])
    excess[kept.source, kept.target] = -np.inf  # index -1, the last row and column, is x*
    source, target = np.nonzero(excess > tolerance)
    return np.where(source == n, -1, source), target
