# pyright: reportMissingParameterType=false
"""D-Adaptation and Prodigy as the packages ``dadaptation`` and ``prodigyopt`` run them: no theorem, equal trajectories.

They differ from the forms of ``distance_estimation.py``: ``dadapt_sgd`` and ``dadapt_adagrad_practical`` estimate with
a factor 2, which is no lower bound on D any more (``factor=1.0`` restores the theory's estimate), a first gradient norm
in place of gamma, momentum, and growth limits; the Adam forms use moving averages. The rate lr = base_lr * steps[k]
multiplies the estimated rate, so schedules have their peak at 1.

Scalars from FIRST on: d, numerator; then each method's own.
"""

import math

import numpy as np
from numba import njit

from lastiterate.theory.simulators.kernels.protocol import (
    D_ESTIMATE,
    FIRST,
    KERNEL,
    STEP_SIZE,
    SUMS,
    WEIGHT,
    Method,
    no_bound,
)
from lastiterate.theory.simulators.kernels.vectors import add_decay, dot, norm1
from lastiterate.theory.simulators.kernels.views import copy_to

from .distance_theory import grow

__all__ = ["dadapt_adagrad_practical", "dadapt_adam", "dadapt_lion", "dadapt_sgd", "prodigy"]

DISTANCE, NUMERATOR, THIRD, FOURTH = FIRST, FIRST + 1, FIRST + 2, FIRST + 3


@njit(**KERNEL)
def dadapt_sgd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """lam = lr d / ||g_0||; r += lam <g, s>; s += lam g; d from factor r / ||s||; x = beta x + (1-beta)(x_0 - s)."""
    start, s, beta = state[0], state[1], options[0]
    if k == 0:
        copy_to(start, x)
        scalars[DISTANCE] = options[1]
    if scalars[THIRD] == 0.0:  # the norm of the first gradient, before weight decay
        scalars[THIRD] = math.sqrt(dot(g, g))
    scalars[D_ESTIMATE] = scalars[DISTANCE]
    if scalars[THIRD] == 0.0:
        return
    add_decay(g, options[3], x)
    weight = lr * scalars[DISTANCE] / scalars[THIRD]
    scalars[NUMERATOR] += weight * dot(g, s)
    for j in range(x.size):
        s[j] += weight * g[j]
    if lr > 0.0:
        grow(scalars, options[4] * scalars[NUMERATOR] / math.sqrt(dot(s, s)), options[2])
    scalars[WEIGHT], scalars[STEP_SIZE] = weight, weight
    for j in range(x.size):
        x[j] = beta * x[j] + (1.0 - beta) * (start[j] - s[j])


