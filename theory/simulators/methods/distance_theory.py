# pyright: reportMissingParameterType=false
"""Methods that estimate the distance D to the solution: the forms that theorems are about.

D-Adaptation by dual averaging, gradient descent and AdaGrad (arXiv 2301.07733, Algorithms 1 to 3), Prodigy by gradient
descent and dual averaging and Resetting (arXiv 2306.06101). All keep d_k <= D, because
0 <= sum_k w_k (f(x_k) - f*) <= D ||s|| - r for the weights w_k, the weighted gradient sum s, and a computable r: that
inequality is also the bound reported beside a run. The rate lr = base_lr * steps[k] multiplies the weights, so every
schedule keeps d_k <= D; the theorems are about lr = 1. The forms used in practice are in ``practical_estimation.py``.

Scalars from FIRST on: d, r, norm of s, sum of weights; then each method's own.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from lastiterate.theory.simulators.kernels.protocol import (
    D_ESTIMATE,
    FIRST,
    KERNEL,
    PART,
    STEP_SIZE,
    SUMS,
    WEIGHT,
    Bound,
    Method,
    RunFacts,
)
from lastiterate.theory.simulators.kernels.vectors import dot, norm1, product_with_difference
from lastiterate.theory.simulators.kernels.views import copy_to

__all__ = ["dadapt_adagrad", "dadapt_da", "dadapt_gd", "prodigy_da", "prodigy_gd", "resetting"]

DISTANCE, NUMERATOR, NORM, TOTAL = FIRST, FIRST + 1, FIRST + 2, FIRST + 3
SQUARES, CORRECTION, OPTION_1, OPTION_2 = FIRST + 4, FIRST + 5, FIRST + 6, FIRST + 7
LONGEST, LONGEST_SQUARES, LONGEST_D, RESETS = FIRST + 5, FIRST + 6, FIRST + 7, FIRST + 8


@njit(**KERNEL)
def _add(target, factor, vector):
    for j in range(target.size):
        target[j] += factor * vector[j]


@njit(**PART)
def grow(scalars, estimate, growth_rate):
    """d <- max(d, min(estimate, growth_rate d)); without gradient (nan) or with lost ones (inf) nothing changes."""
    d = scalars[DISTANCE]
    if d < estimate < np.inf:
        scalars[DISTANCE] = max(d, min(estimate, growth_rate * d))
    scalars[D_ESTIMATE] = scalars[DISTANCE]


@njit(**KERNEL)
def dadapt_da(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """D-Adaptation by dual averaging: s += lr d_k g_k, x = x_0 - s / sqrt(G^2 + sum ||g||^2); Option I or II for d.

    With G = 0 the first gamma is 1 / ||g_0||, as in Algorithm 1.
    """
    start, s, square = state[0], state[1], dot(g, g)
    if k == 0:
        copy_to(start, x)
        scalars[DISTANCE] = options[0]
    before = options[2] ** 2 + scalars[SQUARES]
    scalars[SQUARES] += square
    after = options[2] ** 2 + scalars[SQUARES]
    scalars[D_ESTIMATE] = scalars[DISTANCE]
    if after == 0.0:
        return
    gamma = 1.0 / math.sqrt(before if before > 0.0 else after)
    weight = lr * scalars[DISTANCE]
    scalars[NUMERATOR] += weight * gamma * dot(g, s)
    scalars[CORRECTION] += gamma * weight**2 * square
    _add(s, weight, g)
    gamma = 1.0 / math.sqrt(after)
    scalars[NORM] = norm = math.sqrt(dot(s, s))
    scalars[TOTAL] += weight
    scalars[OPTION_1] = 0.5 * (gamma * norm - scalars[CORRECTION] / norm)
    scalars[OPTION_2] = scalars[NUMERATOR] / norm
    grow(scalars, scalars[OPTION_1] if options[1] == 1.0 else scalars[OPTION_2], options[3])
    scalars[WEIGHT], scalars[STEP_SIZE] = weight, gamma * weight
    for j in range(x.size):
        x[j] = start[j] - gamma * s[j]


@njit(**KERNEL)
def dadapt_gd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """D-Adaptation by gradient descent: x -= lam_k g_k, lam_k = lr d_k / sqrt(G^2 + sum ||g||^2)."""
    s, square = state[0], dot(g, g)
    if k == 0:
        scalars[DISTANCE] = options[0]
    scalars[SQUARES] += square
    scalars[D_ESTIMATE] = scalars[DISTANCE]
    weight = lr * scalars[DISTANCE] / math.sqrt(options[1] ** 2 + scalars[SQUARES])
    if not math.isfinite(weight):
        return
    scalars[NUMERATOR] += weight * dot(g, s)
    scalars[CORRECTION] += weight**2 * square
    _add(s, weight, g)
    _add(x, -weight, g)
    scalars[NORM] = norm = math.sqrt(dot(s, s))
    scalars[TOTAL] += weight
    grow(scalars, 0.5 * (norm - scalars[CORRECTION] / norm), options[2])
    scalars[WEIGHT], scalars[STEP_SIZE] = weight, weight


@njit(**SUMS)
def _diagonal_square(v, scale, add):
    """sum v_j^2 / sqrt(scale_j + add_j^2)."""
    total = 0.0
    for j in range(v.size):
        size = math.sqrt(scale[j] + add[j] * add[j])
        if size > 0.0:
            total += v[j] * v[j] / size
    return total


@njit(**SUMS)
def _diagonal_dot(g, s, scale):
    """sum g_j s_j / sqrt(scale_j)."""
    total = 0.0
    for j in range(g.size):
        if scale[j] > 0.0:
            total += g[j] * s[j] / math.sqrt(scale[j])
    return total


@njit(**KERNEL)
def dadapt_adagrad(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """D-Adaptation in AdaGrad's metric, a_0 = G_inf: x = x_0 - s / a, a^2 += g^2; d bounds ||x_0 - x*||_inf."""
    start, s, scale, zero = state[0], state[1], state[2], state[3]
    if k == 0:
        copy_to(start, x)
        for j in range(x.size):
            scale[j] = options[1] ** 2
        scalars[DISTANCE] = options[0]
    weight = lr * scalars[DISTANCE]
    scalars[NUMERATOR] += weight * _diagonal_dot(g, s, scale)
    scalars[CORRECTION] += weight**2 * _diagonal_square(g, scale, zero)
    _add(s, weight, g)
    squared = _diagonal_square(s, scale, g)
    for j in range(x.size):
        scale[j] += g[j] ** 2
        if scale[j] > 0.0:
            x[j] = start[j] - s[j] / math.sqrt(scale[j])
    scalars[NORM] = norm = norm1(s)
    scalars[TOTAL] += weight
    grow(scalars, 0.5 * (squared - scalars[CORRECTION]) / norm, options[2])
    scalars[WEIGHT], scalars[STEP_SIZE] = weight, weight


