r"""The function that attains an exact rate: f(x) = max(0, max_t <g_t, x>), whose pieces vanish at x* = 0.

With rho_t = -dR/dh_t there are vectors with ||g_t|| = G_t and <g_t, g_r> = rho_min(t, r), built one coordinate at a
time: g_t = sum_{r<t} alpha_r e_r + beta_t e_t. From x_0 = s_0 (sum_k w_k g_k + s_N g_N) SGD meets piece t at its point
x_t and ends at the rate. ``docs/exact_rate.md`` has the proof.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lastiterate.theory.base.jit import room, run
from lastiterate.theory.problems.pieces import chain
from lastiterate.theory.problems.problem import Problem

if TYPE_CHECKING:
    from .result import Rate

__all__ = ["attaining_function"]

_TIE = 1e-9  # in units of D G


def attaining_function(rate: "Rate", D: float, caps: Any) -> Problem:
    """Return the function of `Rate.worst_case`, for gradient bounds G_0..G_N.

    The gradients after the binding steps are all the same; one piece stands for them.
    """
    n, top = rate.binding, float(caps.max())
    relative = caps[: n + 1] / top
    inner = -rate.gradient[:n] / top / top
    alpha, beta = room(n + 1, n), room(n + 1, n)
    run(vectors, inner, relative, alpha, beta)
    alpha, beta = np.asarray(alpha), np.asarray(beta)
    tails = np.cumsum(rate.weights[::-1])[::-1]
    x0 = beta * np.append(rate.weights[:n], tails[n])
    x0[:-1] += alpha[:-1] * tails[1 : n + 1]
    x0 *= tails[0] * top
    return chain(top * alpha, top * beta, x0, name="worst case of SGD", tie_tolerance=_TIE * D * top)


def vectors(inner: Any, caps: Any, alpha: Any, beta: Any) -> None:
    """Fill alpha_0..alpha_{n-1} and beta_0..beta_n from rho_0..rho_{n-1} and G_0..G_n.

    beta_t^2 is what is left of G_t^2 in directions that the earlier vectors do not have.
    """
    left = caps[0] * caps[0]
    for t in range(len(inner)):
        beta[t] = math.sqrt(left)
        rise = (caps[t + 1] - caps[t]) * (caps[t + 1] + caps[t])
        apart = max(caps[t] * caps[t] - inner[t], 0.0)
        most = math.sqrt(max(left + rise, 0.0))  # rounding of G_t^2 - rho_t counts where hardly anything is left
        wanted = left - apart
        if abs(wanted) < most * beta[t]:
            alpha[t] = wanted / beta[t]
            left = max(apart * (2.0 - apart / left) + rise, 0.0)
        else:
            alpha[t] = math.copysign(min(most, beta[t]), wanted)
            left = max(left + rise - alpha[t] * alpha[t], 0.0)
    beta[len(inner)] = math.sqrt(left)
