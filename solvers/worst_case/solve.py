"""Exact worst cases of fixed-step first-order methods on convex Lipschitz functions, by semidefinite programming."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Literal, overload

import numpy as np

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.result import Bounding, Kind, Result, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_flag,
    check_gradient_bounds,
    check_positive,
    check_step_matrix,
    check_vector,
)
from lastiterate.theory.certificates.certificate import Certificate, StepMatrixCertificate
from lastiterate.theory.pep.program import ACCEPTED, Program, in_units
from lastiterate.theory.problems.problem import Problem

from . import any_solver
from .function import from_gram
from .interval import WorstCaseInterval, check_cost, worst_case_interval
from .rank import reduce_rank

__all__ = ["Multipliers", "SolverError", "WorstCase", "WorstCaseInterval", "worst_case"]

METHODS = ("sdp", "interval")
INSTANT = 20  # so many points take Clarabel less than a tenth of a second


@result
class Multipliers(Result):
    """Feasible multipliers, in the order and scale of `StepMatrixCertificate`, for P measured points (N+1 or N+2).

    Attributes
    ----------
    pairs : ndarray, shape (P, P)
        ``pairs[r, t]`` belongs to f_r >= f_t + <g_t, x_r - x_t>.
    optimum : ndarray, shape (P,)
        ``optimum[t]`` belongs to f* >= f_t + <g_t, x* - x_t>.
    minimum : ndarray, shape (P,)
        ``minimum[t]`` belongs to f_t >= f*; positive where some steps are large against D/G.
    tau : float
        Half of it belongs to ||x_0 - x*||^2 <= D^2.
    norms : ndarray, shape (P,)
        Half of ``norms[t]`` belongs to ||g_t||^2 <= G_t^2.
    """

    _shown = ("tau", "n_points", "n_pairs")

    pairs: Array
    optimum: Array
    minimum: Array
    tau: float
    norms: Array

    @property
    def n_points(self) -> int:
        """P."""
        return self.optimum.size

    @property
    def n_pairs(self) -> int:
        """Number of pairs whose multiplier is not negligible."""
        return int(np.count_nonzero(self.pairs > 1e-9))


@result
class WorstCase(Bounding):
    """The worst case of a method: a certified upper bound, a lower bound attained by a function, and their gap.

    Parameters
    ----------
    value : float
        The value of the feasible multipliers: no function of the class is worse.
    lower : float
        The value attained by `function`.
    relative_gap : float
        ``(value - lower) / value``.
    status : str
        "optimal", "inaccurate" (the gap stayed above 1e-6) or "time limit".
    multipliers : Multipliers
        The proof of the upper bound.
    H, D, G
        The step matrix (with one row more where a combination of the iterates is measured) and the caps, per point.
    norm_caps : str
        "inequality" or "equality".
    solver, seconds, iterations, rounds
        How it was solved; a round adds the inequalities that the round before broke.
    kind : str
        ``"attained"`` where `function` attains the value to 1e-6, else ``"upper"``.
    """

    _plot = "worst_case"
    _shown = ("kind", "value", "relative_gap", "status", "n_points")

    value: float
    lower: float
    relative_gap: float
    status: str
    multipliers: Multipliers
    H: Array
    D: float
    G: Array
    norm_caps: str
    solver: str
    seconds: float
    iterations: int
    rounds: int
    kind: Kind
    _gram: Array
    _levels: Array

    @property
    def n_points(self) -> int:
        """Number of measured points."""
        return self.G.size

    @cached_property
    def function(self) -> Problem:
        """A convex function, Lipschitz with the given caps, on which the method attains ``lower``."""
        points = np.hstack([np.ones((self.G.size, 1)), -self.H])
        return from_gram(self._gram, self._levels, points, self.G, self.D)

    def low_rank_function(self, heuristic: str = "logdet", *, rounds: int = 6, loss: float = 5e-8) -> Problem:
        """Look for a worst-case function in few dimensions.

        Parameters
        ----------
        heuristic : "trace" or "logdet"
            What stands in for the rank at fixed value: the trace of the Gram matrix, or its log-determinant by
            repeated reweighting.
        rounds : int
            Reweightings of log-det.
        loss : float
            Fraction of the worst-case value that may be given up.

        Returns
        -------
        Problem
            Of the least rank found: an upper bound on the dimension that a worst case needs.

        Examples
        --------
        Short steps are worst in one dimension, on the absolute value:

        >>> import lastiterate as li
        >>> li.worst_case(li.step_matrix.sgd([0.05, 0.05])).low_rank_function().dim
        1
        """
        check_choice(heuristic, "heuristic", ("trace", "logdet"))
        problem = in_units(self.H, self.D, self.G, self.norm_caps == "equality")
        target = self.lower / problem.unit * (1.0 - check_positive(loss, "loss"))
        gram, levels = reduce_rank(
            problem, target, heuristic=heuristic, rounds=check_count(rounds, "rounds"), solver=self.solver
        )
        points = np.hstack([np.ones((self.G.size, 1)), -self.H])
        return from_gram(gram, levels * problem.unit, points, self.G, self.D, 1e-9)

    def certificate(self) -> StepMatrixCertificate:
        """Return the multipliers as a certificate, cleaned so that ``.prove()`` holds in exact arithmetic.

        Raises
        ------
        InputError
            With ``norm_caps="equality"`` where a multiplier of a norm is negative: certificates speak of upper bounds.
        """
        found = self.multipliers
        if found.norms.min() < 0.0:
            raise InputError("norm_caps", "multipliers of either sign", "inequalities, for a certificate")
        return Certificate.step_matrix(
            self.H,
            found.pairs,
            found.tau,
            found.norms,
            D=self.D,
            G=self.G,
            monotone=np.minimum(found.optimum, found.minimum),
        )


@overload
def worst_case(
    H: Any,
    D: float = 1.0,
    G: Any = 1.0,
    *,
    at: Any = "last",
    norm_caps: str = "inequality",
    solver: str = "CLARABEL",
    time_limit: float | None = None,
    limit_gib: float = 4.0,
    method: Literal["sdp"] = "sdp",
    progress: bool | None = None,
) -> WorstCase: ...


@overload
def worst_case(
    H: Any, D: float = 1.0, G: Any = 1.0, *, at: Any = "last", method: Literal["interval"]
) -> WorstCaseInterval: ...


def worst_case(
    H: Any,
    D: float = 1.0,
    G: Any = 1.0,
    *,
    at: Any = "last",
    norm_caps: str = "inequality",
    solver: str = "CLARABEL",
    time_limit: float | None = None,
    limit_gib: float = 4.0,
    method: str = "sdp",
    progress: bool | None = None,
) -> WorstCase | WorstCaseInterval:
    """Return the exact worst case of f(x) - f* for a fixed-step method, by the performance-estimation SDP.

    Over all convex f with a minimiser within D of x_0 and subgradients ||g_k|| <= G_k at the points of the method
    x_k = x_0 - sum_{j<k} H[k, j] g_j. Exact for dimensions from N+2 on (Taylor, Hendrickx, Glineur, arXiv 1512.07516;
    Drori and Teboulle, arXiv 1206.3209). Both bounds are recomputed from what the solver returned. Subgradients are
    deterministic: the program uses inequalities from an earlier gradient to a later point, which noise breaks.

    Parameters
    ----------
    H : array_like, shape (N+1, N+1)
        Strictly lower triangular step matrix; see `lastiterate.step_matrix`.
    D : float
        Bound on ||x_0 - x*||.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms. Where a combination of the iterates is measured, the largest one holds there.
    at : "last", "average" or array_like, shape (N+1,)
        The point that is measured: x_N, the mean of x_0, ..., x_N, or the combination with these weights (sum 1).
    norm_caps : "inequality" or "equality"
        Whether ||g_k|| is at most or exactly G_k.
    solver : str
        "CLARABEL" (called directly), or the name of another semidefinite solver that cvxpy finds.
    time_limit : float, optional
        Seconds after which the best certified bounds found so far are returned.
    limit_gib : float
        Memory the program may take. Its estimate is made first; beyond the limit the error names it, with the time.
    method : "sdp" or "interval"
        "interval" skips the program: bounds in O(N^2) at any length, with a lower end that a function attains.
    progress : bool, optional
        Show a progress bar on standard error; by default only on a terminal, and not for problems that take no time.

    Returns
    -------
    WorstCase
        ``.value``, ``.lower``, ``.relative_gap``, ``.multipliers``, ``.function``, ``.certificate()``.
    WorstCaseInterval
        With ``method="interval"``: ``.lower`` and ``.upper``.

    Raises
    ------
    InputError
        On a matrix that is not square, finite and strictly lower triangular, one too large for ``limit_gib``, or
        another bad argument.
    SolverError
        If the solver is not installed, or returned nothing that could be certified.

    Examples
    --------
    Linear decay attains the minimax rate D G / sqrt(N+1):

    >>> import lastiterate as li
    >>> steps = [0.5 * (1 - (k + 1) / 4) for k in range(3)]
    >>> round(worst_case(li.step_matrix.sgd(steps)).value, 6)
    0.5
    >>> worst_case(li.step_matrix.sgd([0.01] * 300), method="interval")
    WorstCaseInterval(lower=0.105594361, upper=0.105594361)
    """
    started = time.monotonic()
    matrix = check_step_matrix(H)
    distance = check_positive(D, "D")
    norms = check_gradient_bounds(G, matrix.shape[0] - 1)
    check_choice(norm_caps, "norm_caps", ("inequality", "equality"))
    matrix, norms = _measured_at(at, matrix, norms)
    limit = None if time_limit is None else started + check_positive(time_limit, "time_limit", allow_zero=True)
    if check_choice(method, "method", METHODS) == "interval":
        return worst_case_interval(matrix, distance, norms)
    if progress is not None:
        check_flag(progress, "progress")
    check_cost(norms.size, check_positive(limit_gib, "limit_gib"))
    any_solver.check_installed(solver)
    problem = in_units(matrix, distance, norms, norm_caps == "equality")
    search = Program(problem, partial(any_solver.solve, solver=solver), limit)
    with _progress(progress, problem.n_points, solver) as report:
        search.run(report)
    upper, lower = search.upper, search.lower
    gap = max(0.0, (upper.value - lower.value) / upper.value)
    if gap > ACCEPTED and search.timed_out:
        status = "time limit"
    else:
        status = "optimal" if gap <= ACCEPTED else "inaccurate"
    return WorstCase(
        value=upper.value * problem.unit,
        lower=min(lower.value, upper.value) * problem.unit,  # where they meet, rounding may cross them
        relative_gap=gap,
        status=status,
        multipliers=Multipliers(*search.multipliers(distance, norms)),
        H=matrix,
        D=distance,
        G=norms,
        norm_caps=norm_caps,
        solver=solver,
        seconds=time.monotonic() - started,
        iterations=search.iterations,
        rounds=search.rounds,
        kind="attained" if gap <= ACCEPTED else "upper",
        _gram=lower.gram,
        _levels=lower.levels * problem.unit,
    )


def _measured_at(at: Any, H: Array, G: Array) -> tuple[Array, Array]:
    """Append the measured combination of the iterates as one point more, or leave the last iterate."""
    n = G.size
    if isinstance(at, str):
        if check_choice(at, "at", ("last", "average")) == "last":
            return H, G
        weights = np.full(n, 1.0 / n)
    else:
        weights = check_vector(at, "at")
        if weights.size != n or not math.isclose(math.fsum(weights / n), 1.0 / n, rel_tol=1e-9):
            raise InputError("at", weights, f"{n} weights with sum 1")
    extended = np.zeros((n + 1, n + 1))
    extended[:n, :n] = H
    extended[n, :n] = weights @ H
    return extended, np.append(G, G.max())


@contextmanager
def _progress(wanted: bool | None, n_points: int, solver: str) -> Generator[Callable[[int, int, float], None] | None]:
    """Yield a function of (round, iteration, relative gap), or None where no bar is wanted.

    The bar counts the decimals of the gap, eleven in all.
    """
    if wanted is False or (wanted is None and n_points < INSTANT and solver == "CLARABEL"):
        yield None
        return
    with progress_bar("semidefinite program", 11.0, shown=wanted) as update:

        def report(rounds: int, iteration: int, gap: float) -> None:
            decimals = min(11.0, max(0.0, -math.log10(max(gap, 1e-11)))) if iteration else 0.0
            update(completed=decimals, description=f"round {rounds + 1}, iteration {iteration}, gap {gap:.0e}")

        yield report
