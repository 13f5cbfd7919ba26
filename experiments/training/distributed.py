"""Several processes that train one model: started by torchrun, one device each."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lastiterate.theory.base.validation import InputError

__all__ = [
    "check_device",
    "launched_rank",
    "of_each",
    "of_first",
    "process_group",
    "replicate",
    "shard",
    "summed",
    "world",
]


def check_device(device: str | torch.device) -> torch.device:
    """Return the device if this machine has it; under torchrun ``"cuda"`` means the device of the local rank.

    Parameters
    ----------
    device : str or torch.device

    Returns
    -------
    torch.device

    Raises
    ------
    InputError
        If torch does not know the device or finds none.

    Examples
    --------
    >>> check_device("cpu")
    device(type='cpu')
    """
    expected = "'cpu', or an accelerator that torch finds on this machine, such as 'cuda' or 'cuda:0'"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError("device", str(device), expected) from error
    if found.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError("device", f"{device}, but torch finds no CUDA device", expected)
        if found.index is None and "LOCAL_RANK" in os.environ:
            found = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if found.index is not None and found.index >= torch.cuda.device_count():
            raise InputError("device", f"{device}, but there are {torch.cuda.device_count()} CUDA devices", expected)
    elif found.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device", f"{device}, but torch finds no MPS device", expected)
    elif found.type not in ("cpu", "mps"):
        raise InputError("device", str(device), expected)
    return found


@contextmanager
def process_group(device: torch.device) -> Generator[None]:
    """Join the processes that torchrun started, if any, for the length of the block."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def launched_rank() -> int:
    """Return the rank that torchrun gave this process, 0 if it was started alone; known before and after training."""
    return int(os.environ.get("RANK", "0"))


def world() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; (0, 1) alone.

    >>> world()
    (0, 1)
    """
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def shard(batch: tuple[Tensor, ...], n_parts: int, part: int) -> tuple[Tensor, ...]:
    """Return one of ``n_parts`` nearly equal slices of a batch.

    >>> [part.tolist() for part in (shard((torch.arange(5),), 2, 0)[0], shard((torch.arange(5),), 2, 1)[0])]
    [[0, 1], [2, 3, 4]]
    """
    size = len(batch[0])
    return tuple(tensor[part * size // n_parts : (part + 1) * size // n_parts] for tensor in batch)


def replicate(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap the model so that gradients are averaged over the processes, if this one belongs to a group."""
    if not (dist.is_available() and dist.is_initialized()):
        return model
    ids = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=ids)


def summed(values: Tensor) -> Tensor:
    """Return the sum over the processes, in the place of ``values``.

    >>> summed(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    if world()[1] > 1:
        dist.all_reduce(values)
    return values


def of_first(value: Any) -> Any:
    """Return what the first process has, so that all processes decide alike; a broadcast.

    >>> of_first(3)
    3
    """
    if world()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def of_each(value: Any) -> list[Any]:
    """Return what each process has, by rank.

    >>> of_each("mine")
    ['mine']
    """
    if world()[1] == 1:
        return [value]
    values: list[Any] = [None] * world()[1]
    dist.all_gather_object(values, value)
    return values
