"""Functions that sweeps in the tests run, by path and name, also in worker processes."""

import os
import signal
import time
from pathlib import Path

import numpy as np


def quadratic(spec):
    """SGD on x^2/2 with noise: cheap, deterministic in the specification, with a curve."""
    rng = np.random.default_rng(spec.seed)
    x, path = 1.0, []
    for _ in range(spec.n_steps or 10):
        x -= spec.base_lr * (x + 0.1 * rng.standard_normal())
        path.append(x)
    return {"final": x * x / 2, "path": np.array(path)}


def slow(spec):
    time.sleep(spec.options["sleep"])
    return quadratic(spec)


def counted(spec):
    """As `slow`, leaving one file per execution, so that a test can count how often a run was executed."""
    Path(spec.options["folder"], f"{spec.seed}-{os.getpid()}-{time.time_ns()}").touch()
    return slow(spec)


def raises_on_odd_seeds(spec):
    if spec.seed % 2:
        raise ZeroDivisionError(f"seed {spec.seed} is odd")
    return quadratic(spec)


def diverges(spec):
    return {"final": float("inf") if spec.base_lr > 1 else 0.5}


def kills_its_worker(spec):
    if spec.seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return quadratic(spec)


def kills_its_worker_once(spec):
    mark = Path(spec.options["folder"], str(spec.seed))
    if spec.seed % 4 == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return quadratic(spec)


def burns_cpu(spec):
    total = 0
    for i in range(spec.n_steps):
        total += i * i % 7
    return {"total": float(total)}


def returns_objects(spec):
    return {"final": 1.0, "names": np.array(["a", None], dtype=object)}


def returns_a_list(spec):
    return [1.0]


def names_a_metric_like_a_field(spec):
    return {"seed": 42.0}
