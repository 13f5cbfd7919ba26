"""One training run: a workload, a schedule, a base learning rate, a seed."""

import hashlib
import math
import os
import time
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lastiterate.experiments.workloads.protocol import Workload
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_count, check_positive, check_steps

from .checkpoints import load_checkpoint, random_state, save_checkpoint, set_random_state
from .distributed import check_device, of_first, replicate, shard, summed, world
from .optimizers import evaluating, make_optimizer, step_arguments
from .recorder import GradNormRecorder
from .schedule import ScheduleLR

__all__ = ["RunResult", "StandstillWarning", "TrainingSettings", "train"]

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CHECK_EVERY = 50

# dropout must differ between the processes of one run
_PROCESS_STRIDE = 1_000_003


class StandstillWarning(UserWarning):
    """Training left all parameters where they were."""


@dataclass(frozen=True)
class TrainingSettings:
    """How runs are carried out; the defaults suit a small model on the CPU.

    Attributes
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
    precision : {"float32", "bf16", "fp16"}
        Mixed precision by autocast; ``"fp16"`` scales the loss.
    clip : float, optional
        Largest L2 norm of the gradient; norms are recorded before clipping.
    accumulate : int
        Number of parts in which the gradient of a batch is computed.
    compile : bool
        Whether the model goes through ``torch.compile``.
    deterministic : bool
        Whether torch must refuse nondeterministic kernels.
    threads : int
        Threads of one run on the CPU; one is fastest for small models, and results depend on it in the last bits.
    """

    device: str = "cpu"
    precision: str = "float32"
    clip: float | None = None
    accumulate: int = 1
    compile: bool = False
    deterministic: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        """Check every field."""
        check_device(self.device)
        check_choice(self.precision, "precision", PRECISIONS)
        if self.clip is not None:
            check_positive(self.clip, "clip")
        check_count(self.accumulate, "accumulate")
        check_count(self.threads, "threads")


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


@dataclass
class _State:
    """What changes during a run."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: ScheduleLR
    recorder: GradNormRecorder
    scaler: torch.amp.GradScaler
    losses: list[float] = field(default_factory=list[float])
    pending: list[Tensor] = field(default_factory=list[Tensor])
    checked: int = 0

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": self.scaler}


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
    """
    settings = settings or TrainingSettings()
    values = check_steps(steps)
    spec = optimizer or workload.optimizer
    device = check_device(settings.device)
    configuration = _configuration(workload, values, base_lr, seed, spec, settings)
    saved = None if checkpoint is None else load_checkpoint(checkpoint, configuration)
    begin = time.perf_counter()
    with _environment(settings, device, seed):
        state = _prepare(workload, values, base_lr, spec, settings, device)
        torch.manual_seed(seed + _PROCESS_STRIDE * world()[0])
        first = 0 if saved is None else _restore(state, saved, device)
        runner = _compiled(replicate(state.model, device), settings)
        saved_at = time.monotonic()
        diverged_at = None
        start = _some_numbers(state.model)
        for step in range(first, values.size):
            if checkpoint is not None:
                due = of_first(time.monotonic() - saved_at > 60.0 * checkpoint_minutes)
                if due or step == stop_after:
                    _save(checkpoint, configuration, state, step, device)
                    saved_at = time.monotonic()
            if step == stop_after:
                break
            _one_step(workload, runner, state, workload.batch(seed, step), settings, device)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == values.size:
                diverged_at = _collect(state)
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