@njit(**KERNEL)
def prodigy_gd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Prodigy by gradient descent: eta = lr d^2 l / sqrt(d^2 G^2 + sum d_i^2 l_i^2 ||g_i||^2), with weights l_k.

    x_0 - x_k is kept as the sum of the steps: as a difference of points it would lose the first ones, tiny beside x_0.
    """
    moved, weight = state[0], options[2]
    if k == 0:
        scalars[DISTANCE] = options[0]
    d = scalars[DISTANCE]
    scalars[SQUARES] += (d * weight) ** 2 * dot(g, g)
    eta = lr * d**2 * weight / math.sqrt((d * options[1]) ** 2 + scalars[SQUARES])
    scalars[D_ESTIMATE] = d
    if not math.isfinite(eta):
        return
    scalars[NUMERATOR] += eta * dot(g, moved)
    _add(moved, eta, g)
    _add(x, -eta, g)
    scalars[NORM] = norm = math.sqrt(dot(moved, moved))
    scalars[TOTAL] += eta
    grow(scalars, scalars[NUMERATOR] / norm, options[3])
    scalars[WEIGHT], scalars[STEP_SIZE] = eta, eta


@njit(**KERNEL)
def prodigy_da(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Prodigy by dual averaging: s += lr d^2 g, x = x_0 - s / sqrt(d_{k+1}^2 G^2 + sum d_i^2 ||g_i||^2)."""
    start, s = state[0], state[1]
    if k == 0:
        copy_to(start, x)
        scalars[DISTANCE] = options[0]
    d = scalars[DISTANCE]
    weight = lr * d**2
    scalars[SQUARES] += d**2 * dot(g, g)
    scalars[CORRECTION] += d**2
    scalars[NUMERATOR] += weight * product_with_difference(g, start, x)
    _add(s, weight, g)
    scalars[NORM] = norm = math.sqrt(dot(s, s))
    scalars[TOTAL] += weight
    grow(scalars, scalars[NUMERATOR] / norm, options[2])
    below = (scalars[DISTANCE] * options[1]) ** 2 + scalars[SQUARES]
    gamma = 1.0 / math.sqrt(below) if below > 0.0 else 0.0
    scalars[WEIGHT], scalars[STEP_SIZE] = weight, gamma * weight
    for j in range(x.size):
        x[j] = start[j] - gamma * s[j]


