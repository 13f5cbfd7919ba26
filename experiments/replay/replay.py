"""Replay: baseline, gradient norms, refined schedule, and all schedules over base learning rates and seeds."""

import dataclasses
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lastiterate.experiments.statistics import where_is_best
from lastiterate.experiments.training.distributed import check_device, process_group, world
from lastiterate.experiments.training.optimizers import optimizer_info
from lastiterate.experiments.training.train import RunResult, TrainingSettings
from lastiterate.experiments.workloads.protocol import SIZES, Workload, check_workload, load_workload
from lastiterate.theory import schedules as families
from lastiterate.theory.base.deprecation import renamed_arguments
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_fraction,
    check_positive,
)
from lastiterate.theory.optimal.refinement import NORM_OF_RULE, Refinement, RefinementWarning, refine, smooth_norms
from lastiterate.theory.rates.sgd import tune_base_lr
from lastiterate.theory.schedules.files import read_schedule

from .provenance import provenance
from .recorded_norms import without_gaps
from .result import RefinementRound, Replay, ScheduleReplay, WorkloadReplay
from .runs import Plan, Task, counting_runs, execute

__all__ = ["replay"]

BASELINE = "linear"
REFINED = "refined"
DEFAULT_SCHEDULES = ("constant", "cosine", "linear", "wsd", "refined")


@renamed_arguments(jobs="n_jobs")
def replay(
    workloads: "str | Path | Workload | Sequence[str | Path | Workload]",
    schedules: Iterable[str] = DEFAULT_SCHEDULES,
    *,
    size: Literal["tiny", "full"] = "tiny",
    data: str | Path | None = None,
    optimizer: str | None = None,
    n_steps: int | None = None,
    base_lrs: Sequence[float] | None = None,
    n_seeds: int = 3,
    rule: Literal["sgd", "adam"] | None = None,
    smoothing: float = 0.1,
    rounds: int = 1,
    extensions: int = 3,
    settings: TrainingSettings | None = None,
    n_jobs: int | None = None,
    vectorise: bool = False,
    checkpoints: str | Path | None = None,
    checkpoint_minutes: float = 10.0,
    progress: bool | None = None,
) -> Replay:
    """Find out which schedule is best on a workload, at which base learning rate, and how sure that is.

    The baseline, linear decay, is trained over the grid of base learning rates; the gradient norms of its best runs
    are refined into a new schedule (see `refine`); all schedules are trained over the grid and the seeds. A grid
    whose best value lies at an end is extended. For a given seed all runs see the same data in the same order.

    Parameters
    ----------
    workloads : str, Path, Workload, or a sequence of these
        Bundled names, paths of user files, or objects that keep the `Workload` protocol.
    schedules : iterable of str
        Specifications (see `lastiterate.schedules.parse`), paths of schedule files, and ``"refined"``. Linear decay
        is always among them.
    size : {"tiny", "full"}
    data : str or Path, optional
        Folder of data, for workloads that need one.
    optimizer : str, optional
        Specification, default each workload's own.
    n_steps : int, optional
        Horizon, default each workload's own.
    base_lrs : sequence of float, optional
        Grid; default each workload's own, or three decades around the optimiser's usual value.
    n_seeds : int
        Seeds 0, 1, ... of every configuration.
    rule : {"sgd", "adam"}, optional
        Refinement rule; default that of the optimiser.
    smoothing : float
        See `refine`.
    rounds : int
        Refinements: each further one uses the norms of the runs of the one before.
    extensions : int
        How many times the grid of a schedule may be extended.
    settings : TrainingSettings, optional
        Device, precision, clipping, ...
    n_jobs : int, optional
        Parallel runs; default one a core on the CPU, one on an accelerator or under torchrun.
    vectorise : bool
        Train many runs of a small model at once through ``torch.func.vmap`` (see `train_ensemble`): several times
        faster, equal to separate runs up to rounding, without checkpoints.
    checkpoints : str or Path, optional
        Folder of checkpoints; an interrupted replay started again with the same folder goes on where it was.
    checkpoint_minutes : float
    progress : bool, optional
        Whether to show a progress bar on standard error; default: if that is a terminal.

    Returns
    -------
    Replay
        ``.table()``, ``.ranking()``, ``.save(path)``; `lastiterate.write_report` makes the HTML page.

    Raises
    ------
    InputError
        Naming the argument, its value and what is expected.

    Examples
    --------
    >>> result = replay("digits_logistic", ["constant"], n_steps=20, base_lrs=[1, 3], n_seeds=1, extensions=0, n_jobs=1)
    >>> sorted(row["schedule"] for row in result.table())
    ['constant', 'linear']
    """
    settings = settings or TrainingSettings()
    device = check_device(settings.device)
    check_choice(size, "size", SIZES)
    check_count(n_seeds, "n_seeds")
    check_fraction(smoothing, "smoothing")
    if n_steps is not None:
        check_count(n_steps, "n_steps")
    if rule is not None:
        check_choice(rule, "rule", NORM_OF_RULE)
    check_count(rounds, "rounds")
    check_count(extensions, "extensions", minimum=0)
    if vectorise and checkpoints is not None:
        raise InputError("vectorise", vectorise, "False beside checkpoints, which belong to single runs")
    names = list(dict.fromkeys([BASELINE, *schedules]))
    loaded = [_load(given, size, data) for given in _as_list(workloads)]
    begin = time.perf_counter()
    with process_group(device), counting_runs(progress) as advance:
        if world()[1] > 1 and n_jobs not in (None, 1):
            raise InputError("n_jobs", n_jobs, f"1 under torchrun: its {world()[1]} processes share every run")
        alone = world()[1] == 1 and device.type == "cpu"
        workers = check_count(n_jobs, "n_jobs") if n_jobs is not None else (os.cpu_count() or 1) if alone else 1
        results: list[WorkloadReplay] = []
        plans = [
            _plan(given, workload, size, data, optimizer, n_seeds, extensions, settings, workers, vectorise,
                  checkpoints, checkpoint_minutes, advance)
            for given, workload in loaded
        ]  # fmt: skip
        shapes = [_shapes(names, plan.workload.n_steps if n_steps is None else n_steps) for plan in plans]
        grids = [_grid(base_lrs, plan) for plan in plans]
        for plan, steps, grid in zip(plans, shapes, grids, strict=True):
            results.append(_replay_one(plan, steps, grid, REFINED in names, rule, smoothing, rounds))
    return Replay(tuple(results), provenance(settings, seeds=list(range(n_seeds)), seconds=time.perf_counter() - begin))


