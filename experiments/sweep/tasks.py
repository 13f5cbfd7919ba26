"""What a worker does with a run specification: find the target, run it, and never let an error escape."""

import importlib
import math
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.extras import missing_extra
from lastiterate.theory.base.specs import load_file, parse_spec
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.texts import parse_problem
from lastiterate.theory.schedules import parse

from .child import run_in_child
from .code import code_version, forget_stale, user_files
from .outcomes import Outcome
from .specs import RunSpec

__all__ = ["REFUSED", "Results", "execute", "steps_of"]

DEFAULT_STEPS = 1000
MAX_ERROR_LENGTH = 2000
REFUSED = "refused"
"""Status of a run that a worker would not begin; it never reaches a store."""

Results = tuple[dict[str, float], dict[str, npt.NDArray[Any]], bool]
"""Metrics, curves, and whether the run diverged."""


def execute(
    spec: RunSpec, device: str = "cpu", expected_code: str | None = None, timeout_s: float | None = None
) -> Outcome:
    """Run ``spec`` and return its outcome; whatever it raises becomes an outcome with status "failed".

    Parameters
    ----------
    spec : RunSpec
        The run.
    device : str
        Torch device for workloads.
    expected_code : str, optional
        The driver's `code_version` of the run; a worker with other sources refuses, or its result would be filed
        wrongly.
    timeout_s : float, optional
        Seconds after which the run is ended as failed; it then runs in a child process.

    Raises
    ------
    KeyboardInterrupt
        If somebody interrupts this process; one that the run itself raises is a failure like any other.
    """
    if timeout_s is not None:
        return run_in_child(spec, device, expected_code, timeout_s)
    start = time.perf_counter()
    if expected_code is not None and (found := code_version(spec)) != expected_code:
        text = f"a worker has code {found}, the driver {expected_code}: install the same, or start again"
        return Outcome(REFUSED, error=text)
    with _interrupts() as interrupted:
        try:
            metrics, curves, diverged = _RUNNERS[spec.kind](spec, device)
            status, error = ("diverged" if diverged else "done"), None
        except BaseException as failure:  # a user's function may raise anything, SystemExit too; the others go on
            if interrupted:
                raise KeyboardInterrupt from failure
            metrics, curves, status, error = {}, {}, "failed", _explain(failure)
    return Outcome(status, metrics, curves, time.perf_counter() - start, _versions(), error)


@contextmanager
def _interrupts() -> Generator[list[int]]:
    """Collect the interrupts that reach this process, so that they can be told from what a run raises."""
    seen: list[int] = []
    previous: Any = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield seen  # signals go elsewhere
        return

    def note(number: int, frame: Any) -> None:
        seen.append(number)
        previous(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, previous)


def steps_of(schedule: str, n_steps: int) -> npt.NDArray[np.float64]:
    """Return the steps of a schedule specification, or of ``values:`` and numbers separated by slashes.

    >>> steps_of("values:1/0.5", 2), steps_of("linear", 2)
    (array([1. , 0.5]), array([1. , 0.5]))
    """
    if not schedule.startswith("values:"):
        return parse(schedule, n_steps)
    try:
        values = np.array([float(part) for part in schedule.removeprefix("values:").split("/")])
    except ValueError as error:
        raise InputError("schedule", schedule[:80], "values: and numbers separated by slashes") from error
    if values.size != n_steps:
        raise InputError("schedule", f"{values.size} values", f"{n_steps} values, one a step")
    return values


def _run_function(spec: RunSpec, device: str) -> Results:
    """Call the user's function; numbers it returns are metrics, arrays are curves."""
    module_name, _, name = spec.name.rpartition(":")
    forget_stale(spec)
    function = _find_function(module_name, name)
    values = function(spec)
    if not isinstance(values, Mapping):
        raise InputError("result", values, "a mapping of names to numbers and arrays")
    for key in values:
        if not isinstance(key, str) or not key.isprintable():
            raise InputError("result", f"the name {key!r}", "names that are printable texts")
    metrics = {key: float(value) for key, value in values.items() if np.ndim(value) == 0}
    curves = {key: np.asarray(value) for key, value in values.items() if np.ndim(value) > 0}
    for key, curve in curves.items():
        if np.ma.is_masked(values[key]):
            raise InputError(f"result[{key!r}]", "a masked array", "an array of numbers, NaN where there is none")
        if curve.dtype.kind not in "biufc":
            raise InputError(f"result[{key!r}]", f"dtype {curve.dtype}", "an array of numbers")
    return metrics, curves, not all(math.isfinite(value) for value in metrics.values())


