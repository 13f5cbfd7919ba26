"""Run by torchrun in two processes: trains with DDP, and records norms of sharded gradients."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch.distributed.fsdp import fully_shard

import lastiterate as li
from lastiterate.experiments.training.distributed import process_group, world
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.experiments.training.train import TrainingSettings, train
from lastiterate.experiments.workloads.protocol import load_workload

N_STEPS = 12
OPTIMIZERS = ("sgd:momentum=0.9", "adam")


def trained(optimizer, **settings):
    workload = load_workload("digits_mlp")
    return train(
        workload, li.schedules.linear(N_STEPS), 0.01, 3, optimizer=optimizer, settings=TrainingSettings(**settings)
    )


def sharded_norms():
    """Norms of two steps of a model whose parameters are sharded over the processes."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))
    if world()[1] > 1:
        fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = GradNormRecorder(optimizer)
    for step in range(2):
        inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(step))
        rank, n_processes = world()
        optimizer.zero_grad()
        model(inputs.chunk(n_processes)[rank]).square().mean().backward()
        recorder()
        optimizer.step()
    return recorder.l1, recorder.l2


class Noisy:
    """The digits MLP with torch's dropout, whose masks are written down."""

    def __init__(self):
        self.inner, self.masks = load_workload("digits_mlp"), []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def build_model(self):
        first = torch.nn.Dropout(0.3)
        first.register_forward_hook(lambda module, given, out: self.masks.append((out == 0).numpy()))
        return torch.nn.Sequential(first, self.inner.build_model())


def dropout(folder):
    """Losses and last masks of a run with torch's dropout: uninterrupted, and resumed half way."""
    with process_group(torch.device("cpu")):
        rank, found = world()[0], {}
        for name, stops in (("whole", [None]), ("resumed", [6, None])):
            for stop in stops:
                workload = Noisy()
                checkpoint = None if name == "whole" else Path(folder) / "run.pt"
                run = train(workload, li.schedules.linear(N_STEPS), 0.01, checkpoint=checkpoint, stop_after=stop)
            # the last masks of training: those after the resumption, in front of no mask of the evaluation
            found |= {name: np.stack([mask for mask in workload.masks if len(mask) == 16][-6:])}
            found |= {f"{name} losses": run.losses}
        np.savez(Path(folder) / f"masks{rank}.npz", **found)


def main(folder):
    with process_group(torch.device("cpu")):
        runs = {name: trained(name) for name in OPTIMIZERS}
        accumulated = trained(OPTIMIZERS[0], accumulate=2)
        l1, l2 = sharded_norms()
        rank = world()[0]
    arrays = {f"{name} {key}": getattr(run, key) for name, run in runs.items() for key in ("losses", "l1", "l2")}
    arrays |= {f"{name} final": np.array(list(run.final.values())) for name, run in runs.items()}
    np.savez(Path(folder) / f"rank{rank}.npz", accumulated=accumulated.losses, sharded_l1=l1, sharded_l2=l2, **arrays)


if __name__ == "__main__":
    (dropout if sys.argv[2:] == ["dropout"] else main)(sys.argv[1])
    sys.stdout.flush()
    os._exit(0)  # a thread of torch that wants the interpreter while it ends would abort the process
