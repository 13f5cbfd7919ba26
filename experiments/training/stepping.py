"""One step of a run: gradient of a batch, in parts and over processes, its norms, and the optimizer's move."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lastiterate.experiments.workloads.protocol import Workload
from lastiterate.theory.base.validation import InputError

from .averaging import WeightAverage
from .batches import HostBatch
from .distributed import shard, summed, world
from .optimizers import step_arguments
from .recorder import GradNormRecorder
from .schedule import ScheduleLR
from .settings import PRECISIONS, TrainingSettings

__all__ = ["State", "collect", "one_step"]

# halvings of the loss scale until a gradient that is still not finite is taken to be so; from 2^24 this reaches 2^-23
_ATTEMPTS = 48


@dataclass
class State:
    """What changes during a run."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: ScheduleLR
    recorder: GradNormRecorder
    scaler: torch.amp.GradScaler
    losses: list[float] = field(default_factory=list[float])
    pending: list[Tensor] = field(default_factory=list[Tensor])
    checked: int = 0
    average: WeightAverage | None = None

    def parts(self) -> dict[str, Any]:
        """Return what has a state of its own, by name."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "scaler": self.scaler}
        return parts if self.average is None else {**parts, "average": self.average}


def one_step(
    workload: Workload, model: Any, state: State, batch: HostBatch, settings: TrainingSettings, device: torch.device
) -> None:
    """Take one step on a batch.

    A gradient that overflows in fp16 is computed again at half the loss scale, on the same batch, until it is finite:
    every step of the schedule is taken, on the batch that belongs to it, and its norm is recorded once. Where no
    scale helps the optimizer's step is left out, and the schedule does not advance.
    """
    n_examples, host = batch
    mine = tuple(part.to(device, non_blocking=True) for part in host)
    attempt = 0
    while True:
        total = _gradient(workload, model, state, n_examples, mine, settings, device)
        state.scaler.unscale_(state.optimizer)
        overflowed = _overflowed(state)
        attempt += 1
        if not overflowed or attempt == _ATTEMPTS or not math.isfinite(float(summed(total.clone()))):
            break
        state.scaler.step(state.optimizer)  # leaves the step out, as it has seen the overflow
        state.scaler.update()
    state.recorder()
    if settings.clip is not None:
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)
    joint = summed(total.clone()) if getattr(state.optimizer, "needs_loss", False) else total
    state.scaler.step(state.optimizer, **step_arguments(state.optimizer, joint))
    state.scaler.update()
    if not overflowed:
        state.scheduler.step()
    state.pending.append(total)


def _gradient(
    workload: Workload,
    model: Any,
    state: State,
    n_examples: int,
    mine: tuple[Tensor, ...],
    settings: TrainingSettings,
    device: torch.device,
) -> Tensor:
    """Put the gradient of the mean loss of the whole batch into place; return this process's share of the loss."""
    n_processes = world()[1]
    if n_examples < n_processes * settings.accumulate:
        parts = f"{n_processes * settings.accumulate} parts of a batch of {n_examples}"
        raise InputError("accumulate", parts, "at most one part (and process) an example")
    state.optimizer.zero_grad(set_to_none=True)
    dtype = PRECISIONS[settings.precision]
    total = torch.zeros((), device=device)
    for part in range(settings.accumulate):
        piece = shard(mine, settings.accumulate, part)
        last = part + 1 == settings.accumulate
        with nullcontext() if last or n_processes == 1 else model.no_sync():
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                share = workload.loss(model, piece) * (len(piece[0]) / n_examples)
            # processes average their gradients, so each one's share counts as many times as there are processes
            state.scaler.scale(share * n_processes).backward()
        total += share.detach()
    return total


def _overflowed(state: State) -> bool:
    """Whether the scaler found a gradient that is not finite; one transfer a step, which fp16 alone pays."""
    if not state.scaler.is_enabled():
        return False
    found: dict[Any, Tensor] = state.scaler._per_optimizer_states[id(state.optimizer)]["found_inf_per_device"]  # pyright: ignore[reportPrivateUsage]
    return any(bool(flag) for flag in found.values())


def collect(state: State) -> int | None:
    """Bring the losses to the host; return the first step whose loss is not finite, if any."""
    if state.pending:
        # to the host first: not every accelerator knows float64
        state.losses.extend(summed(torch.stack(state.pending)).cpu().double().tolist())
        state.pending.clear()
    bad = next((k for k in range(state.checked, len(state.losses)) if not math.isfinite(state.losses[k])), None)
    state.checked = len(state.losses) if bad is None else bad
    return bad
