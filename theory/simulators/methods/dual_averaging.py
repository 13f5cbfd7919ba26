# pyright: reportMissingParameterType=false
"""Dual averaging and its descendants: MDA (arXiv 2010.10502), MADGRAD and mirror MADGRAD (arXiv 2101.11075)."""

import math
from typing import Any

import numpy as np
from numba import njit

from lastiterate.theory.base.validation import Array
from lastiterate.theory.simulators.kernels.protocol import KERNEL, WEIGHT, Bound, Method, RunFacts, no_bound
from lastiterate.theory.simulators.kernels.vectors import add_decay

__all__ = ["dual_averaging", "dual_averaging_bound", "madgrad", "mda", "mda_bound", "mirror_madgrad"]


@njit(**KERNEL)
def dual_averaging(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """s_{k+1} = s_k + lr_k g_k; z_{k+1} = x_0 - s_{k+1} / (k+1)^power; x_{k+1} = (1 - c) x_k + c z_{k+1}."""
    scale, c, start, s = (k + 1.0) ** -options[0], options[1], state[0], state[1]
    for j in range(x.size):
        if k == 0:
            start[j] = x[j]
        s[j] += lr * g[j]
        x[j] = (1.0 - c) * x[j] + c * (start[j] - scale * s[j])


@njit(**KERNEL)
def mda(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """As dual averaging with lambda_k = lr_k sqrt(k+1), beta_{k+1} = sqrt(k+1) and c = 1 - momentum."""
    root, c, start, s = math.sqrt(k + 1.0), 1.0 - options[0], state[0], state[1]
    add_decay(g, options[1], x)
    scalars[WEIGHT] = lr * root
    for j in range(x.size):
        if k == 0:
            start[j] = x[j]
        s[j] += lr * root * g[j]
        x[j] = (1.0 - c) * x[j] + c * (start[j] - s[j] / root)


@njit(**KERNEL)
def madgrad(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """w = (lr_k + eps) sqrt(k+1); s += w g; nu += w g^2; z = x_0 - s / (cbrt(nu) + eps); x = (1 - c) x + c z."""
    c, eps, start, s, nu = 1.0 - options[0], options[1], state[0], state[1], state[2]
    weight = (lr + eps if lr != 0.0 else 0.0) * math.sqrt(k + 1.0)
    scalars[WEIGHT] = weight
    add_decay(g, 0.0 if options[3] > 0.0 else options[2], x)
    shrink = (lr + eps) * options[2] if options[3] > 0.0 and lr != 0.0 else 0.0
    for j in range(x.size):
        if k == 0:
            start[j] = x[j]
        s[j] += weight * g[j]
        nu[j] += weight * g[j] * g[j]
        scale = nu[j] ** (1.0 / 3.0) + eps
        z = start[j] - s[j] / scale if scale > 0.0 else start[j]
        x[j] = (1.0 - c) * x[j] + c * z - shrink * x[j]


@njit(**KERNEL)
def mirror_madgrad(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """nu = sqrt(k/(k+1)) nu + g^2; z -= (lr + eps) cbrt(k+1) g / (cbrt(nu) + eps); x = (1 - c) x + c z."""
    c, eps, z, nu = 1.0 - options[0], options[1], state[0], state[1]
    keep, rate = math.sqrt(k / (k + 1.0)), lr + eps if lr != 0.0 else 0.0
    step = rate * (k + 1.0) ** (1.0 / 3.0)
    add_decay(g, 0.0 if options[3] > 0.0 else options[2], x)
    shrink = rate * options[2] if options[3] > 0.0 else 0.0
    for j in range(x.size):
        if k == 0:
            z[j] = x[j]
        z[j] -= shrink * z[j]
        nu[j] = keep * nu[j] + g[j] * g[j]
        scale = nu[j] ** (1.0 / 3.0) + eps
        if scale > 0.0:
            z[j] -= step * g[j] / scale
        x[j] = (1.0 - c) * x[j] + c * z[j]


def dual_averaging_bound(facts: RunFacts) -> Bound:
    """Return the regret of dual averaging over its weights, for the averaged or the last iterate.

    With nondecreasing beta_k and beta_0 := beta_1, sum_k lambda_k <g_k, z_k - x*> <= beta_n D^2 / 2 + sum_{k<=n}
    lambda_k^2 G^2 / (2 beta_k) (Nesterov 2009). With c = 1 this bounds the lambda-weighted average of x_0..x_{N-1}
    (n = N - 1); with c_k = lambda_k / (lambda_0 + ... + lambda_k) x_N itself is the weighted mean of z_0..z_N (n = N).
    """
    return _regret_bound(facts, facts.lrs, facts.options["power"], facts.options["c"])


def mda_bound(facts: RunFacts) -> Bound:
    """Return `dual_averaging_bound` for lambda_k = lr_k sqrt(k+1), beta_k = sqrt(k), c = 1 - momentum."""
    weights = facts.lrs * np.sqrt(np.arange(1.0, facts.lrs.size + 1.0))
    return _regret_bound(facts, weights, 0.5, 1.0 - np.asarray(facts.options["momentum"]))


def _regret_bound(facts: RunFacts, lam: Array, power: Any, c: Any) -> Bound:
    if np.ndim(power) or power < 0.0:
        return Bound(None, reason="the theorem needs beta_k = k^power with one power >= 0")
    if not lam.any():
        return Bound(None, reason="all steps are zero")
    iterate = "average"
    if np.any(c != 1.0):
        shares, iterate = np.broadcast_to(np.asarray(c, dtype=np.float64), lam.shape), "last"
        total = np.cumsum(lam)
        if shares[-1] >= 1.0 or np.any(np.abs(shares[:-1] * total[1:] - lam[1:]) > 1e-9 * total[1:]):
            return Bound(None, reason="the theorem needs c_k = lambda_k / (lambda_0 + ... + lambda_k), or c = 1")
        lam = np.append(lam, total[-1] * shares[-1] / (1.0 - shares[-1]))
    beta = np.maximum(np.arange(lam.size), 1.0) ** power
    value = (beta[-1] * facts.D**2 + facts.G**2 * np.sum(lam**2 / beta)) / (2.0 * np.sum(lam))
    return Bound(float(value), iterate, "regret of dual averaging (Nesterov 2009)")


_NO_CONSTANT = no_bound("the published rate holds for one choice of lr, c and denominator only, which this run is not")
_DECAY = {"weight_decay": 0.0, "decouple": False}

METHODS = {
    "dual_averaging": Method(
        dual_averaging, {"power": 0.5, "c": 1.0}, vectors=2, averages=True, bound=dual_averaging_bound, squares=False
    ),
    "mda": Method(mda, {"momentum": 0.9, "weight_decay": 0.0}, vectors=2, bound=mda_bound, squares=False),
    "madgrad": Method(madgrad, {"momentum": 0.9, "eps": 1e-6, **_DECAY}, vectors=3, bound=_NO_CONSTANT),
    "mirror_madgrad": Method(mirror_madgrad, {"momentum": 0.9, "eps": 0.0, **_DECAY}, vectors=2, bound=_NO_CONSTANT),
}
