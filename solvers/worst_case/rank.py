"""Low-dimensional worst cases: the least rank that trace or log-det heuristics find at the worst-case value."""

from dataclasses import replace

import numpy as np
from scipy import sparse

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import Array
from lastiterate.theory.pep import cone
from lastiterate.theory.pep.cone import ConeData, Inequalities, Scaled
from lastiterate.theory.pep.repair import CONSISTENT, shortest_distances

from . import any_solver

__all__ = ["reduce_rank"]

TRUNCATION = 1e-6


def reduce_rank(problem: Scaled, value: float, *, heuristic: str, rounds: int, solver: str) -> tuple[Array, Array]:
    """Return a Gram matrix of low rank and function values that reach ``value`` (in the problem's units).

    Minimises <W, P> at fixed value: W = I is the trace; log-det repeats with W = (P + delta I)^-1 (Fazel, Hindi, Boyd).
    The best rank over all rounds counts.
    """
    order = problem.n_points + 1
    data = _at_value(cone.cone_data(problem, Inequalities.full(problem.n_points)), problem, value)
    weight, best = np.eye(order), None
    for number in range(1 if heuristic == "trace" else rounds):
        shifted = replace(data, constant=cone.to_svec(weight))
        found = any_solver.solve(shifted, solver, time_limit=None, tolerance=cone.TOLERANCE, report=None)
        candidate = _truncated(problem, found.gram, value)
        if candidate is not None and (best is None or _rank(candidate[0]) < _rank(best[0])):
            best = candidate
        spectrum, vectors = np.linalg.eigh(found.gram)
        spectrum = np.maximum(spectrum, 0.0) + 10.0 ** -(2.0 + 0.5 * number) * float(spectrum[-1])
        weight = (vectors * (spectrum[0] / spectrum)) @ vectors.T
    if best is None:
        raise SolverError("no consistent function was found at the worst-case value; raise the loss")
    return best


def _at_value(data: ConeData, problem: Scaled, value: float) -> ConeData:
    """Add the multiplier of f_N >= value, which takes the place of the unit objective."""
    last = sparse.csc_matrix((-data.right).reshape(-1, 1))
    none = sparse.csc_matrix((data.psd.shape[0], 1))
    return replace(
        data,
        cost=np.append(data.cost, -value),
        equal=sparse.hstack([data.equal, last], format="csc"),
        right=np.zeros(data.right.size),
        psd=sparse.hstack([data.psd, none], format="csc"),
        signed=np.append(data.signed, data.cost.size),
    )


def _truncated(problem: Scaled, gram: Array, value: float) -> tuple[Array, Array] | None:
    """Cut the spectrum as low as the inequalities and the value allow."""
    spectrum, vectors = np.linalg.eigh(gram)
    for threshold in TRUNCATION * 10.0 ** -np.arange(7.0):
        kept = spectrum > threshold * spectrum[-1]
        cut = (vectors[:, kept] * spectrum[kept]) @ vectors[:, kept].T
        scale = 1.0 / np.sqrt(np.maximum(np.diag(cut), 1.0))
        cut = cut * scale[:, None] * scale[None, :]
        levels = shortest_distances(problem.allowances(cut), CONSISTENT)
        if levels is not None and levels[-1] >= value * (1.0 - 3e-8):
            return cut, levels
    return None


def _rank(gram: Array) -> int:
    return int(np.linalg.matrix_rank(gram, tol=1e-9, hermitian=True))
