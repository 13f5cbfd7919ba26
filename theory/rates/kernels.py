"""The sums behind the rates that have a free parameter, for many values of it in one pass over the steps.

The compiled loops run over the values of the parameter, side by side in vector registers; partial sums over blocks keep
the rounding error of a sum of millions of terms near 1e-15. Up to `PLAIN` steps nothing is compiled.
"""

import math
from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.jit import PLAIN, Array, compiled, room, run

from .closed_form import chain

__all__ = ["ScaledSteps", "exact_terms", "one_chain", "theorem10_terms"]

_BLOCK = 1024
_LANES = 8
_SMALL = 1e-300  # a sigma that underflows is no better than this one


@dataclass(frozen=True, eq=False)
class ScaledSteps:
    """A run in units in which nothing overflows: steps over ``unit``, gradient bounds over their maximum.

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
        return float(self.caps[-1])

    @classmethod
    def to_distance(cls, steps: Array, D: float, caps: Array) -> "ScaledSteps | None":
        """Scale so that the largest step is the inverse of the distance; None when no step is positive."""
        largest = float(steps.max(initial=0.0))
        if largest == 0.0:
            return None
        top_cap = float(caps.max())
        ratio = math.sqrt(D) / math.sqrt(top_cap)
        unit = max(math.sqrt(largest) * ratio, 1e-300)
        return cls._of(steps, caps, unit, top_cap, ratio * (ratio / unit))

    @classmethod
    def to_largest(cls, steps: Array, caps: Array) -> "ScaledSteps | None":
        """Scale so that the largest step is one; None when no step is positive."""
        largest = float(steps.max(initial=0.0))
        return cls._of(steps, caps, max(largest, 1e-300), float(caps.max()), 1.0) if largest > 0.0 else None

    @classmethod
    def _of(cls, steps: Array, caps: Array, unit: float, top_cap: float, distance: float) -> "ScaledSteps":
        steps = steps * (1.0 / unit)
        caps = np.broadcast_to(caps, steps.size + 1) / top_cap
        last = int(np.flatnonzero(steps)[-1])
        with np.errstate(over="ignore"):  # the rate, which is infinite too, is refused
            squares = float(np.sum((steps * caps[:-1]) ** 2))
        return cls(
            steps, caps, unit, top_cap, distance, float(steps.sum()), squares, float(steps[last]), float(caps[last])
        )


def _recursion(steps: Array, caps: Array, tails: Array) -> tuple[Array, Array]:
    """Run s_k = s_{k+1} + h_k / s_{k+1} from each s_N; return s_0 and the sum of (w_k G_k)^2 over k < N.

    The sum s is compensated: linear decay adds the same w a million times, with the same rounding error.
    """
    s = tails.copy()
    lost = np.zeros(s.size)
    squares = np.zeros(s.size)
    part = np.empty(s.size)
    stop = steps.size
    while stop > 0:
        start = max(0, stop - _BLOCK)
        part[:] = 0.0
        for k in range(stop - 1, start - 1, -1):
            h, cap = steps[k], caps[k]
            for j in range(s.size):
                tail = s[j]
                w = h / tail
                added = w + lost[j]
                longer = tail + added
                kept = longer - tail
                lost[j] = (tail - (longer - kept)) + (added - kept)
                s[j] = longer
                w *= cap
                part[j] += w * w
        squares += part
        stop = start
    return s, squares


def _theorem10_terms(steps: Array, caps: Array, fictitious: Array) -> tuple[Array, Array]:
    squares = np.zeros(fictitious.size)
    part = np.empty(fictitious.size)
    tail, lost = 0.0, 0.0  # the tail of the steps after k as a compensated (Neumaier) sum
    stop = steps.size
    while stop > 0:
        start = max(0, stop - _BLOCK)
        part[:] = 0.0
        for k in range(stop - 1, start - 1, -1):
            h = steps[k]
            square = (h * caps[k]) ** 2
            compensated = tail + lost
            for j in range(part.size):
                part[j] += square / (compensated + fictitious[j])
            longer = tail + h
            lost += (tail - longer) + h if tail >= h else (h - longer) + tail
            tail = longer
        squares += part
        stop = start
    return (tail + lost) + fictitious, squares + fictitious * caps[-1] ** 2


def one_chain(scaled: ScaledSteps, sigma: float) -> tuple[float, float]:
    """Return s_0 and sigma^2 G_N^2 + sum_k w_k^2 G_k^2 for one sigma."""
    return run(chain, scaled.steps, scaled.caps, sigma, room(scaled.steps.size, scaled.steps.size))


def exact_terms(scaled: ScaledSteps, sigmas: Array) -> tuple[Array, Array]:
    """For each sigma, s_0 and sigma^2 G_N^2 + sum_k w_k^2 G_k^2."""
    if scaled.steps.size > PLAIN:
        first, squares = compiled(_recursion)(scaled.steps, scaled.caps, _padded(sigmas))
        return first[: sigmas.size], squares[: sigmas.size] + (sigmas * scaled.last_cap) ** 2
    ratios = room(scaled.steps.size, scaled.steps.size)
    steps, caps = scaled.steps.tolist(), scaled.caps.tolist()
    first, squares = np.array([chain(steps, caps, max(sigma, _SMALL), ratios) for sigma in sigmas.tolist()]).T
    return first, squares


def theorem10_terms(scaled: ScaledSteps, fictitious: Array) -> tuple[Array, Array]:
    """For each fictitious last step, t_{-1} and h_N G_N^2 + sum_k h_k^2 G_k^2 / t_k."""
    if scaled.steps.size > PLAIN:
        total, squares = compiled(_theorem10_terms)(scaled.steps, scaled.caps, _padded(fictitious))
        return total[: fictitious.size], squares[: fictitious.size]
    tails = np.cumsum(scaled.steps[::-1], dtype=np.longdouble)[::-1].astype(np.float64)
    after = np.append(tails[1:], 0.0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # as in compiled loops
        terms = (scaled.steps * scaled.caps[:-1]) ** 2 / (after + fictitious[:, None])
    return tails[0] + fictitious, terms.sum(axis=1) + fictitious * scaled.last_cap**2


def _padded(values: Array) -> Array:
    missing = -values.size % _LANES
    return np.concatenate([values, np.full(missing, values[-1])])
