"""What a replay found: runs by schedule, refinements by round, the table of best results, and its JSON form."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.experiments.statistics import (
    Difference,
    Ranking,
    Response,
    as_losses,
    fit_response,
    paired_difference,
    rank_correlation,
    rank_over_workloads,
    where_is_best,
)
from lastiterate.experiments.training.train import RunResult
from lastiterate.theory.base.deprecation import warn_renamed
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.validation import Array
from lastiterate.theory.optimal.refinement import Refinement

__all__ = ["RefinementRound", "Replay", "Row", "ScheduleReplay", "WorkloadReplay", "trend"]


@dataclass(frozen=True, repr=False)
class ScheduleReplay:
    """All runs of one schedule on one workload.

    Attributes
    ----------
    name : str
        Specification of the schedule, or ``"refined"``, ``"refined-2"``, ...
    steps : float64[n]
    runs : tuple of RunResult
        Over base learning rates and seeds.
    bound : float
        Convex bound for the norms of the baseline, base learning rate tuned, in units of D.
    bound_own : float
        The same for the norms that the schedule's own best runs recorded.
    """

    name: str
    steps: Array
    runs: tuple[RunResult, ...]
    bound: float = math.nan
    bound_own: float = math.nan

    def __repr__(self) -> str:
        """Show the size."""
        return f"ScheduleReplay({self.name!r}, n_steps={self.steps.size}, n_runs={len(self.runs)})"

    @property
    def base_lrs(self) -> list[float]:
        """The base learning rates that were tried, increasing."""
        return sorted({run.base_lr for run in self.runs})

    def scores(self, metric: str) -> Array:
        """Return float64[base learning rates, seeds] of a metric, NaN where a run diverged."""
        seeds = sorted({run.seed for run in self.runs})
        table = np.full((len(self.base_lrs), len(seeds)), np.nan)
        for run in self.runs:
            table[self.base_lrs.index(run.base_lr), seeds.index(run.seed)] = run.final.get(metric, math.nan)
        return table

    def best_lr(self, metric: str, higher_is_better: bool) -> float | None:
        """Return the base learning rate of the best mean; None if at every one some run diverged."""
        means = as_losses(self.scores(metric).mean(axis=1), higher_is_better)
        return self.base_lrs[int(np.argmin(means))] if np.isfinite(means).any() else None

    def runs_at(self, base_lr: float | None) -> list[RunResult]:
        """Return the runs of one base learning rate, by seed."""
        return sorted((run for run in self.runs if run.base_lr == base_lr), key=lambda run: run.seed)


@dataclass(frozen=True, repr=False)
class RefinementRound:
    """One refinement: norms of the best runs of ``source``, and the schedule called ``name`` made from them."""

    name: str
    source: str
    base_lr: float
    norms: Array
    refinement: Refinement
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show where it comes from."""
        return f"RefinementRound({self.name!r}, source={self.source!r}, {self.refinement!r})"


@dataclass(frozen=True)
class Row:
    """One line of the table of best results; differences are to the baseline, by seed."""

    workload: str
    schedule: str
    base_lr: float | None
    mean: float
    standard_error: float
    difference: Difference | None
    response: Response | None
    grid: str
    diverged: str
    bound: float
    bound_own: float


