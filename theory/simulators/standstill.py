"""Runs that went nowhere for a reason that their numbers do not show, said in a warning."""

import warnings
from typing import Any

import numpy as np

from lastiterate.theory.simulators.kernels.protocol import Method

from .result import Simulation

__all__ = ["SimulationWarning", "warn_of_standstill"]

_TINY = 1e-140  # squares of such gradients, times a squared estimate or two, leave the range of numbers
_LONG = 100  # steps after which an estimate of the distance should have moved


class SimulationWarning(UserWarning):
    """A simulated method stood still: it never moved, its distance estimate never grew, or squares underflowed."""


def warn_of_standstill(run: Simulation, method: Method) -> None:
    """Warn of runs that stood still although there were gradients and steps.

    Parameters
    ----------
    run : Simulation
        All runs of one call.
    method : Method
        The row of the table.

    Warns
    -----
    SimulationWarning
        At most once for each reason.
    """
    asked = np.multiply.outer(run.steps.max(axis=1), run.base_lrs)[:, :, None] > 0.0
    active: Any = asked & (run.largest_gradient > 0.0) & ~run.diverged
    tiny = _tiny(run, active) if method.squares else ""
    frozen = _frozen(run, active) if method.uses_loss else ""  # others may step across a minimum and back
    for text in (tiny, _stuck(run, active), frozen):
        if text:
            warnings.warn(f"{run.method}: {text}", SimulationWarning, stacklevel=3)


def _tiny(run: Simulation, active: Any) -> str:
    tiny = active & (run.largest_gradient < _TINY)
    if not tiny.any():
        return ""
    largest = float(run.largest_gradient[tiny].max())
    return f"gradient norms of at most {largest:.0e}, whose squares underflow; scale the problem up"


def _stuck(run: Simulation, active: Any) -> str:
    """Name a distance estimate that is what it was at the start in every run; short runs may need more steps."""
    first = run.options.get("d0", np.nan)
    if run.n_steps < _LONG or not active.any() or not np.all(run.D_estimates[active] == np.max(first)):
        return ""
    first = float(np.max(first))
    return f"d is still d0 = {first:.3g} after {run.n_steps} steps; try a larger base_lr, or another d0"


def _frozen(run: Simulation, active: Any) -> str:
    """Name runs that end where they began, apart from those that a given minimum tells to stay."""
    claimed = [run.options[name] for name in ("f_star", "lower_bound") if name in run.options]
    if claimed and run.problem.value(run.problem.x0) <= np.max(np.hstack(claimed)):
        return ""
    still = active & np.all(run.points == run.problem.x0, axis=3) & np.all(run.f == run.f[..., :1], axis=3)
    still &= still.all(axis=2, keepdims=True)  # a walk of one seed may come back
    if not still.any():
        return ""
    count = f"{int(still.sum())} of {still.size} runs never left x0"
    if np.any(np.multiply.outer(run.steps[:, 0], run.base_lrs)[still.any(axis=2)] == 0.0):
        return f"{count}; their first step is zero, and what is seen there stays: begin above zero"
    return f"{count} although steps and gradients are positive"
