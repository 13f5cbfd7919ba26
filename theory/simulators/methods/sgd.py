# pyright: reportMissingParameterType=false
"""Stochastic (sub)gradient descent, x_{k+1} = x_k - h_k g_k: the method that the exact rate is about."""

from numba import njit, prange

from lastiterate.theory.base.jit import JIT_PARALLEL
from lastiterate.theory.simulators.kernels.protocol import KERNEL, Bound, Method, RunFacts
from lastiterate.theory.simulators.kernels.vectors import add_decay

__all__ = ["sgd", "sgd_bound", "shared_sgd"]


@njit(**KERNEL)
def sgd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """x_{k+1} = x_k - h_k (g_k + decay x_k)."""
    add_decay(g, options[0], x)
    for j in range(x.size):
        x[j] -= lr * g[j]


@njit(**JIT_PARALLEL)
def shared_sgd(k, lr, loss, x, g, rows, state, memory, scalars, options):
    """Do as `sgd`, with the columns shared among threads."""
    decay = options[0]
    for j in prange(x.size):
        x[j] -= lr * (g[j] + decay * x[j] if decay != 0.0 else g[j])


def sgd_bound(facts: RunFacts) -> Bound:
    """Return the exact worst-case rate of the last iterate, in expectation where gradients are stochastic."""
    from lastiterate.theory.rates.sgd import exact_rate

    if facts.D == 0.0 or facts.G == 0.0:
        return Bound(None, reason="the rates are for D > 0 and G > 0; this run starts at a minimiser")
    value = exact_rate(facts.lrs, D=facts.D, G=facts.G).value
    return Bound(value, source="exact rate of the last iterate (arXiv 2307.11134, 2310.07831)")


METHODS = {"sgd": Method(sgd, {"weight_decay": 0.0}, bound=sgd_bound, shared=shared_sgd, squares=False)}
