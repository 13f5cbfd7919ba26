"""What a step of training costs, found without a device and without data: fake tensors have shapes and no values.

Model, loss and gradient run under torch's FakeTensorMode on the meta device, in place of an accelerator. A tensor that
was left on the CPU meets those of the model there exactly as it would on a GPU, and is reported.
"""

import contextlib
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorDeviceMismatchError,
    FakeTensorMode,
)
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from lastiterate.experiments.workloads.outline import Outline
from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import InputError, check_count

from .optimizers import make_optimizer, step_arguments

__all__ = ["Footprint", "Traced", "footprint", "state_bytes", "trace"]

DEVICE = torch.device("meta")

# their steps read values or make tensors of their own, which fake tensors do not allow
READ_VALUES = ("dadapt", "prodigy", "momo", "mechanic", "madgrad", "mirror_madgrad")
_SMALL = 3


@dataclass(frozen=True)
class Footprint:
    """Memory and arithmetic of one run.

    Attributes
    ----------
    n_parameters : int
        Numbers that are trained.
    weights, gradients, state, activations : int
        Bytes of parameters and buffers, of gradients, of the optimizer's state, and of what the forward pass saves for
        the backward pass. The last is counted in single precision and with attention by its formula: autocast and
        fused kernels need less, never more.
    flops : int
        Floating-point operations of a step, forward and backward, in matrix products, convolutions and attention.
    scaled : bool
        Whether the state was counted on a small copy of the parameters and scaled, because the optimizer reads values.
    """

    n_parameters: int
    weights: int
    gradients: int
    state: int
    activations: int
    flops: int
    scaled: bool

    @property
    def memory(self) -> int:
        """Bytes in all, without the allocator's waste and the kernels' workspace."""
        return self.weights + self.gradients + self.state + self.activations


@dataclass(frozen=True)
class Traced:
    """A workload after one forward and backward pass on fake tensors: a model with gradients, and what was counted."""

    name: str
    model: nn.Module
    mode: FakeTensorMode
    activations: int
    flops: int
    loss: Tensor = field(repr=False)


def footprint(outlined: Outline, optimizer: str | None = None, *, accumulate: int = 1) -> Footprint:
    """Count what a step of a workload with an optimizer takes.

    Parameters
    ----------
    outlined : Outline
        See `lastiterate.experiments.workloads.outline.outline`.
    optimizer : str, optional
        Specification; default that of the workload.
    accumulate : int
        Parts of a batch, one of which is in memory at a time.

    Returns
    -------
    Footprint

    Raises
    ------
    InputError
        If a tensor is on another device than the model, if the loss reads values, or for an unknown optimizer.

    Examples
    --------
    >>> from lastiterate.experiments.workloads.outline import outline
    >>> cost = footprint(outline("digits_logistic"), "adam")
    >>> cost.n_parameters, cost.weights, cost.flops == 2 * 2 * 32 * 64 * 10
    (650, 2600, True)
    """
    traced = trace(outlined, accumulate=accumulate)
    parameters = list(traced.model.parameters())
    state, scaled = state_bytes(traced, optimizer or outlined.workload.optimizer)
    return Footprint(
        n_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        weights=sum(map(_bytes, [*parameters, *traced.model.buffers()])),
        gradients=sum(_bytes(p.grad) for p in parameters if p.grad is not None),
        state=state,
        activations=traced.activations,
        flops=traced.flops,
        scaled=scaled,
    )


