"""Carrying out the runs of a replay: one by one, in parallel processes, or many at once."""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from lastiterate.experiments.training.distributed import launched_rank
from lastiterate.experiments.training.finished import FinishedRun
from lastiterate.experiments.training.train import RunResult, TrainingSettings, train
from lastiterate.experiments.workloads.protocol import Workload, load_workload
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.validation import Array

from .splits import Split, evaluated_on

__all__ = ["Plan", "Task", "counting_runs", "execute"]

ENSEMBLE = 32


@dataclass(frozen=True)
class Task:
    """One run to do; plain data, so that it travels to other processes."""

    workload: "Workload | str"
    size: str
    data: str | None
    schedule: str
    steps: Array
    base_lr: float
    seed: int
    optimizer: str
    settings: TrainingSettings
    checkpoint_folder: str | None
    checkpoint_minutes: float
    split: Split = "test"


@dataclass(frozen=True)
class Plan:
    """What is the same for all runs of one workload, and how runs are carried out."""

    template: Task
    workload: Workload
    tuning_metric: str
    tuning_seeds: range
    report_seeds: range
    extensions: int
    bisections: int
    n_jobs: int
    vectorise: bool
    report_progress: Callable[[int, int], None]
    on_run: Callable[[FinishedRun], object] | None = None


def execute(tasks: list[Task], plan: Plan) -> list[RunResult]:
    """Do the runs, in the plan's manner, and return their results in the same order."""
    plan.report_progress(0, len(tasks))
    work = _run_together if plan.vectorise else _run_each
    size = min(ENSEMBLE, math.ceil(len(tasks) / plan.n_jobs)) if plan.vectorise else 1
    chunks = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    if plan.n_jobs == 1:
        finished: Any = map(work, chunks)
    else:
        from joblib import Parallel, delayed

        finished = Parallel(n_jobs=plan.n_jobs, return_as="generator")(delayed(work)(chunk) for chunk in chunks)
    results: list[RunResult] = []
    for chunk in finished:
        if plan.on_run is not None and launched_rank() == 0:
            for task, found in zip(tasks[len(results) :], chunk, strict=False):
                name = plan.workload.name
                plan.on_run(FinishedRun(name, task.schedule, task.optimizer, task.split, task.steps, found))
        results.extend(chunk)
        plan.report_progress(len(chunk), 0)
    return results


def _run_each(tasks: list[Task]) -> list[RunResult]:
    return [_run(task) for task in tasks]


def _run_together(tasks: list[Task]) -> list[RunResult]:
    from lastiterate.experiments.training.ensemble import train_ensemble

    if len(tasks) == 1:  # nothing to gain, and torch.func.vmap refuses some convolutions over one member
        return _run_each(tasks)
    members = [(task.steps, task.base_lr, task.seed) for task in tasks]
    first = tasks[0]
    return train_ensemble(_workload(first), members, optimizer=first.optimizer, settings=first.settings)


def _run(task: Task) -> RunResult:
    workload = _workload(task)
    checkpoint = None
    if task.checkpoint_folder is not None:
        identity = (workload.name, task.size, task.schedule, task.steps.tobytes(), task.base_lr, task.seed)
        key = sha256(repr((*identity, task.optimizer, asdict(task.settings))).encode()).hexdigest()[:24]
        checkpoint = Path(task.checkpoint_folder, f"{key}.pt")
    return train(
        workload,
        task.steps,
        task.base_lr,
        task.seed,
        optimizer=task.optimizer,
        settings=task.settings,
        checkpoint=checkpoint,
        checkpoint_minutes=task.checkpoint_minutes,
    )


def _workload(task: Task) -> Workload:
    given = task.workload
    whole = _loaded_once(given, task.size, task.data) if isinstance(given, str) else given
    return evaluated_on(whole, task.split)


@lru_cache(maxsize=8)
def _loaded_once(name: str, size: str, data: str | None) -> Workload:
    return load_workload(name, size=size, data=data)


@contextmanager
def counting_runs(wanted: bool | None) -> Generator[Callable[[int, int], None]]:
    """Yield ``advance(done, more)`` for a bar whose total grows as work becomes known; one process of many shows it."""
    shown = wanted if launched_rank() == 0 else False
    known = 0
    with progress_bar("runs", 0, shown=shown, unit="runs") as update:

        def advance(done: int, more: int) -> None:
            nonlocal known
            known += more
            update(advance=done, total=known)

        yield advance
