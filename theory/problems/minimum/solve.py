"""Minima of the problems to 1e-10 with a certified gap, by solvers that share no code with the simulators.

Piecewise linear problems are linear programs, the l2-regularised hinge loss is a quadratic program
(`programs`), logistic losses are solved by Newton's method (`newton`); every result is certified at the
returned point, whatever the solver's status says.
"""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.losses import LOSSES, PIECES
from lastiterate.theory.problems.problem import Minimum, Problem

from .coordinates import certified

__all__ = ["solve_minimum"]

_CACHE_SCHEMA = 2
_GOAL = 1e-10
_ROUNDING = 1e-15  # of f(0), below which terms that cancel leave nothing to resolve


def solve_minimum(problem: Problem) -> Minimum:
    """Return the minimum of ``problem``, read from or written to its cache folder where it has one.

    The file is ``minimum-<sha256>.json`` with point, value, gap, method and package versions; what is read back is
    checked against the problem's own value at the stored point.
    """
    if problem.cache is None:
        return _solve(problem)
    path = problem.cache / f"minimum-{problem.fingerprint()[:32]}.json"
    if path.exists() and (stored := _read(path, problem)) is not None:
        return stored
    found = _solve(problem)
    _write(path, problem, found)
    return found


def _read(path: Path, problem: Problem) -> Minimum | None:
    """Return the stored minimum, or None where the file is damaged or does not fit the problem."""
    try:
        stored = json.loads(path.read_text())
        point = np.array(stored["x"], dtype=np.float64)
        found = Minimum(point, stored["value"], stored["gap"], stored["method"], stored["attained"])
        fits = stored["schema"] == _CACHE_SCHEMA and point.shape == (problem.dim,)
        return found if fits and abs(problem.value(point) - found.value) <= _GOAL * (1 + abs(found.value)) else None
    except (ValueError, KeyError, TypeError):
        return None


def _write(path: Path, problem: Problem, found: Minimum) -> None:
    import scipy

    record = {
        "schema": _CACHE_SCHEMA,
        "problem": problem.name,
        "fingerprint": problem.fingerprint(),
        "value": found.value,
        "gap": found.gap,
        "attained": found.attained,
        "method": found.method,
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        "x": found.x.tolist(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(record))


def _solve(problem: Problem) -> Minimum:
    if problem.l2 and problem.kind in ("absolute", *PIECES):
        raise InputError("l2", problem.l2, f"zero for the kind {problem.kind}")
    found = (_solver_of(problem.kind) if abs(problem.matrix).max() else _constant)(problem)
    rounding = _ROUNDING * abs(problem.value(np.zeros(problem.dim)))
    if not found.gap <= _GOAL * max(1.0, abs(found.value)) + rounding:
        raise SolverError(f"{problem.name}: the certified gap of the minimum is {found.gap:.1e}, more than {_GOAL:.0e}")
    return found


def _solver_of(kind: str) -> Callable[[Problem], Minimum]:
    """Return the solver that the row of a loss names."""
    module, _, name = ("programs:max_of_affine" if kind in PIECES else LOSSES[kind].minimise).partition(":")
    return getattr(import_module(f"{__package__}.{module}"), name)


def _constant(problem: Problem) -> Minimum:
    zero = np.zeros(problem.dim)
    return certified(problem, [zero], problem.value(zero), "the matrix is zero")
