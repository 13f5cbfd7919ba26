"""Sixteen runs of the digits MLP as one ensemble against one after the other: at least three times faster."""

import time

import pytest

from lastiterate.experiments.training.ensemble import train_ensemble
from lastiterate.experiments.training.train import train
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.schedules import cosine, linear

N_STEPS = 100


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_ensemble_of_sixteen_vs_separate_runs(benchmark, full, optimizer):
    workload, n_steps = load_workload("digits_mlp"), N_STEPS if full else 20
    base_lrs = (0.001, 0.003, 0.01, 0.03)
    members = [(s, lr, seed) for s in (linear(n_steps), cosine(n_steps)) for lr in base_lrs for seed in (0, 1)]

    def together():
        train_ensemble(workload, members, optimizer=optimizer)

    def separately():
        for steps, base_lr, seed in members:
            train(workload, steps, base_lr, seed, optimizer=optimizer)

    together()
    ratios = [timed(separately) / timed(together) for _ in range(3 if full else 1)]
    benchmark.extra_info["ratio"] = max(ratios)
    benchmark.pedantic(together, rounds=2)
