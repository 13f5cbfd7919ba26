"""One training run: a workload, a schedule, a base learning rate, a seed."""

import hashlib
import math
import time
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lastiterate.experiments.workloads.protocol import Workload
from lastiterate.theory.base.validation import Array, check_steps

from .averaging import WeightAverage
from .batches import upcoming
from .checkpoints import load_checkpoint, random_state, save_checkpoint, set_random_state
from .distributed import check_device, of_each, of_first, replicate, world
from .environment import environment
from .optimizers import evaluating, make_optimizer
from .recorder import GradNormRecorder
from .schedule import ScheduleLR
from .settings import TrainingSettings
from .stepping import State, collect, one_step

__all__ = ["RunResult", "StandstillWarning", "TrainingSettings", "train"]

CHECK_EVERY = 50

# dropout must differ between the processes of one run
_PROCESS_STRIDE = 1_000_003


class StandstillWarning(UserWarning):
    """Training left all parameters where they were."""


@dataclass(frozen=True, repr=False)
class RunResult:
    """What one run gave.

    Attributes
    ----------
    base_lr : float
    seed : int
    final : dict
        Evaluation after the last step; empty for a run that diverged.
    losses : float64[steps taken]
        Loss of each batch, before the step.
    l1, l2 : float64[steps taken]
        Gradient norms before clipping.
    diverged_at : int or None
        First step whose loss is not finite (the number of steps, if only the final evaluation is not).
    seconds : float
    """

    base_lr: float
    seed: int
    final: dict[str, float]
    losses: Array
    l1: Array
    l2: Array
    diverged_at: int | None = None
    seconds: float = 0.0

    def __repr__(self) -> str:
        """Show the outcome."""
        outcome = f"diverged_at={self.diverged_at}" if self.diverged_at is not None else f"final={self.final}"
        return f"RunResult(base_lr={self.base_lr:g}, seed={self.seed}, {outcome})"


def train(
    workload: Workload,
    steps: npt.ArrayLike,
    base_lr: float,
    seed: int = 0,
    *,
    optimizer: str | None = None,
    settings: TrainingSettings | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_minutes: float = 10.0,
    stop_after: int | None = None,
) -> RunResult:
    """Train a workload once and evaluate it.

    Parameters
    ----------
    workload : Workload
    steps : array_like, shape (n,)
        Schedule, multipliers of ``base_lr``; its length is the horizon.
    base_lr : float
    seed : int
        Decides the initial weights, the order of the data and every other random choice, whatever the schedule.
    optimizer : str, optional
        Specification, see `make_optimizer`; default that of the workload.
    settings : TrainingSettings, optional
    checkpoint : str or Path, optional
        File from which the run resumes if it exists, and to which it saves its state, at the end too. On the CPU a
        resumed run is bitwise equal to an uninterrupted one.
    checkpoint_minutes : float
        Minutes between two checkpoints.
    stop_after : int, optional
        Stop before this step, with a checkpoint, as an interruption would.

    Returns
    -------
    RunResult
        A run whose loss stops being finite is reported as diverged, with its step; that is no error.

    Raises
    ------
    InputError
        For a device that is absent, an unknown optimiser, or a checkpoint of another configuration.

    Examples
    --------
    >>> from lastiterate.experiments.workloads.protocol import load_workload
    >>> train(load_workload("digits_logistic"), [1.0, 0.5], 0.1).losses.round(3).tolist()
    [2.303, 2.273]
    """
    settings = settings or TrainingSettings()
    values = check_steps(steps)
    spec = optimizer or workload.optimizer
    device = check_device(settings.device)
    configuration = _configuration(workload, values, base_lr, seed, spec, settings)
    saved = None if checkpoint is None else load_checkpoint(checkpoint, configuration)
    begin = time.perf_counter()
    with environment(device=device, seed=seed, threads=settings.threads, deterministic=settings.deterministic):
        state = _prepare(workload, values, base_lr, spec, settings, device)
        torch.manual_seed(seed + _PROCESS_STRIDE * world()[0])
        first = 0 if saved is None else _restore(state, saved, device)
        runner = _compiled(replicate(state.model, device), settings)
        saved_at = time.monotonic()
        diverged_at = None
        start = _some_numbers(state.model)
        steps_left = range(first, values.size)
        with closing(upcoming(workload, seed, steps_left, device)) as batches:
            for step in steps_left:
                if checkpoint is not None and (step == stop_after or _is_due(step, saved_at, checkpoint_minutes)):
                    _save(checkpoint, configuration, state, step, device)
                    saved_at = time.monotonic()
                if step == stop_after:
                    break
                one_step(workload, runner, state, next(batches), settings, device)
                if (step + 1) % CHECK_EVERY == 0 or step + 1 == values.size:
                    diverged_at = collect(state)
                    if diverged_at is not None:
                        break
        if checkpoint is not None and diverged_at is None and stop_after is None:
            _save(checkpoint, configuration, state, values.size, device)
        final = {} if diverged_at is not None else _evaluate(workload, state)
        if first == 0 and stop_after is None and diverged_at is None and torch.equal(start, _some_numbers(state.model)):
            _warn_of_standstill(spec, base_lr, state)
    if diverged_at is None and not all(math.isfinite(value) for value in final.values()):
        diverged_at, final = values.size, {}
    return RunResult(
        base_lr=float(base_lr),
        seed=seed,
        final=final,
        losses=np.asarray(state.losses, dtype=np.float64)[:diverged_at],
        l1=state.recorder.l1[:diverged_at],
        l2=state.recorder.l2[:diverged_at],
        diverged_at=diverged_at,
        seconds=time.perf_counter() - begin,
    )


