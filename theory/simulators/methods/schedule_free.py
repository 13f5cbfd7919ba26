# pyright: reportMissingParameterType=false
"""Schedule-Free SGD and AdamW (arXiv 2405.15682), as the package ``schedulefree`` runs them."""

import math

import numpy as np
from numba import njit

from lastiterate.theory.base.validation import Array
from lastiterate.theory.simulators.kernels.protocol import FIRST, KERNEL, Bound, Method, RunFacts, no_bound

__all__ = ["schedule_free", "schedule_free_bound"]

LR_MAX, WEIGHT_SUM = FIRST, FIRST + 1


@njit(**KERNEL)
def schedule_free(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """z_{k+1} = z_k - lr g(y_k); x_{k+1} averages z_1..z_{k+1} with weights (k+1)^r max(lr)^power; y = mix of both.

    With a third vector the gradient is first divided by sqrt(vhat) + eps, as in Adam. Weight decay is taken at y.
    """
    beta, decay, warmup, z, mean = options[0], options[3], options[4], state[0], state[1]
    if k < warmup:
        lr *= (k + 1.0) / warmup
    if lr > scalars[LR_MAX]:
        scalars[LR_MAX] = lr
    weight = (k + 1.0) ** options[1] * scalars[LR_MAX] ** options[2]
    scalars[WEIGHT_SUM] += weight
    c = weight / scalars[WEIGHT_SUM] if scalars[WEIGHT_SUM] > 0.0 else 0.0
    if state.shape[0] > 2:
        beta2, v = options[5], state[2]
        correction = 1.0 - beta2 ** (k + 1.0)
        for j in range(x.size):
            v[j] = beta2 * v[j] + (1.0 - beta2) * g[j] * g[j]
            scale = math.sqrt(v[j] / correction) + options[6]
            g[j] = g[j] / scale if scale > 0.0 else 0.0
    for j in range(x.size):
        if k == 0:
            z[j] = x[j]
            mean[j] = x[j]
        z[j] -= lr * (g[j] + decay * x[j])
        mean[j] = (1.0 - c) * mean[j] + c * z[j]
        x[j] = (1.0 - beta) * z[j] + beta * mean[j]


def schedule_free_bound(facts: RunFacts) -> Bound:
    """Return (D^2 + G^2 sum_{k=0}^{N} eta_k^2) / (2 sum_{k=1}^{N} eta_k), valid when the weights follow the steps.

    Theorem 2 of arXiv 2405.15682 turns the regret of z_1..z_N into a last-iterate rate for every beta in [0, 1]; eta_N
    is the fictitious last step with the weight of z_N, and ||z_1 - x*||^2 <= D^2 + eta_0^2 G^2.
    """
    lrs = _warmed_up(facts)
    top = np.maximum.accumulate(lrs)
    weights = np.arange(1.0, lrs.size + 1.0) ** facts.options["r"] * top ** facts.options["weight_lr_power"]
    if lrs.min() <= 0.0:
        return Bound(None, reason="the theorem needs positive steps")
    ratios = lrs[1:] / weights[:-1]
    if ratios.size and np.ptp(ratios) > 1e-9 * ratios.max():
        return Bound(
            None, reason="the theorem needs averaging weights proportional to the steps (constant steps, r = 0)"
        )
    last = weights[-1] * (ratios[0] if ratios.size else lrs[0] / weights[0])
    steps = np.append(lrs, last)
    value = (facts.D**2 + facts.G**2 * np.sum(steps**2)) / (2.0 * np.sum(steps[1:]))
    return Bound(float(value), source="regret to last iterate, schedule-free (arXiv 2405.15682, Theorem 2)")


def _warmed_up(facts: RunFacts) -> Array:
    """Return the steps after the warm-up that the method adds by itself."""
    warmup = np.asarray(facts.options["warmup_steps"], dtype=np.float64)
    count = np.arange(1.0, facts.lrs.size + 1.0)
    return facts.lrs * np.where(count <= warmup, count / np.maximum(warmup, 1.0), 1.0)


_FREE = {"r": 0.0, "weight_lr_power": 2.0, "weight_decay": 0.0, "warmup_steps": 0.0}

METHODS = {
    "schedule_free": Method(
        schedule_free, {"beta": 0.9, **_FREE}, vectors=2, scalars=2, output=1, bound=schedule_free_bound, squares=False
    ),
    "schedule_free_adamw": Method(
        schedule_free,
        {"beta1": 0.9, **_FREE, "beta2": 0.999, "eps": 1e-8},
        vectors=3,
        scalars=2,
        output=1,
        bound=no_bound("proved for the regret of the base method, and Adam's has no bound"),
    ),
}
