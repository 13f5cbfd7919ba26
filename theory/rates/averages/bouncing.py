r"""Functions that are bad for an average: a lower bound in O(N log N), and the function that attains it.

The slopes g_0..g_{n-1} at the points and the slope g at the average are unit vectors (D = G = 1). Going forwards, the
part p of g in the space of the slopes so far grows, b = 1 - ||p||^2 is what is left of it. Three kinds of steps:

* *normal*: g_k = p + sqrt(b) u with a new direction u, and g has the component -lambda sqrt(b) along u, 0 <= lambda
  <= 1. All later slopes agree with it: <g_k, g> = 1 - q_k, q_k = b (1 + lambda), and b falls to b (1 - lambda^2).
* *bounce* at a weighted point c with h_c <= h_{c-1}: g_c = g and g_{c-1} = p - theta (g - p), theta = h_c / h_{c-1}.
  The point x_c is high on the piece of slope g, and the two steps together move the run by -(h_{c-1} + h_c) p: pieces
  that were level before the bounce are level after it. It pays q = b (1 + theta) at step c-1, 0 at step c; b stays.
* *start*: if x_0 has a weight, g_0 = g and x_0 - x* = alpha p_0 + h_0 (g - p_0): step 0 leads to where all are level.

f(x) = max(0, max_k <g_k, x - x*>, <g, x - x*>) has f(xbar) >= <g, x_0 - x*> - sum_k e_k (1 - q_k), e_k = h_k A_k. The
slopes g_k are subgradients at the points x_k if f(x_k) >= 0 and, with Q_k = q_k at normal steps and Q_k = b in both
steps of a bounce, for every later point r not inside a bounce

    bonus_t + sum_{t<k<r} h_k (Q_k - level_t) >= 0

for normal steps t (bonus h_t q_t, level q_t) and for bounces (bonus 0, level b, sum from behind the bounce): `_slack`.
All of this scales with b_0, so that the lambda which maximise the bound do not depend on D and G: backwards, with C_n
= 0, C_k = max over lambda of e_k (1 + lambda) + C_{k+1} (1 - lambda^2), or C_{c-1} = C_{c+1} + e_{c-1} (1 + theta).
``docs/averages.md`` has the proof.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

from .emulated import MergedRun

__all__ = ["Bouncing", "steepest"]

_ROUNDING = 1e-12
NORMAL, BEFORE, AT = 0, 1, 2  # a normal step, the step into a bounce, the step out of it (or out of a high start)

Kinds = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Bouncing:
    """The inner products that describe one such function, for D = G = 1.

    Attributes
    ----------
    value : float
        The lower bound on f(xbar) - f*; scaled down from unit slopes where ``slope`` is less than 1.
    slope : float
        The norm of g.
    kinds : int8[n]
        `NORMAL`, `BEFORE` or `AT`, a step.
    turns : float64[n]
        lambda_k at normal steps, theta at bounces.
    left : float64[n]
        b_k before each step.
    end_left : float
        b after the last step.
    alpha : float
        x_0 - x* = alpha p_0 + h_0 (g - p_0) with a high start, else alpha p_0.
    heights : float64[n+1]
        <g, x_k - x*>: their mean with the weights is ``value``, and with other weights a lower bound on theirs.
    """

    value: float
    slope: float
    kinds: Kinds
    turns: Array
    left: Array
    end_left: float
    alpha: float
    heights: Array


@njit(**JIT)
def _plan(
    steps: Array, weights: Array, tails: Array, bounces: bool, high_start: bool, kinds: Kinds, turns: Array
) -> None:
    """Choose the kind of every step and its lambda or theta, backwards."""
    n = steps.size
    gain, gain_after_next = 0.0, 0.0  # C_{k+1}, C_{k+2}
    kinds[:] = NORMAL
    start = 1 if high_start else 0
    for k in range(n - 1, start - 1, -1):
        e = steps[k] * tails[k]
        if gain < 0.5 * e:
            turns[k], here = 1.0, 2.0 * e
        else:
            turns[k] = e / (2.0 * gain)
            here = gain + e + 0.5 * e * turns[k]
        if bounces and k + 1 < n and weights[k + 1] > 0.0 and steps[k + 1] <= steps[k]:
            theta = steps[k + 1] / steps[k]
            if gain_after_next + e * (1.0 + theta) > here:
                here = gain_after_next + e * (1.0 + theta)
                kinds[k], turns[k] = BEFORE, theta
        gain, gain_after_next = here, gain
    k = start
    while k < n:  # a bounce that begins inside another one is not taken
        if kinds[k] == BEFORE:
            kinds[k + 1], turns[k + 1] = AT, turns[k]
            k += 1
        k += 1
    if high_start:
        kinds[0], turns[0] = AT, 0.0


@njit(**JIT)
def _follow(kinds: Kinds, turns: Array, left: Array, levels: Array) -> float:
    """Fill b_k and Q_k for b_0 = 1, forwards, and return the last b."""
    b = 1.0
    for k in range(kinds.size):
        left[k] = b
        levels[k] = b
        if kinds[k] == NORMAL:
            levels[k] = b * (1.0 + turns[k])
            b *= (1.0 - turns[k]) * (1.0 + turns[k])
    return b


@njit(**JIT)
def _slack(steps: Array, kinds: Kinds, levels: Array, left: Array) -> float:
    """Return the least left side of the conditions, for b_0 = 1.

    The least of P_r - level S_r over later points r, with prefix sums S of h and P of h Q, is found on the lower convex
    hull of the points (S_r, P_r), which grows to the left.
    """
    n = steps.size
    S, P = np.zeros(n + 1), np.zeros(n + 1)
    for k in range(n):
        S[k + 1] = S[k] + steps[k]
        P[k + 1] = P[k] + steps[k] * levels[k]
    hull = np.empty(n + 1, dtype=np.int64)  # from right to left
    size = 0
    worst = 0.0
    for t in range(n - 2, -1, -1):
        r = t + 1
        inside = kinds[r] == AT and r > 0 and kinds[r - 1] == BEFORE
        if not inside:
            while size >= 2:
                a, b = hull[size - 1], hull[size - 2]
                if (P[a] - P[r]) * (S[b] - S[a]) < (P[b] - P[a]) * (S[a] - S[r]):
                    break
                size -= 1
            hull[size] = r
            size += 1
        if kinds[t] == NORMAL:
            level, bonus, start = levels[t], steps[t] * levels[t], t + 1
        elif kinds[t] == AT and t > 0:
            level, bonus, start = left[t], 0.0, t + 1
        else:
            continue
        low, high = 0, size - 1
        while low < high:  # the slopes of the hull grow to the right: stop where they pass the level
            middle = (low + high + 1) // 2
            a, b = hull[middle], hull[middle - 1]
            if P[b] - P[a] >= level * (S[b] - S[a]):
                low = middle
            else:
                high = middle - 1
        r = hull[low]
        worst = min(worst, bonus + (P[r] - P[start]) - level * (S[r] - S[start]))
    return worst


@njit(**JIT)
def _lowest(steps: Array, kinds: Kinds, turns: Array, levels: Array, share: float, first: float) -> float:
    """Return the least f(x_k), k < n, where the slopes are fixed by b_0 = share and <g, x_0 - x*> = first."""
    value, least = first, first
    for k in range(steps.size - 1):
        if kinds[k] == BEFORE:
            inner = 1.0 - share * levels[k] * (1.0 + turns[k])
        elif kinds[k] == AT:
            inner = 1.0
        else:
            inner = 1.0 - share * levels[k]
        value -= steps[k] * inner
        least = min(least, value)
    return least


def _split(steps: Array, total: float, gain: float, high_start: bool) -> tuple[float, float, float, float]:
    """Return the best b_0, alpha, <g, x_0 - x*> and f(xbar) for unit slopes and D = 1."""
    if not high_start:
        share = 1.0 - 1.0 / (2.0 * gain) ** 2 if 2.0 * gain > 1.0 else 0.0
        first = math.sqrt(1.0 - share)
        return share, 1.0 / first, first, first + share * gain - total
    h = float(steps[0])

    def at(b: float) -> float:
        return math.sqrt(max((1.0 - h * h * b) * (1.0 - b), 0.0)) + b * (h + gain)

    low, high = 0.0, min(1.0 - 1e-12, 1.0 / (h * h))
    for _ in range(100):  # a concave function of one number
        third = (high - low) / 3.0
        if at(low + third) < at(high - third):
            low += third
        else:
            high -= third
    share = 0.5 * (low + high)
    alpha = math.sqrt(max(1.0 - h * h * share, 0.0) / (1.0 - share))
    return share, alpha, alpha * (1.0 - share) + h * share, at(share) - total


def _function(run: MergedRun, bounces: bool, high_start: bool, damping: float, slope: float) -> Bouncing | None:
    """Return one function of the family, or None where its slopes are no subgradients.

    Slopes of norm G' < 1 are unit slopes for steps multiplied by G'.
    """
    steps = run.steps * slope
    kinds, turns = np.empty(steps.size, dtype=np.int8), np.empty(steps.size)
    _plan(steps, run.weights, run.tails, bounces, high_start, kinds, turns)
    turns[kinds == NORMAL] *= damping
    left, levels = np.empty(steps.size), np.empty(steps.size)
    end_left = _follow(kinds, turns, left, levels)
    reach = float(steps.sum())
    if _slack(steps, kinds, levels, left) < -_ROUNDING * reach:
        return None
    paid = np.where(kinds == AT, 0.0, left * (1.0 + turns))
    emulated = steps * run.tails
    share, alpha, first, value = _split(steps, float(emulated.sum()), float(emulated @ paid), high_start)
    if _lowest(steps, kinds, turns, levels, share, first) < -_ROUNDING * (1.0 + reach):
        return None
    heights = slope * (first - np.append(0.0, np.cumsum(steps * (1.0 - share * paid))))
    return Bouncing(value * slope, slope, kinds, turns, left * share, end_left * share, alpha, heights)


def steepest(run: MergedRun) -> Bouncing:
    """Return the worst function that the construction finds; its value is attained, hence a lower bound.

    Where neither the full construction nor the one without bounces is consistent, the lambda and then the slopes are
    made smaller until one is: with lambda = 0 and small slopes f is linear along the run.
    """
    starts = (False, True) if run.weights[0] > 0.0 and run.steps.size > 1 else (False,)
    variants = [(bounces, start) for bounces in (True, False) for start in starts]
    found = [f for f in (_function(run, *variant, 1.0, 1.0) for variant in variants) if f is not None]
    slope = 1.0
    while not found:
        dampings = (0.9, 0.75, 0.5, 0.25, 0.0)
        tries = (_function(run, *variant, damping, slope) for variant in variants for damping in dampings)
        found = [f for f in tries if f is not None]
        slope *= 0.9
    return max(found, key=lambda f: f.value)