def _find_function(module_name: str, name: str) -> Callable[[RunSpec], Any]:
    if not module_name or not name:
        raise InputError(
            "target", f"function:{module_name}:{name}", "function:package.module:name or function:file.py:name"
        )
    module = load_file(module_name, "target") if module_name.endswith(".py") else importlib.import_module(module_name)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError("target", f"{module_name} without a function {name!r}", "the name of a function in the module")
    return function


def _run_problem(spec: RunSpec, device: str) -> Results:
    """Simulate a method on a convex problem; options of the specification go to `simulate`."""
    from lastiterate.theory.simulators.simulate import simulate

    method, options = parse_spec(spec.method or "sgd", "method")
    problem = _problem(spec.name)
    run = simulate(
        problem,
        method,
        steps_of(spec.schedule, DEFAULT_STEPS if spec.n_steps is None else spec.n_steps),
        base_lr=spec.base_lr,
        seeds=[spec.seed],
        progress=False,
        **{**spec.options, **options},
    )
    final, best = float(run.final[0, 0, 0]), float(run.best[0, 0, 0])
    metrics = {"final": final, "best": best, "gap": final - problem.f_star}
    curves = {"step": run.recorded, "f": run.f[0, 0, 0]}
    return metrics, curves, bool(run.diverged[0, 0, 0])


@lru_cache(maxsize=8)
def _problem(text: str) -> Any:
    return parse_problem(text)


def _run_workload(spec: RunSpec, device: str) -> Results:
    """Train a workload once; the options are ``size``, ``data`` and fields of `TrainingSettings`."""
    from lastiterate.experiments.training.train import TrainingSettings, train

    options = dict(spec.options)
    forget_stale(spec)
    code = code_version(spec) if user_files(spec) else ""
    workload = _workload(spec.name, options.pop("size", "tiny"), options.pop("data", None), code)
    steps = steps_of(spec.schedule, workload.n_steps if spec.n_steps is None else spec.n_steps)
    try:
        settings = TrainingSettings(device=device, **options)
    except TypeError as error:
        raise InputError("options", options, f"size, data and settings of a training run ({error})") from error
    run = train(workload, steps, spec.base_lr, spec.seed, optimizer=spec.method or None, settings=settings)
    return dict(run.final), {"loss": run.losses, "l1": run.l1, "l2": run.l2}, run.diverged_at is not None


@lru_cache(maxsize=8)
def _workload(name: str, size: str, data: str | None, code: str) -> Any:
    """Load a workload once for each version of its ``code``."""
    from lastiterate.experiments.workloads.protocol import load_workload

    return load_workload(name, size=size, data=data)


_RUNNERS: dict[str, Callable[[RunSpec, str], Results]] = {
    "problem": _run_problem,
    "workload": _run_workload,
    "function": _run_function,
}


def _explain(error: BaseException) -> str:
    """One line for the table, then where it happened; an exception may refuse to be printed or encoded."""
    try:
        text = str(missing_extra(error) if isinstance(error, ModuleNotFoundError) else error)
    except BaseException:  # whatever its __str__ raises
        text = "(it cannot be printed)"
    if len(text) > MAX_ERROR_LENGTH:
        text = f"{text[:MAX_ERROR_LENGTH]}... ({len(text):,} characters)"
    places = traceback.extract_tb(error.__traceback__)
    where = f"\n  in {places[-1].name} ({os.path.basename(places[-1].filename)}:{places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {text}{where}".encode("utf-8", "backslashreplace").decode()


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    names = ("lastiterate", "numpy", "numba")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