@njit(**SUMS)
def dadapt_adam(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Adam with d inside its momentum; d from the moving average of <g, s / sqrt(v)> over ||s||_1.

    As in the package, steps with lr = 0 and those before the first gradient do not count in the bias correction.
    """
    beta, beta2, eps, decay = options[0], options[1], options[2], options[6]
    m, v, s, root = state[0], state[1], state[2], math.sqrt(options[1])
    if k == 0:
        scalars[DISTANCE] = options[3]
    scalars[D_ESTIMATE], scalars[WEIGHT], scalars[STEP_SIZE] = scalars[DISTANCE], lr, 0.0
    if lr == 0.0:
        return
    rate = scalars[DISTANCE] * lr
    if options[5] > 0.0:
        count = scalars[THIRD] + 1.0
        rate *= math.sqrt(1.0 - beta2**count) / (1.0 - beta**count)
    decoupled = options[7] > 0.0
    if not decoupled:
        add_decay(g, decay, x)
    inner = 0.0
    for j in range(x.size):
        inner += g[j] * (s[j] / (math.sqrt(v[j]) + eps))
    for j in range(x.size):
        m[j] = beta * m[j] + rate * (1.0 - beta) * g[j]
        v[j] = beta2 * v[j] + (1.0 - beta2) * g[j] * g[j]
        s[j] = root * s[j] + rate * (1.0 - root) * g[j]
    below = norm1(s)
    if below == 0.0:
        return
    scalars[THIRD] += 1.0
    scalars[NUMERATOR] = root * scalars[NUMERATOR] + (1.0 - root) * rate * inner
    grow(scalars, scalars[NUMERATOR] / ((1.0 - root) * below), options[4])
    scalars[STEP_SIZE] = rate
    for j in range(x.size):
        if decoupled:
            x[j] -= decay * rate * x[j]
        x[j] -= m[j] / (math.sqrt(v[j]) + eps)


@njit(**SUMS)
def dadapt_lion(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Lion with step d lr; d from the moving average of d lr <u, s> over ||s||_1, u the signs and s their average."""
    beta, root, decay, m, s = options[0], math.sqrt(options[1]), options[3], state[0], state[1]
    if k == 0:
        scalars[DISTANCE] = options[2]
    rate = scalars[DISTANCE] * lr
    scalars[D_ESTIMATE], scalars[WEIGHT], scalars[STEP_SIZE] = scalars[DISTANCE], rate, rate
    inner, below = 0.0, 0.0
    for j in range(x.size):
        mixed = beta * m[j] + (1.0 - beta) * g[j]
        sign = 1.0 if mixed > 0.0 else (-1.0 if mixed < 0.0 else 0.0)
        x[j] = (1.0 - rate * decay) * x[j] - rate * sign
        m[j] = options[1] * m[j] + (1.0 - options[1]) * rate * g[j]
        inner += sign * s[j]
        s[j] = root * s[j] + (1.0 - root) * rate * sign
        below += abs(s[j])
    if below > 0.0:  # the package keeps the old numerator where nothing has moved yet
        scalars[NUMERATOR] = root * scalars[NUMERATOR] + (1.0 - root) * rate * inner
    if lr > 0.0:
        grow(scalars, scalars[NUMERATOR] / ((1.0 - root) * below), np.inf)


@njit(**SUMS)
def dadapt_adagrad_practical(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """AdaGrad from 1e-6; dhat = factor/2 (||s||^2_{1/A} - sum lam^2 ||g||^2_{1/A}) / ||s||_1, new A throughout."""
    start, s, scale, beta, eps = state[0], state[1], state[2], options[0], options[1]
    if k == 0:
        copy_to(start, x)
        for j in range(x.size):
            scale[j] = 1e-6
        scalars[DISTANCE] = options[2]
    add_decay(g, options[4], x)
    rate = scalars[DISTANCE] * lr
    squares, norms = 0.0, 0.0
    for j in range(x.size):
        scale[j] += g[j] * g[j]
        below = math.sqrt(scale[j]) + eps
        s[j] += rate * g[j]
        norms += g[j] * g[j] / below
        squares += s[j] * s[j] / below
    scalars[NUMERATOR] += rate * rate * norms
    if lr > 0.0:
        grow(scalars, 0.5 * options[5] * (squares - scalars[NUMERATOR]) / norm1(s), options[3])
    scalars[WEIGHT], scalars[STEP_SIZE] = rate, rate
    for j in range(x.size):
        z = start[j] - s[j] / (math.sqrt(scale[j]) + eps)
        x[j] = z if beta == 0.0 else beta * x[j] + (1.0 - beta) * z


@njit(**SUMS)
def prodigy(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Prodigy's Adam form: d from the moving average of d^2 <g, x_0 - x> over ||s||_1; the step uses the old d.

    As in the package, steps with lr = 0 and those before the first gradient do not count in the bias correction, and
    with beta1 = 0 the gradient is multiplied by the new d.
    """
    beta, beta2, eps, decay = options[0], options[1], options[3], options[8]
    beta3 = options[2] if options[2] >= 0.0 else math.sqrt(beta2)
    start, m, v, s = state[0], state[1], state[2], state[3]
    if k == 0:
        copy_to(start, x)
        scalars[DISTANCE] = scalars[THIRD] = options[4]
    d, first = scalars[DISTANCE], options[4]
    scalars[D_ESTIMATE], scalars[WEIGHT], scalars[STEP_SIZE] = d, lr, 0.0
    if lr == 0.0:
        return
    rate = d * lr
    if options[7] > 0.0:
        count = scalars[FOURTH] + 1.0
        rate *= math.sqrt(1.0 - beta2**count) / (1.0 - beta**count)
    decoupled = options[9] > 0.0
    if not decoupled:
        add_decay(g, decay, x)
    weight, inner = (d / first) * (d if options[10] > 0.0 else rate), 0.0
    for j in range(x.size):
        m[j] = beta * m[j] + d * (1.0 - beta) * g[j]
        v[j] = beta2 * v[j] + d * d * (1.0 - beta2) * g[j] * g[j]
    for j in range(0, x.size, int(options[11])):  # the entries left out of s stay zero
        inner += g[j] * (start[j] - x[j])
        s[j] = beta3 * s[j] + weight * g[j]
    below = norm1(s)
    if below == 0.0:
        return
    scalars[FOURTH] += 1.0
    scalars[NUMERATOR] = beta3 * scalars[NUMERATOR] + (d / first) * rate * inner
    estimate = options[5] * scalars[NUMERATOR] / below
    if d == first:
        d = max(d, estimate)
    scalars[THIRD] = max(scalars[THIRD], estimate)
    d = min(scalars[THIRD], d * options[6])
    scalars[DISTANCE] = scalars[D_ESTIMATE] = d
    scalars[STEP_SIZE] = rate
    for j in range(x.size):
        if decoupled:
            x[j] -= decay * rate * x[j]
        x[j] -= rate * (m[j] if beta > 0.0 else d * g[j]) / (math.sqrt(v[j]) + d * eps)


_HEURISTIC = no_bound("the practical form has no theorem; its theory forms do")

METHODS = {
    "dadapt_sgd": Method(
        dadapt_sgd,
        {"momentum": 0.0, "d0": 1e-6, "growth_rate": np.inf, "weight_decay": 0.0, "factor": 2.0},
        vectors=2,
        scalars=3,
        bound=_HEURISTIC,
    ),
    "dadapt_adam": Method(
        dadapt_adam,
        {
            "beta1": 0.9,
            "beta2": 0.999,
            "eps": 1e-8,
            "d0": 1e-6,
            "growth_rate": np.inf,
            "bias_correction": False,
            "weight_decay": 0.0,
            "decouple": False,
        },
        vectors=3,
        scalars=3,
        bound=_HEURISTIC,
    ),
    "dadapt_lion": Method(
        dadapt_lion,
        {"beta1": 0.9, "beta2": 0.99, "d0": 1e-6, "weight_decay": 0.0},
        vectors=2,
        scalars=2,
        bound=_HEURISTIC,
    ),
    "dadapt_adagrad_practical": Method(
        dadapt_adagrad_practical,
        {"momentum": 0.0, "eps": 1e-6, "d0": 1e-6, "growth_rate": np.inf, "weight_decay": 0.0, "factor": 2.0},
        vectors=3,
        scalars=2,
        bound=_HEURISTIC,
    ),
    "prodigy": Method(
        prodigy,
        {
            "beta1": 0.9,
            "beta2": 0.999,
            "beta3": -1.0,
            "eps": 1e-8,
            "d0": 1e-6,
            "d_coef": 1.0,
            "growth_rate": np.inf,
            "bias_correction": False,
            "weight_decay": 0.0,
            "decouple": True,
            "safeguard_warmup": False,
            "slice_p": 1.0,
        },
        vectors=4,
        scalars=4,
        bound=_HEURISTIC,
    ),
}
