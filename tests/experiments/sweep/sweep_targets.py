"""Functions that sweeps in the tests run, by path and name, also in worker processes."""

import contextlib
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


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Unpicklable(Exception):
    def __init__(self):
        super().__init__("cannot be sent")
        self.lock = __import__("threading").Lock()


def _raise(error):
    raise error


TROUBLES = {
    "system exit": lambda: _raise(SystemExit(3)),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "base exception": lambda: _raise(BaseException("base")),
    "generator exit": lambda: _raise(GeneratorExit()),
    "unprintable": lambda: _raise(Unprintable()),
    "unpicklable": lambda: _raise(Unpicklable()),
    "surrogate": lambda: _raise(ValueError("file \udcff.txt")),
    "control": lambda: _raise(ValueError("\x1b]0;owned\x07[/red] [bold]x")),
    "long": lambda: _raise(ValueError("x" * 10_000_000)),
    "recursion": lambda: TROUBLES["recursion"](),
    "memory": lambda: _raise(MemoryError()),
    "surrogate name": lambda: {"a\udcff": 1.0},
    "surrogate curve": lambda: {"a\udcff": np.ones(2)},
    "number as name": lambda: {1: 2.0},
    "masked": lambda: {"a": np.ma.array([1.0, 2.0], mask=[0, 1])},
    "texts": lambda: {"a": np.array(["x"])},
    "no number": lambda: {"a": object()},
    "nothing": lambda: None,
    "other folder": lambda: os.chdir("/") or {"final": 1.0},
}


def troubled(spec):
    """Do what `TROUBLES` says, for every third seed."""
    if spec.seed % 3 == 1:
        return TROUBLES[spec.options["trouble"]]()
    return quadratic(spec)


def never_ends(spec):
    if spec.seed == 1:
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(60)
    if spec.seed == 2:
        __import__("subprocess").run(["sleep", "600"])
    return quadratic(spec)


def deletes_the_store(spec):
    store = Path(spec.options["store"])
    if spec.seed == 2 and not (mark := store.parents[1] / "mark").exists():
        mark.touch()
        if spec.options.get("folder"):
            __import__("shutil").rmtree(store.parent)
        else:
            for ending in ("", "-wal", "-shm"):
                Path(f"{store}{ending}").unlink(missing_ok=True)
    return quadratic(spec)