@dataclass(frozen=True, repr=False)
class WorkloadReplay(Tabular):
    """The replay of one workload.

    Attributes
    ----------
    workload, metric, optimizer, rule : str
    higher_is_better : bool
    baseline : str
        Schedule that the others are compared with.
    schedules : tuple of ScheduleReplay
    rounds : tuple of RefinementRound
    seconds : float
    """

    workload: str
    metric: str
    higher_is_better: bool
    optimizer: str
    rule: str
    baseline: str
    schedules: tuple[ScheduleReplay, ...]
    rounds: tuple[RefinementRound, ...]
    seconds: float = 0.0

    def __repr__(self) -> str:
        """Show the schedules."""
        return f"WorkloadReplay({self.workload!r}, {[schedule.name for schedule in self.schedules]})"

    def __getitem__(self, name: str) -> ScheduleReplay:
        """Return the replay of one schedule."""
        for schedule in self.schedules:
            if schedule.name == name:
                return schedule
        raise KeyError(name)

    def table(self) -> list[Row]:
        """Return one row a schedule, best first."""
        sign = -1.0 if self.higher_is_better else 1.0
        best = {s.name: s.best_lr(self.metric, self.higher_is_better) for s in self.schedules}
        finals = {
            s.name: np.array([run.final[self.metric] for run in s.runs_at(best[s.name])])
            for s in self.schedules
            if best[s.name] is not None
        }
        differences: dict[str, Difference] = {}
        if self.baseline in finals:
            base = finals[self.baseline]
            differences = {n: paired_difference(v, base) for n, v in finals.items() if n != self.baseline}
        rows: list[Row] = []
        for schedule in self.schedules:
            values = finals.get(schedule.name, np.array([]))
            means = schedule.scores(self.metric).mean(axis=1)
            n_diverged = sum(run.diverged_at is not None for run in schedule.runs)
            rows.append(
                Row(
                    workload=self.workload,
                    schedule=schedule.name,
                    base_lr=best[schedule.name],
                    mean=float(values.mean()) if values.size else math.nan,
                    standard_error=float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan,
                    difference=differences.get(schedule.name),
                    response=fit_response(schedule.base_lrs, as_losses(means, self.higher_is_better)),
                    grid=where_is_best(means, self.higher_is_better),
                    diverged=f"{n_diverged}/{len(schedule.runs)}",
                    bound=schedule.bound,
                    bound_own=schedule.bound_own,
                )
            )
        return sorted(rows, key=lambda row: sign * row.mean if math.isfinite(row.mean) else math.inf)

    def agreement(self) -> dict[str, float]:
        """Return Kendall's tau between the measured scores and each bound, over the schedules."""
        rows = self.table()
        scores = as_losses([row.mean for row in rows], self.higher_is_better)
        return {
            "bound": rank_correlation([row.bound for row in rows], scores),
            "bound_own": rank_correlation([row.bound_own for row in rows], scores),
        }

    def verdict(self) -> str:
        """Say whether repeated refinement settles, oscillates or still changes, and in which rounds it degenerates."""
        if not self.rounds:
            return "no refinement"
        degenerate = [str(number) for number, round_ in enumerate(self.rounds, 1) if round_.refinement.degenerate]
        rounds = f", degenerate in round {', '.join(degenerate)}" if degenerate else ""
        return trend([round_.refinement.steps for round_ in self.rounds]) + rounds


def trend(schedules: Sequence[Array], tolerance: float = 0.02) -> str:
    """Judge a sequence of schedules by root-mean-square distances.

    >>> trend([np.array([1.0, 0.5]), np.array([1.0, 0.501])])
    'settles'
    >>> trend([np.array([1.0, 0.2]), np.array([1.0, 0.8]), np.array([1.0, 0.25]), np.array([1.0, 0.8])])
    'oscillates'
    """
    if len(schedules) < 2:
        return "one round only"
    changes = [_distance(a, b) for a, b in pairwise(schedules)]
    if changes[-1] < tolerance or (len(changes) > 1 and changes[-1] < 0.5 * changes[-2]):
        return "settles"
    if len(schedules) > 2 and _distance(schedules[-1], schedules[-3]) < 0.5 * changes[-1]:
        return "oscillates"
    return "still changes"


def _distance(first: Array, second: Array) -> float:
    return float(np.sqrt(np.mean((first - second) ** 2)))


@dataclass(frozen=True, repr=False)
class Replay(Tabular):
    """Everything that `replay` found, on one workload or several."""

    workloads: tuple[WorkloadReplay, ...]
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])

    def __repr__(self) -> str:
        """Show the workloads."""
        return f"Replay({', '.join(workload.workload for workload in self.workloads)})"

    def __getitem__(self, name: str) -> WorkloadReplay:
        """Return the replay of one workload."""
        for workload in self.workloads:
            if workload.workload == name:
                return workload
        raise KeyError(name)

    def table(self) -> list[dict[str, Any]]:
        """Return flat rows, workload by workload and best first, for tables and JSON."""
        return [_flat(row) for workload in self.workloads for row in workload.table()]

    def ranking(self) -> Ranking:
        """Rank the schedules over the workloads."""
        scores = [
            {row.schedule: float(as_losses(row.mean, workload.higher_is_better)) for row in workload.table()}
            for workload in self.workloads
        ]
        return rank_over_workloads(scores)

    def write_report(self, path: str | Path) -> Path:
        """Write one self-contained HTML file (deprecated: `lastiterate.write_report`)."""
        warn_renamed("Replay.write_report", "lastiterate.write_report")
        return import_module("lastiterate").write_report(self, path)

    def save(self, path: str | Path) -> Path:
        """Write the results as JSON; curves are averaged to 200 points, norms are kept for the refinements."""
        from .files import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> "Replay":
        """Read what `save` wrote."""
        from .files import load

        return load(path)


def _flat(row: Row) -> dict[str, Any]:
    difference, response = row.difference, row.response
    return {
        "workload": row.workload,
        "schedule": row.schedule,
        "base_lr": row.base_lr,
        "mean": row.mean,
        "std_error": row.standard_error,
        "difference": difference.mean if difference else None,
        "low": difference.low if difference else None,
        "high": difference.high if difference else None,
        "p_value": difference.p_value if difference else None,
        "grid": row.grid,
        "diverged": row.diverged,
        "fitted_lr": response.best_lr if response else None,
        "bound": row.bound,
        "bound_own": row.bound_own,
    }
