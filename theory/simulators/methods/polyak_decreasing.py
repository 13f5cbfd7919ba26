# pyright: reportMissingParameterType=false
"""Polyak steps that never grow: AdaSPS (arXiv 2308.06058) and DecSPS (arXiv 2205.04583).

The rate lr = base_lr * steps[k] multiplies the step that the paper gives, after its minimum with the step before.
"""

import math

import numpy as np
from numba import njit

from lastiterate.theory.simulators.kernels.protocol import FIRST, KERNEL, STEP_SIZE, Method, no_bound
from lastiterate.theory.simulators.kernels.vectors import dot

__all__ = ["adasps", "decsps"]

STEP, GAPS, SCALE = FIRST, FIRST + 1, FIRST + 2


@njit(**KERNEL)
def _move(x, lr, g, scalars):
    scalars[STEP_SIZE] = lr * scalars[STEP]
    for j in range(x.size):
        x[j] -= scalars[STEP_SIZE] * g[j]


@njit(**KERNEL)
def adasps(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """eta_k = min((f_i - f_star) / (c ||g||^2 sqrt(sum_{s<=k} (f_s - f_star))), eta_{k-1}); x -= lr eta_k g.

    With ``scaled`` c is divided by sqrt(f_0 - f_star), the paper's choice. Without a gradient eta_k = eta_{k-1}.
    """
    gap, square = max(0.0, loss - options[0]), dot(g, g)
    if k == 0:
        scalars[STEP], scalars[SCALE] = np.inf, options[1]
        if options[2] > 0.0 and gap > 0.0:
            scalars[SCALE] /= math.sqrt(gap)
    scalars[GAPS] += gap
    if square > 0.0:
        step = gap / (scalars[SCALE] * square * math.sqrt(scalars[GAPS])) if gap > 0.0 else 0.0
        scalars[STEP] = min(step, scalars[STEP])
        _move(x, lr, g, scalars)


@njit(**KERNEL)
def decsps(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """gamma_k = min((f_i - f_star) / ||g||^2, c_{k-1} gamma_{k-1}) / c_k, c_k = c sqrt(k + 1); x -= lr gamma_k g.

    gamma_{-1} = ``gamma_b`` and c_{-1} = c. Without a gradient the minimum is c_{k-1} gamma_{k-1}.
    """
    now, square = options[1] * math.sqrt(k + 1.0), dot(g, g)
    if k == 0:
        scalars[GAPS] = options[1] * options[2]
    if square > 0.0:
        scalars[GAPS] = min(max(0.0, loss - options[0]) / square, scalars[GAPS])
        scalars[STEP] = scalars[GAPS] / now
        _move(x, lr, g, scalars)


_SMOOTH = no_bound("proved for smooth functions and bounded iterates")

METHODS = {
    "adasps": Method(adasps, {"f_star": 0.0, "c": 1.0, "scaled": False}, scalars=3, uses_loss=True, bound=_SMOOTH),
    "decsps": Method(decsps, {"f_star": 0.0, "c": 1.0, "gamma_b": 10.0}, scalars=2, uses_loss=True, bound=_SMOOTH),
}
