# pyright: reportMissingParameterType=false
"""Steps from the gradients seen: AdaGrad-Norm, AdaGrad, and GradaGrad (arXiv 2206.06900)."""

import math

import numpy as np
from numba import njit

from lastiterate.theory.simulators.kernels.protocol import (
    FIRST,
    KERNEL,
    STEP_SIZE,
    WEIGHT,
    Bound,
    Method,
    RunFacts,
)
from lastiterate.theory.simulators.kernels.vectors import add_decay

__all__ = [
    "adagrad",
    "adagrad_bound",
    "adagrad_norm",
    "adagrad_norm_bound",
    "gradagrad",
    "gradagrad_bound",
    "gradagrad_coordinate",
]

SQUARES, SPENT, REACH = FIRST, FIRST + 1, FIRST + 2  # sum ||g||^2; sum_k <g_k, eta_k g_k>; largest |x_k - x_0|
ALPHA, GAMMA = FIRST, FIRST + 1


@njit(**KERNEL)
def adagrad_norm(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x_{k+1} = x_k - lr_k g_k / sqrt(b_0^2 + sum_{i<=k} ||g_i||^2)."""
    start, square, reach = state[0], 0.0, 0.0
    if k == 0:
        scalars[SQUARES] = options[0] ** 2
        for j in range(x.size):
            start[j] = x[j]
    for j in range(x.size):
        square += g[j] * g[j]
    scalars[SQUARES] += square
    step = lr / math.sqrt(scalars[SQUARES]) if scalars[SQUARES] > 0.0 else 0.0
    scalars[STEP_SIZE], scalars[WEIGHT] = step, 1.0
    scalars[SPENT] += step * square
    for j in range(x.size):
        reach += (x[j] - start[j]) ** 2
        x[j] -= step * g[j]
    scalars[REACH] = max(scalars[REACH], math.sqrt(reach))


@njit(**KERNEL)
def adagrad(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x_{k+1} = x_k - lr_k g_k / (sqrt(b + sum_{i<=k} g_i^2) + eps), coordinate by coordinate.

    With ``lr_decay`` lr_k is divided by 1 + k lr_decay, as in torch.
    """
    eps, squares, start = options[0], state[0], state[1]
    add_decay(g, options[1], x)
    lr /= 1.0 + k * options[2]
    scalars[WEIGHT], inverse = 1.0, 0.0
    for j in range(x.size):
        if k == 0:
            start[j] = x[j]
            squares[j] = options[3]
        squares[j] += g[j] * g[j]
        scale = math.sqrt(squares[j]) + eps
        inverse += scale
        scalars[REACH] = max(scalars[REACH], abs(x[j] - start[j]))
        if scale > 0.0:
            scalars[SPENT] += lr * g[j] * g[j] / scale
            x[j] -= lr * g[j] / scale
    scalars[SQUARES] = inverse


@njit(**KERNEL)
def gradagrad(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """v = ||g_k||^2 - rho <g_k, g_{k-1}>; v >= 0: alpha += v; else gamma *= sqrt(1 + min(-v, r alpha) / alpha)."""
    rho, growth, previous, v = options[0], options[1], state[0], 0.0
    if k == 0:
        scalars[GAMMA] = 1.0
    for j in range(x.size):
        v += g[j] * g[j] - rho * g[j] * previous[j]
        previous[j] = g[j]
    if v >= 0.0:
        scalars[ALPHA] += v
    elif scalars[ALPHA] > 0.0:
        scalars[GAMMA] *= math.sqrt(1.0 + min(-v / scalars[ALPHA], growth))
    step = lr * scalars[GAMMA] / math.sqrt(scalars[ALPHA]) if scalars[ALPHA] > 0.0 else 0.0
    scalars[STEP_SIZE] = step
    for j in range(x.size):
        x[j] -= step * g[j]


@njit(**KERNEL)
def gradagrad_coordinate(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """As `gradagrad`, with v = g_k^2 - rho g_k g_{k-1}, alpha and gamma for every coordinate."""
    rho, growth, previous, alpha, gamma = options[0], options[1], state[0], state[1], state[2]
    for j in range(x.size):
        if k == 0:
            gamma[j] = 1.0
        v = g[j] * g[j] - rho * g[j] * previous[j]
        previous[j] = g[j]
        if v >= 0.0:
            alpha[j] += v
        elif alpha[j] > 0.0:
            gamma[j] *= math.sqrt(1.0 + min(-v / alpha[j], growth))
        if alpha[j] > 0.0:
            x[j] -= lr * gamma[j] / math.sqrt(alpha[j]) * g[j]


def adagrad_norm_bound(facts: RunFacts) -> Bound:
    """Return the regret over N with the distances seen: ((R + D)^2 / (2 eta_{N-1}) + sum eta_k ||g_k||^2 / 2) / N.

    R = max_k ||x_k - x_0||; online gradient descent with nonincreasing steps eta_k = lr_k / sqrt(b_0^2 + sum ||g||^2)
    (Streeter and McMahan, arXiv 1002.4862). It bounds the uniform average of x_0..x_{N-1}.
    """
    squares, spent, reach = facts.scalars[SQUARES], facts.scalars[SPENT], facts.scalars[REACH]
    return _online_bound(facts, reach + facts.D, float(np.sqrt(squares)), spent)


def adagrad_bound(facts: RunFacts) -> Bound:
    """Return the bound of `adagrad_norm_bound` summed over the coordinates, with distances in the maximum norm."""
    scales, spent, reach = facts.scalars[SQUARES], facts.scalars[SPENT], facts.scalars[REACH]
    distance = reach + float(np.abs(facts.problem.x0 - facts.problem.x_star).max())
    return _online_bound(facts, distance, scales, spent)


def _online_bound(facts: RunFacts, distance: float, scale: float, spent: float) -> Bound:
    lrs = facts.lrs / (1.0 + np.arange(facts.lrs.size) * facts.options.get("lr_decay", 0.0))
    if np.any(np.diff(lrs) > 0.0) or lrs[-1] <= 0.0:
        return Bound(None, reason="the regret bound needs positive steps that do not increase")
    value = (distance**2 * scale / lrs[-1] + spent) / (2.0 * lrs.size)
    return Bound(float(value), "average", "regret of AdaGrad with the distances seen (arXiv 1002.4862)")


def gradagrad_bound(facts: RunFacts) -> Bound:
    """Return no value: the rate, which is about the uniform average, has no explicit constants."""
    return Bound(None, "average", reason="the rate of arXiv 2206.06900 is stated without explicit constants")


METHODS = {
    "adagrad_norm": Method(
        adagrad_norm, {"b0": 0.0}, vectors=1, scalars=3, averages=True, posterior=True, bound=adagrad_norm_bound
    ),
    "adagrad": Method(
        adagrad,
        {"eps": 1e-10, "weight_decay": 0.0, "lr_decay": 0.0, "initial_accumulator_value": 0.0},
        vectors=2,
        scalars=3,
        averages=True,
        posterior=True,
        bound=adagrad_bound,
    ),
    "gradagrad": Method(
        gradagrad, {"rho": 2.0, "growth": 1.0}, vectors=1, scalars=2, averages=True, bound=gradagrad_bound
    ),
    "gradagrad_coordinate": Method(
        gradagrad_coordinate, {"rho": 2.0, "growth": 1.0}, vectors=3, averages=True, bound=gradagrad_bound
    ),
}
