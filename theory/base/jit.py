"""The options of every compiled function, and the choice between a loop in Python and its compiled twin.

``cache`` spares a newcomer the compilation from the second run on; ``nogil`` lets joblib threads overlap;
``error_model="numpy"`` removes a branch per division (a zero divisor gives inf, which callers test for);
``fastmath`` stays off because compensated sums, NaN tests and reproducibility rely on IEEE semantics.
Functions that call each other live in one file: Numba's cache does not notice edits in another one.
"""

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .cache_healing import heal_cache
from .collector import pause_collector
from .first_use import announce_compilation

__all__ = ["JIT", "JIT_PARALLEL", "compiled", "room", "run"]

Array = npt.NDArray[np.float64]

JIT: dict[str, Any]
JIT_PARALLEL: dict[str, Any]
_OPTIONS: dict[str, dict[str, Any]] = {"JIT": {"cache": True, "nogil": True, "error_model": "numpy"}}
_OPTIONS["JIT_PARALLEL"] = {**_OPTIONS["JIT"], "parallel": True}
PLAIN = 4_000  # steps up to which a recursion runs as it stands: importing Numba takes longer
_SEVERAL = 100_000  # and up to which some runs do, since compiling takes a second


class _Patience(threading.local):
    """How many steps this thread still takes in longer runs as they stand, a fifth of a second: then compiling pays.

    A thread has its own, so that what `room` finds holds when `run` is called.
    """

    steps = 1_000_000


_patience = _Patience()


def __getattr__(name: str) -> Any:
    """Return the options; whoever compiles with them gets a cache that heals, and nobody else imports Numba."""
    if name not in _OPTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _prepare()
    return _OPTIONS[name]


def _prepare() -> None:
    """Let Numba's cache heal, and its compilation be announced and quick."""
    heal_cache()
    announce_compilation()
    pause_collector()


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled twin of a recursion that is written for lists and arrays alike, made on first use."""
    from numba import njit

    _prepare()
    return njit(**_OPTIONS["JIT"])(function)


def run(function: Callable[..., Any], steps: Any, *rest: Any) -> Any:
    """Call a recursion over the steps: as it stands on lists for short runs, compiled on arrays for long ones.

    Both give the same numbers. What the recursion fills is made with `room`; arrays among the arguments are only read.
    """
    if not _plainly(len(steps)) and not any(isinstance(value, list) for value in (steps, *rest)):
        return compiled(function)(steps, *rest)
    if len(steps) > PLAIN:
        _patience.steps -= len(steps)
    return function(*(value.tolist() if isinstance(value, np.ndarray) else value for value in (steps, *rest)))


def room(size: int, n_steps: int) -> Any:
    """Return space for numbers that a recursion over ``n_steps`` steps fills: a list or an array, as `run` needs it."""
    return [0.0] * size if _plainly(n_steps) else np.empty(size)


def _plainly(n_steps: int) -> bool:
    return n_steps <= PLAIN or n_steps <= min(_SEVERAL, _patience.steps)
