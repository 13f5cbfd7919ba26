r"""The average of SGD's iterates as the last iterate of an emulated schedule, and when the rate is that schedule's.

With weights a_0..a_N on the iterates and A_k = sum_{j>k} a_j, the average is xbar = x_0 - sum_k h_k A_k g_k: the last
iterate of the schedule e_k = h_k A_k. Let s, w be the recursion of the exact rate for the steps e, v_k = A_k / s_{k+1}
and v_{-1} = 1 / s_0, and n the last point with a positive weight.

**Theorem M.** If v_{-1} <= v_0 <= ... <= v_{n-2}, the worst case of f(xbar) - f* is exactly the rate of e.

The upper bound adds f_r >= f_t + <g_t, x_r - x_t> with the multipliers w_t (v_r - v_{r-1}), r < t < n, f_r >= f(xbar) +
<g, x_r - xbar> with a_r + sigma (v_r - v_{r-1}) and f* >= f_t + <g_t, x* - x_t> with w_t / s_0; for any weights, raised
multipliers give a valid bound (`Chain`). All go from later to earlier points, so it holds for stochastic gradients too.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.jit import run as compiled_or_plain
from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.rates.closed_form import OnePass, one_pass

__all__ = ["Chain", "MergedRun", "cheapest_chain", "closing_sigma", "in_units", "raised_chain"]

_RANGE = 1e120
_TIE = 1e-12  # a multiplier below zero by less, relative, is rounding
_CLOSE, _PROVED = 1e-6, 1e-10  # what a tie makes of rounding, and what it may cost


@dataclass(frozen=True, eq=False)
class MergedRun:
    """The part of a run that an average uses: no zero steps, no points after the last positive weight.

    Attributes
    ----------
    steps : float64[n]
        The positive steps h before the last weighted point, in units of D / G.
    weights : float64[n+1]
        Weights of the points between them; points that coincide share theirs.
    tails : float64[n]
        A_k, the weight behind step k, positive.
    caps : float64[n+1]
        Bounds on the slopes at the points, in units of the largest.
    taken : int64[n]
        Where these steps stand in the run.
    """

    steps: Array
    weights: Array
    tails: Array
    caps: Array
    taken: npt.NDArray[np.int64]

    @classmethod
    def of(cls, steps: Array, weights: Array, caps: Array) -> "MergedRun":
        """Leave out what does not move the average; ``caps`` is one number or one a point."""
        taken = np.arange(steps.size) if steps.all() else np.flatnonzero(steps)
        if taken.size < steps.size:
            point = np.searchsorted(taken, np.arange(steps.size + 1))  # how many positive steps lead to it
            weights = np.bincount(point, weights=weights, minlength=taken.size + 1).astype(np.float64)
            caps = caps[np.append(taken, steps.size)] if caps.size > 1 else caps
            steps = steps[taken]
        n = weights.size - 1 - int(np.argmax(weights[::-1] > 0.0))
        tails = np.ascontiguousarray(np.cumsum(weights[n:0:-1])[::-1])
        bounds = caps[: n + 1] if caps.size > 1 else np.ones(n + 1)
        return cls(steps[:n], weights[: n + 1], tails, bounds, taken[:n])

    @cached_property
    def even(self) -> bool:
        """Whether one bound holds for all slopes, and so for the one at the average."""
        return bool((self.caps == 1.0).all())

    @property
    def emulated(self) -> Array:
        """The emulated schedule e_k = h_k A_k, float64[n]."""
        return self.steps * self.tails


def in_units(steps: Array, D: float, G: float) -> Array:
    """Return the steps in units of D / G, or raise `InputError` where squares of them would leave float64."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled = steps * (G / D)
        inside = (scaled >= 1.0 / _RANGE) & (scaled <= _RANGE)
    if not (inside | (steps == 0.0)).all() or not 1.0 / _RANGE <= D * G <= _RANGE:
        expected = f"steps from {1.0 / _RANGE:g} to {_RANGE:g} in units of D / G, or zero, and D G in that range"
        raise InputError("steps", f"steps up to {steps.max():.3g} with D = {D:.3g}, G = {G:.3g}", expected)
    return scaled


class Chain(NamedTuple):
    """Multipliers of one real number a point: ``v`` holds v_{-1}..v_{n-1}, ``sigma`` the weight of the average."""

    value: float
    v: Array
    sigma: float


