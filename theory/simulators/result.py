"""What `simulate` returns: curves with named axes, final and best iterates, bounds beside gaps, a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_choice
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.kernels.protocol import Bound, Method, RunFacts

if TYPE_CHECKING:
    from .analysis import BestRate

AXES = ("schedule", "base_lr", "seed", "step")


@dataclass(frozen=True, eq=False)
class Simulation:
    """Runs of one method on one problem.

    Attributes
    ----------
    f : float64[schedule, base_lr, seed, step]
        Values at the recorded steps; infinite once a run has diverged.
    diagnostics : dict of str to float64[schedule, base_lr, seed, step]
        The other recorded channels.
    schedules, base_lrs, seeds, recorded
        The coordinates of the four axes: names, numbers, integers, and steps 0..N.
    points : float64[schedule, base_lr, seed, d]
        What the method returned.
    diverged : bool[schedule, base_lr, seed]
        Whether a run was stopped; ``stopped_at`` says at which step (-1: it was not).
    """

    problem: Problem = field(repr=False)
    method: str
    options: Mapping[str, Any] = field(repr=False)
    schedules: tuple[str, ...]
    steps: Array = field(repr=False)
    base_lrs: Array
    seeds: tuple[int, ...]
    recorded: npt.NDArray[np.int64] = field(repr=False)
    f: Array = field(repr=False)
    diagnostics: Mapping[str, Array] = field(repr=False)
    points: Array = field(repr=False)
    scalars: Array = field(repr=False)
    stopped_at: npt.NDArray[np.int64] = field(repr=False)
    largest_gradient: Array = field(repr=False)
    lowest: Array = field(repr=False)
    regret: Array = field(repr=False)
    stochastic: bool
    noise: float
    wrapped: bool
    _row: Method = field(repr=False)

    @property
    def n_steps(self) -> int:
        """N."""
        return self.steps.shape[1]

    @property
    def axes(self) -> dict[str, Any]:
        """The names of the axes of `f` with their coordinates."""
        return dict(zip(AXES, (self.schedules, self.base_lrs, self.seeds, self.recorded), strict=True))

    @property
    def diverged(self) -> npt.NDArray[np.bool_]:
        """Which runs were stopped early."""
        return self.stopped_at >= 0

    @property
    def final(self) -> Array:
        """f(x_N), float64[schedule, base_lr, seed]."""
        return self.f[..., -1]

    @property
    def best(self) -> Array:
        """The lowest f evaluated in each run, at least at the recorded steps, float64[schedule, base_lr, seed]."""
        return self.lowest

    @property
    def averaged(self) -> Array:
        """f at the weighted average of the iterates after N steps; `InputError` unless it was recorded."""
        if "f_average" not in self.diagnostics:
            raise InputError("average", False, "average=True in simulate, so that f of the average is recorded")
        return self.diagnostics["f_average"][..., -1]

    def iterate(self, which: str = "last") -> Array:
        """Return f of the ``last``, ``best`` or ``average`` iterate, float64[schedule, base_lr, seed]."""
        check_choice(which, "iterate", ("last", "best", "average"))
        return {"last": lambda: self.final, "best": lambda: self.best, "average": lambda: self.averaged}[which]()

    @cached_property
    def _bounds(self) -> npt.NDArray[np.object_]:
        """A `Bound` for every run."""
        bounds = np.empty(self.final.shape, dtype=object)
        with np.errstate(all="ignore"):  # with absurd steps a bound may overflow to infinity
            for s, i, r in np.ndindex(*bounds.shape):
                if r and not self._row.posterior and not self.wrapped:
                    bounds[s, i, r] = bounds[s, i, 0]
                else:
                    bounds[s, i, r] = self._bound_of(self.steps[s] * self.base_lrs[i], (s, i, r))
        return bounds

    def _bound_of(self, lrs: Array, run: tuple[int, int, int]) -> Bound:
        problem = self.problem
        if self.wrapped:
            value = float(self.regret[run])
            source = "regret of the learner, conversion of arXiv 2310.07831, Theorem 1"
            if self.stochastic:
                return Bound(None, reason="the measured regret bounds the gap in expectation only")
            return Bound(value, source=source) if np.isfinite(value) else Bound(None, reason="the run has diverged")
        if not np.isfinite(problem.G_radius):
            largest = float(np.hypot(problem.G_stochastic if self.stochastic else problem.G, self.noise))
        elif self.stochastic:
            return Bound(
                None, reason="f is not globally Lipschitz, and stochastic gradients have no bound of their own"
            )
        else:  # the norms that were seen are what the proof uses
            largest = float(self.largest_gradient[run])
        if self.stopped_at[run] >= 0:
            return Bound(None, reason="the run has diverged")
        return self._row.bound(
            RunFacts(problem, lrs, self.options, self.scalars[run], largest, problem.D, self.stochastic)
        )

    @property
    def bound(self) -> Array | None:
        """The applicable theorem's bound on `gap`, float64[schedule, base_lr, seed], or None (see `bound_reason`).

        With stochastic gradients it holds in expectation: compare the mean over seeds. A nan marks a single run
        without a bound.
        """
        values = np.array([bound.value if bound.value is not None else np.nan for bound in self._bounds.ravel()])
        return None if np.isnan(values).all() else values.reshape(self._bounds.shape)

    @property
    def bound_source(self) -> str:
        """The theorem behind `bound`; empty where there is none."""
        return next((bound.source for bound in self._bounds.ravel() if bound.value is not None), "")

    @property
    def bound_reason(self) -> str:
        """Why there is no bound for some run; empty where all have one."""
        return next((bound.reason for bound in self._bounds.ravel() if bound.value is None), "")

    @property
    def bound_iterate(self) -> str:
        """The iterate that `bound` and `gap` speak of: ``last``, ``average`` or ``best``."""
        bounds = self._bounds.ravel()
        return next((bound.iterate for bound in bounds if bound.value is not None), bounds[0].iterate)

    @property
    def gap(self) -> Array:
        """f - f* of the iterate that the bound speaks of, float64[schedule, base_lr, seed]."""
        return self.iterate(self.bound_iterate) - self._f_star

    @property
    def gaps(self) -> Array:
        """f - f* at the recorded steps, float64[schedule, base_lr, seed, step]."""
        return self.f - self._f_star

    def gaps_of(self, which: str = "last") -> Array:
        """Return `gaps` of the ``last``, ``best`` or ``average`` iterate up to each recorded step.

        The best is over the recorded steps.
        """
        self.iterate(which)  # refuses what was not recorded
        if which == "average":
            return self.diagnostics["f_average"] - self._f_star
        return (np.minimum.accumulate(self.f, axis=3) if which == "best" else self.f) - self._f_star

    @property
    def _f_star(self) -> float:
        """The minimum, refused if a run went below it."""
        f_star, seen = self.problem.f_star, float(np.min(self.lowest))
        if f_star > seen + 1e-8 * max(1.0, abs(seen)):
            raise InputError("problem.f_star", f_star, f"at most {seen!r}, a value that a run has seen")
        return f_star

    def sweep(self, iterate: str = "last", tolerance: float = 0.1) -> list["BestRate"]:
        """Return the best base learning rate of each schedule and how wide the good range is (see `best_rates`)."""
        from .analysis import best_rates

        return best_rates(self, iterate=iterate, tolerance=tolerance)

    def plot(self, ax: Any = None) -> Any:
        """Draw the median gap over seeds at the best base learning rate of each schedule, with its bound; return ax."""
        from lastiterate.experiments.plots.simulation import draw_gaps

        return draw_gaps(self, ax)
