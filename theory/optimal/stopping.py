r"""The exact rate at a stopping time, with its gradient in the steps: the terms of every open-horizon problem.

In units D = G = 1 the worst case after the steps e_0..e_{m-1} is (recursion of `lastiterate.theory.rates.sgd`)

    u_k = (v + e_k)^2 / v,  v = max(u_{k+1}, e_k),  R = min_{u >= u_0} (1/u + u) / 2 - sum_k e_k - c u_m,

with u_m = 0 and c = 0. A cooldown of L - 1 further steps, optimal once the stop is known, leaves u_m free and has
c = (1 - 1/L) / 2. Every line is a jointly convex map followed by a nondecreasing one (quadratic over linear), hence R
is jointly convex in the steps, and what minimises a maximum of such terms is a global optimum.

An average with the tails A_k takes e_k = h_k A_k, the emulated steps.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

__all__ = [
    "Stops",
    "averaging_tails",
    "averaging_weights",
    "emulation_is_exact",
    "ratios",
    "ratios_and_slopes",
    "soft_maximum",
]

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stops:
    """Stopping times and what happens at each.

    Attributes
    ----------
    horizons : int64[s]
        Numbers of steps n, cooldown included, increasing.
    shared : int64[s]
        How many of them are steps of the open run.
    powers, inverse : float64[N + 1], float64[s]
        The tails of the average at stop i are A_k = 1 - powers[k] inverse[i]; zeros where nothing is averaged.
    guess : float64[s]
        Last minimiser u_m of each cooldown: where the next search starts.
    """

    horizons: Counts
    shared: Counts
    powers: Array
    inverse: Array
    guess: Array

    @classmethod
    def of(cls, horizons: Counts, branch: float | None, power: float | None) -> "Stops":
        """Stops with a cooldown over the share ``branch``, or with the average of ``power``, or with neither."""
        # the tolerance keeps 0.1 * 30 = 3.0000000000000004 and 0.7 * 10 = 6.999... at their meaning
        cooldown = np.minimum(np.floor((branch or 0.0) * horizons + 1e-9).astype(np.int64), horizons - 1)
        last = float(horizons[-1] + 1)
        powers, inverse = np.zeros(int(horizons[-1]) + 1), np.zeros(horizons.size)
        if power is not None:
            powers = (np.arange(1.0, last + 1.0) / last) ** power
            inverse = 1.0 / powers[horizons]
        return cls(horizons, horizons - cooldown, powers, inverse, np.ones(horizons.size))

    @property
    def n_steps(self) -> int:
        """The length of the open run."""
        return int(self.shared[-1])

    def at(self, chosen: npt.NDArray[np.intp]) -> "Stops":
        """Some of the stops."""
        return Stops(self.horizons[chosen], self.shared[chosen], self.powers, self.inverse[chosen], self.guess[chosen])

    def arrays(self) -> tuple[Counts, Counts, Array, Array, Array]:
        """The attributes in the order in which the compiled functions take them."""
        return self.horizons, self.shared, self.powers, self.inverse, self.guess


def averaging_tails(n_steps: int, power: float) -> Array:
    """A_0..A_{n-1} of the average with weights proportional to (k+1)^power - k^power on x_0..x_n.

    >>> averaging_tails(3, 1.0)
    array([0.75, 0.5 , 0.25])
    """
    return 1.0 - (np.arange(1.0, n_steps + 1.0) / (n_steps + 1.0)) ** power


def averaging_weights(n_steps: int, power: float) -> Array:
    """The weights of that average on x_0..x_n.

    >>> averaging_weights(3, 1.0)
    array([0.25, 0.25, 0.25, 0.25])
    """
    return -np.diff(np.concatenate([[1.0], averaging_tails(n_steps, power), [0.0]]))


def ratios(steps: Array, stops: Stops) -> Array:
    """The rate at each stop over 1 / sqrt(n + 1), what a run tuned to it would reach."""
    return _ratios(steps, *stops.arrays())


def ratios_and_slopes(steps: Array, stops: Stops) -> tuple[Array, Array]:
    """The ratios and their gradients, float64[s, N]."""
    return _slopes(steps, *stops.arrays())


def soft_maximum(steps: Array, stops: Stops, sharpness: float) -> tuple[float, float, Array]:
    """log(sum exp(sharpness * ratio)) / sharpness, the largest ratio, and the gradient of the former."""
    return _soft_maximum(steps, *stops.arrays(), sharpness)


def emulation_is_exact(steps: Array, stops: Stops) -> bool:
    """Whether the average's rate is proved at every stop: A_k / s_{k+1} nondecreasing from 1 / s_0 on."""
    return bool(_signs(steps, stops.horizons, stops.powers, stops.inverse))


@njit(**JIT)
def _emulated(steps: Array, shared: int, powers: Array, inverse: float, taken: Array) -> float:
    """Write the steps that count at a stop into ``taken`` and return their sum."""
    total = 0.0
    for k in range(shared):
        taken[k] = steps[k] * (1.0 - powers[k] * inverse)
        total += taken[k]
    return total


@njit(**JIT)
def _backwards(taken: Array, shared: int, tail: float, quotient: Array) -> float:
    """u_0 from u_m = tail; ``quotient`` receives e_k / v."""
    u = tail
    for k in range(shared - 1, -1, -1):
        e = taken[k]
        if u <= e:
            quotient[k] = 1.0
            u = 4.0 * e
        else:
            q = e / u
            quotient[k] = q
            u *= (1.0 + q) * (1.0 + q)
    return u