def _as_list(workloads: Any) -> list[Any]:
    given = list(workloads) if isinstance(workloads, list | tuple) else [workloads]
    if not given:
        raise InputError("workloads", workloads, "at least one workload")
    return given


def _load(given: Any, size: str, data: str | Path | None) -> tuple[Any, Workload]:
    if isinstance(given, str | Path):
        return str(given), load_workload(given, size=size, data=data)
    return given, check_workload(given)


def _plan(
    given: Any,
    workload: Workload,
    size: str,
    data: str | Path | None,
    optimizer: str | None,
    n_seeds: int,
    extensions: int,
    settings: TrainingSettings,
    n_jobs: int,
    vectorise: bool,
    checkpoints: str | Path | None,
    checkpoint_minutes: float,
    advance: Callable[[int, int], None],
) -> Plan:
    if checkpoints is not None:
        Path(checkpoints).mkdir(parents=True, exist_ok=True)
    template = Task(
        workload=given,
        size=size,
        data=None if data is None else str(data),
        schedule="",
        steps=np.empty(0),
        base_lr=0.0,
        seed=0,
        optimizer=optimizer or workload.optimizer,
        settings=settings,
        checkpoint_folder=None if checkpoints is None else str(checkpoints),
        checkpoint_minutes=check_positive(checkpoint_minutes, "checkpoint_minutes"),
    )
    optimizer_info(template.optimizer)
    return Plan(template, workload, range(n_seeds), extensions, n_jobs, vectorise, advance)


def _shapes(names: Sequence[str], n_steps: int) -> dict[str, Array]:
    """The schedules that are known in advance, by name."""
    shapes: dict[str, Array] = {}
    for name in names:
        if name == REFINED:
            continue
        if name.endswith((".json", ".csv", ".npy")):
            shapes[name] = read_schedule(name)
            if shapes[name].size != n_steps:
                raise InputError(
                    "schedules", f"{name} with {shapes[name].size} steps", f"a schedule of {n_steps} steps"
                )
        else:
            shapes[name] = families.parse(name, n_steps)
    return shapes


def _grid(base_lrs: Sequence[float] | None, plan: Plan) -> list[float]:
    if base_lrs is not None:
        grid = sorted({check_positive(lr, "base_lrs") for lr in base_lrs})
        if not grid:
            raise InputError("base_lrs", base_lrs, "at least one positive number")
        return grid
    if plan.template.optimizer == plan.workload.optimizer:
        return list(plan.workload.base_lrs)
    usual = optimizer_info(plan.template.optimizer)[1].base_lr
    return [usual * factor for factor in (0.03, 0.1, 0.3, 1.0, 3.0)]


