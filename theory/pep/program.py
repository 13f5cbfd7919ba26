"""The least bound that the interpolation inequalities prove, with the function that attains it."""

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import Array, InputError

from . import cone
from .cone import ConeSolution, Inequalities, Scaled
from .repair import RepairedLower, UpperBound, lower_bound, upper_bound, violated

__all__ = ["Program", "in_units"]

GAP = 1e-9
ACCEPTED = 1e-6
VIOLATION = 1e-9
ROUNDS = 5
SMALL = 20  # points up to which linear systems are refined from the start
RETRIED = 50  # points up to which a second, tighter solve is cheap


def in_units(H: Array, D: float, G: Array, equality: bool = False) -> Scaled:
    """Choose units in which the data are of order one, for tiny and for huge steps alike.

    Raises
    ------
    InputError
        Where the points or the values would leave the range of float64.
    """
    with np.errstate(over="ignore", under="ignore"):
        reach = H * G
        largest = max(D, float(np.abs(reach).max()))
        length = largest * float(np.sqrt(((reach / largest) ** 2).sum(axis=1).max(initial=1.0)))
        unit = float(G.max()) * length
    if not (math.isfinite(unit) and unit > sys.float_info.min):
        raise InputError(
            "H", f"steps up to {H.max():.3g} with D = {D:.3g}, G = {G.max():.3g}", "a rate that fits float64"
        )
    points = np.hstack([np.full((G.size, 1), D / length), -reach / length])
    return Scaled(points=points, slopes=G / G.max(), equality=equality, length=length, unit=unit)


class Program:
    """Half of the inequalities first where that may do, then those that the solution breaks, then all of them.

    Parameters
    ----------
    problem : Scaled
        The method in units of order one.
    solver : callable
        `cone.solve`, or another function with its arguments.
    limit : float, optional
        The reading of ``time.monotonic`` at which to stop.

    Attributes
    ----------
    upper, lower : UpperBound, LowerBound
        The best of what was found, repaired: feasible multipliers and a feasible function.
    """

    def __init__(self, problem: Scaled, solver: Any = cone.solve, limit: float | None = None) -> None:
        n = problem.n_points
        only_last = np.zeros((n + 1, n + 1))
        only_last[n - 1, n] = 1.0
        self.problem, self.solver, self.limit = problem, solver, limit
        self.upper: UpperBound = upper_bound(problem, only_last, None)
        self.lower = RepairedLower(0.0, np.eye(n + 1), np.zeros(n))
        self.rounds, self.iterations, self.timed_out = 0, 0, False

    def run(self, report: Callable[[int, int, float], None] | None = None) -> None:
        """Solve with more and more inequalities until upper and lower bound meet, or time is up."""
        n = self.problem.n_points
        kept = Inequalities.halved(n) if _accumulates(self.problem.points) else Inequalities.full(n)
        tolerance, refine = cone.TOLERANCE, n <= SMALL
        for _ in range(ROUNDS):
            found = self._solve(kept, tolerance, report, refine=refine)
            if found is None:
                return
            gap = self.upper.value - self.lower.value
            source, target = violated(self.problem, found.gram, found.levels, kept, VIOLATION)
            if gap <= GAP * self.upper.value or (source.size == 0 and gap <= ACCEPTED * self.upper.value):
                return
            if source.size == 0 and not refine:
                refine = True  # nothing is missing: solve the same program again, more carefully
                continue
            all_kept = kept.source.size == n * (n + 1)
            if tolerance < cone.TOLERANCE or (all_kept and n > RETRIED and gap <= ACCEPTED * self.upper.value):
                return
            if all_kept:
                tolerance *= 1e-3  # nothing is missing: what is left is the solver's own error
            elif source.size and self.rounds == 1:
                kept = kept.adding(source, target)
            else:
                kept = Inequalities.full(n)

    def run_backward(self) -> None:
        """Solve once with the inequalities that survive noise: none from an earlier gradient to a later point."""
        self._solve(Inequalities.backward(self.problem.n_points), cone.TOLERANCE, None)

    def multipliers(self, D: float, G: Array) -> tuple[Array, Array, Array, float, Array]:
        """Return the best multipliers in the units of the method, as `Certificate.step_matrix` takes them.

        These are ``pairs[r, t]`` on f_r >= f_t + <g_t, x_r - x_t>, those of f* >= f_t + <g_t, x* - x_t> and f_t >= f*,
        and those of ||x_0 - x*||^2 <= D^2 and ||g_t||^2 <= G_t^2.
        """
        n, unit = self.problem.n_points, self.problem.unit
        pairs, caps = self.upper.pairs, self.upper.caps
        with np.errstate(over="ignore"):  # of a cap near 1e-300, a multiplier may be infinite
            norms = 2.0 * caps[1:] * (unit / G) / G
        return pairs[:n, :n].T, pairs[:n, n], pairs[n, :n], 2.0 * float(caps[0]) * (unit / D) / D, norms

    def _solve(
        self,
        kept: Inequalities,
        tolerance: float,
        report: Callable[[int, int, float], None] | None,
        *,
        refine: bool = True,
    ) -> ConeSolution | None:
        """Solve one program and improve both bounds; None where time is up."""
        n = self.problem.n_points
        remaining = None if self.limit is None else self.limit - time.monotonic()
        if remaining is not None and remaining <= 0.0:
            self.timed_out = True
            return None
        step = None if report is None else (lambda i, gap: report(self.rounds, i, gap))
        data = cone.cone_data(self.problem, kept)
        found = self.solver(data, time_limit=remaining, tolerance=tolerance, refine=refine, report=step)
        self.rounds, self.iterations = self.rounds + 1, self.iterations + found.iterations
        pairs = np.zeros((n + 1, n + 1))
        pairs[kept.source, kept.target] = found.multipliers
        if not (np.isfinite(pairs).all() and np.isfinite(found.gram).all()):
            raise SolverError(f"the solver returned numbers that are not finite (status {found.status})")
        self.upper = min(
            self.upper, upper_bound(self.problem, pairs, found.cap_multipliers), key=lambda bound: bound.value
        )
        lower = lower_bound(self.problem, found.gram)
        if lower is not None and lower.value > self.lower.value:
            self.lower = lower
        self.timed_out = found.status == "MaxTime"
        return None if self.timed_out else found


def _accumulates(points: Array) -> bool:
    """Whether every gradient moves all later points at least as far as earlier ones, as in SGD and momentum.

    Then the inequalities from later to earlier points nearly always give the full value; dual averaging needs others.
    """
    return bool(np.all(np.diff(points[:, 1:], axis=0) <= 1e-12))