def _some_numbers(model: nn.Module) -> Tensor:
    """The first numbers of every parameter, enough to see whether any of them moves."""
    parts = [parameter.detach().flatten()[:16].float() for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat(parts) if parts else torch.zeros(0)


def _warn_of_standstill(spec: str, base_lr: float, state: _State) -> None:
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


@contextmanager
def _environment(settings: TrainingSettings, device: torch.device, seed: int) -> Generator[None]:
    """Seeded generators, threads and determinism for one run; all of it is put back afterwards."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.set_num_threads(settings.threads)
            torch.use_deterministic_algorithms(deterministic or settings.deterministic)
            torch.backends.cudnn.benchmark = benchmark and not settings.deterministic
            torch.manual_seed(seed)
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)
            torch.backends.cudnn.benchmark = benchmark


def _prepare(
    workload: Workload, steps: Array, base_lr: float, spec: str, settings: TrainingSettings, device: torch.device
) -> _State:
    model = workload.build_model().to(device)
    optimizer = make_optimizer(spec, model.parameters(), base_lr)
    return _State(
        model=model,
        optimizer=optimizer,
        scheduler=ScheduleLR(optimizer, steps),
        recorder=GradNormRecorder(optimizer),
        scaler=torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16"),
    )


def _compiled(model: nn.Module, settings: TrainingSettings) -> Any:
    return torch.compile(model) if settings.compile else model


def _one_step(
    workload: Workload,
    model: Any,
    state: _State,
    batch: tuple[Tensor, ...],
    settings: TrainingSettings,
    device: torch.device,
) -> None:
    """Gradient of the mean loss of the whole batch, in parts and over processes, and one step."""
    rank, n_processes = world()
    if len(batch[0]) < n_processes * settings.accumulate:
        parts = f"{n_processes * settings.accumulate} parts of a batch of {len(batch[0])}"
        raise InputError("accumulate", parts, "at most one part (and process) an example")
    mine = tuple(part.to(device, non_blocking=True) for part in shard(batch, n_processes, rank))
    state.optimizer.zero_grad(set_to_none=True)
    dtype = PRECISIONS[settings.precision]
    total = torch.zeros((), device=device)
    for part in range(settings.accumulate):
        piece = shard(mine, settings.accumulate, part)
        last = part + 1 == settings.accumulate
        with nullcontext() if last or n_processes == 1 else model.no_sync():
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                share = workload.loss(model, piece) * (len(piece[0]) / len(batch[0]))
            # processes average their gradients, so each one's share counts as many times as there are processes
            state.scaler.scale(share * n_processes).backward()
        total += share.detach()
    state.scaler.unscale_(state.optimizer)
    state.recorder()
    if settings.clip is not None:
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)
    joint = summed(total.clone()) if getattr(state.optimizer, "needs_loss", False) else total
    state.scaler.step(state.optimizer, **step_arguments(state.optimizer, joint))
    state.scaler.update()
    state.scheduler.step()
    state.pending.append(total)


def _collect(state: _State) -> int | None:
    """Bring the losses to the host; return the first step whose loss is not finite, if any."""
    if state.pending:
        state.losses.extend(summed(torch.stack(state.pending)).double().tolist())
        state.pending.clear()
    bad = next((k for k in range(state.checked, len(state.losses)) if not math.isfinite(state.losses[k])), None)
    state.checked = len(state.losses) if bad is None else bad
    return bad


def _evaluate(workload: Workload, state: _State) -> dict[str, float]:
    state.model.eval()
    with evaluating(state.optimizer):
        values: Mapping[str, float] = workload.evaluate(state.model)
    state.model.train()
    return of_first({key: float(value) for key, value in values.items()})


def _save(path: str | Path, configuration: Mapping[str, Any], state: _State, step: int, device: torch.device) -> None:
    _collect(state)
    if world()[0] > 0:
        return
    parts = {name: part.state_dict() for name, part in state.parts().items()}
    progress = {"step": step, "losses": state.losses, "recorder": state.recorder.state_dict()}
    save_checkpoint(path, configuration, {**parts, **progress, "random": random_state(device)})


def _restore(state: _State, saved: Mapping[str, Any], device: torch.device) -> int:
    """Put everything where the checkpoint left it and return the step to come."""
    for name, part in state.parts().items():
        part.load_state_dict(saved[name])
    state.recorder.load_state_dict(saved["recorder"])
    state.losses = list(saved["losses"])
    set_random_state(saved["random"], device)
    return int(saved["step"])