def _replay_one(
    plan: Plan,
    shapes: dict[str, Array],
    grid: list[float],
    with_refinement: bool,
    rule: str | None,
    smoothing: float,
    rounds: int,
) -> WorkloadReplay:
    begin = time.perf_counter()
    optimizer = plan.template.optimizer
    chosen = str(rule or optimizer_info(optimizer)[1].rule)
    done = _train_all(plan, {BASELINE: shapes[BASELINE]}, grid)
    refinements: list[RefinementRound] = []
    waiting = {name: steps for name, steps in shapes.items() if name != BASELINE}
    for number in range(1, (rounds if with_refinement else 0) + 1):
        source = refinements[-1].name if refinements else BASELINE
        name = REFINED if number == 1 else f"{REFINED}-{number}"
        refined = _refine(plan, done[source], name, source, chosen, smoothing)
        if refined is None:
            break
        refinements.append(refined)
        # the other schedules run beside the first refined one, to keep all cores busy
        done |= _train_all(plan, {**waiting, name: refined.refinement.steps}, grid)
        waiting = {}
    if waiting:
        done |= _train_all(plan, waiting, grid)
    metric, direction = plan.workload.metric, plan.workload.higher_is_better
    caps = _caps(done[BASELINE], metric, direction, chosen, smoothing)
    names = [*shapes, *(refined.name for refined in refinements)]
    finished = tuple(
        ScheduleReplay(
            name=name,
            steps=done[name].steps,
            runs=done[name].runs,
            bound=_bound(done[name].steps, caps),
            bound_own=_bound(done[name].steps, _caps(done[name], metric, direction, chosen, smoothing)),
        )
        for name in names
    )
    return WorkloadReplay(
        workload=plan.workload.name,
        metric=metric,
        higher_is_better=direction,
        optimizer=optimizer,
        rule=chosen,
        baseline=BASELINE,
        schedules=finished,
        rounds=tuple(refinements),
        seconds=time.perf_counter() - begin,
    )


def _train_all(plan: Plan, shapes: dict[str, Array], grid: list[float]) -> dict[str, ScheduleReplay]:
    """Train schedules over the grid and the seeds; extend the grid of those whose best value is at an end."""
    runs: dict[str, list[RunResult]] = {name: [] for name in shapes}
    wanted = {name: list(grid) for name in shapes}
    for extension in range(plan.extensions + 1):
        tasks = [
            dataclasses.replace(plan.template, schedule=name, steps=shapes[name], base_lr=lr, seed=seed)
            for name, lrs in wanted.items()
            for lr in lrs
            for seed in plan.seeds
        ]
        for task, result in zip(tasks, execute(tasks, plan), strict=True):
            runs[task.schedule].append(result)
        wanted = {}
        for name, steps in shapes.items():
            lr = _next_lr(ScheduleReplay(name, steps, tuple(runs[name])), plan.workload)
            if lr is not None and extension < plan.extensions:
                wanted[name] = [lr]
        if not wanted:
            break
    return {name: ScheduleReplay(name, shapes[name], tuple(runs[name])) for name in shapes}


def _next_lr(schedule: ScheduleReplay, workload: Workload) -> float | None:
    """The base learning rate beyond the end at which the best value lies; None for an optimum in the interior."""
    lrs = schedule.base_lrs
    means = schedule.scores(workload.metric).mean(axis=1)
    end = where_is_best(means, workload.higher_is_better)
    if end == "interior":
        return None
    if len(lrs) == 1:
        return 3.0 * lrs[0]
    return lrs[-1] ** 2 / lrs[-2] if end == "high" else lrs[0] ** 2 / lrs[1]


def _refine(
    plan: Plan, source: ScheduleReplay, name: str, source_name: str, rule: str, smoothing: float
) -> RefinementRound | None:
    """Refine the geometric mean over seeds of the norms at the best base learning rate."""
    lr = source.best_lr(plan.workload.metric, plan.workload.higher_is_better)
    if lr is None:
        return None
    logs = np.array([_recorded(run, rule) for run in source.runs_at(lr)])
    logs, notes = without_gaps(logs)
    if logs.size == 0:
        return None
    norms = np.exp(np.log(logs).mean(axis=0))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RefinementWarning)
        refinement: Refinement = refine(norms, rule="adam" if rule == "adam" else "sgd", smoothing=smoothing)
    notes.extend(str(warning.message) for warning in caught)
    return RefinementRound(name, source_name, lr, norms, refinement, tuple(notes))


def _recorded(run: RunResult, rule: str) -> Array:
    return run.l1 if NORM_OF_RULE[rule] == "l1" else run.l2


def _caps(schedule: ScheduleReplay, metric: str, higher_is_better: bool, rule: str, smoothing: float) -> Array | None:
    """Gradient bounds from recorded norms: the L2 norm, or for Adam the square root of the L1 norm (same weights)."""
    runs = schedule.runs_at(schedule.best_lr(metric, higher_is_better))
    if not runs or not all(np.isfinite(_recorded(run, rule)).all() and _recorded(run, rule).all() for run in runs):
        return None
    norms = smooth_norms(np.exp(np.mean([np.log(_recorded(run, rule)) for run in runs], axis=0)), smoothing)
    return np.sqrt(norms) if rule == "adam" else norms


def _bound(steps: Array, caps: Array | None) -> float:
    return math.nan if caps is None or not steps.any() else float(tune_base_lr(steps, D=1.0, G=caps).value)
