"""Many runs of one small model at once: parameters stacked over (schedule, base learning rate, seed), one vmap.

A step of a small model costs more in calls than in arithmetic, so sixteen runs side by side cost little more than
one. Each run sees its own initial weights, batches and learning rates, as `training.train` would give it.
"""

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lastiterate.experiments.workloads.protocol import Workload
from lastiterate.theory.base.validation import Array, InputError, check_positive, check_steps

from .distributed import check_device
from .optimizers import make_optimizer, optimizer_info
from .train import RunResult, TrainingSettings

__all__ = ["train_ensemble"]

# one step is affine in the learning rate and acts entry by entry, so that runs can share one optimizer
VECTORISED = ("sgd", "momentum", "adam", "adamw")

Member = tuple[npt.ArrayLike, float, int]


def train_ensemble(
    workload: Workload,
    members: Sequence[Member],
    *,
    optimizer: str | None = None,
    settings: TrainingSettings | None = None,
    after_step: Callable[[int, Mapping[str, Tensor]], None] | None = None,
) -> list[RunResult]:
    """Train a workload once for every (steps, base_lr, seed), all at the same time.

    Parameters
    ----------
    workload : Workload
        Its model must be one that `torch.func.vmap` takes: no batch normalisation, no dropout from torch's global
        generator, no recurrent layers.
    members : sequence of (steps, base_lr, seed)
        The runs; their schedules, multipliers of their base learning rates, all have the same length.
    optimizer : str, optional
        Specification of one of `VECTORISED`; default that of the workload.
    settings : TrainingSettings, optional
        Device, clipping (of each run on its own) and threads; single precision, without accumulation and compilation.
    after_step : callable, optional
        ``after_step(k, parameters)`` after every step k = 1, 2, ..., with the parameters of all runs by name, the first
        axis over the members; for averages of iterates. What it keeps it must copy.

    Returns
    -------
    list of RunResult
        In the order of ``members``, equal to those of `training.train` up to rounding. A run that diverges does not
        disturb the others. ``seconds`` is the time of the whole ensemble divided by its size.

    Raises
    ------
    InputError
        For schedules of different lengths, an optimizer that does not vectorise, settings that do not apply, or a
        model that vmap does not take.

    Examples
    --------
    >>> from lastiterate.experiments.workloads.protocol import load_workload
    >>> members = [([1.0, 0.5], base_lr, 0) for base_lr in (0.1, 0.2)]
    >>> train_ensemble(load_workload("digits_logistic"), members)[0].losses.round(3).tolist()
    [2.303, 2.273]
    """
    settings = settings or TrainingSettings()
    _check_settings(settings)
    rates, seeds = _rates(members)
    spec = optimizer or workload.optimizer
    if optimizer_info(spec)[0] not in VECTORISED:
        raise InputError("optimizer", spec, f"one of {', '.join(VECTORISED)} for an ensemble")
    device = check_device(settings.device)
    begin = time.perf_counter()
    with _environment(settings):
        template, stacked = _models(workload, seeds, device)
        losses, l1, l2 = _train(workload, template, stacked, rates, seeds, spec, settings.clip, after_step)
        finals = [_evaluate(workload, template, stacked, member) for member in range(len(seeds))]
    seconds = (time.perf_counter() - begin) / len(seeds)
    return [
        _result(float(base_lr), seed, losses[:, i], l1[:, i], l2[:, i], finals[i], seconds)
        for i, (_, base_lr, seed) in enumerate(members)
    ]


def _check_settings(settings: TrainingSettings) -> None:
    for name, expected in (("precision", "float32"), ("accumulate", 1), ("compile", False), ("average", None)):
        if getattr(settings, name) != expected:
            raise InputError(f"settings.{name}", getattr(settings, name), f"{expected!r} for an ensemble")


def _rates(members: Sequence[Member]) -> tuple[Array, list[int]]:
    """Learning rates float64[n_steps, runs] and seeds."""
    if not members:
        raise InputError("members", "an empty sequence", "at least one (steps, base_lr, seed)")
    rows = [check_positive(base_lr, "base_lr") * check_steps(steps) for steps, base_lr, _ in members]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise InputError("members", f"schedules of {lengths} steps", "schedules of one length")
    return np.stack(rows, axis=1), [int(seed) for _, _, seed in members]


@contextmanager
def _environment(settings: TrainingSettings) -> Generator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.set_num_threads(settings.threads)
            torch.use_deterministic_algorithms(deterministic or settings.deterministic)
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)


def _models(
    workload: Workload, seeds: Sequence[int], device: torch.device
) -> tuple[nn.Module, tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """One module as a template, and the stacked parameters and buffers of all runs."""
    models: list[nn.Module] = []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(workload.build_model().to(device))
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]
    return models[0], (parameters, buffers)


