"""Batches for a run: made ahead of the steps that need them, in page-locked memory, where the device gains by it."""

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from lastiterate.experiments.workloads.protocol import Workload

from .distributed import shard, world

__all__ = ["HostBatch", "upcoming"]

HostBatch = tuple[int, tuple[Tensor, ...]]
"""Number of examples of the whole batch, and this process's part of it."""

_AHEAD = 2


def upcoming(workload: Workload, seed: int, steps: Sequence[int], device: torch.device) -> Generator[HostBatch]:
    """Yield the batches of ``steps`` in order.

    For an accelerator a thread makes the next batches while the device computes, and puts them into page-locked
    memory, without which a copy to the device waits. On the CPU a batch is made when it is asked for.

    >>> from lastiterate.experiments.workloads.protocol import load_workload
    >>> count, (inputs, labels) = next(upcoming(load_workload("digits_mlp"), 0, range(3), torch.device("cpu")))
    >>> count, tuple(inputs.shape)
    (32, (32, 64))
    """
    rank, n_processes = world()

    def make(step: int) -> HostBatch:
        batch = workload.batch(seed, step)
        mine = shard(batch, n_processes, rank)
        return len(batch[0]), tuple(part.pin_memory() for part in mine) if device.type == "cuda" else mine

    if device.type == "cpu":
        yield from map(make, steps)
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    waiting: list[Future[HostBatch]] = []
    try:
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > _AHEAD:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
