"""Logs whose losses follow a law exactly, up to noise."""

import numpy as np

from lastiterate.experiments.forecast.log import LossLog
from lastiterate.theory import schedules
from lastiterate.theory.laws.protocol import Run
from lastiterate.theory.laws.registry import LAWS

THETA = {
    "norm_memory": [2.7, -0.6, 0.55, -1.2, 5.0, 0.3, 0.2],
    "functional": [2.7, -0.6, 0.55, -1.2, 5.0, 0.3],
    "annealing": [2.7, -0.6, 0.5, -8.0, 6.2],
    "multi_power": [2.7, -0.6, 0.5, -0.8, 2.0, 0.6, 0.8],
}
SHAPES = {
    "constant": "constant:warmup=0.05",
    "cosine": "cosine:warmup=0.05,minimum=0.1",
    "wsd": "wsd:cooldown=0.3,warmup=0.05",
    "linear": "linear:warmup=0.05",
}


def steps_of(shape, n_steps=6000, peak=1e-3):
    return peak * schedules.parse(SHAPES[shape], n_steps)


def log_of(shape, law="norm_memory", n_steps=6000, peak=1e-3, noise=0.0, seed=0, offset=0.0, **more):
    steps = steps_of(shape, n_steps, peak)
    curve = LAWS[law].curve(np.array(THETA[law]), Run(steps, 0.1, 0.02))
    at = np.arange(50, n_steps + 1, 50)
    loss = (curve[at] + offset) * np.exp(noise * np.random.default_rng(seed).standard_normal(at.size))
    return LossLog(steps, at, loss, 0.1, 0.02, **{"name": shape, **more})
