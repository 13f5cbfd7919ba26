"""The base learning rate of each schedule: a grid that theory centres, extended until its best value lies inside."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from lastiterate.experiments.statistics import where_is_best
from lastiterate.experiments.training.train import RunResult
from lastiterate.theory.base.validation import Array
from lastiterate.theory.rates.sgd import tune_base_lr

from .result import ScheduleReplay
from .runs import Plan, execute

__all__ = ["centred_grid", "count_runs", "report", "theory_ratio", "tune"]

SPACING = 3.0  # between the rates of a grid that has only one


def theory_ratio(steps: Array, baseline: Array, caps: Array | None) -> float:
    """Return theory's best base learning rate of a schedule over that of the baseline, both with maximum 1.

    The base learning rates that minimise the exact worst-case rate of each (see `lastiterate.tune_base_lr`), for the
    gradient norms of the baseline if they are known, else for equal ones.

    Parameters
    ----------
    steps, baseline : float64[n]
    caps : float64[n] or None

    Returns
    -------
    float

    Examples
    --------
    >>> from lastiterate.theory import schedules
    >>> round(theory_ratio(schedules.constant(1000), schedules.linear(1000), None), 2)
    0.31
    """
    if not steps.any() or not baseline.any():
        return 1.0
    bounds = 1.0 if caps is None else caps
    ratio = tune_base_lr(steps, G=bounds).base_lr / tune_base_lr(baseline, G=bounds).base_lr
    return float(ratio) if 0.0 < ratio < math.inf else 1.0


def centred_grid(grid: Sequence[float], best: float | None, ratio: float) -> list[float]:
    """Return the baseline's best rate and its neighbours on the grid, all times theory's ratio; all if none is best.

    Examples
    --------
    >>> centred_grid([0.1, 1.0, 10.0], 1.0, 0.5)
    [0.05, 0.5, 5.0]
    """
    if best is None:
        return [ratio * lr for lr in grid]
    if len(grid) == 1:
        return [ratio * best]
    spacing = (grid[-1] / grid[0]) ** (1.0 / (len(grid) - 1))
    return [ratio * best / spacing, ratio * best, ratio * best * spacing]


def count_runs(
    n_schedules: int, grid: int, *, n_tuning_seeds: int, n_seeds: int, extensions: int, bisections: int
) -> tuple[int, int]:
    """Return how many runs a workload takes if no grid is extended, and if every one is as often as is allowed.

    Examples
    --------
    >>> count_runs(5, 5, n_tuning_seeds=3, n_seeds=10, extensions=6, bisections=1)
    (131, 221)
    """
    centred = 1 if grid == 1 else 3
    tuning = grid + (n_schedules - 1) * centred + n_schedules * 2 * bisections
    runs = tuning * n_tuning_seeds + n_schedules * n_seeds
    return runs, runs + n_schedules * extensions * n_tuning_seeds


def tune(plan: Plan, shapes: dict[str, Array], grids: dict[str, list[float]]) -> dict[str, ScheduleReplay]:
    """Train schedules over their grids and the tuning seeds, on the validation split.

    A grid whose best value lies at an end is extended there, up to ``plan.extensions`` times; then the two gaps beside
    the best value are halved, ``plan.bisections`` times.
    """
    runs: dict[str, list[RunResult]] = {name: [] for name in shapes}
    extensions = dict.fromkeys(shapes, plan.extensions)
    bisections = dict.fromkeys(shapes, plan.bisections)
    wanted = {name: sorted(set(grids[name])) for name in shapes}
    while wanted:
        tasks = [
            dataclasses.replace(
                plan.template, schedule=name, steps=shapes[name], base_lr=lr, seed=seed, split="validation"
            )
            for name, lrs in wanted.items()
            for lr in lrs
            for seed in plan.tuning_seeds
        ]
        for task, found in zip(tasks, execute(tasks, plan), strict=True):
            runs[task.schedule].append(found)
        wanted = {}
        for name, steps in shapes.items():
            means = (schedule := ScheduleReplay(name, steps, tuple(runs[name]))).scores(plan.tuning_metric).mean(axis=1)
            inside = where_is_best(means, plan.workload.higher_is_better) == "interior"
            left = bisections if inside else extensions
            if left[name] > 0:
                left[name] -= 1
                wanted[name] = _beside(schedule, plan) if inside else [_beyond(schedule, means, plan)]
    return {name: ScheduleReplay(name, shapes[name], tuple(runs[name])) for name in shapes}


def report(plan: Plan, tuned: Sequence[ScheduleReplay]) -> dict[str, tuple[RunResult, ...]]:
    """Train each schedule at its chosen base learning rate on the fresh seeds, judged on the test split."""
    tasks = [
        dataclasses.replace(plan.template, schedule=s.name, steps=s.steps, base_lr=lr, seed=seed, split="test")
        for s in tuned
        if (lr := s.best_lr(plan.tuning_metric, plan.workload.higher_is_better)) is not None
        for seed in plan.report_seeds
    ]
    runs: dict[str, list[RunResult]] = {s.name: [] for s in tuned}
    for task, found in zip(tasks, execute(tasks, plan), strict=True):
        runs[task.schedule].append(found)
    return {name: tuple(found) for name, found in runs.items()}


def _beyond(schedule: ScheduleReplay, means: Array, plan: Plan) -> float:
    """Return the rate beyond the end at which the best value lies; the lower end where every rate diverged."""
    lrs = schedule.base_lrs
    high = where_is_best(means, plan.workload.higher_is_better) == "high"
    if len(lrs) == 1:
        return lrs[0] * (SPACING if high else 1.0 / SPACING)
    return lrs[-1] ** 2 / lrs[-2] if high else lrs[0] ** 2 / lrs[1]


def _beside(schedule: ScheduleReplay, plan: Plan) -> list[float]:
    """Return the geometric means of the best rate and its two neighbours."""
    lrs = schedule.base_lrs
    best = schedule.best_lr(plan.tuning_metric, plan.workload.higher_is_better)
    place = 0 if best is None else lrs.index(best)
    return [float(np.sqrt(a * b)) for a, b in zip(lrs[place - 1 : place + 1], lrs[place : place + 2], strict=True)]