def _is_due(step: int, saved_at: float, minutes: float) -> bool:
    """Whether it is time for a checkpoint; several processes ask the first one, now and then, not at every step."""
    if world()[1] > 1 and step % CHECK_EVERY:
        return False
    return of_first(time.monotonic() - saved_at > 60.0 * minutes)


def _some_numbers(model: nn.Module) -> Tensor:
    """The first numbers of every parameter, enough to see whether any of them moves."""
    parts = [parameter.detach().flatten()[:16].float() for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat(parts) if parts else torch.zeros(0)


def _warn_of_standstill(spec: str, base_lr: float, state: State) -> None:
    """Warn of an optimizer that does not train, although it had gradients and a learning rate."""
    if max(state.scheduler.steps) > 0.0 and state.recorder.l2.max(initial=0.0) > 0.0:
        text = f"{spec} at base learning rate {base_lr:g} moved no parameter in {len(state.recorder)} steps"
        warnings.warn(text, StandstillWarning, stacklevel=3)


def _configuration(
    workload: Workload, steps: Array, base_lr: float, seed: int, spec: str, settings: TrainingSettings
) -> dict[str, Any]:
    """What must be equal for a checkpoint to be of this run; the device may change, the result's bits then do too."""
    return {
        "workload": workload.name,
        "optimizer": spec,
        "base_lr": float(base_lr),
        "seed": seed,
        "n_steps": int(steps.size),
        "schedule": hashlib.sha256(steps.tobytes()).hexdigest()[:16],
        **{f"settings.{key}": value for key, value in asdict(settings).items() if key not in ("device", "threads")},
    }


def _prepare(
    workload: Workload, steps: Array, base_lr: float, spec: str, settings: TrainingSettings, device: torch.device
) -> State:
    model = workload.build_model().to(device)
    optimizer = make_optimizer(spec, model.parameters(), base_lr)
    return State(
        model=model,
        optimizer=optimizer,
        scheduler=ScheduleLR(optimizer, steps),
        recorder=GradNormRecorder(optimizer),
        scaler=torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16"),
        average=WeightAverage(settings.average, model, optimizer, steps.size) if settings.average else None,
    )


def _compiled(model: nn.Module, settings: TrainingSettings) -> Any:
    return torch.compile(model) if settings.compile else model


def _evaluate(workload: Workload, state: State) -> dict[str, float]:
    state.model.eval()
    with evaluating(state.optimizer):
        values: Mapping[str, float] = workload.evaluate(state.model)
    state.model.train()
    found = {key: float(value) for key, value in values.items()}
    if state.average is not None:
        averaged: Mapping[str, float] = workload.evaluate(state.average.model.eval())
        found |= {f"{key} of the average": float(value) for key, value in averaged.items()}
    return of_first(found)


def _save(path: str | Path, configuration: Mapping[str, Any], state: State, step: int, device: torch.device) -> None:
    collect(state)
    random = of_each(random_state(device))
    if world()[0] > 0:
        return
    parts = {name: part.state_dict() for name, part in state.parts().items()}
    progress = {"step": step, "losses": state.losses, "recorder": state.recorder.state_dict()}
    save_checkpoint(path, configuration, {**parts, **progress, "random": random})


def _restore(state: State, saved: Mapping[str, Any], device: torch.device) -> int:
    """Put everything where the checkpoint left it and return the step to come."""
    for name, part in state.parts().items():
        part.load_state_dict(saved[name])
    state.recorder.load_state_dict(saved["recorder"])
    state.losses = list(saved["losses"])
    if world()[0] < len(saved["random"]):  # a process more than were saved keeps its own fresh generator
        set_random_state(saved["random"][world()[0]], device)
    return int(saved["step"])