@njit(**JIT)
def _derivatives(taken: Array, shared: int, tail: float) -> tuple[float, float, float]:
    """u_0 from u_m = tail, with its first two derivatives in u_m."""
    u, first, second = tail, 1.0, 0.0
    for k in range(shared - 1, -1, -1):
        e = taken[k]
        if u <= e:
            first = second = 0.0
            u = 4.0 * e
        else:
            q = e / u
            slope = 1.0 - q * q
            second = (2.0 * q * q / u) * first * first + slope * second
            first *= slope
            u *= (1.0 + q) * (1.0 + q)
    return u, first, second


@njit(**JIT)
def _tail(taken: Array, shared: int, cooldown: int, guess: float) -> float:
    """The u_m that minimises the rate: a Newton iteration on its increasing derivative, kept in a bracket."""
    share = 0.5 * cooldown / (cooldown + 1.0)
    low, high, tail = 0.0, np.inf, guess
    for _ in range(200):
        u, first, second = _derivatives(taken, shared, tail)
        slope = curvature = 0.0
        if u > 1.0:
            slope = 0.5 * (1.0 - 1.0 / (u * u)) * first
            curvature = first * first / (u * u * u) + 0.5 * (1.0 - 1.0 / (u * u)) * second
        if slope > share:
            high = tail
        else:
            low = tail
        moved = tail - (slope - share) / curvature if curvature > 0.0 else -1.0
        if not low < moved < high:
            moved = 2.0 * tail if high == np.inf else 0.5 * (low + high)
        if abs(moved - tail) <= 1e-13 * tail:
            break
        tail = moved
    return tail


@njit(**JIT)
def _rate(
    taken: Array, shared: int, total: float, cooldown: int, guess: float, quotient: Array
) -> tuple[float, float, float]:
    """The rate at one stop, the u_0 and the u_m that minimise it."""
    tail = _tail(taken, shared, cooldown, guess) if cooldown > 0 else 0.0
    least = _backwards(taken, shared, tail, quotient)
    u = max(least, 1.0)
    return 0.5 * (u + 1.0 / u) - total - 0.5 * cooldown / (cooldown + 1.0) * tail, least, tail


@njit(**JIT)
def _add_slope(
    shared: int, u: float, powers: Array, inverse: float, quotient: Array, factor: float, slope: Array
) -> None:
    """Add ``factor`` times the gradient of the rate in the steps, given u_0 and the quotients."""
    share = 0.5 * (1.0 - 1.0 / (u * u)) if u > 1.0 else 0.0
    for k in range(shared):
        q = quotient[k]
        slope[k] += factor * (1.0 - powers[k] * inverse) * (2.0 * share * (1.0 + q) - 1.0)
        share *= 1.0 - q * q


@njit(**JIT)
def _ratios(steps: Array, horizons: Counts, shared: Counts, powers: Array, inverse: Array, guess: Array) -> Array:
    taken, quotient, values = np.empty(steps.size), np.empty(steps.size), np.empty(horizons.size)
    for i in range(horizons.size):
        total = _emulated(steps, shared[i], powers, inverse[i], taken)
        rate, _, guess[i] = _rate(taken, shared[i], total, horizons[i] - shared[i], guess[i], quotient)
        values[i] = rate * math.sqrt(horizons[i] + 1.0)
    return values


@njit(**JIT)
def _slopes(
    steps: Array, horizons: Counts, shared: Counts, powers: Array, inverse: Array, guess: Array
) -> tuple[Array, Array]:
    taken, quotient = np.empty(steps.size), np.empty(steps.size)
    values, slopes = np.empty(horizons.size), np.zeros((horizons.size, steps.size))
    for i in range(horizons.size):
        unit = math.sqrt(horizons[i] + 1.0)
        total = _emulated(steps, shared[i], powers, inverse[i], taken)
        rate, least, _ = _rate(taken, shared[i], total, horizons[i] - shared[i], guess[i], quotient)
        values[i] = rate * unit
        _add_slope(shared[i], least, powers, inverse[i], quotient, unit, slopes[i])
    return values, slopes


@njit(**JIT)
def _soft_maximum(
    steps: Array, horizons: Counts, shared: Counts, powers: Array, inverse: Array, guess: Array, sharpness: float
) -> tuple[float, float, Array]:
    values = _ratios(steps, horizons, shared, powers, inverse, guess)
    top = values.max()
    weights = np.exp(sharpness * (values - top))
    total = weights.sum()
    taken, quotient, slope = np.empty(steps.size), np.empty(steps.size), np.zeros(steps.size)
    for i in range(horizons.size):
        share = weights[i] / total
        if share > 1e-14:  # the others change nothing
            _emulated(steps, shared[i], powers, inverse[i], taken)
            least = _backwards(taken, shared[i], guess[i], quotient)
            factor = share * math.sqrt(horizons[i] + 1.0)
            _add_slope(shared[i], least, powers, inverse[i], quotient, factor, slope)
    return top + math.log(total) / sharpness, top, slope


@njit(**JIT)
def _signs(steps: Array, horizons: Counts, powers: Array, inverse: Array) -> bool:
    taken, quotient = np.empty(steps.size), np.empty(steps.size)
    for i in range(horizons.size):
        n = horizons[i]
        _emulated(steps, n, powers, inverse[i], taken)
        s = math.sqrt(max(_backwards(taken, n, 0.0, quotient), 1.0))
        before = 1.0 / s
        for k in range(n - 1):  # the last one is free
            s = 0.5 * (s + math.sqrt(max(s * s - 4.0 * taken[k], 0.0)))
            value = (1.0 - powers[k] * inverse[i]) / s
            if value < before * (1.0 - 1e-12):
                return False
            before = value
    return True
