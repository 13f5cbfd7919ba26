"""Replay: baseline, gradient norms, refined schedule; rates chosen on tuning seeds, results on fresh ones."""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lastiterate.experiments.statistics import Plan as StudyPlan
from lastiterate.experiments.statistics import default_plan, read_plan
from lastiterate.experiments.training.distributed import check_device, process_group, world
from lastiterate.experiments.training.finished import FinishedRun
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
from .runs import Plan, Task, counting_runs
from .splits import tuning_metric
from .tuning import centred_grid, report, theory_ratio, tune

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
    n_seeds: int = 10,
    n_tuning_seeds: int = 3,
    plan: "str | Path | StudyPlan | None" = None,
    rule: Literal["sgd", "adam"] | None = None,
    smoothing: float = 0.1,
    rounds: int = 1,
    extensions: int = 6,
    bisections: int = 1,
    settings: TrainingSettings | None = None,
    n_jobs: int | None = None,
    vectorise: bool = False,
    checkpoints: str | Path | None = None,
    checkpoint_minutes: float = 10.0,
    progress: bool | None = None,
    on_run: Callable[[FinishedRun], object] | None = None,
) -> Replay:
    """Find out which schedule is better on a workload, at which base learning rate, and how sure that is.

    Linear decay, the baseline, is trained over the grid of base learning rates on the tuning seeds. The gradient norms
    of its best runs are refined into a new schedule (see `refine`), and theory says where the grid of every other
    schedule has its centre. A grid whose best value lies at an end is extended until it does not. What chooses is the
    validation split; each schedule at its chosen rate is then trained on fresh seeds and judged on the test split.
    For a given seed all runs see the same data in the same order.

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
        Grid of linear decay; default each workload's own, or three decades around the optimiser's usual value. The
        other schedules get its best rate and the two beside it, times theory's ratio of best rates.
    n_seeds : int
        Fresh seeds, which chose nothing: differences, intervals and p values are theirs.
    n_tuning_seeds : int
        Seeds 0, 1, ... on which base learning rates are chosen and norms recorded; the fresh seeds follow them.
    plan : str, Path or Plan, optional
        Contrasts that are tested, a TOML file (see `lastiterate.experiments.statistics.read_plan`). Default
        constant, cosine, wsd and refined against linear decay, as far as they are replayed.
    rule : {"sgd", "adam"}, optional
        Refinement rule; default that of the optimiser.
    smoothing : float
        See `refine`.
    rounds : int
        Refinements: each further one uses the norms of the runs of the one before.
    extensions : int
        How many times the grid of a schedule may be extended.
    bisections : int
        How many times the gaps beside the best rate are halved.
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
    on_run : callable, optional
        Called with a `FinishedRun` after every run, in this process and in the order of the runs: a logger of
        `lastiterate.integrations.tracking`, or a function of yours. What it raises ends the replay.

    Returns
    -------
    Replay
        ``.table()``, ``.ranking()``, ``.save(path)``, ``[workload].comparisons()``; `lastiterate.write_report` makes
        the HTML page.

    Raises
    ------
    InputError
        Naming the argument, its value and what is expected.

    Examples
    --------
    >>> small = {"n_steps": 20, "base_lrs": [3], "extensions": 0, "n_tuning_seeds": 1, "n_seeds": 2, "n_jobs": 1}
    >>> result = replay("digits_logistic", ["constant"], **small)
    >>> [found.contrast.name for found in result["digits_logistic"].comparisons()]
    ['constant - linear']
    """
    settings = settings or TrainingSettings()
    device = check_device(settings.device)
    check_choice(size, "size", SIZES)
    check_count(n_seeds, "n_seeds")
    check_count(n_tuning_seeds, "n_tuning_seeds")
    check_fraction(smoothing, "smoothing")
    if n_steps is not None:
        check_count(n_steps, "n_steps")
    if rule is not None:
        check_choice(rule, "rule", NORM_OF_RULE)
    check_count(rounds, "rounds")
    check_count(extensions, "extensions", minimum=0)
    check_count(bisections, "bisections", minimum=0)
    if not (on_run is None or callable(on_run)):
        raise InputError("on_run", on_run, "a function of a FinishedRun")
    if vectorise and checkpoints is not None:
        raise InputError("vectorise", vectorise, "False beside checkpoints, which belong to single runs")
    names = list(dict.fromkeys([BASELINE, *schedules]))
    study = _study(plan, names)
    loaded = [_load(given, size, data) for given in _as_list(workloads)]
    begin = time.perf_counter()
    with process_group(device), counting_runs(progress) as advance:
        if world()[1] > 1 and n_jobs not in (None, 1):
            raise InputError("n_jobs", n_jobs, f"1 under torchrun: its {world()[1]} processes share every run")
        alone = world()[1] == 1 and device.type == "cpu"
        workers = check_count(n_jobs, "n_jobs") if n_jobs is not None else (os.cpu_count() or 1) if alone else 1
        results: list[WorkloadReplay] = []
        plans = [
            _plan(given, workload, size, data, optimizer, n_tuning_seeds, n_seeds, extensions, bisections, settings,
                  workers, vectorise, checkpoints, checkpoint_minutes, advance, on_run)
            for given, workload in loaded
        ]  # fmt: skip
        shapes = [_shapes(names, plan.workload.n_steps if n_steps is None else n_steps) for plan in plans]
        grids = [_grid(base_lrs, plan) for plan in plans]
        for runs, steps, grid in zip(plans, shapes, grids, strict=True):
            results.append(_replay_one(runs, study, steps, grid, REFINED in names, rule, smoothing, rounds))
    seeds = list(range(n_tuning_seeds + n_seeds))
    facts = provenance(settings, seeds=seeds[n_tuning_seeds:], seconds=time.perf_counter() - begin)
    return Replay(tuple(results), {**facts, "tuning_seeds": seeds[:n_tuning_seeds]})