def _train(
    workload: Workload,
    template: nn.Module,
    stacked: tuple[dict[str, Tensor], dict[str, Tensor]],
    rates: Array,
    seeds: Sequence[int],
    spec: str,
    clip: float | None,
    after_step: Callable[[int, Mapping[str, Tensor]], None] | None,
) -> tuple[Array, Array, Array]:
    """Train in place; return losses, L1 and L2 norms of the gradients, each float64[n_steps, runs]."""

    def one_loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: tuple[Tensor, ...]) -> Tensor:
        state = {**parameters, **buffers}
        return workload.loss(lambda *values: functional_call(template, state, values), batch)

    parameters, buffers = stacked
    weights = [value for value in parameters.values() if value.requires_grad]
    device = weights[0].device
    distinct, of_member = np.unique(seeds, return_inverse=True)
    rows = torch.as_tensor(of_member)
    all_losses = vmap(one_loss)
    optimizer = make_optimizer(spec, weights, 1.0)
    history: list[Tensor] = []
    for step, lrs in enumerate(rates):
        drawn = [workload.batch(int(seed), step) for seed in distinct]
        batch = tuple(torch.stack(column)[rows].to(device) for column in zip(*drawn, strict=True))
        optimizer.zero_grad(set_to_none=True)
        losses = _vectorised(workload, all_losses, parameters, buffers, batch)
        losses.sum().backward()  # the gradient of a sum over runs is the gradient of each run, side by side
        l1, l2 = _norms(weights)
        if clip is not None:
            _clip(weights, l2, clip)
        _step(optimizer, weights, lrs)
        history.append(torch.stack([losses.detach(), l1, l2]))
        if after_step is not None:
            after_step(step + 1, {name: value.detach() for name, value in parameters.items()})
    table = torch.stack(history, dim=1).cpu().double().numpy()
    return table[0], table[1], table[2]


def _vectorised(workload: Workload, losses: Any, *arguments: Any) -> Tensor:
    try:
        with sdpa_kernel(SDPBackend.MATH):  # vmap knows no rule for the fused attention kernels
            return losses(*arguments)
    except RuntimeError as error:
        message = str(error).partition("\n")[0]
        raise InputError("workload", f"{workload.name} ({message})", "a model that torch.func.vmap takes") from error


def _norms(weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """L1 and L2 norm of each run's gradient."""
    flat = torch.cat([weight.grad.flatten(1) for weight in weights if weight.grad is not None], dim=1)
    return torch.linalg.vector_norm(flat, 1, dim=1), torch.linalg.vector_norm(flat, dim=1)


def _clip(weights: Sequence[Tensor], norms: Tensor, clip: float) -> None:
    """As `torch.nn.utils.clip_grad_norm_`, each run on its own."""
    factors = (clip / (norms + 1e-6)).clamp(max=1.0)
    for weight in weights:
        if weight.grad is not None:
            weight.grad.mul_(_along(factors, weight))


@torch.no_grad()
def _step(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], lrs: Array) -> None:
    """Step with the largest learning rate, then go back along the step to where each run's own one leads."""
    top = float(lrs.max())
    optimizer.param_groups[0]["lr"] = top
    if lrs.min() == top:
        optimizer.step()
        return
    before = [weight.clone() for weight in weights]
    optimizer.step()
    fractions = torch.as_tensor(lrs / top, dtype=weights[0].dtype, device=weights[0].device)
    for weight, old in zip(weights, before, strict=True):
        torch.lerp(old, weight, _along(fractions, weight), out=weight)


def _along(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in like.shape[1:]))


def _evaluate(
    workload: Workload, template: nn.Module, stacked: tuple[dict[str, Tensor], dict[str, Tensor]], member: int
) -> dict[str, float]:
    template.load_state_dict(
        {name: value[member].detach() for part in stacked for name, value in part.items()}, strict=False
    )
    template.eval()
    return {name: float(value) for name, value in workload.evaluate(template).items()}


def _result(
    base_lr: float, seed: int, losses: Array, l1: Array, l2: Array, final: dict[str, float], seconds: float
) -> RunResult:
    """Cut a run at its first loss that is not finite, as a single run would be."""
    bad = np.flatnonzero(~np.isfinite(losses))
    diverged_at = int(bad[0]) if bad.size else None
    if diverged_at is None and not all(math.isfinite(value) for value in final.values()):
        diverged_at = len(losses)
    return RunResult(
        base_lr=base_lr,
        seed=seed,
        final=final if diverged_at is None else {},
        losses=losses[:diverged_at],
        l1=l1[:diverged_at],
        l2=l2[:diverged_at],
        diverged_at=diverged_at,
        seconds=seconds,
    )
