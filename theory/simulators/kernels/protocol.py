"""What a method and a problem must offer the engine: two function signatures and one table row.

**Oracle** (one compiled function a kind of problem, in ``oracles.py``)::

    value = oracle(k, x, rows, values, index, target, params, with_value, work, g)

writes a subgradient at ``x`` into ``g`` and returns the value there. ``rows`` are the data points of the batch; an
empty ``rows`` means the full objective. Dense rows begin at every ``index[0]``-th number of ``values``; CSR data have
``values`` and ``index = indptr ++ indices``. ``target`` holds labels or right-hand sides, ``params`` the kind's other
numbers (kind, outputs, l2, tie, tie tolerance). ``k`` is the step, for oracles that resist. With ``with_value`` false
the value may be skipped (return 0.0); with an empty ``g`` only the value is wanted. ``work`` is scratch. The value and
subgradient include the regulariser.

**Step** (one compiled function a method)::

    step(k, lr, loss, x, g, rows, state, memory, scalars, options)

receives the subgradient ``g`` at ``x`` (and the batch value ``loss`` if the row says `uses_loss`) and moves ``x`` in
place to the point where the next subgradient is wanted. ``k == 0`` is the moment to initialise; all storage starts at
zero. ``lr = base_lr * steps[k]``. ``state`` is float64[vectors, d], ``memory`` float64[n_samples] (empty unless the row
asks), ``scalars`` float64[3 + scalars]: the engine reads ``scalars[WEIGHT]`` (weight of this x in the averaged
iterate), ``scalars[D_ESTIMATE]`` and ``scalars[STEP_SIZE]``, which it sets to lr, its last value and lr before each
call; the method's own scalars start at ``FIRST``. ``options`` holds the row's options in their order, booleans as 0.0
and 1.0; an option given as an array has its value of step k. ``g`` may be used as scratch.

Both are called at their address: the engine compiles once, each oracle and each step once, when a run first needs it
and whatever they are combined with. They live in files of their own and must not raise; helpers that they call live in
the same file, best as a `PART`. Plain loops compile several times faster than array expressions, an ``if`` faster than
``max``, and Python cannot call what is compiled here. Their parameter types are stated here and nowhere else, so such
files start with ``# pyright: reportMissingParameterType=false``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import boolean, float64, int64, types

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.problems.problem import Problem

__all__: list[str] = []  # compiled code, for the simulators alone

# Compiled functions that allocate nothing count no references: the counting costs more than a small step. Without what
# Python and C would call them by they compile in half the time; the loop calls them at their address (``views.py``).
KERNEL: dict[str, Any] = {**JIT, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# sums may be reordered so that they vectorise; NaN and infinity stay what they are
SUMS: dict[str, Any] = {**KERNEL, "fastmath": {"reassoc", "contract"}}
# Small parts of kernels, compiled within them and rounded as they are. As functions of their own they would be compiled
# twice, alone and in what calls them, and rounded as whichever kernel came first: they inherit its ``fastmath``.
PART: dict[str, Any] = {**KERNEL, "inline": "always"}

Array = npt.NDArray[np.float64]

WEIGHT, D_ESTIMATE, STEP_SIZE, FIRST = 0, 1, 2, 3
KIND, OUTPUTS, L2, TIE, TOLERANCE = range(5)  # places in ``params``

STRIP = 1 << 12  # columns that long sums take at a time: threads share the strips, and their order fixes the sum

Vector, Matrix, Rows = float64[::1], float64[:, ::1], int64[::1]
ORACLE = float64(int64, Vector, Rows, Vector, Rows, Vector, Vector, boolean, Vector, Vector)
STEP = types.void(int64, float64, float64, Vector, Vector, Rows, Matrix, Vector, Vector, Vector)
NORM = float64(Vector)


def named(function: Any, name: str) -> Any:
    """Return a copy of a function under another name, because Numba's cache tells functions apart by theirs."""
    copy = FunctionType(function.__code__, function.__globals__, name)
    copy.__qualname__, copy.__module__ = name, function.__module__
    return copy


@dataclass(frozen=True)
class Bound:
    """A guarantee for one run: its value, the iterate it speaks of, its source; without value the reason."""

    value: float | None
    iterate: str = "last"  # "last" | "average" | "best"
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class RunFacts:
    """What a bound may use: the problem, the steps taken (base_lr times the schedule), options and final scalars."""

    problem: Problem
    lrs: Array
    options: Mapping[str, Any]
    scalars: Array
    G: float  # for stochastic gradients a bound on the root mean square norm, noise included
    D: float
    stochastic: bool


def _no_theorem(facts: RunFacts) -> Bound:
    return Bound(None, reason="no theorem is known for this method")


def no_bound(reason: str) -> Callable[[RunFacts], Bound]:
    """Return a bound function that only says why there is none."""
    return partial(_without, reason)


def _without(reason: str, facts: RunFacts) -> Bound:
    return Bound(None, reason=reason)


Option = float | bool | str | tuple[float, ...]


@dataclass(frozen=True)
class Method:
    """One row of the table of methods.

    ``options`` maps each option to its default: a number, a bool, a string that names the attribute of the problem
    it is taken from (``{"f_star": "f_star"}``), or, last of all, a tuple: a list of numbers, of which the kernel
    receives as many as are given.
    """

    step: Any
    options: Mapping[str, Option] = field(default_factory=dict[str, "Option"])
    vectors: int = 0
    scalars: int = 0
    output: int = -1  # the row of ``state`` that the method returns; -1 is x itself
    uses_loss: bool = False
    uses_memory: bool = False
    averages: bool = False  # its guarantee is about the averaged iterate, so f of the average is always recorded
    squares: bool = True  # it squares gradients, so that those of 1e-150 are lost
    posterior: bool = False  # the bound uses final scalars, so it differs from seed to seed
    bound: Callable[[RunFacts], Bound] = _no_theorem
    shared: Any = None  # a step with the same results, its columns shared among threads, for single runs on wide data
