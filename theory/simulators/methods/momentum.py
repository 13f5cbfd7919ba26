# pyright: reportMissingParameterType=false
"""Momentum in three forms, and schedule-free SGD.

``momentum`` and ``spa`` are the same method for arbitrary schedules under alpha_k = c_{k+1} eta_k,
beta_k = (eta_{k-1} / eta_k) (1 - c_k) (arXiv 2010.00406); ``heavy_ball`` agrees with ``momentum`` for constant steps.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.methods.momentum import momentum_rate, spa_rate
from lastiterate.theory.rates.sgd import BaseRate
from lastiterate.theory.simulators.kernels.protocol import FIRST, KERNEL, Bound, Method, RunFacts

__all__ = [
    "heavy_ball",
    "heavy_ball_bound",
    "momentum",
    "momentum_bound",
    "schedule_free",
    "schedule_free_bound",
    "spa",
    "spa_bound",
]

_SEARCH = 20  # steps up to which the bound comes from a semidefinite program, a tenth of a second each
LR_MAX, WEIGHT_SUM = FIRST, FIRST + 1


@njit(**KERNEL)
def momentum(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """m_{k+1} = beta_k m_k + (1 - dampening) g_k (m_1 = g_0); x_{k+1} = x_k - lr_k m_{k+1}, as in torch."""
    beta, fresh = options[0], 1.0 if k == 0 else 1.0 - options[1]
    m = state[0]
    for j in range(x.size):
        m[j] = beta * m[j] + fresh * g[j]
        x[j] -= lr * m[j]


@njit(**KERNEL)
def heavy_ball(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x_{k+1} = x_k - lr_k g_k + beta_k (x_k - x_{k-1})."""
    beta, moved = options[0], state[0]
    for j in range(x.size):
        moved[j] = beta * moved[j] - lr * g[j]
        x[j] += moved[j]


@njit(**KERNEL)
def spa(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """z_{k+1} = z_k - lr_k g_k; x_{k+1} = (1 - c_{k+1}) x_k + c_{k+1} z_{k+1}."""
    c, z = options[0], state[0]
    for j in range(x.size):
        if k == 0:
            z[j] = x[j]
        z[j] -= lr * g[j]
        x[j] = (1.0 - c) * x[j] + c * z[j]


@njit(**KERNEL)
def schedule_free(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """z_{k+1} = z_k - lr g(y_k); x_{k+1} averages z_1..z_{k+1} with weights (k+1)^r max(lr)^power; y = mix of both."""
    beta, z, mean = options[0], state[0], state[1]
    scalars[LR_MAX] = max(lr, scalars[LR_MAX])
    weight = (k + 1.0) ** options[1] * scalars[LR_MAX] ** options[2]
    scalars[WEIGHT_SUM] += weight
    c = weight / scalars[WEIGHT_SUM] if scalars[WEIGHT_SUM] > 0.0 else 0.0
    for j in range(x.size):
        if k == 0:
            z[j] = x[j]
            mean[j] = x[j]
        z[j] -= lr * g[j]
        mean[j] = (1.0 - c) * mean[j] + c * z[j]
        x[j] = (1.0 - beta) * z[j] + beta * mean[j]


def schedule_free_bound(facts: RunFacts) -> Bound:
    """Return (D^2 + G^2 sum_{k=0}^{N} eta_k^2) / (2 sum_{k=1}^{N} eta_k), valid when the weights follow the steps.

    Theorem 2 of arXiv 2405.15682 turns the regret of z_1..z_N into a last-iterate rate for every beta in [0, 1]; eta_N
    is the fictitious last step with the weight of z_N, and ||z_1 - x*||^2 <= D^2 + eta_0^2 G^2.
    """
    lrs, top = facts.lrs, np.maximum.accumulate(facts.lrs)
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


def momentum_bound(facts: RunFacts) -> Bound:
    """Return the certified bound of SGD with momentum."""
    if np.any(facts.options["dampening"]):
        return Bound(None, reason="the momentum bound is for dampening = 0")
    return _certified(momentum_rate, facts, facts.options["beta"])


def heavy_ball_bound(facts: RunFacts) -> Bound:
    """Return the bound of the buffer form, which is the same method for constant steps and momentum."""
    if np.ptp(facts.lrs) > 0.0 or np.ndim(facts.options["beta"]):
        return Bound(None, reason="the momentum bound covers heavy_ball for constant steps and momentum only")
    return _certified(momentum_rate, facts, facts.options["beta"])


def spa_bound(facts: RunFacts) -> Bound:
    """Return the certified bound of stochastic primal averaging."""
    return _certified(spa_rate, facts, facts.options["c"])


def _certified(rate: Callable[..., BaseRate], facts: RunFacts, averaging: Any) -> Bound:
    """Return the bound that takes no longer than the run, from inequalities that survive noise where there is noise."""
    try:
        found = rate(
            facts.lrs, averaging, facts.D, facts.G, search_limit=_SEARCH, stochastic=facts.stochastic, blocks=False
        )
    except InputError as error:  # momentum outside [0, 1), steps that vanish against the buffer
        return Bound(None, reason=str(error))
    return Bound(found.value, source="certified bound of stochastic primal averaging (arXiv 2010.00406 for the form)")


METHODS = {
    "momentum": Method(momentum, {"beta": 0.9, "dampening": 0.0}, vectors=1, bound=momentum_bound),
    "heavy_ball": Method(heavy_ball, {"beta": 0.9}, vectors=1, bound=heavy_ball_bound),
    "spa": Method(spa, {"c": 0.1}, vectors=1, bound=spa_bound),
    "schedule_free": Method(
        schedule_free,
        {"beta": 0.9, "r": 0.0, "weight_lr_power": 2.0},
        vectors=2,
        scalars=2,
        output=1,
        bound=schedule_free_bound,
    ),
}