def trace(outlined: Outline, *, accumulate: int = 1) -> Traced:
    """Run the forward and backward pass of a workload on fake tensors, and count.

    Parameters
    ----------
    outlined : Outline
    accumulate : int
        Parts of a batch; the largest one is traced, and its arithmetic scaled to the batch.

    Returns
    -------
    Traced

    Raises
    ------
    InputError
        If a tensor is on another device than the model, or the loss reads values.

    Examples
    --------
    >>> from lastiterate.experiments.workloads.outline import outline
    >>> trace(outline("digits_mlp"), accumulate=4).loss.device.type
    'meta'
    """
    workload, shapes = outlined.workload, outlined.shapes
    count = shapes[0].shape[0]
    if check_count(accumulate, "accumulate") > count:
        raise InputError("accumulate", accumulate, f"at most the {count} examples of a batch")
    part = -(-count // accumulate)
    saved: dict[int, Any] = {}
    with _reported(workload.name), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model = _moved(workload.build_model())
        batch = tuple(torch.empty((part, *c.shape[1:]), dtype=getattr(torch, c.dtype), device=DEVICE) for c in shapes)
        own = {_key(tensor) for tensor in [*model.parameters(), *model.buffers()]}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.device == DEVICE and _key(tensor) not in own:
                saved[_key(tensor)] = tensor.untyped_storage()
            return tensor

        counter = FlopCounterMode(display=False)
        with counter, saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = workload.loss(model, batch)
            loss.backward()
        if loss.device != DEVICE:
            raise InputError(
                "workload", f"{workload.name} with a loss on {loss.device}", "a loss on the model's device"
            )
    return Traced(
        name=workload.name,
        model=model,
        mode=mode,
        activations=sum(storage.nbytes() for storage in saved.values()),
        flops=round(counter.get_total_flops() * count / part),
        loss=loss.detach(),
    )


def state_bytes(traced: Traced, spec: str) -> tuple[int, bool]:
    """Return the bytes of an optimizer's state, and whether they were scaled from a small copy.

    Parameters
    ----------
    traced : Traced
    spec : str
        Specification of the optimizer.

    Returns
    -------
    state : int
        Bytes.
    scaled : bool

    Raises
    ------
    InputError
        For an unknown optimizer, or one that keeps state on another device than the parameters.

    Examples
    --------
    >>> from lastiterate.experiments.workloads.outline import outline
    >>> state_bytes(trace(outline("digits_logistic")), "momentum")
    (2600, False)
    """
    name, _ = parse_spec(spec, "optimizer")
    parameters = [p for p in traced.model.parameters() if p.grad is not None]
    if not name.replace("-", "_").startswith(READ_VALUES):
        with contextlib.suppress(DataDependentOutputException), _reported(f"{traced.name} with {spec}"), traced.mode:
            optimizer = make_optimizer(spec, parameters)
            optimizer.step(**step_arguments(optimizer, traced.loss))
            _check_placement(optimizer, spec)
            return sum(_sizes(optimizer.state, {})), False
    small = [_shrunk(parameter) for parameter in parameters]
    optimizer = make_optimizer(spec, small)
    for _ in range(2):
        optimizer.step(**step_arguments(optimizer, torch.ones(())))
    full = {id(few): parameter for few, parameter in zip(small, parameters, strict=True)}
    return sum(_sizes(optimizer.state, full)), True


def _moved(model: nn.Module) -> nn.Module:
    """Move parameters and buffers, as ``model.to(device)`` does, which refuses the meta device under fake tensors."""
    moved: dict[int, Tensor] = {}

    def elsewhere(tensor: Tensor) -> Tensor:
        if id(tensor) not in moved:
            empty = torch.empty_like(tensor, device=DEVICE)
            learnt = isinstance(tensor, nn.Parameter)
            moved[id(tensor)] = nn.Parameter(empty, requires_grad=tensor.requires_grad) if learnt else empty
        return moved[id(tensor)]

    for module in model.modules():
        own = [
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        ]
        for name, tensor in own:
            setattr(module, name, elsewhere(tensor))
    return model


@contextlib.contextmanager
def _reported(name: str) -> Generator[None]:
    """Say what a workload does that a device would refuse."""
    try:
        yield
    except FakeTensorDeviceMismatchError as error:
        first = str(error).partition("\n")[0]
        raise InputError("workload", f"{name} ({first})", "all tensors on the device of the model") from error
    except DataDependentOutputException as error:
        if " with " in name:  # an optimizer that reads values is counted in another way
            raise
        raise InputError("workload", f"{name} (reads a value: {error.func})", "a loss that reads no values") from error


def _check_placement(optimizer: torch.optim.Optimizer, spec: str) -> None:
    for tensor in _tensors(optimizer.state):
        if tensor.numel() > 1 and tensor.device != DEVICE:
            raise InputError("optimizer", f"{spec} with state on {tensor.device}", "state on the parameters' device")


def _tensors(value: Any) -> Generator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _sizes(value: Any, full: Mapping[int, Tensor], owner: Tensor | None = None) -> Generator[int]:
    """Bytes of the tensors in a state; one with the dimensions of its small parameter grows with it."""
    if isinstance(value, Tensor):
        yield value.element_size() * (value.numel() if owner is None else _grown(value, owner, full[id(owner)]))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _sizes(part, full, key if id(key) in full else owner)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _sizes(part, full, owner)


def _grown(value: Tensor, few: Tensor, full: Tensor) -> int:
    """Entries of a state of the full parameter: along each dimension as many as the parameter, or as the state has."""
    if value.ndim == few.ndim:
        lengths = zip(value.shape, few.shape, full.shape, strict=True)
        return math.prod(whole if own == small else own for own, small, whole in lengths)
    return full.numel() if value.numel() == few.numel() else value.numel()


def _shrunk(parameter: Tensor) -> nn.Parameter:
    """A real parameter with few entries along each dimension, and a gradient."""
    generator = torch.Generator().manual_seed(parameter.numel())
    shape = [min(length, _SMALL) for length in parameter.shape]
    few = nn.Parameter(torch.randn(shape, generator=generator, dtype=parameter.dtype))
    few.grad = torch.randn(shape, generator=generator, dtype=parameter.dtype)
    return few


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]
