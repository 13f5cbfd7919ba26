"""Run by torchrun in two processes: the learning rates that accelerate plays, the scheduler prepared or not."""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator

import lastiterate as li


def rates(*, prepared):
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = li.torch.ScheduleLR(optimizer, li.schedules.linear(8))
    model, optimizer, loader = accelerator.prepare(model, optimizer, torch.utils.data.DataLoader(torch.ones(32, 3), 4))
    if prepared:
        scheduler = accelerator.prepare(scheduler)
    seen = []
    for batch in list(loader)[:4]:
        accelerator.backward(model(batch).square().mean())
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return accelerator.num_processes, seen


found = {"apart": rates(prepared=False), "prepared": rates(prepared=True)}
if torch.distributed.get_rank() == 0:
    Path(sys.argv[1]).write_text(json.dumps(found))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
sys.stdout.flush()
os._exit(0)  # a thread of torch that wants the interpreter while it ends would abort the process
