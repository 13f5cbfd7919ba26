"""The options of every compiled function, and the choice between a loop in Python and its compiled twin.

``cache`` spares a newcomer the compilation from the second run on; ``nogil`` lets joblib threads overlap;
``error_model="numpy"`` removes a branch per division (a zero divisor gives inf, which callers test for);
``fastmath`` stays off because compensated sums, NaN tests and reproducibility rely on IEEE semantics.
Functions that call each other live in one file: Numba's cache does not notice edits in another one.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .cache_healing import heal_cache
from .first_use import announce_compilation

__all__ = ["JIT", "JIT_PARALLEL", "compiled", "room", "run"]

Array = npt.NDArray[np.float64]

JIT: dict[str, Any]
JIT_PARALLEL: dict[str, Any]
_OPTIONS: dict[str, dict[str, Any]] = {"JIT": {"cache": True, "nogil": True, "error_model": "numpy"}}
_OPTIONS["JIT_PARALLEL"] = {**_OPTIONS["JIT"], "parallel": True}
PLAIN = 4_000  # steps up to which a recursion runs as it stands: importing Numba takes longer


def __getattr__(name: str) -> Any:
    """Return the options; whoever compiles with them gets a cache that heals, and nobody else imports Numba."""
    if name not in _OPTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    heal_cache()
    announce_compilation()
    return _OPTIONS[name]


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled twin of a recursion that is written for lists and arrays alike, made on first use."""
    from numba import njit

    heal_cache()
    announce_compilation()
    return njit(**_OPTIONS["JIT"])(function)


def run(function: Callable[..., Any], steps: Any, *rest: Any) -> Any:
    """Call a recursion over the steps: as it stands on lists for short runs, compiled on arrays for long ones.

    What the recursion fills is made with `room`; arrays among the arguments are only read.
    """
    if len(steps) > PLAIN:
        return compiled(function)(steps, *rest)
    return function(*(value.tolist() if isinstance(value, np.ndarray) else value for value in (steps, *rest)))


def room(size: int, n_steps: int) -> Any:
    """Return space for numbers that a recursion over ``n_steps`` steps fills: a list or an array, as `run` needs it."""
    return [0.0] * size if n_steps <= PLAIN else np.empty(size)
