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
    Comparison,
    Difference,
    Plan,
    Ranking,
    Response,
    as_losses,
    compare,
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
        Over base learning rates and tuning seeds, judged on the validation split.
    report_runs : tuple of RunResult
        At the chosen base learning rate, over the fresh seeds, judged on the test split.
    bound : float
        Convex bound for the norms of the baseline, base learning rate tuned, in units of D.
    bound_own : float
        The same for the norms that the schedule's own best runs recorded.
    """

    name: str
    steps: Array
    runs: tuple[RunResult, ...]
    report_runs: tuple[RunResult, ...] = ()
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
        """Return float64[base learning rates, tuning seeds] of a metric, NaN where a run diverged."""
        seeds = sorted({run.seed for run in self.runs})
        table = np.full((len(self.base_lrs), len(seeds)), np.nan)
        for run in self.runs:
            table[self.base_lrs.index(run.base_lr), seeds.index(run.seed)] = run.final.get(metric, math.nan)
        return table

    def best_lr(self, metric: str, higher_is_better: bool) -> float | None:
        """Return the base learning rate of the best mean; None if at every one some run diverged."""
        means = as_losses(self.scores(metric).mean(axis=1), higher_is_better)
        return self.base_lrs[int(np.argmin(means))] if np.isfinite(means).any() else None

    def reported(self, metric: str) -> Array:
        """Return float64[fresh seeds] of a metric at the chosen base learning rate, NaN where a run diverged."""
        runs = sorted(self.report_runs, key=lambda run: run.seed)
        return np.array([run.final.get(metric, math.nan) for run in runs])

    def runs_at(self, base_lr: float | None) -> list[RunResult]:
        """Return the tuning runs of one base learning rate, by seed."""
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
    """One line of the table of results on fresh seeds.

    Attributes
    ----------
    workload, schedule : str
    base_lr : float or None
        Chosen on the tuning seeds; None if a run diverged at every rate.
    mean, spread : float
        Mean and standard deviation over the fresh seeds; NaN if one of them diverged.
    difference : Difference or None
        Schedule minus baseline, seed by seed; describes, while tests are those of the planned contrasts.
    response : Response or None
        Fit of the validation results to theory's form.
    grid : str
        Where the best of the grid lies: ``"interior"``, ``"low"``, ``"high"`` or ``"none"``.
    diverged : str
        Number of tuning runs that diverged, of how many; the same for the fresh seeds if one of them did.
    bound, bound_own : float
        See `ScheduleReplay`.
    """

    workload: str
    schedule: str
    base_lr: float | None
    mean: float
    spread: float
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
    tuning_metric : str
        What chose the base learning rates: the metric on the validation split.
    higher_is_better : bool
    baseline : str
        Schedule whose norms are refined and whose grid the others' are derived from.
    plan : Plan
        Contrasts that were planned.
    schedules : tuple of ScheduleReplay
    rounds : tuple of RefinementRound
    seconds : float
    """

    workload: str
    metric: str
    tuning_metric: str
    higher_is_better: bool
    optimizer: str
    rule: str
    baseline: str
    schedules: tuple[ScheduleReplay, ...]
    rounds: tuple[RefinementRound, ...]
    plan: Plan = field(default_factory=lambda: Plan(()))
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

    @property
    def tuning_seeds(self) -> list[int]:
        """The seeds that chose base learning rates and gave norms."""
        return sorted({run.seed for schedule in self.schedules for run in schedule.runs})

    @property
    def report_seeds(self) -> list[int]:
        """The seeds that chose nothing."""
        return sorted({run.seed for schedule in self.schedules for run in schedule.report_runs})

    def chosen_lr(self, name: str) -> float | None:
        """Return the base learning rate of a schedule that the tuning seeds chose."""
        return self[name].best_lr(self.tuning_metric, self.higher_is_better)

    def results(self) -> dict[str, Array]:
        """Return float64[fresh seeds] of the metric for each schedule that has a base learning rate."""
        return {s.name: s.reported(self.metric) for s in self.schedules if s.report_runs}

    def comparisons(self) -> tuple[Comparison, ...]:
        """Return what the fresh seeds say on the planned contrasts, Holm's correction over them."""
        results = self.results()
        return compare(results, self.plan.among(results)) if results else ()

    def table(self) -> list[Row]:
        """Return one row a schedule, best mean first."""
        sign = -1.0 if self.higher_is_better else 1.0
        results = self.results()
        base = results.get(self.baseline)
        rows: list[Row] = []
        for schedule in self.schedules:
            values = results.get(schedule.name, np.array([]))
            means = schedule.scores(self.tuning_metric).mean(axis=1)
            reference = base if values.size and schedule.name != self.baseline else None
            rows.append(
                Row(
                    workload=self.workload,
                    schedule=schedule.name,
                    base_lr=self.chosen_lr(schedule.name),
                    mean=float(values.mean()) if values.size else math.nan,
                    spread=float(values.std(ddof=1)) if values.size > 1 else math.nan,
                    difference=None if reference is None else paired_difference(values, reference),
                    response=fit_response(schedule.base_lrs, as_losses(means, self.higher_is_better)),
                    grid=where_is_best(means, self.higher_is_better),
                    diverged=_diverged(schedule),
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


def _diverged(schedule: ScheduleReplay) -> str:
    tuning, fresh = (
        (sum(run.diverged_at is not None for run in runs), len(runs)) for runs in (schedule.runs, schedule.report_runs)
    )
    return f"{tuning[0]}/{tuning[1]}" + (f", fresh {fresh[0]}/{fresh[1]}" if fresh[0] else "")


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
    """Everything that `replay` found, on one workload or several.

    Attributes
    ----------
    workloads : tuple of WorkloadReplay
        One a workload, in the order given; ``replay[name]`` is the one of that name.
    provenance : dict
        Versions, machine, device, settings, command, tuning and fresh seeds, wall time in seconds.
    """

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
        "spread": row.spread,
        "difference": difference.mean if difference else None,
        "low": difference.low if difference else None,
        "high": difference.high if difference else None,
        "grid": row.grid,
        "diverged": row.diverged,
        "fitted_lr": response.best_lr if response else None,
        "bound": row.bound,
        "bound_own": row.bound_own,
    }
