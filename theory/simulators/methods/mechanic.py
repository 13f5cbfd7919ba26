# pyright: reportMissingParameterType=false
"""Mechanic (arXiv 2306.00144): a one-dimensional tuner learns the scale of a base optimiser's displacement.

x_t = x_1 + (sum_i s_i) Delta_t, where Delta adds up the base updates; betting tuners, six with discounts .9 to .999999
unless ``mechanic_betas`` gives others, learn the s_i from h_t = <Delta_t, g_t + lambda (sum s) ||g_t|| x_t / ||x_t||>.
The paper's form is the default. With ``package`` the details of ``mechanic-pytorch`` apply: m starts at 1e-6 instead of
0, and the lambda-term is taken at the point after the base step; its default ``store_delta=False`` takes Delta_t from
the points, (x_t - x_1) / (sum s + eps), instead of adding up. The rate lr = base_lr * steps[k] is that of the base
optimiser.

Scalars from FIRST on: sum of s; then s, v, r, m of the tuners. State: x_1, Delta, base update, base's own vectors.
"""

import math
from typing import Any

from numba import njit

from lastiterate.theory.simulators.kernels.protocol import D_ESTIMATE, FIRST, KERNEL, STEP_SIZE, SUMS, Method, no_bound

__all__ = ["mechanic_adam", "mechanic_sgd"]

TUNERS = 12  # at most
SCALE, S, V, R, M = FIRST, FIRST + 1, FIRST + 1 + TUNERS, FIRST + 1 + 2 * TUNERS, FIRST + 1 + 3 * TUNERS


@njit(**SUMS)
def _tune(k, x, g, start, delta, update, scalars, options, first):
    """Advance the tuners with h_t, add the base update to Delta, and move x; the discounts are options from `first`."""
    s_decay, s_init, eps, package, stored = options[0], options[1], options[2], options[3] > 0.0, options[4] > 0.0
    for j in range(0 if stored else x.size):
        delta[j] = (x[j] - start[j]) / (scalars[SCALE] + eps)
    square, norm, along, reward = 0.0, 0.0, 0.0, 0.0
    for j in range(x.size):
        point = x[j] + update[j] if package else x[j]
        square += g[j] * g[j]
        norm += point * point
        along += delta[j] * point
        reward += delta[j] * g[j]
    norm = math.sqrt(norm) + (eps if package else 0.0)
    if norm > 0.0:
        reward += s_decay * scalars[SCALE] * math.sqrt(square) / norm * along
    total, tuners = 0.0, options.size - first
    for i in range(tuners):
        beta = options[first + i]
        if k == 0 and package:
            scalars[M + i] = 1e-6
        if beta == 0.0:  # nothing is kept, not even what has overflowed
            scalars[M + i] = scalars[V + i] = scalars[R + i] = 0.0
        scalars[M + i] = max(beta * scalars[M + i], abs(reward))
        scalars[V + i] = beta * beta * scalars[V + i] + reward * reward
        scalars[R + i] = max(0.0, beta * scalars[R + i] - scalars[S + i] * reward)
        wealth = scalars[M + i] * s_init / tuners + scalars[R + i]
        scalars[S + i] = wealth / (math.sqrt(scalars[V + i]) + eps)
        total += scalars[S + i]
    scalars[SCALE] = scalars[D_ESTIMATE] = total
    for j in range(x.size):
        delta[j] += update[j]
        x[j] = start[j] + total * delta[j]


@njit(**KERNEL)
def _as_moved(x, update):
    """Round the base update as the package does, which takes it from the parameters before and after."""
    for j in range(x.size):
        moved = x[j] + update[j]
        update[j] = moved - x[j]


@njit(**KERNEL)
def _keep_start(k, x, start):
    if k == 0:
        for j in range(x.size):
            start[j] = x[j]


@njit(**KERNEL)
def mechanic_sgd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Mechanic around SGD with momentum, u = -lr m, m = momentum m + g; D_estimate records the learned scale."""
    start, delta, update, m = state[0], state[1], state[2], state[3]
    _keep_start(k, x, start)
    for j in range(x.size):
        m[j] = options[5] * m[j] + g[j] + options[6] * x[j]
        update[j] = -lr * m[j]
    if options[3] > 0.0:
        _as_moved(x, update)
    _tune(k, x, g, start, delta, update, scalars, options, 7)
    scalars[STEP_SIZE] = lr * scalars[SCALE]


@njit(**KERNEL)
def mechanic_adam(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Mechanic around Adam or, with ``decouple``, AdamW; D_estimate records the learned scale."""
    start, delta, update, m, v = state[0], state[1], state[2], state[3], state[4]
    beta, beta2, adam_eps = options[5], options[6], options[7]
    coupled, decoupled = (0.0, options[8]) if options[9] > 0.0 else (options[8], 0.0)
    first, second = 1.0 - beta ** (k + 1.0), math.sqrt(1.0 - beta2 ** (k + 1.0))
    _keep_start(k, x, start)
    for j in range(x.size):
        slope = g[j] + coupled * x[j]
        m[j] = beta * m[j] + (1.0 - beta) * slope
        v[j] = beta2 * v[j] + (1.0 - beta2) * slope * slope
        scale = math.sqrt(v[j]) / second + adam_eps
        update[j] = -lr * decoupled * x[j] - (lr / first * (m[j] / scale) if scale > 0.0 else 0.0)
    if options[3] > 0.0:
        _as_moved(x, update)
    _tune(k, x, g, start, delta, update, scalars, options, 10)
    scalars[STEP_SIZE] = lr * scalars[SCALE]


_TUNER = {"s_decay": 0.01, "s_init": 1e-8, "eps": 1e-8, "package": False, "store_delta": True}
_ADAM = {**_TUNER, "beta1": 0.9, "beta2": 0.999, "adam_eps": 1e-8}
_BETAS = {"mechanic_betas": (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)}  # a list comes last
_ROW: dict[str, Any] = {
    "scalars": 1 + 4 * TUNERS,
    "bound": no_bound("the practical tuner clips and sums several discounts; no theorem has its constants"),
}

METHODS = {
    "mechanic_sgd": Method(mechanic_sgd, {**_TUNER, "momentum": 0.0, "weight_decay": 0.0, **_BETAS}, vectors=4, **_ROW),
    "mechanic_adam": Method(
        mechanic_adam, {**_ADAM, "weight_decay": 0.0, "decouple": False, **_BETAS}, vectors=5, **_ROW
    ),
    "mechanic_adamw": Method(
        mechanic_adam, {**_ADAM, "weight_decay": 0.01, "decouple": True, **_BETAS}, vectors=5, **_ROW
    ),
}
