"""The sums behind the rates, for many values of the free parameter in one pass over the steps.

The inner loops run over the values of the parameter, side by side in vector registers; partial sums over blocks keep
the rounding error of a sum of millions of terms near 1e-15.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from .numba_options import JIT
from .scalar_search import Objective
from .validation import Array

_BLOCK = 1024
_LANES = 8


@dataclass(frozen=True)
class Scaled:
    """A run in units in which nothing overflows: steps / unit, gradient bounds / their maximum.

    ``distance`` is D / (top_cap * unit), ``total`` the sum of the steps, ``squares`` that of (h_k G_k)^2, ``last_step``
    the last positive step and ``last_step_cap`` its gradient bound, all in these units.
    """

    steps: Array
    caps: Array
    unit: float
    top_cap: float
    distance: float
    total: float
    squares: float
    last_step: float
    last_step_cap: float

    @property
    def last_cap(self) -> float:
        """G_N."""
        return float(self.caps[-1]) / self.top_cap

    @classmethod
    def to_distance(cls, steps: Array, D: float, caps: Array) -> "Scaled | None":
        """Scale so that the largest step is the inverse of the distance; None when no step is positive."""
        largest = float(steps.max(initial=0.0))
        if largest == 0.0:
            return None
        top_cap = float(caps.max())
        ratio = math.sqrt(D) / math.sqrt(top_cap)
        unit = max(math.sqrt(largest) * ratio, 1e-300)
        return cls._of(steps, caps, unit, top_cap, ratio * (ratio / unit))

    @classmethod
    def to_largest(cls, steps: Array, caps: Array) -> "Scaled | None":
        """Scale so that the largest step is one; None when no step is positive."""
        largest = float(steps.max(initial=0.0))
        return cls._of(steps, caps, max(largest, 1e-300), float(caps.max()), 1.0) if largest > 0.0 else None

    @classmethod
    def _of(cls, steps: Array, caps: Array, unit: float, top_cap: float, distance: float) -> "Scaled":
        total, squares, last = scaled_sums(steps, caps, 1.0 / unit, 1.0 / top_cap)
        last_cap = float(caps[last if caps.size > 1 else 0]) / top_cap
        return cls(steps, caps, unit, top_cap, distance, total, squares, float(steps[last]) / unit, last_cap)


@njit(**JIT)
def scaled_sums(steps: Array, caps: Array, scale: float, cap_scale: float) -> tuple[float, float, int]:
    """Sums of h and of (h G)^2, and the index of the last positive step."""
    stride = 0 if caps.size == 1 else 1
    total, squares, last = 0.0, 0.0, 0
    for start in range(0, steps.size, _BLOCK):
        part, part_squares = 0.0, 0.0
        for k in range(start, min(start + _BLOCK, steps.size)):
            h = steps[k] * scale
            term = h * (caps[k * stride] * cap_scale)
            part += h
            part_squares += term * term
            if h > 0.0:
                last = k
        total += part
        squares += part_squares
    return total, squares, last


@njit(**JIT)
def _exact_terms(steps: Array, caps: Array, scale: float, cap_scale: float, sigmas: Array) -> tuple[Array, Array]:
    stride = 0 if caps.size == 1 else 1
    s = sigmas.copy()
    squares = np.zeros(s.size)
    part = np.empty(s.size)
    stop = steps.size
    while stop > 0:
        start = max(0, stop - _BLOCK)
        part[:] = 0.0
        for k in range(stop - 1, start - 1, -1):
            h = steps[k] * scale
            cap = caps[k * stride] * cap_scale
            for j in range(s.size):
                w = h / s[j]
                s[j] += w
                w *= cap
                part[j] += w * w
        squares += part
        stop = start
    squares += (sigmas * (caps[-1] * cap_scale)) ** 2
    return s, squares


@njit(**JIT)
def _theorem10_terms(
    steps: Array, caps: Array, scale: float, cap_scale: float, fictitious: Array
) -> tuple[Array, Array]:
    stride = 0 if caps.size == 1 else 1
    squares = np.zeros(fictitious.size)
    part = np.empty(fictitious.size)
    tail, lost = 0.0, 0.0  # the tail of the steps after k as a compensated (Neumaier) sum
    stop = steps.size
    while stop > 0:
        start = max(0, stop - _BLOCK)
        part[:] = 0.0
        for k in range(stop - 1, start - 1, -1):
            h = steps[k] * scale
            square = h * (caps[k * stride] * cap_scale)
            square *= square
            compensated = tail + lost
            for j in range(part.size):
                part[j] += square / (compensated + fictitious[j])
            longer = tail + h
            lost += (tail - longer) + h if tail >= h else (h - longer) + tail
            tail = longer
        squares += part
        stop = start
    cap = caps[-1] * cap_scale
    return (tail + lost) + fictitious, squares + fictitious * cap * cap


@njit(**JIT)
def recursion_weights(steps: Array, sigma: float) -> Array:
    """Weights w_0..w_{N-1} = h_k / w_{k+1:N} followed by w_N = sigma."""
    weights = np.empty(steps.size + 1)
    weights[-1] = sigma
    s = sigma
    for k in range(steps.size - 1, -1, -1):
        weights[k] = steps[k] / s
        s += weights[k]
    return weights


def exact_terms(run: Scaled, sigmas: Array) -> tuple[Array, Array]:
    """For each sigma, s_0 and sigma^2 G_N^2 + sum_k w_k^2 G_k^2."""
    first, squares = _exact_terms(run.steps, run.caps, 1.0 / run.unit, 1.0 / run.top_cap, _padded(sigmas))
    return first[: sigmas.size], squares[: sigmas.size]


def theorem10_terms(run: Scaled, fictitious: Array) -> tuple[Array, Array]:
    """For each fictitious last step, t_{-1} and h_N G_N^2 + sum_k h_k^2 G_k^2 / t_k."""
    total, squares = _theorem10_terms(run.steps, run.caps, 1.0 / run.unit, 1.0 / run.top_cap, _padded(fictitious))
    return total[: fictitious.size], squares[: fictitious.size]


def _padded(values: Array) -> Array:
    missing = -values.size % _LANES
    return np.concatenate([values, np.full(missing, values[-1])])


def tuned_exact_bracket(run: Scaled, objective: Objective) -> tuple[float, float]:
    """Bracket of log sigma for the tuned exact rate; the inequalities are in the notes of `tune_base_lr`."""
    h, cap, last_cap = run.last_step, run.last_step_cap, run.last_cap
    before = max(run.total - h, 0.0)
    squares_before = max(run.squares - (h * cap) ** 2, 0.0)
    large = run.squares / (run.total * last_cap**2)
    log_small = (
        2.0 * math.log(cap)
        + math.log(run.total)
        - float(np.logaddexp(2.0 * math.log(last_cap), _log(squares_before) - 2.0 * math.log(h)))
    )
    guesses = np.append(np.linspace(math.log(h), math.log(run.total), 6), [_log(large), log_small]) / 2.0
    best = math.sqrt(objective(guesses[np.isfinite(guesses)]).min())
    # the two guesses beat the limits sigma -> infinity and sigma -> 0 by these factors, free of cancellation
    below_last = math.expm1(0.5 * math.log1p(run.total / (large + run.total)))
    spread = (h * (h * last_cap**2) + squares_before) / (cap**2 * run.total)
    share = run.total / (spread + 2.0 * run.total + math.exp(log_small))
    below_cap = math.expm1(-0.5 * math.log1p(-share))
    high = math.log(run.total) - math.log(max(last_cap / best - 1.0, below_last))
    low = math.log(max(cap / best - 1.0, below_cap)) + math.log(h) - math.log1p(before / h)
    return low / 2.0, high / 2.0


def tuned_theorem10_bracket(run: Scaled, objective: Objective) -> tuple[float, float]:
    """Bracket of log h_N for the tuned Theorem 10 rate; the inequalities are in the notes of `tune_base_lr`."""
    total, square = run.total, run.last_cap**2
    large = 2.0 * run.squares / (total * square)
    guesses = np.append(np.linspace(math.log(run.last_step), math.log(total), 7), _log(large))
    best = float(objective(guesses[np.isfinite(guesses)]).min())
    below_last = 0.5 * total / (large + 0.5 * total)
    high = math.log(total) - math.log(max(square / best - 1.0, below_last))
    product = 2.0 * (math.log(run.last_step) + math.log(run.last_step_cap)) - math.log(best)
    low = product - float(np.logaddexp(math.log(total), high))
    return min(low, high), high


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf
