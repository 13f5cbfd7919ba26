"""Other cone solvers than Clarabel, by name through cvxpy."""

import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.pep import cone
from lastiterate.theory.pep.cone import ConeData, ConeSolution

__all__ = ["check_installed", "solve"]


def solve(
    data: ConeData,
    solver: str,
    *,
    time_limit: float | None,
    tolerance: float,
    refine: bool = True,
    report: Callable[[int, float], None] | None,
) -> ConeSolution:
    """Solve with Clarabel directly (no modelling overhead) or with any other conic solver through cvxpy."""
    if solver == "CLARABEL":
        return cone.solve(data, time_limit=time_limit, tolerance=tolerance, refine=refine, report=report)
    return _solve_cvxpy(data, solver, time_limit, tolerance)


def _solve_cvxpy(data: ConeData, solver: str, time_limit: float | None, tolerance: float) -> ConeSolution:
    cp: Any = import_module("cvxpy")
    check_installed(solver)
    order = cone.order_of(data.psd.shape[0])
    unknowns, slack = cp.Variable(data.cost.size), cp.Variable((order, order), PSD=True)
    semidefinite = _svec_to_matrix(order) @ (data.psd @ unknowns + data.constant) == cp.vec(slack, order="F")
    balance = data.equal @ unknowns == data.right
    constraints = [balance, unknowns[data.signed] >= 0, semidefinite]
    model = cp.Problem(cp.Minimize(data.cost @ unknowns), constraints)
    options: dict[str, Any] = {}
    if solver == "SCS":  # a first-order method: what it reaches in this many iterations is repaired and certified
        options = {"eps_abs": tolerance, "eps_rel": tolerance, "max_iters": 20_000}
        options["time_limit_secs"] = 0.0 if time_limit is None else time_limit  # zero is no limit
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "solution may be inaccurate": judged by the bounds that are recomputed
            model.solve(solver=solver, **options)
    except (cp.error.SolverError, ValueError) as error:
        raise SolverError(f"{solver} failed after {time.monotonic() - started:.1f} s: {error}") from error
    if unknowns.value is None or semidefinite.dual_value is None:
        raise SolverError(f"{solver} returned no solution (status {model.status})")
    gram = -np.asarray(semidefinite.dual_value).reshape(order, order)
    return ConeSolution(
        multipliers=np.asarray(unknowns.value)[: data.n_inequalities],
        cap_multipliers=np.asarray(unknowns.value)[data.n_inequalities :],
        gram=0.5 * (gram + gram.T),
        levels=-np.asarray(balance.dual_value),
        status=str(model.status),
        iterations=int(model.solver_stats.num_iters or 0),
    )


def check_installed(solver: str) -> None:
    """Raise `SolverError` for a solver that is not there, naming those that are."""
    if not isinstance(solver, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("solver", solver, "the name of a semidefinite solver")
    if solver == "CLARABEL" and cone.installed():
        return
    cp: Any = import_module("cvxpy")
    semidefinite = [name for name in cp.installed_solvers() if name in _SEMIDEFINITE]
    if solver not in semidefinite:
        raise SolverError(
            f"solver {solver!r} is not installed or has no semidefinite cone; available: {', '.join(semidefinite)}"
        )


_SEMIDEFINITE = ("CLARABEL", "MOSEK", "COPT", "SDPA", "CVXOPT", "SCS")


def _svec_to_matrix(order: int) -> Any:
    """Sparse map from the svec to all entries of the symmetric matrix, column by column."""
    row, column = cone.upper_triangle(order)
    scale = np.where(row == column, 1.0, np.sqrt(0.5))
    index = np.arange(row.size)
    off = row != column
    return sparse.csc_matrix(
        (
            np.concatenate([scale, scale[off]]),
            (
                np.concatenate([column * order + row, row[off] * order + column[off]]),
                np.concatenate([index, index[off]]),
            ),
        ),
        shape=(order * order, row.size),
    )
