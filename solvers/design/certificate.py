"""A lower bound on the worst case of every schedule at once, from one number a step."""

import math

from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

__all__ = ["intercept"]


def intercept(slopes: Array, D: float, squares: Array) -> float:
    r"""Return the largest c for which the worst case of *every* schedule h is at least c - sum_k slopes_k h_k.

    **Theorem.** For G_0, ..., G_N > 0 and any numbers rho_k let e_N = G_N^2 and, backwards, with q_k = G_k^2 - rho_k
    and p_k = e_{k+1} - rho_k, e_k = rho_k + p_k q_k / (p_k + q_k). If all p_k and q_k are at least zero (p_k = q_k = 0
    gives e_k = rho_k) and e_0 >= 0, then some convex f with ||g_k|| <= G_k and ||x_0 - x*|| <= D has
    f(x_N) - f* >= D sqrt(e_0) - sum_k rho_k h_k, whatever h >= 0. A rho_k for which p_k or q_k is negative is lowered
    until it is not, which only lowers the bound's cost. docs/design.md has the proof.

    At rho_k = -dR*/dh_k, the derivative of the exact rate at some schedule, the plane touches R* there; an optimal
    schedule under linear constraints is certified by the rho that the constraints prop up.

    Parameters
    ----------
    slopes : ndarray, shape (N,)
        The numbers rho_k, in units of G^2.
    D : float
        Bound on ||x_0 - x*||.
    squares : ndarray, shape (N+1,)
        The squares G_k^2.

    Returns
    -------
    float
        c = D sqrt(e_0), or minus infinity if e_0 is negative.

    Examples
    --------
    >>> import numpy as np
    >>> round(intercept(np.zeros(99), 1.0, np.ones(100)), 12)
    0.1
    """
    common = _common_part(slopes, squares)
    return D * math.sqrt(common) if common >= 0.0 else -math.inf


@njit(**JIT)
def _common_part(slopes: Array, squares: Array) -> float:
    """Return e_0."""
    common = squares[-1]
    for k in range(slopes.size - 1, -1, -1):
        slope = min(slopes[k], squares[k], common)
        own, later = squares[k] - slope, common - slope
        common = slope if own == 0.0 or later == 0.0 else slope + own * (later / (own + later))
    return common
