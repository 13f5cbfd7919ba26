"""A fitted law and what can be asked of it."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_fraction, check_steps
from lastiterate.theory.laws.protocol import Run

from . import planning
from .best_schedule import BestSchedule, best_schedule
from .fit_law import FittedLaw, fit_law, law_for
from .intervals import interval_points, unidentified
from .least_squares import OFFSET
from .log import LossLog
from .samples import group_names
from .scope import Moves, Scope, allowance, observed_moves, outside, scope_of
from .selection import Score, score

__all__ = ["Forecast", "ForecastWarning", "LossFit"]


class ForecastWarning(UserWarning):
    """A forecast reaches outside of what the fitted runs have shown."""


@dataclass(frozen=True)
class Forecast:
    """The predicted last loss of one schedule, an interval for it, and what lies outside the fitted runs.

    Attributes
    ----------
    name : str
    final : float
        Predicted loss after the last step, in nats.
    low, high : float
        Ends of the interval.
    notes : tuple of str
        A sentence for every way in which the schedule leaves the fitted runs.
    """

    name: str
    final: float
    low: float
    high: float
    notes: tuple[str, ...] = ()

    def __float__(self) -> float:
        """Return the predicted last loss."""
        return self.final


@dataclass(frozen=True, eq=False, repr=False)
class LossFit:
    """A law fitted to logs; made by `fit_losses`.

    Attributes
    ----------
    law : str
        Name of the law.
    on : {"curve", "final"}
        What it was fitted on.
    logs : tuple of LossLog
    fitted : FittedLaw
        The law with its parameters, problem and uncertainty.
    scores : tuple of Score
        With ``law="auto"``, the errors of every candidate.
    notes : tuple of str
        What was assumed.
    """

    law: str
    on: str
    logs: tuple[LossLog, ...]
    fitted: FittedLaw
    scores: tuple[Score, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        """Show law, data and error."""
        error = f"error={self.error:.2g}" if self.fitted.problem.measured.size else ""
        return f"LossFit({self.law!r}, on={self.on!r}, runs={len(self.logs)}, {error} nats)"

    @property
    def parameters(self) -> dict[str, float]:
        """Fitted parameters by name."""
        names = [p.name for p in self.fitted.problem.parameters]
        return dict(zip(names, self.fitted.solution.theta.tolist(), strict=True))

    @property
    def deviations(self) -> dict[str, float]:
        """Standard deviations of the parameters."""
        names = [p.name for p in self.fitted.problem.parameters]
        return dict(zip(names, self.fitted.uncertainty.deviations.tolist(), strict=True))

    @property
    def unidentified(self) -> tuple[str, ...]:
        """Names of the parameters that the prior decides, because the data say little of them."""
        return unidentified(self.fitted.problem, self.fitted.uncertainty.deviations)

    @property
    def error(self) -> float:
        """Mean absolute error at the fitted points, in nats."""
        return float(np.mean(np.abs(np.expm1(self.fitted.solution.residuals)) * self.fitted.problem.measured))

    @cached_property
    def score(self) -> Score:
        """Errors of this law on the fitted points, on left-out runs and on the later half of training."""
        known = [entry for entry in self.scores if entry.law == self.law]
        return known[0] if known else score(self.fitted)

    @cached_property
    def scope(self) -> Scope:
        """Peaks, horizons and shapes of the fitted runs."""
        return scope_of(self.logs)

    @cached_property
    def moves(self) -> Moves:
        """Errors of predicting another peak or a longer horizon, tried within the fitted runs."""
        return observed_moves(self.fitted, self.on)

    @cached_property
    def D_over_G(self) -> float:
        """Distance over gradient bound of the exact-rate law, in learning rates; fitted on demand."""
        if self.law in ("exact", "theorem10"):
            fitted = self.fitted
        else:
            samples = self.fitted.problem.samples
            fitted = fit_law(law_for("exact", samples), samples, self._groups)
        law: Any = fitted.law
        return float(np.exp(fitted.solution.theta[2]) * law.unit)

    def predict(
        self,
        steps: npt.ArrayLike,
        *,
        weight_decay: float | None = None,
        init_std: float | None = None,
        group: str | None = None,
    ) -> Array:
        """Return the predicted losses after 0, ..., N steps.

        Parameters
        ----------
        steps : array_like, shape (N,)
            Learning rates.
        weight_decay, init_std : float, optional
            As in `LossLog`; those of the fitted runs by default.
        group : str, optional
            Group of the logs whose losses are meant, the first one by default.

        Returns
        -------
        ndarray of float64, shape (N+1,)
            No law describes the very start: before the first positive step its value there is repeated.

        Warns
        -----
        ForecastWarning
            Where peak, horizon or shape lie outside the fitted runs, with the error observed for such moves.
        """
        run = self.run_of(steps, weight_decay, init_std)
        self._warn(run.steps)
        return self._curve(run, group)

    def interval(
        self,
        steps: npt.ArrayLike,
        level: float = 0.8,
        *,
        weight_decay: float | None = None,
        init_std: float | None = None,
        group: str | None = None,
    ) -> Array:
        """Return lower and upper ends, float64 (2, N+1), of intervals that a run's loss lies in with ``level``.

        They hold the uncertainty of the parameters, what one run differs from the next (found from runs left out),
        and an allowance for a peak or horizon outside the fitted ones. Half widths are computed at 256 points and at
        jumps, and interpolated.
        """
        level = check_fraction(level, "level", low=1e-6, high=1.0 - 1e-6)
        run = self.run_of(steps, weight_decay, init_std)
        self._warn(run.steps)
        at = interval_points(run.steps)
        widths = self.half_widths(run, at, level)
        losses = self._curve(run, group)
        half = np.interp(np.arange(losses.size), at, widths)
        return np.stack([losses * np.exp(-half), losses * np.exp(half)])

    def extrapolation(self, steps: npt.ArrayLike) -> tuple[str, ...]:
        """Return a sentence for every way in which the schedule leaves what the fitted runs have shown."""
        return outside(self.scope, check_steps(steps), lambda: self.moves)

    def compare(
        self, schedules: Mapping[str, npt.ArrayLike] | Sequence[npt.ArrayLike], level: float = 0.8
    ) -> tuple[Forecast, ...]:
        """Return the predicted last loss of every schedule with an interval, lowest first.

        ``schedules`` is a dict of names and learning rates, or a list of learning rates, which are named 0, 1, ...
        """
        if isinstance(schedules, str) or not len(schedules):
            raise InputError("schedules", schedules, "a dict of names and learning rates, or a list of learning rates")
        named = schedules.items() if isinstance(schedules, Mapping) else enumerate(schedules)
        return tuple(sorted((self.forecast(steps, str(name), level) for name, steps in named), key=float))

    def forecast(self, steps: npt.ArrayLike, name: str = "", level: float = 0.8) -> Forecast:
        """Return the predicted last loss of one schedule; what lies outside the fitted runs is in ``.notes``."""
        level = check_fraction(level, "level", low=1e-6, high=1.0 - 1e-6)
        run = self.run_of(steps)
        final = self.final(run)
        half = float(self.half_widths(run, np.array([run.steps.size]), level)[0])
        notes = outside(self.scope, run.steps, lambda: self.moves)
        return Forecast(name, final, final * math.exp(-half), final * math.exp(half), notes)

    def best_schedule(self, n_steps: int, **constraints: Any) -> BestSchedule:
        """Return the schedule of ``n_steps`` with the least predicted last loss.

        Parameters
        ----------
        n_steps : int
        **constraints
            ``max_step, min_step, monotone, warmup, blocks, prefix, tail, budget, max_ratio`` of `design_schedule`.
            Without ``max_step`` the largest fitted peak is the limit: laws know nothing of divergence. Steps never
            increase after the warm-up unless ``monotone=False``.
        """
        return best_schedule(self, n_steps, **constraints)

    def best_base_lr(self, schedule: npt.ArrayLike) -> float:
        """Return the multiple of a schedule with the least predicted last loss, for peaks within 4x of the fitted.

        Warns
        -----
        ForecastWarning
            Where the best peak lies outside the fitted ones: laws know nothing of divergence.
        """
        steps = check_steps(schedule, "schedule")
        base_lr = planning.best_base_lr(self, steps)
        self._warn(base_lr * steps)
        return base_lr

    def annealed_now(self, cooldown: float = 0.2) -> tuple[planning.Annealed, ...]:
        """Return, for each log, the loss if it were cooled down to zero from each logged step.

        ``cooldown`` is the length of the linear cooldown in units of the steps taken so far.
        """
        return planning.annealed_now(self, cooldown)

    def steps_saved(self, schedule: npt.ArrayLike, other: npt.ArrayLike) -> float:
        """Return how many steps fewer ``schedule``, stretched, needs to reach the last loss of ``other``."""
        return planning.steps_saved(self, check_steps(schedule, "schedule"), check_steps(other, "other"))

    def next_run(self, candidates: Sequence[Any], target: Any = None) -> int:
        """Return the index of the candidate whose run would narrow the interval for ``target`` most.

        Parameters
        ----------
        candidates : sequence of array_like or LossLog
            Schedules that could be run.
        target : array_like, LossLog or a sequence of them, optional
            Schedules whose last losses are asked for; all candidates by default.
        """
        return planning.next_run(self, candidates, target)

    def report(self) -> str:
        """Return the fit in words and numbers."""
        from .text import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write the fit with its logs to an npz file, at once."""
        from .files import save

        save(self, path)

    @staticmethod
    def load(path: str | Path) -> "LossFit":
        """Read what `save` wrote."""
        from .files import load

        return load(path)

    def run_of(self, steps: Any, weight_decay: float | None = None, init_std: float | None = None) -> Run:
        """Return what the law sees of a schedule, with the decay and scale of the fitted runs unless given."""
        if isinstance(steps, LossLog):
            return steps.run if np.isfinite(steps.run.weight_decay) else Run(steps.steps, *self._norm(None, None))
        return Run(check_steps(steps), *self._norm(weight_decay, init_std))

    def final(self, run: Run) -> float:
        """Return the predicted last loss of a run, in the first group."""
        terms = self.fitted.law.terms(run, np.array([run.steps.size]), exact=True)
        return float(self.fitted.law.evaluate(self.theta, terms)[0][0])

    def log_jacobian(self, run: Run, at: npt.NDArray[np.int64]) -> Array:
        """Return the derivatives of the log of the predicted loss at some points to all parameters."""
        loss, jacobian = self.fitted.law.evaluate(self.theta, self.fitted.law.terms(run, at))
        offsets = np.zeros((at.size, self.fitted.solution.theta.size - jacobian.shape[1]))
        return np.hstack([jacobian / loss[:, None], offsets])

    def half_widths(self, run: Run, at: npt.NDArray[np.int64], level: float) -> Array:
        """Return half widths of intervals, in the log of the loss, after ``at`` steps."""
        extra = allowance(self.scope, run.steps)
        return self.fitted.uncertainty.half_width(self.log_jacobian(run, at), at, level, extra)

    @property
    def theta(self) -> Array:
        """Parameters of the law, without the offsets of groups."""
        return self.fitted.solution.theta[: self.fitted.problem.n_law]

    @property
    def _groups(self) -> list[str | None]:
        return group_names(self.logs)

    def _curve(self, run: Run, group: str | None) -> Array:
        names = self._groups
        if group is not None and group not in names:
            raise InputError("group", group, f"one of {', '.join(map(str, names))}")
        offset = 0.0 if group in (None, names[0]) else self.parameters[f"{OFFSET}[{group}]"]
        return self.fitted.law.curve(self.theta, run) + offset

    def _norm(self, weight_decay: float | None, init_std: float | None) -> tuple[float, float]:
        known: list[float] = []
        for name, given in (("weight_decay", weight_decay), ("init_std", init_std)):
            fitted = {getattr(log, name) for log in self.logs}
            if given is None and len(fitted) > 1 and "norm" in self.law:
                raise InputError(name, None, f"a value, because the fitted runs differ: {sorted(map(str, fitted))}")
            value = next(iter(fitted)) if given is None else float(given)
            known.append(float("nan") if value is None else value)
        return known[0], known[1]

    def _warn(self, steps: Array) -> None:
        said = outside(self.scope, steps, lambda: self.moves)
        if said:
            warnings.warn("; ".join(said), ForecastWarning, stacklevel=3)