def _study(plan: "str | Path | StudyPlan | None", names: Sequence[str]) -> StudyPlan:
    """Return the contrasts to test; those of the package as far as their schedules are there, a user's all of them."""
    if plan is None:
        return default_plan().among(names)
    given = plan if isinstance(plan, StudyPlan) else read_plan(plan)
    found = given.among(names)
    if len(found.contrasts) < len(given.contrasts):
        wanted = sorted({name for c in given.contrasts for name in (c.candidate, c.reference)})
        raise InputError("plan", f"contrasts of {', '.join(wanted)}", f"schedules among {', '.join(names)}")
    return found


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
    n_tuning_seeds: int,
    n_seeds: int,
    extensions: int,
    bisections: int,
    settings: TrainingSettings,
    n_jobs: int,
    vectorise: bool,
    checkpoints: str | Path | None,
    checkpoint_minutes: float,
    advance: Callable[[int, int], None],
    on_run: Callable[[FinishedRun], object] | None,
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
    return Plan(
        template=template,
        workload=workload,
        tuning_metric=tuning_metric(workload),
        tuning_seeds=range(n_tuning_seeds),
        report_seeds=range(n_tuning_seeds, n_tuning_seeds + n_seeds),
        extensions=extensions,
        bisections=bisections,
        n_jobs=n_jobs,
        vectorise=vectorise,
        report_progress=advance,
        on_run=on_run,
    )


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
    study: StudyPlan,
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
    direction = plan.workload.higher_is_better
    baseline = shapes[BASELINE]
    done = tune(plan, {BASELINE: baseline}, {BASELINE: grid})
    best = done[BASELINE].best_lr(plan.tuning_metric, direction)
    caps = _caps(done[BASELINE], plan, chosen, smoothing)

    def grids(wanted: dict[str, Array]) -> dict[str, list[float]]:
        known = done[BASELINE].base_lrs if best is None else grid
        return {name: centred_grid(known, best, theory_ratio(steps, baseline, caps)) for name, steps in wanted.items()}

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
        together = {**waiting, name: refined.refinement.steps}
        done |= tune(plan, together, grids(together))
        waiting = {}
    if waiting:
        done |= tune(plan, waiting, grids(waiting))
    names = [*shapes, *(refined.name for refined in refinements)]
    fresh = report(plan, [done[name] for name in names])
    finished = tuple(
        ScheduleReplay(
            name=name,
            steps=done[name].steps,
            runs=done[name].runs,
            report_runs=fresh[name],
            bound=_bound(done[name].steps, caps),
            bound_own=_bound(done[name].steps, _caps(done[name], plan, chosen, smoothing)),
        )
        for name in names
    )
    return WorkloadReplay(
        workload=plan.workload.name,
        metric=plan.workload.metric,
        tuning_metric=plan.tuning_metric,
        higher_is_better=direction,
        optimizer=optimizer,
        rule=chosen,
        baseline=BASELINE,
        schedules=finished,
        rounds=tuple(refinements),
        plan=study.among(names),
        seconds=time.perf_counter() - begin,
    )


def _refine(
    plan: Plan, source: ScheduleReplay, name: str, source_name: str, rule: str, smoothing: float
) -> RefinementRound | None:
    """Refine the geometric mean over seeds of the norms at the best base learning rate."""
    lr = source.best_lr(plan.tuning_metric, plan.workload.higher_is_better)
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


def _caps(schedule: ScheduleReplay, plan: Plan, rule: str, smoothing: float) -> Array | None:
    """Gradient bounds from recorded norms: the L2 norm, or for Adam the square root of the L1 norm (same weights)."""
    runs = schedule.runs_at(schedule.best_lr(plan.tuning_metric, plan.workload.higher_is_better))
    if not runs or not all(np.isfinite(_recorded(run, rule)).all() and _recorded(run, rule).all() for run in runs):
        return None
    norms = smooth_norms(np.exp(np.mean([np.log(_recorded(run, rule)) for run in runs], axis=0)), smoothing)
    return np.sqrt(norms) if rule == "adam" else norms


def _bound(steps: Array, caps: Array | None) -> float:
    return math.nan if caps is None or not steps.any() else float(tune_base_lr(steps, D=1.0, G=caps).value)
