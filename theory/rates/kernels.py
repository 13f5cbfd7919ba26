"""The sums behind the rates, for many values of the free parameter in one pass over the steps.

The inner loops run over the values of the parameter, side by side in vector registers; partial sums over blocks keep
the rounding error of a sum of millions of terms near 1e-15.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

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
def _recursion(
    steps: Array, caps: Array, scale: float, cap_scale: float, start: int, stop: int, tails: Array
) -> tuple[Array, Array]:
    """Run s_k = s_{k+1} + h_k / s_{k+1} down from stop to start; return s and the sum of (w_k G_k)^2.

    The sum s is compensated: linear decay adds the same w a million times, with the same rounding error.
    """
    stride = 0 if caps.size == 1 else 1
    s = tails.copy()
    lost = np.zeros(s.size)
    squares = np.zeros(s.size)
    part = np.empty(s.size)
    while stop > start:
        pause = max(start, stop - _BLOCK)
        part[:] = 0.0
        for k in range(stop - 1, pause - 1, -1):
            h = steps[k] * scale
            cap = caps[k * stride] * cap_scale
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
        stop = pause
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
    first, squares = _part_of_recursion(run, 0, run.steps.size, sigmas)
    return first, squares + (sigmas * run.last_cap) ** 2


def _part_of_recursion(run: Scaled, start: int, stop: int, tails: Array) -> tuple[Array, Array]:
    scales = 1.0 / run.unit, 1.0 / run.top_cap
    first, squares = _recursion(run.steps, run.caps, *scales, start, stop, _padded(tails))
    return first[: tails.size], squares[: tails.size]


class FoldedTerms:
    """`exact_terms` for thousands of sigmas at the cost of about a hundred, to 1e-13, relative.

    The last steps of a run fold a wide range of sigma into a narrow range of S = s_M, and all that the M steps before
    them contribute is a function of S. They are evaluated at Chebyshev nodes, in cells of log S as they are needed;
    both s_0 and the sum of squares are analytic in log S as `lastiterate.theory.base.scalar_search` describes.
    """

    _width = 1.0
    _angles = (np.arange(24) + 0.5) * (np.pi / 24)

    def __init__(self, run: Scaled) -> None:
        self.run = run
        self.split = run.steps.size - run.steps.size // 128
        self._cells: dict[int, Array] = {}

    def __call__(self, sigmas: Array) -> tuple[Array, Array]:
        """Return what `exact_terms` returns."""
        tails, squares = _part_of_recursion(self.run, self.split, self.run.steps.size, sigmas)
        position = np.log(tails) / self._width
        cell = np.floor(position).astype(int)
        self._fill(sorted(set(cell.tolist()) - self._cells.keys()))
        coefficients = np.array([self._cells[key] for key in cell.tolist()])
        angle = np.arccos(np.clip(2.0 * (position - cell) - 1.0, -1.0, 1.0))
        basis = np.cos(angle[:, None] * np.arange(self._angles.size))
        first, squares_before = np.einsum("pck,pk->cp", coefficients, basis)
        return first, squares + squares_before + (sigmas * self.run.last_cap) ** 2

    def _fill(self, keys: list[int]) -> None:
        """Evaluate the first M steps at the nodes of new cells and keep the Chebyshev coefficients."""
        if not keys:
            return
        count = self._angles.size
        nodes = np.add.outer(np.array(keys, dtype=float), 0.5 + 0.5 * np.cos(self._angles))
        values = np.array(_part_of_recursion(self.run, 0, self.split, np.exp(self._width * nodes.ravel())))
        transform = (2.0 / count) * np.cos(np.outer(self._angles, np.arange(count)))
        transform[:, 0] /= 2.0
        for key, samples in zip(keys, values.reshape(2, len(keys), count).swapaxes(0, 1), strict=True):
            self._cells[key] = samples @ transform


def theorem10_terms(run: Scaled, fictitious: Array) -> tuple[Array, Array]:
    """For each fictitious last step, t_{-1} and h_N G_N^2 + sum_k h_k^2 G_k^2 / t_k."""
    total, squares = _theorem10_terms(run.steps, run.caps, 1.0 / run.unit, 1.0 / run.top_cap, _padded(fictitious))
    return total[: fictitious.size], squares[: fictitious.size]


def terms_for_many(run: Scaled) -> Callable[[Array], tuple[Array, Array]]:
    """Return `exact_terms` as a function of sigma alone, in the form that suits the length of the run."""
    return FoldedTerms(run) if run.steps.size > 20_000 else partial(exact_terms, run)


def _padded(values: Array) -> Array:
    missing = -values.size % _LANES
    return np.concatenate([values, np.full(missing, values[-1])])
