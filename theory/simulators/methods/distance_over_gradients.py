# pyright: reportMissingParameterType=false
"""Distance over gradients: DoG, DoG by layers (arXiv 2302.12022) and DoWG (arXiv 2305.16284).

Scalars from FIRST on: the largest distance so far, the sum of (weighted) squares, the sum of weights.
"""

import math
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
    no_bound,
)
from lastiterate.theory.simulators.kernels.vectors import add_decay, distance, dot
from lastiterate.theory.simulators.kernels.views import copy_to

__all__ = ["dog", "dog_layerwise", "dowg"]

DISTANCE, SQUARES, TOTAL = FIRST, FIRST + 1, FIRST + 2


@njit(**PART)
def _move(x, step, g):
    for j in range(x.size):
        x[j] -= step * g[j]


@njit(**KERNEL)
def dog(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x -= lr rbar_k / sqrt(eps + sum ||g||^2) g_k, rbar_k = max(r_eps, max_i ||x_i - x_0||).

    r_eps = reps_rel (1 + ||x_0||). The average weighs x_k by rbar_k. A positive ``init_eta`` is the first step itself,
    whatever lr is, and rbar_k the distance alone.
    """
    start = state[0]
    add_decay(g, options[2], x)
    if k == 0:
        copy_to(start, x)
        scalars[DISTANCE] = 0.0 if options[3] > 0.0 else options[0] * (1.0 + math.sqrt(dot(x, x)))
        scalars[SQUARES] = options[1]
    scalars[SQUARES] += dot(g, g)
    radius = scalars[DISTANCE]
    scalars[WEIGHT], scalars[STEP_SIZE] = radius, 0.0
    scalars[TOTAL] += radius
    if scalars[SQUARES] > 0.0:
        scalars[STEP_SIZE] = lr * radius / math.sqrt(scalars[SQUARES])
        if k == 0 and options[3] > 0.0:
            scalars[STEP_SIZE] = options[3]
        _move(x, scalars[STEP_SIZE], g)
    scalars[DISTANCE] = scalars[D_ESTIMATE] = max(radius, distance(x, start))


@njit(**SUMS)
def dog_layerwise(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """DoG in every block of x apart, as many equal ones as ``blocks``; D_estimate records the largest distance."""
    start, radii, squares, n = state[0], state[1], state[2], int(options[3])
    add_decay(g, options[2], x)
    scalars[STEP_SIZE], largest = 0.0, 0.0
    for b in range(n):
        low, high = b * (x.size // n), (b + 1) * (x.size // n)
        square, length, moved = 0.0, 0.0, 0.0
        for j in range(low, high):
            square += g[j] * g[j]
            length += x[j] * x[j]
        if k == 0:
            for j in range(low, high):
                start[j] = x[j]
            radii[b] = 0.0 if options[4] > 0.0 else options[0] * (1.0 + math.sqrt(length))
            squares[b] = options[1]
        squares[b] += square
        step = lr * radii[b] / math.sqrt(squares[b]) if squares[b] > 0.0 else 0.0
        if k == 0 and options[4] > 0.0:
            step = options[4]
        for j in range(low, high):
            x[j] -= step * g[j]
            away = x[j] - start[j]
            moved += away * away
        radii[b] = max(radii[b], math.sqrt(moved))
        largest = max(largest, radii[b])
        scalars[STEP_SIZE] = max(scalars[STEP_SIZE], step)
    scalars[D_ESTIMATE] = largest


@njit(**KERNEL)
def dowg(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x -= lr rbar_k^2 / (sqrt(sum rbar_i^2 ||g_i||^2) + eps) g_k, rbar_k^2 at least ``init_estim_sq_dist``.

    The average weighs x_k by rbar_k^2.
    """
    start = state[0]
    add_decay(g, options[2], x)
    if k == 0:
        copy_to(start, x)
        scalars[DISTANCE] = math.sqrt(options[0])
    squared = scalars[DISTANCE] ** 2
    scalars[SQUARES] += squared * dot(g, g)
    below = math.sqrt(scalars[SQUARES]) + options[1]
    scalars[WEIGHT], scalars[STEP_SIZE] = squared, lr * squared / below if below > 0.0 else 0.0
    scalars[TOTAL] += squared
    _move(x, scalars[STEP_SIZE], g)
    scalars[DISTANCE] = scalars[D_ESTIMATE] = max(scalars[DISTANCE], distance(x, start))


def _dog_bound(facts: RunFacts) -> Bound:
    """Return rbar (2 (D + rbar) + rbar) sqrt(eps + sum ||g||^2) / sum rbar_k, with rbar after the last step."""
    if np.any(facts.options["init_eta"]):
        return Bound(None, "average", reason="proved for a first step from reps_rel")
    return _weighted_regret(facts, math.sqrt(facts.scalars[SQUARES]), "DoG, weighted regret (arXiv 2302.12022)")


def _dowg_bound(facts: RunFacts) -> Bound:
    """Return rbar (2 (D + rbar) + rbar) (sqrt(sum rbar_k^2 ||g||^2) + eps) / sum rbar_k^2, rbar after the last step."""
    below = math.sqrt(facts.scalars[SQUARES]) + float(np.max(facts.options["eps"]))
    return _weighted_regret(facts, below, "DoWG, weighted regret (arXiv 2305.16284)")


def _weighted_regret(facts: RunFacts, below: float, source: str) -> Bound:
    if facts.stochastic:
        reason = "d depends on the gradients, so the analysis is for deterministic subgradients"
        return Bound(None, "average", reason=reason)
    if facts.D is None or not np.all(facts.lrs == 1.0):
        return Bound(None, "average", reason="proved for lr = 1 with D known")
    radius = facts.scalars[DISTANCE]
    return Bound(float(radius * (2.0 * facts.D + 3.0 * radius) * below / facts.scalars[TOTAL]), "average", source)


_DOG = {"reps_rel": 1e-6, "eps": 0.0, "weight_decay": 0.0}
_AVERAGED: dict[str, Any] = {"averages": True, "posterior": True}

METHODS = {
    "dog": Method(dog, {**_DOG, "init_eta": 0.0}, vectors=1, scalars=3, bound=_dog_bound, **_AVERAGED),
    "dog_layerwise": Method(
        dog_layerwise,
        {**_DOG, "blocks": "n_outputs", "init_eta": 0.0},
        vectors=3,
        bound=no_bound("proved for one distance, not for one a layer"),
    ),
    "dowg": Method(
        dowg,
        {"init_estim_sq_dist": 1e-4, "eps": 1e-4, "weight_decay": 0.0},
        vectors=1,
        scalars=3,
        bound=_dowg_bound,
        **_AVERAGED,
    ),
}
