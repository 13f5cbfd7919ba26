r"""The exact rate of SGD as a convex program that cvxpy takes as it stands.

**Theorem.** For every G_0, ..., G_N > 0 and steps h >= 0 the worst case of f(x_N) - f* is the least value of

    1/2 ( D^2 / u_0 + sum_{k<N} G_k^2 z_k + G_N^2 u_N )   over   u_k = u_{k+1} + 2 h_k + z_k,   z_k u_{k+1} >= h_k^2,

which is jointly convex in (h, u, z). docs/design.md has the proof. For constant and nonincreasing G the inequalities
may be read as equalities, and u_k = s_k^2, z_k = w_k^2 in the exact rate.
"""

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, check_count, check_gradient_bounds, check_positive

__all__ = ["ExactRateProgram", "exact_rate_program"]


@dataclass(frozen=True, eq=False)
class ExactRateProgram:
    """The exact rate of SGD in terms of cvxpy, scaled so that the best schedule without constraints is one everywhere.

    Attributes
    ----------
    steps : cvxpy expression, shape (N,)
        The steps h_0, ..., h_{N-1}, nonnegative.
    tails : cvxpy expression, shape (N+1,)
        The squares u_k of the partial sums of weights.
    objective : cvxpy expression
        The exact rate of the steps divided by ``unit``, to be minimised.
    constraints : tuple of cvxpy constraints
        What ties steps, tails and objective together.
    unit : float
        The rate of the best schedule without constraints, D / sqrt(sum_k G_k^-2).
    reference : ndarray, shape (N,)
        The best schedule without constraints.
    """

    steps: Any
    tails: Any
    objective: Any
    constraints: tuple[Any, ...]
    unit: float
    reference: Array

    def __repr__(self) -> str:
        """Return the size."""
        return f"ExactRateProgram(n_steps={self.steps.size}, unit={self.unit:.6g})"


def exact_rate_program(n_steps: int, D: float = 1.0, G: float | npt.ArrayLike = 1.0) -> ExactRateProgram:
    r"""Return the exact rate as a convex program in the steps, to which any convex constraint may be added.

    The exact worst case of SGD is jointly convex in its steps, for every G: the program is the one in the notes of this
    module. Minimise ``objective`` subject to ``constraints`` and your own; the rate is ``unit`` times the optimum.

    Parameters
    ----------
    n_steps : int
        N.
    D : float
        Bound on ||x_0 - x*||.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.

    Returns
    -------
    ExactRateProgram
        ``.steps``, ``.objective``, ``.constraints``, ``.unit``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import cvxpy as cp
    >>> program = exact_rate_program(99)
    >>> half = [cp.sum(program.steps[:50]) <= 2.0]
    >>> problem = cp.Problem(cp.Minimize(program.objective), [*program.constraints, *half])
    >>> round(float(program.unit * problem.solve(solver="CLARABEL")), 5)
    0.10909
    """
    n = check_count(n_steps, "n_steps")
    distance, norms = check_positive(D, "D"), check_gradient_bounds(G, n)
    cp: Any = import_module("cvxpy")
    inverse = (norms.min() / norms) ** 2
    total = float(inverse.sum())
    unit = distance * float(norms.min()) / math.sqrt(total)
    sums = np.cumsum(inverse[::-1])[::-1] / total
    u0 = distance * math.sqrt(total) / float(norms.min())
    steps, tails = u0 * inverse[:-1] / total * sums[1:], u0 * sums**2
    share = inverse / total  # G_k^2 w_k^2 = unit * share_k at the optimum without constraints
    h, u, z = cp.Variable(n, nonneg=True), cp.Variable(n + 1), cp.Variable(n)
    kept, added = (sums[1:] / sums[:-1]) ** 2, share[:-1] / sums[:-1] ** 2
    chain = u[:-1] == (
        cp.multiply(kept, u[1:]) + cp.multiply(2.0 * added * sums[1:], h) + cp.multiply(added * share[:-1], z)
    )
    cones = cp.SOC(z + u[1:], cp.vstack([2.0 * h, z - u[1:]]), axis=0)
    objective = 0.5 * (cp.inv_pos(u[0]) + share[:-1] @ z + float(share[-1]) * u[-1])
    return ExactRateProgram(cp.multiply(steps, h), cp.multiply(tails, u), objective, (chain, cones), unit, steps)