@njit(**JIT)
def _closing(steps: Array, tails: Array, first: float, binding: int) -> tuple[float, float]:
    """Return sigma and by how much v falls at most, relative (D = G = 1); ``first`` is M_0 of the emulated steps.

    On the free steps either root of s^2 - s_k s + e_k may follow; the smaller one is taken where the larger would make
    v fall. After a smaller one a later step may have no root, and then nothing is proved.
    """
    n = steps.size
    s = np.empty(n + 1)
    if first <= 1.0:
        binding = 0
        s[0] = 1.0
    else:
        s[binding] = math.sqrt(steps[binding - 1])
        for k in range(binding - 1, -1, -1):
            s[k] = s[k + 1] + steps[k] / s[k + 1]
    above, fall = 1.0 / s[0], 0.0
    for k in range(n):
        if k >= binding:
            if s[k] * s[k] < 4.0 * steps[k] * (1.0 - _CLOSE):
                return s[k], 1.0
            larger = 0.5 * (s[k] + math.sqrt(max(s[k] * s[k] - 4.0 * steps[k], 0.0)))
            s[k + 1] = larger
            if k < n - 1 and tails[k] / larger < above * (1.0 - _TIE):
                s[k + 1] = steps[k] / larger
        if k < n - 1:
            v = tails[k] / s[k + 1]
            fall = max(fall, 1.0 - v / above)
            above = v
    return s[n], fall


def closing_sigma(run: MergedRun) -> tuple[float, float]:
    """Return a sigma at which the rate of the emulated steps is proved for the average, and that rate (D = G = 1).

    Sigma is zero where there is none. At ties of the recursion (linear decay is one) rounding makes v fall a little:
    then the rate is taken if the multipliers, raised until all signs are right, still prove it.
    """
    emulated = run.emulated
    one = OnePass(*compiled_or_plain(one_pass, emulated))
    rate = float(one.rate(1.0))
    sigma, fall = _closing(emulated, run.tails, float(one.first), int(one.binding))
    proved = fall <= _TIE or (fall <= _CLOSE and raised_chain(run, sigma).value <= rate * (1.0 + _PROVED))
    return (sigma if proved else 0.0), rate


@njit(**JIT)
def _raise(steps: Array, weights: Array, caps: Array, floors: Array, sigma: float, v: Array) -> float:
    """Fill v for a given sigma, each v_k but the last at least its floor, and return the bound."""
    n = steps.size
    v[n] = weights[n] / sigma
    s, product, squares = sigma, weights[n], (sigma * caps[n]) ** 2
    for k in range(n - 1, -1, -1):
        w = steps[k] * v[k + 1]
        s += w
        squares += (w * caps[k]) ** 2
        product += weights[k]
        v[k] = product / s
        if k > 0 and v[k] < floors[k - 1]:
            v[k] = floors[k - 1]
            product = v[k] * s
    return 0.5 * (v[0] * v[0] + squares)


def _floors(run: MergedRun) -> Array:
    """Return max_{r<=k} sqrt(a_r / h_r), k < n: what v_k must reach at least."""
    return np.maximum.accumulate(np.sqrt(run.weights[:-1] / run.steps))


def raised_chain(run: MergedRun, sigma: float) -> Chain:
    """Return the bound of one real number a point at a given sigma, valid for any weights (D = 1, largest G = 1).

    For 0 < v_{-1} <= ... <= v_{n-2}, w_k = h_k v_k, s_k = s_{k+1} + w_k, s_n = sigma = a_n / v_{n-1} and
    s_k v_{k-1} >= s_{k+1} v_k + a_k the bound is (v_{-1}^2 + sum_k w_k^2 G_k^2 + sigma^2 G_n^2) / 2. A v_k of at least
    max_{r<=k} sqrt(a_r / h_r) keeps the signs; where that is more than equality asks for, f_k >= f* removes the excess.
    """
    v = np.empty(run.steps.size + 1)
    return Chain(_raise(run.steps, run.weights, run.caps, _floors(run), sigma, v), v, sigma)


def _largest_sigma(run: MergedRun) -> float:
    """Return the largest sigma for which the multipliers of the last inequalities are nonnegative.

    They are a_k + sigma (v_k - v_{k-1}) at the average itself. Where the bounds on the slopes differ none is known
    there: the last inequalities are those at x_n, with sigma (v_k - v_{k-1}).
    """
    floors = _floors(run)
    if not run.even:
        return float(run.weights[-1] / floors[-1]) if floors[-1] > 0.0 else math.inf
    if run.steps.size == 1 or floors[-2] == 0.0:
        return math.inf
    return float((run.weights[-1] + run.weights[-2]) / floors[-2])


def cheapest_chain(run: MergedRun) -> Chain:
    """Return the least `raised_chain` on a grid of log sigma that is refined twice."""
    most, floor = _largest_sigma(run), float(_floors(run)[-1])
    root = math.sqrt(run.steps[-1] * run.weights[-1])
    best = raised_chain(run, float(run.weights[-1]) / floor if floor > 0.0 else root)
    middle, reach = math.log(root), 6.0
    for _ in range(3):
        for log_sigma in np.linspace(middle - reach, middle + reach, 9).tolist():
            if log_sigma < math.log(most):
                best = min(best, raised_chain(run, math.exp(log_sigma)), key=lambda chain: chain.value)
        middle, reach = math.log(best.sigma), reach / 4.0
    return best