@njit(**KERNEL)
def resetting(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Dual averaging with constant d inside an epoch; a new estimate above 2 d starts the next epoch from x_0.

    Returns the average of the longest epoch (``state[3]``); the step that ends an epoch is not counted in it.
    """
    start, s, mean, longest, square = state[0], state[1], state[2], state[3], dot(g, g)
    if k == 0:
        copy_to(start, x)
        copy_to(longest, x)
        scalars[DISTANCE] = options[0]
    d = scalars[DISTANCE]
    before = options[1] ** 2 + scalars[SQUARES]
    after = before + square
    scalars[D_ESTIMATE] = d
    scalars[WEIGHT] = 0.0
    if after == 0.0:
        return
    weight = lr * d
    scalars[NUMERATOR] += weight * dot(g, s) / math.sqrt(before if before > 0.0 else after)
    _add(s, weight, g)
    norm = math.sqrt(dot(s, s))
    estimate = scalars[NUMERATOR] / norm
    if estimate > 2.0 * d:
        scalars[DISTANCE] = scalars[D_ESTIMATE] = estimate
        scalars[RESETS] += 1.0
        scalars[NUMERATOR] = scalars[SQUARES] = scalars[TOTAL] = scalars[NORM] = 0.0
        _add(s, -1.0, s)
        copy_to(x, start)
        return
    scalars[SQUARES] += square
    scalars[NORM] = norm
    scalars[TOTAL] += weight
    if weight > 0.0:
        share = weight / scalars[TOTAL]
        for j in range(x.size):
            mean[j] = x[j] if share == 1.0 else mean[j] + share * (x[j] - mean[j])
    if scalars[TOTAL] / d >= scalars[LONGEST]:
        scalars[LONGEST] = scalars[TOTAL] / d
        scalars[LONGEST_SQUARES], scalars[LONGEST_D] = scalars[SQUARES], d
        copy_to(longest, mean)
    gamma = 1.0 / math.sqrt(after)
    scalars[STEP_SIZE] = gamma * weight
    for j in range(x.size):
        x[j] = start[j] - gamma * s[j]


DETERMINISTIC = "d depends on the gradients, so the analysis is for deterministic subgradients"


def _regret_bound(largest: bool, source: str, facts: RunFacts) -> Bound:
    """Return the bound (D ||s|| - r) / sum of weights, D = ||x_0 - x*||, or in the maximum norm if ``largest``."""
    if facts.stochastic:
        return Bound(None, "average", reason=DETERMINISTIC)
    if facts.D is None:
        return Bound(None, "average", reason="the bound needs D")
    total = facts.scalars[TOTAL]
    if not total > 0.0:
        return Bound(None, "average", reason="no step was taken")
    problem = facts.problem
    distance = float(np.max(np.abs(problem.x0 - problem.x_star))) if largest else facts.D
    regret = distance * facts.scalars[NORM] - facts.scalars[NUMERATOR]
    return Bound(max(0.0, float(regret / total)), "average", source)


def _resetting_bound(facts: RunFacts) -> Bound:
    """Return ((2 + sqrt 6) D + d) sqrt(G^2 + sum ||g||^2) / T over the longest epoch, T long with estimate d.

    Inside an epoch r <= 2 d ||s||, hence ||s|| <= (2 + sqrt 6) d / gamma, and the regret is at most
    D ||s|| + d^2 / gamma.
    """
    if facts.stochastic:
        return Bound(None, reason=DETERMINISTIC)
    if facts.D is None or facts.G is None or not np.all(facts.lrs == 1.0):
        return Bound(None, reason="proved for lr = 1 with D and G known")
    if float(facts.options["G"]) < facts.G * (1.0 - 1e-12) or not facts.scalars[LONGEST] > 0.0:
        return Bound(None, reason="proved for the option G at least the gradient norms")
    size = math.sqrt(float(facts.options["G"]) ** 2 + facts.scalars[LONGEST_SQUARES])
    value = ((2.0 + math.sqrt(6.0)) * facts.D + facts.scalars[LONGEST_D]) * size / facts.scalars[LONGEST]
    return Bound(float(value), source="longest epoch of dual averaging with fixed d (arXiv 2306.06101v1)")


_DADAPT = "regret of D-Adaptation (arXiv 2301.07733)"
_PRODIGY = "regret of Prodigy (arXiv 2306.06101)"
_GROWTH = {"growth_rate": np.inf}
_AVERAGED: dict[str, Any] = {"averages": True, "posterior": True}
_DADAPT_BOUND, _PRODIGY_BOUND = (partial(_regret_bound, False, source) for source in (_DADAPT, _PRODIGY))

METHODS = {
    "dadapt_da": Method(
        dadapt_da,
        {"d0": 1e-6, "option": 2.0, "G": 0.0, **_GROWTH},
        vectors=2,
        scalars=8,
        bound=_DADAPT_BOUND,
        **_AVERAGED,
    ),
    "dadapt_gd": Method(
        dadapt_gd, {"d0": 1e-6, "G": "G", **_GROWTH}, vectors=1, scalars=6, bound=_DADAPT_BOUND, **_AVERAGED
    ),
    "dadapt_adagrad": Method(
        dadapt_adagrad,
        {"d0": 1e-6, "G_inf": "G_inf", **_GROWTH},
        vectors=4,
        scalars=6,
        bound=partial(_regret_bound, True, _DADAPT),
        **_AVERAGED,
    ),
    "prodigy_gd": Method(
        prodigy_gd,
        {"d0": 1e-6, "G": "G", "weight": 1.0, **_GROWTH},
        vectors=1,
        scalars=5,
        bound=_PRODIGY_BOUND,
        **_AVERAGED,
    ),
    "prodigy_da": Method(
        prodigy_da, {"d0": 1e-6, "G": "G", **_GROWTH}, vectors=2, scalars=6, bound=_PRODIGY_BOUND, **_AVERAGED
    ),
    "resetting": Method(
        resetting, {"d0": 1e-6, "G": "G"}, vectors=4, scalars=9, output=3, posterior=True, bound=_resetting_bound
    ),
}
