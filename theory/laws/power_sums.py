r"""Sums of power-law memory over all horizons in near-linear time.

t^-p is a mixture of exponentials, t^-p = (1 / Gamma(p)) * integral of exp(p x - t e^x) dx, and the trapezoidal rule of
spacing 1/5 gives it to 1e-12, relative, over any range of t, because the integrand is analytic in a strip. An
exponential's sum over the past is one recursion, so that a curve of N horizons costs N times the number of
exponentials, which grows with the logarithm of the range of t. For amplitudes of one sign all terms are positive and
nothing cancels.
"""

import math

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

__all__ = ["power_sums"]

SPACING = 0.2
_NEGLIGIBLE = 45.0  # exp(-45) is below rounding
_FLAT = 1e-8  # nodes this slow for the longest gap are one node: its error is the square


def power_sums(widths: Array, amplitudes: Array, offsets: Array, exponent: float, *, spread: bool) -> Array:
    r"""Return, for n = 0..N, the sum over k <= n of the memory of step k.

    With S the prefix sums of ``widths``, step k covers the clock from S_{k-1} to S_k. With ``spread`` its memory is
    v_k * integral over that stretch of (tau_k + S_n - s)^-p ds, otherwise v_k (tau_k + S_n - S_{k-1})^-p.

    Parameters
    ----------
    widths : ndarray, shape (N,)
        What each step adds to the clock, at least zero.
    amplitudes, offsets : ndarray, shape (N,)
        v_k, and tau_k > 0 wherever v_k is not zero.
    exponent : float
        p > 0.
    spread : bool
        Integrate over the step, or take it as a point at its start.

    Returns
    -------
    ndarray of float64, shape (N+1,)
    """
    active = amplitudes != 0.0
    if not active.any():
        return np.zeros(widths.size + 1)
    offsets = np.where(active, offsets, 1.0)
    nearest = float(offsets[active].min())
    farthest = float(offsets[active].max() + widths.sum())
    nodes, weights = _mixture(exponent, nearest, farthest)
    return _recursion(widths, amplitudes, offsets, nodes, weights, spread)


def _mixture(p: float, nearest: float, farthest: float) -> tuple[Array, Array]:
    """Rates and weights of the exponentials whose mixture is t^-p for nearest <= t <= farthest."""
    low, high = math.log(_FLAT / farthest), math.log(_NEGLIGIBLE / nearest)
    x = low + SPACING * np.arange(math.ceil((high - low) / SPACING) + 1)
    logs = p * x + math.log(SPACING) - math.lgamma(p)
    slower = _geometric(p)  # of the infinitely many slower nodes: their total weight, and their mean rate
    tail_weight = math.exp(logs[0]) * slower
    tail_rate = math.exp(low) * _geometric(p + 1.0) / slower
    return np.append(np.exp(x), tail_rate), np.append(np.exp(logs), tail_weight)


def _geometric(p: float) -> float:
    """Sum over j >= 1 of exp(-p j SPACING)."""
    return 1.0 / math.expm1(p * SPACING)


@njit(**JIT)
def _recursion(widths: Array, amplitudes: Array, offsets: Array, nodes: Array, weights: Array, spread: bool) -> Array:
    out = np.zeros(widths.size + 1)
    state = np.zeros(nodes.size)
    starts = np.ones(nodes.size)
    losses = np.zeros(nodes.size)  # exp(-rate * width) - 1
    last_offset, last_width = -1.0, -1.0
    for n in range(widths.size):
        width, offset, amplitude = widths[n], offsets[n], amplitudes[n]
        if width != last_width:
            for j in range(nodes.size):
                losses[j] = math.expm1(-nodes[j] * width)
            last_width = width
        if offset != last_offset:
            for j in range(nodes.size):
                starts[j] = math.exp(-nodes[j] * offset)
            last_offset = offset
        total = 0.0
        for j in range(nodes.size):
            if spread:
                state[j] += state[j] * losses[j] - amplitude * starts[j] * losses[j] / nodes[j]
            else:
                state[j] += amplitude * starts[j]
                state[j] += state[j] * losses[j]
            total += weights[j] * state[j]
        out[n + 1] = total
    return out
