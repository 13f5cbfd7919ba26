# pyright: reportMissingParameterType=false
"""Momentum in three forms, and Nesterov's.

``momentum`` and ``spa`` are the same method for arbitrary schedules under alpha_k = c_{k+1} eta_k,
beta_k = (eta_{k-1} / eta_k) (1 - c_k) (arXiv 2010.00406); ``heavy_ball`` agrees with ``momentum`` for constant steps.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.simulators.kernels.protocol import KERNEL, Bound, Method, RunFacts, no_bound
from lastiterate.theory.simulators.kernels.vectors import add_decay

__all__ = [
    "heavy_ball",
    "heavy_ball_bound",
    "momentum",
    "momentum_bound",
    "nesterov",
    "spa",
    "spa_bound",
]

_SEARCH = 20  # steps up to which the bound comes from a semidefinite program, a tenth of a second each


@njit(**KERNEL)
def momentum(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """m_{k+1} = beta_k m_k + (1 - dampening) g_k (m_1 = g_0); x_{k+1} = x_k - lr_k m_{k+1}, as in torch."""
    beta, fresh = options[0], 1.0 if k == 0 else 1.0 - options[1]
    m = state[0]
    add_decay(g, options[2], x)
    for j in range(x.size):
        m[j] = beta * m[j] + fresh * g[j]
        x[j] -= lr * m[j]


@njit(**KERNEL)
def nesterov(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """m_{k+1} = beta m_k + g_k; x_{k+1} = x_k - lr_k (g_k + beta m_{k+1}), as in torch."""
    beta, m = options[0], state[0]
    add_decay(g, options[1], x)
    for j in range(x.size):
        m[j] = beta * m[j] + g[j]
        x[j] -= lr * (g[j] + beta * m[j])


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


def momentum_bound(facts: RunFacts) -> Bound:
    """Return the certified bound of SGD with momentum."""
    from lastiterate.theory.rates.methods.momentum import momentum_rate

    if np.any(facts.options["dampening"]):
        return Bound(None, reason="the momentum bound is for dampening = 0")
    return _certified(momentum_rate, facts, facts.options["beta"])


def heavy_ball_bound(facts: RunFacts) -> Bound:
    """Return the bound of the buffer form, which is the same method for constant steps and momentum."""
    from lastiterate.theory.rates.methods.momentum import momentum_rate

    if np.ptp(facts.lrs) > 0.0 or np.ndim(facts.options["beta"]):
        return Bound(None, reason="the momentum bound covers heavy_ball for constant steps and momentum only")
    return _certified(momentum_rate, facts, facts.options["beta"])


def spa_bound(facts: RunFacts) -> Bound:
    """Return the certified bound of stochastic primal averaging."""
    from lastiterate.theory.rates.methods.momentum import spa_rate

    return _certified(spa_rate, facts, facts.options["c"])


def _certified(rate: Callable[..., Any], facts: RunFacts, averaging: Any) -> Bound:
    """Return the bound that takes no longer than the run, from inequalities that survive noise where there is noise."""
    try:
        found = rate(
            facts.lrs, averaging, facts.D, facts.G, search_limit=_SEARCH, stochastic=facts.stochastic, blocks=False
        )
    except InputError as error:  # momentum outside [0, 1), steps that vanish against the buffer
        return Bound(None, reason=str(error))
    return Bound(found.value, source="certified bound of stochastic primal averaging (arXiv 2010.00406 for the form)")


_NO_NESTEROV = no_bound("no constants are known for Nesterov's momentum on nonsmooth functions")

METHODS = {
    "momentum": Method(
        momentum, {"beta": 0.9, "dampening": 0.0, "weight_decay": 0.0}, vectors=1, bound=momentum_bound, squares=False
    ),
    "nesterov": Method(nesterov, {"beta": 0.9, "weight_decay": 0.0}, vectors=1, bound=_NO_NESTEROV, squares=False),
    "heavy_ball": Method(heavy_ball, {"beta": 0.9}, vectors=1, bound=heavy_ball_bound, squares=False),
    "spa": Method(spa, {"c": 0.1}, vectors=1, bound=spa_bound, squares=False),
}
