"""Any smooth loss with an l2 term, by L-BFGS and Newton steps, certified by strong convexity."""

import numpy as np
from scipy import optimize

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.problem import Minimum, Problem

__all__ = ["smooth"]


def smooth(problem: Problem) -> Minimum:
    """Return the minimum; f(x) - f* <= ||g||^2 / (2 l2) certifies it.

    Raises
    ------
    InputError
        Without an l2 term, where the gradient certifies nothing: hand in a known minimum.
    SolverError
        If the search stalls.
    """
    if not problem.l2:
        raise InputError("l2", 0.0, f"a positive l2 term for the kind {problem.kind!r}, or a known minimum")
    x, gap = np.zeros(problem.dim), np.inf
    for _ in range(20):
        found = optimize.minimize(
            lambda z: (problem.value(z), problem.subgradient(z)),
            x,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 10_000, "maxcor": 50, "ftol": 0.0, "gtol": 0.0},
        )
        slope = problem.subgradient(found.x)
        bound = float(slope @ slope) / (2.0 * problem.l2)
        if not bound < gap:
            break
        x, gap = np.asarray(found.x), bound
    if not np.isfinite(gap):
        raise SolverError(f"{problem.name}: no minimum was found")
    return Minimum(x, problem.value(x), gap, "L-BFGS, certified by strong convexity")
