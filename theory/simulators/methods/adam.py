# pyright: reportMissingParameterType=false
"""Adam and its kin as torch runs them: AdamW, AMSGrad, NAdam."""

import math

from numba import njit

from lastiterate.theory.simulators.kernels.protocol import FIRST, KERNEL, Method, no_bound

__all__ = ["adam", "nadam"]

PRODUCT = FIRST  # of the momenta of NAdam, one a step


@njit(**KERNEL)
def adam(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """m, v exponential averages of g, g^2; x_{k+1} = (1 - lr_k decay) x_k - lr_k mhat / (sqrt(vhat) + eps).

    Without ``decouple`` decay x_k joins g_k instead. A third vector holds the largest v so far, which AMSGrad divides
    by.
    """
    beta1, beta2, eps, m, v = options[0], options[1], options[2], state[0], state[1]
    first = 1.0 - beta1 ** (k + 1.0) if options[3] else 1.0
    second = math.sqrt(1.0 - beta2 ** (k + 1.0)) if options[3] else 1.0
    coupled, keep = 0.0 if options[5] else options[4], 1.0 - lr * options[4] if options[5] else 1.0
    largest = state[2] if state.shape[0] > 2 else v
    for j in range(x.size):
        slope = g[j] + coupled * x[j]
        m[j] = beta1 * m[j] + (1.0 - beta1) * slope
        v[j] = beta2 * v[j] + (1.0 - beta2) * slope * slope
        largest[j] = max(largest[j], v[j])
        scale = math.sqrt(largest[j]) / second + eps
        x[j] *= keep
        if scale > 0.0:
            x[j] -= lr / first * m[j] / scale


@njit(**KERNEL)
def nadam(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Adam with Nesterov's momentum: momenta mu_k = beta1 (1 - 0.96^(k psi) / 2), k from 1, weigh g_k and m_{k+1}."""
    beta1, beta2, eps, m, v = options[0], options[1], options[2], state[0], state[1]
    now = beta1 * (1.0 - 0.5 * 0.96 ** ((k + 1.0) * options[3]))
    later = beta1 * (1.0 - 0.5 * 0.96 ** ((k + 2.0) * options[3]))
    scalars[PRODUCT] = now * (scalars[PRODUCT] if k > 0 else 1.0)
    fresh, old = lr * (1.0 - now) / (1.0 - scalars[PRODUCT]), lr * later / (1.0 - scalars[PRODUCT] * later)
    correction = 1.0 - beta2 ** (k + 1.0)
    coupled, keep = 0.0 if options[5] else options[4], 1.0 - lr * options[4] if options[5] else 1.0
    for j in range(x.size):
        slope = g[j] + coupled * x[j]
        m[j] = beta1 * m[j] + (1.0 - beta1) * slope
        v[j] = beta2 * v[j] + (1.0 - beta2) * slope * slope
        scale = math.sqrt(v[j] / correction) + eps
        x[j] *= keep
        if scale > 0.0:
            x[j] -= (fresh * slope + old * m[j]) / scale


_BETAS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
_ADAM = {**_BETAS, "bias_correction": True}
_DIVERGES = no_bound("Adam need not converge on convex problems (arXiv 1904.09237)")
_NO_CONSTANTS = no_bound("the regret of AMSGrad (arXiv 1904.09237) is proved with steps of its own")

METHODS = {
    "adam": Method(adam, {**_ADAM, "weight_decay": 0.0, "decouple": False}, vectors=2, bound=_DIVERGES),
    "adamw": Method(adam, {**_ADAM, "weight_decay": 0.01, "decouple": True}, vectors=2, bound=_DIVERGES),
    "amsgrad": Method(adam, {**_ADAM, "weight_decay": 0.0, "decouple": False}, vectors=3, bound=_NO_CONSTANTS),
    "nadam": Method(
        nadam,
        {**_BETAS, "momentum_decay": 4e-3, "weight_decay": 0.0, "decouple": False},
        vectors=2,
        scalars=1,
        bound=_DIVERGES,
    ),
}
