"""Exact worst cases of fixed-step first-order methods on convex Lipschitz functions, by semidefinite programming."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.result import Bounding, Kind, Result, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_gradient_bounds,
    check_positive,
    check_step_matrix,
    check_vector,
)
from lastiterate.theory.certificates.certificate import Certificate, StepMatrixCertificate
from lastiterate.theory.pep import cone
from lastiterate.theory.pep.cone import Inequalities, Scaled
from lastiterate.theory.pep.repair import LowerBound, UpperBound, lower_bound, upper_bound, violated
from lastiterate.theory.problems.problem import Problem

from .function import from_gram
from .rank import reduce_rank

__all__ = ["Multipliers", "SolverError", "WorstCase", "worst_case"]

GAP = 1e-9
ACCEPTED = 1e-6
VIOLATION = 1e-9
ROUNDS = 4
RETRIED = 50  # points up to which a second, tighter solve is cheap


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
        problem = _scaled(self.H, self.D, self.G, self.norm_caps == "equality")
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


def worst_case(
    H: Any,
    D: float = 1.0,
    G: Any = 1.0,
    *,
    at: Any = "last",
    norm_caps: str = "inequality",
    solver: str = "CLARABEL",
    time_limit: float | None = None,
    progress: bool | None = None,
) -> WorstCase:
    """Return the exact worst case of f(x) - f* for a fixed-step method, by the performance-estimation SDP.

    Over all convex f with a minimiser within D of x_0 and subgradients ||g_k|| <= G_k at the points of the method
    x_k = x_0 - sum_{j<k} H[k, j] g_j. Exact for dimensions from N+2 on (Taylor, Hendrickx, Glineur, arXiv 1512.07516;
    Drori and Teboulle, arXiv 1206.3209). Both bounds are recomputed from what the solver returned.

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
    progress : bool, optional
        Show a progress bar on standard error; by default only on a terminal, and not for small problems.

    Returns
    -------
    WorstCase
        ``.value``, ``.lower``, ``.relative_gap``, ``.multipliers``, ``.function``, ``.certificate()``.

    Raises
    ------
    InputError
        On a matrix that is not square, finite and strictly lower triangular, or another bad argument.
    SolverError
        If the solver is not installed, or returned nothing that could be certified.

    Examples
    --------
    Linear decay attains the minimax rate D G / sqrt(N+1):

    >>> import lastiterate as li
    >>> steps = [0.5 * (1 - (k + 1) / 4) for k in range(3)]
    >>> round(worst_case(li.step_matrix.sgd(steps)).value, 6)
    0.5
    """
    started = time.monotonic()
    matrix = check_step_matrix(H)
    distance = check_positive(D, "D")
    norms = check_gradient_bounds(G, matrix.shape[0] - 1)
    check_choice(norm_caps, "norm_caps", ("inequality", "equality"))
    matrix, norms = _measured_at(at, matrix, norms)
    limit = None if time_limit is None else started + check_positive(time_limit, "time_limit", allow_zero=True)
    cone.check_installed(solver)
    problem = _scaled(matrix, distance, norms, norm_caps == "equality")
    search = _Search(problem, solver, limit)
    with _progress(progress, problem.n_points) as report:
        search.run(report)
    upper, lower = search.upper, search.lower
    gap = max(0.0, (upper.value - lower.value) / upper.value)
    if gap > ACCEPTED and search.timed_out:
        status = "time limit"
    else:
        status = "optimal" if gap <= ACCEPTED else "inaccurate"
    n = problem.n_points
    return WorstCase(
        value=upper.value * problem.unit,
        lower=min(lower.value, upper.value) * problem.unit,  # where they meet, rounding may cross them
        relative_gap=gap,
        status=status,
        multipliers=Multipliers(
            pairs=upper.pairs[:n, :n].T,
            optimum=upper.pairs[:n, n],
            minimum=upper.pairs[n, :n],
            tau=2.0 * float(upper.caps[0]) * problem.unit / distance**2,
            norms=2.0 * upper.caps[1:] * problem.unit / norms**2,
        ),
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
        if weights.size != n or not math.isclose(float(weights.sum()), 1.0, rel_tol=1e-9):
            raise InputError("at", f"{weights.size} weights with sum {weights.sum()}", f"{n} weights with sum 1")
    extended = np.zeros((n + 1, n + 1))
    extended[:n, :n] = H
    extended[n, :n] = weights @ H
    return extended, np.append(G, G.max())


def _scaled(H: Array, D: float, G: Array, equality: bool) -> Scaled:
    """Choose units in which the data are of order one, for tiny and for huge steps alike."""
    reach = H * G
    length = max(D, float(np.sqrt((reach**2).sum(axis=1)).max()))
    points = np.hstack([np.full((G.size, 1), D / length), -reach / length])
    return Scaled(points=points, slopes=G / G.max(), equality=equality, length=length, unit=float(G.max()) * length)


class _Search:
    """Half of the inequalities first where that may do, then those that the solution breaks, then all of them."""

    def __init__(self, problem: Scaled, solver: str, limit: float | None) -> None:
        n = problem.n_points
        only_last = np.zeros((n + 1, n + 1))
        only_last[n - 1, n] = 1.0
        self.problem, self.solver, self.limit = problem, solver, limit
        self.upper: UpperBound = upper_bound(problem, only_last, None)
        self.lower = LowerBound(0.0, np.eye(n + 1), np.zeros(n))
        self.rounds, self.iterations, self.timed_out = 0, 0, False

    def run(self, report: Callable[[int, int, float], None] | None) -> None:
        """Solve with more and more inequalities until upper and lower bound meet, or time is up."""
        n = self.problem.n_points
        kept = Inequalities.halved(n) if _accumulates(self.problem.points) else Inequalities.full(n)
        tolerance = cone.TOLERANCE
        for _ in range(ROUNDS):
            remaining = None if self.limit is None else self.limit - time.monotonic()
            if remaining is not None and remaining <= 0.0:
                self.timed_out = True
                return
            step = None if report is None else (lambda i, gap: report(self.rounds, i, gap))
            data = cone.cone_data(self.problem, kept)
            found = cone.solve(data, self.solver, time_limit=remaining, tolerance=tolerance, report=step)
            self.rounds, self.iterations = self.rounds + 1, self.iterations + found.iterations
            pairs = np.zeros((n + 1, n + 1))
            pairs[kept.source, kept.target] = found.multipliers
            if not (np.isfinite(pairs).all() and np.isfinite(found.gram).all()):
                raise SolverError(f"{self.solver} returned numbers that are not finite (status {found.status})")
            upper = upper_bound(self.problem, pairs, found.cap_multipliers)
            self.upper = min(self.upper, upper, key=lambda bound: bound.value)
            lower = lower_bound(self.problem, found.gram)
            if lower is not None and lower.value > self.lower.value:
                self.lower = lower
            gap = self.upper.value - self.lower.value
            source, target = violated(self.problem, found.gram, found.levels, kept, VIOLATION)
            good = gap <= GAP * self.upper.value or (source.size == 0 and gap <= ACCEPTED * self.upper.value)
            if good or found.status == "MaxTime":
                self.timed_out = found.status == "MaxTime"
                return
            if tolerance < cone.TOLERANCE or (kept.source.size == n * (n + 1) and n > RETRIED):
                return
            if kept.source.size == n * (n + 1):
                tolerance *= 1e-3  # nothing is missing: what is left is the solver's own error
            elif source.size and self.rounds == 1:
                kept = kept.adding(source, target)
            else:
                kept = Inequalities.full(n)


def _accumulates(points: Array) -> bool:
    """Whether every gradient moves all later points at least as far as earlier ones, as in SGD and momentum.

    Then the inequalities from later to earlier points nearly always give the full value; dual averaging needs others.
    """
    return bool(np.all(np.diff(points[:, 1:], axis=0) <= 1e-12))


@contextmanager
def _progress(wanted: bool | None, n_points: int) -> Generator[Callable[[int, int, float], None] | None]:
    """Yield a function of (round, iteration, relative gap), or None where no bar is wanted.

    The bar counts the decimals of the gap, eleven in all.
    """
    if wanted is False or (wanted is None and n_points < 40):
        yield None
        return
    with progress_bar("semidefinite program", 11.0, shown=wanted) as update:

        def report(rounds: int, iteration: int, gap: float) -> None:
            decimals = min(11.0, max(0.0, -math.log10(max(gap, 1e-11)))) if iteration else 0.0
            update(completed=decimals, description=f"round {rounds + 1}, iteration {iteration}, gap {gap:.0e}")

        yield report
