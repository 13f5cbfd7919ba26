"""Schedules of torch, transformers and optax, played step by step for n steps and one past the end."""

import warnings
from inspect import signature

import numpy as np
import pytest
from helpers import double_precision


def torch_rates(build, n, lr=1.0):
    """Rates of the first n + 1 steps; a scheduler that ends refuses the last one."""
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = build(torch.optim.lr_scheduler, optimizer)
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(n):
            optimizer.step()
            try:
                scheduler.step()
            except ValueError:
                break
            rates.append(optimizer.param_groups[0]["lr"])
    return np.array(rates, dtype=np.float64)


def optax_rates(build, n):
    import optax

    with double_precision():
        schedule = build(optax)
        return np.array([float(schedule(k)) for k in range(n + 1)])


def hf(name, *values, **options):
    """A scheduler of transformers by the end of its name."""

    def build(_, optimizer):
        import transformers.optimization as library

        function = getattr(library, f"get_{name}")
        if unknown := set(options) - set(signature(function).parameters):
            pytest.skip(f"this version of transformers does not know {', '.join(unknown)}")
        return function(optimizer, *values, **options)

    return build


N = 24
TORCH = {
    'parse("linear:minimum=0.1,sampling=k/N", n)': (
        "torch LinearLR(1.0, 0.1, total_iters=n)",
        lambda s, o: s.LinearLR(o, 1.0, 0.1, total_iters=N),
    ),
    'parse("polynomial:power=1.7,sampling=k/N", n)': (
        "torch PolynomialLR(total_iters=n, power=1.7)",
        lambda s, o: s.PolynomialLR(o, N, 1.7),
    ),
    'parse("cosine:minimum=0.1,sampling=k/N", n)': (
        "torch CosineAnnealingLR(T_max=n, eta_min=0.1)",
        lambda s, o: s.CosineAnnealingLR(o, N, 0.1),
    ),
    'exponential(n, end=0.8**n, sampling="k/N")': (
        "torch ExponentialLR(gamma=0.8)",
        lambda s, o: s.ExponentialLR(o, 0.8),
    ),
    'parse("stepwise:milestones=6/15,factor=0.3", n)': (
        "torch MultiStepLR(milestones=[6, 15], gamma=0.3)",
        lambda s, o: s.MultiStepLR(o, [6, 15], 0.3),
    ),
    "stepwise(n, milestones=range(7, n, 7), factor=0.5)": (
        "torch StepLR(step_size=7, gamma=0.5)",
        lambda s, o: s.StepLR(o, 7, 0.5),
    ),
    'parse("one_cycle", n)': (
        "torch OneCycleLR(1.0, total_steps=n)",
        lambda s, o: s.OneCycleLR(o, 1.0, N, cycle_momentum=False),
    ),
    'parse("one_cycle:peak=0.4,kind=linear,start=0.1,end=0.001", n)': (
        'torch OneCycleLR(1.0, total_steps=n, pct_start=0.4, anneal_strategy="linear", div_factor=10, '
        "final_div_factor=100)",
        lambda s, o: s.OneCycleLR(
            o,
            1.0,
            N,
            pct_start=0.4,
            anneal_strategy="linear",
            div_factor=10,
            final_div_factor=100,
            cycle_momentum=False,
        ),
    ),
    'parse("one_cycle:three_phase=true", n)': (
        "torch OneCycleLR(1.0, total_steps=n, three_phase=True)",
        lambda s, o: s.OneCycleLR(o, 1.0, N, three_phase=True, cycle_momentum=False),
    ),
    'parse("cosine_restarts:period=5,factor=2,minimum=0.1,sampling=k/N", n)': (
        "torch CosineAnnealingWarmRestarts(T_0=5, T_mult=2, eta_min=0.1)",
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.1),
    ),
    'parse("cyclic:rise=4,fall=6,base=0.2", n)': (
        "torch CyclicLR(0.2, 1.0, step_size_up=4, step_size_down=6)",
        lambda s, o: s.CyclicLR(o, 0.2, 1.0, 4, 6, cycle_momentum=False),
    ),
    'parse("cyclic:rise=4,base=0.2,mode=triangular2", n)': (
        'torch CyclicLR(0.2, 1.0, step_size_up=4, mode="triangular2")',
        lambda s, o: s.CyclicLR(o, 0.2, 1.0, 4, mode="triangular2", cycle_momentum=False),
    ),
    'parse("cyclic:rise=4,base=0.2,mode=exp_range,gamma=0.95", n)': (
        'torch CyclicLR(0.2, 1.0, step_size_up=4, mode="exp_range", gamma=0.95)',
        lambda s, o: s.CyclicLR(o, 0.2, 1.0, 4, mode="exp_range", gamma=0.95, cycle_momentum=False),
    ),
    'warmup(np.ones(n), 6, start=0.25, sampling="k/N")': (
        "torch LinearLR(0.25, 1.0, total_iters=6)",
        lambda s, o: s.LinearLR(o, 0.25, 1.0, total_iters=6),
    ),
}
TRANSFORMERS = {
    'parse("constant:warmup=5,sampling=k/N", n)': (
        "constant_schedule_with_warmup(5)",
        hf("constant_schedule_with_warmup", 5),
    ),
    'parse("linear:warmup=5,sampling=k/N", n)': (
        "linear_schedule_with_warmup(5, n)",
        hf("linear_schedule_with_warmup", 5, N),
    ),
    'parse("cosine:warmup=5,sampling=k/N", n)': (
        "cosine_schedule_with_warmup(5, n)",
        hf("cosine_schedule_with_warmup", 5, N),
    ),
    'parse("cosine:warmup=5,minimum=0.1,sampling=k/N", n)': (
        "cosine_with_min_lr_schedule_with_warmup(5, n, min_lr_rate=0.1)",
        hf("cosine_with_min_lr_schedule_with_warmup", 5, N, min_lr_rate=0.1),
    ),
    'parse("cosine_restarts:period=5,warmup=4,sampling=k/N", n)': (
        "cosine_with_hard_restarts_schedule_with_warmup(4, n, num_cycles=4)",
        hf("cosine_with_hard_restarts_schedule_with_warmup", 4, N, 4),
    ),
    'parse("polynomial:power=2.5,minimum=0.1,warmup=5,sampling=k/N", n)': (
        "polynomial_decay_schedule_with_warmup(5, n, lr_end=0.1, power=2.5)",
        hf("polynomial_decay_schedule_with_warmup", 5, N, lr_end=0.1, power=2.5),
    ),
    'parse("inverse_sqrt:offset=7,warmup=5,sampling=k/N", n)': (
        "inverse_sqrt_schedule(5, timescale=7)",
        hf("inverse_sqrt_schedule", 5, 7),
    ),
    'parse("wsd:cooldown=8,warmup=4,sampling=k/N", n)': (
        'wsd_schedule(4, 8, n, decay_type="linear")',
        hf("wsd_schedule", 4, 8, N, decay_type="linear"),
    ),
    'warmup(parse("wsd:cooldown=8,kind=cosine,minimum=0.1,sampling=k/N", n), 4, 0.1, "cosine", sampling="k/N")': (
        'wsd_schedule(4, 8, n, warmup_type="cosine", decay_type="cosine", min_lr_ratio=0.1)',
        hf("wsd_schedule", 4, 8, N, warmup_type="cosine", decay_type="cosine", min_lr_ratio=0.1),
    ),
    'warmup(parse("wsd:cooldown=8,kind=1-sqrt,sampling=k/N", n), 4, kind="1-sqrt", sampling="k/N")': (
        'wsd_schedule(4, 8, n, warmup_type="1-sqrt", decay_type="1-sqrt")',
        hf("wsd_schedule", 4, 8, N, warmup_type="1-sqrt", decay_type="1-sqrt"),
    ),
}
OPTAX = {
    'parse("linear:minimum=0.1,sampling=k/N", n)': (
        "optax linear_schedule(1, 0.1, n)",
        lambda x: x.linear_schedule(1.0, 0.1, N),
    ),
    'parse("polynomial:power=3,minimum=0.1,sampling=k/N", n)': (
        "optax polynomial_schedule(1, 0.1, 3, n)",
        lambda x: x.polynomial_schedule(1.0, 0.1, 3, N),
    ),
    'parse("generalised_cosine:power=2,minimum=0.1,sampling=k/N", n)': (
        "optax cosine_decay_schedule(1, n, 0.1, exponent=2)",
        lambda x: x.cosine_decay_schedule(1.0, N, 0.1, exponent=2.0),
    ),
    'parse("cosine:warmup=5,minimum=0.1,sampling=k/N", n)': (
        "optax warmup_cosine_decay_schedule(0, 1, 5, n, 0.1)",
        lambda x: x.warmup_cosine_decay_schedule(0.0, 1.0, 5, N, 0.1),
    ),
    'exponential(n, end=0.3**(n / 10), sampling="k/N")': (
        "optax exponential_decay(1, 10, 0.3)",
        lambda x: x.exponential_decay(1.0, 10, 0.3),
    ),
    'parse("cosine_restarts:period=8,sampling=k/N", n)': (
        "optax sgdr_schedule of three cycles of 8 steps",
        lambda x: x.sgdr_schedule([{"init_value": 1.0, "peak_value": 1.0, "warmup_steps": 0, "decay_steps": 8}] * 3),
    ),
}
DIFFERENT = {
    'parse("one_cycle:peak=0.25", n)': (
        "optax cosine_onecycle_schedule(n, 1, 0.25)",
        lambda x: x.cosine_onecycle_schedule(N, 1.0, 0.25),
        "optax reaches its peak at step n/4, torch and this family at n/4 - 1, and optax ends one step after the last",
    ),
}
"""Names that two libraries give to different shapes."""


def installed():
    """Rows of (expression in our terms, name of the other, values of n + 1 steps or n)."""
    for ours, (name, build) in TORCH.items():
        yield ours, name, lambda build=build: torch_rates(build, N)
    for ours, (name, build) in TRANSFORMERS.items():
        yield ours, f"transformers get_{name}", lambda build=build: torch_rates(build, N)
    for ours, (name, build) in OPTAX.items():
        yield ours, name, lambda build=build: optax_rates(build, N)
