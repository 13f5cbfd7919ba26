"""Recording the gradient norms of a transformer: at most three per cent of a training step."""

import time

import pytest
import torch

from lastiterate.experiments.training.optimizers import make_optimizer
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.experiments.workloads.protocol import load_workload


def cost(function):
    begin = time.process_time()
    function()
    return time.process_time() - begin


@pytest.mark.parametrize("name", ["language_model", "vision_transformer"])
def test_recorder_vs_training_step(benchmark, name):
    torch.set_num_threads(1)
    workload = load_workload(name)
    torch.manual_seed(0)
    model = workload.build_model()
    optimizer = make_optimizer(workload.optimizer, model.parameters(), 1e-3)
    recorder = GradNormRecorder(optimizer, every=50)
    batch = workload.batch(0, 0)

    def step():
        optimizer.zero_grad()
        workload.loss(model, batch).backward()
        optimizer.step()

    step()
    # the least time of each, taken in turns, so that a busy machine disturbs both alike
    step_costs, record_costs = [], []
    for _ in range(100):
        step_costs.append(cost(step))
        record_costs.append(cost(recorder))
    ratio = min(record_costs) / min(step_costs)
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(recorder, rounds=50)
