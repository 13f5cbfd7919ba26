r"""The recursions of the exact rate, backwards and forwards over the steps; ``docs/exact_rate.md`` proves them.

With s_N = sigma, w_k = h_k / s_{k+1}, s_k = s_{k+1} + w_k and lambda_k = w_k / s_{k+1}, every sigma > 0 bounds the
worst case by (D^2 / s_0^2 + sigma^2 G_N^2 + sum_k w_k^2 G_k^2) / 2. For constant G the least such bound depends on one
number, the least s_0, which `one_pass` finds; for other G the sign of d_N tells on which side of the minimum a sigma
lies.

The functions work on lists as they stand and on arrays when compiled (`lastiterate.theory.base.jit.run`).
"""

import math
from typing import Any, NamedTuple

import numpy as np

from lastiterate.theory.base.jit import Array

__all__ = [
    "OnePass",
    "power_of_four",
    "one_pass",
    "one_pass_of_rows",
    "binding_ratios",
    "slopes",
    "largest_sigma",
    "largest_sigmas",
    "weights",
    "chain",
    "distance_term",
    "slack",
    "slacks",
]

_FOLD = 16
_BLOCK = 1024  # sums of millions of terms are sums over blocks, which keeps their rounding error near 1e-15
_ZERO = 1e-170  # stands for zero where a division must not fail: below the root of every positive number
_LEAST = 1e-290


class OnePass(NamedTuple):
    """What one backward pass tells of a schedule, for every D, G and base learning rate (of many schedules: arrays).

    ``first`` is M_0, the least s_0; ``squares`` is Q = s_m^2 + sum_{k<m} w_k^2, where the first ``binding`` = m steps
    bind and the steps after them, of sum ``free``, are free; ``total`` is the sum of all steps.
    """

    first: Any
    squares: Any
    free: Any
    total: Any
    binding: Any

    @property
    def tuned_reach(self) -> Any:
        """sqrt(D / G) at the best base learning rate, where the rate is `tuned_rate`."""
        return (self.first * (self.squares - 2.0 * self.free) ** 0.5) ** 0.5

    @property
    def tuned_rate(self) -> Any:
        """The rate at the best base learning rate, in units of D G: sqrt(1 - 2 S / M_0^2) without cancellation."""
        return (self.squares - 2.0 * self.free) ** 0.5 / self.first

    def rate(self, reach: float) -> float:
        """Return the rate in units of D G for ``reach`` = sqrt(D / G)."""
        if self.first < reach:
            return 1.0 - self.total / reach / reach
        return 0.5 * ((reach / self.first) ** 2 + (self.squares - 2.0 * self.free) / reach / reach)

    def rates(self, reach: Array) -> Array:
        """Return `rate` for arrays that broadcast."""
        with np.errstate(all="ignore"):  # the branch that np.where drops
            binds = 0.5 * ((reach / self.first) ** 2 + (self.squares - 2.0 * self.free) / reach / reach)
            return np.where(self.first < reach, 1.0 - self.total / reach / reach, binds)


def power_of_four(largest: float) -> float:
    """Return the factor that brings steps into the range where no square of them over- or underflows, mostly 1."""
    if largest == 0.0 or 1e-150 < largest < 1e150:
        return 1.0
    return 2.0 ** min(-2 * round(math.log2(largest) / 2.0), 1000)


def one_pass(steps: Any) -> tuple[float, float, float, float, int]:
    """Return the numbers of `OnePass`: M_k = z + h_k / z with z = max(M_{k+1}, sqrt(h_k)), from M_N = 0.

    Where z = sqrt(h_k) the pass starts anew, and the steps after k are free. What rounding takes from M and from the
    sums is added back after every `_FOLD` steps: linear decay adds the same number a million times.
    """
    first, squares, lost_squares = 0.0, 0.0, 0.0
    total, lost_total, free, binding = 0.0, 0.0, 0.0, 0
    stop = len(steps)
    while stop > 0:
        start = max(0, stop - _FOLD)
        part, part_of_squares, slip = 0.0, 0.0, 0.0
        for k in range(stop - 1, start - 1, -1):
            h = steps[k]
            if first * first < h:
                first, slip = 2.0 * math.sqrt(h), 0.0
                squares, lost_squares, part_of_squares = 0.0, 0.0, 2.0 * h
                free, binding = (total + part) + lost_total, k + 1
            elif h > 0.0:
                w = h / first
                longer = first + w
                slip += w - (longer - first)
                first = longer
                part_of_squares += w * w
            part += h
        first += slip
        longer = squares + part_of_squares
        kept = longer - squares
        lost_squares += (squares - (longer - kept)) + (part_of_squares - kept)
        squares = longer
        longer = total + part
        kept = longer - total
        lost_total += (total - (longer - kept)) + (part - kept)
        total = longer
        stop = start
    return first, squares + lost_squares, free, total + lost_total, binding


def one_pass_of_rows(steps: Array, ratios: Array | None = None) -> OnePass:
    """Return `one_pass` of every row of steps, float64[m, N], in N operations on columns.

    ``ratios``, float64[N, m], receives what `binding_ratios` returns.
    """
    columns = np.ascontiguousarray(steps.T)
    n_steps, count = columns.shape
    roots = np.sqrt(columns)
    first, lost, squares = np.full(count, _ZERO), np.zeros(count), np.zeros(count)
    binding = np.zeros(count, dtype=np.int64)
    for k in range(n_steps - 1, -1, -1):
        h = columns[k]
        fresh = roots[k] > first
        tail = np.maximum(roots[k], first)
        w = h / tail
        if ratios is not None:
            np.divide(w, tail, out=ratios[k])
        added = w + lost
        first = tail + added
        lost = added - (first - tail)
        np.copyto(squares, h, where=fresh)
        squares += w * w
        np.copyto(binding, k + 1, where=fresh)
    sums = np.zeros((n_steps + 1, count))
    np.cumsum(columns[::-1], axis=0, out=sums[1:])
    free = sums[n_steps - binding, np.arange(count)]
    return OnePass(first, squares, free, sums[-1], binding)


def binding_ratios(steps: Any, ratios: Any) -> None:
    """Fill lambda_k = h_k / z^2 along the pass of `one_pass`; lambda is 1 where the pass starts anew."""
    first, slip = 0.0, 0.0
    for k in range(len(steps) - 1, -1, -1):
        h = steps[k]
        if first * first < h:
            ratios[k] = 1.0
            first, slip = 2.0 * math.sqrt(h), 0.0
        elif h > 0.0:
            w = h / first
            ratios[k] = w / first
            longer = first + w
            slip += w - (longer - first)
            first = longer
            if k % _FOLD == 0:
                first, slip = first + slip, 0.0
        else:
            ratios[k] = 0.0


def slopes(ratios: Any, share: float) -> None:
    """Turn lambda_k into the slope -rho_k / G^2 of the rate in step k, constant G, where ``share`` is d_0 / G^2."""
    for k in range(len(ratios)):
        ratio = ratios[k]
        ratios[k] = share * (1.0 + ratio) - 1.0
        share *= (1.0 - ratio) * (1.0 + ratio)


def largest_sigma(steps: Any, start: float) -> tuple[float, int]:
    """Return the largest s_N that leads to the least s_0 not below ``start``, and how many steps then bind.

    From ``start`` = 0 that is theta_N: the least sigma with every lambda_k <= 1.
    """
    theta, binding = start, 0
    for k in range(len(steps)):
        h = steps[k]
        if h > 0.0:
            root = math.sqrt(h)
            if 2.0 * root >= theta:
                theta, binding = root, k + 1
            else:
                theta = 0.5 * (theta + math.sqrt((theta - 2.0 * root) * (theta + 2.0 * root)))
    return theta, binding


def largest_sigmas(steps: Any, start: float, out: Any) -> None:
    """Fill the number of `largest_sigma` for every horizon 1..N."""
    theta = start
    for k in range(len(steps)):
        root = math.sqrt(steps[k])
        if root > 0.0 and 2.0 * root >= theta:
            theta = root
        else:
            theta = 0.5 * (theta + math.sqrt((theta - 2.0 * root) * (theta + 2.0 * root)))
        out[k] = theta


def weights(steps: Any, sigma: float, out: Any) -> None:
    """Fill w_0..w_{N-1} and w_N = sigma."""
    s = sigma
    out[len(steps)] = sigma
    for k in range(len(steps) - 1, -1, -1):
        w = steps[k] / s
        out[k] = w
        s += w


def chain(steps: Any, caps: Any, sigma: float, ratios: Any) -> tuple[float, float]:
    """Return s_0 and sigma^2 G_N^2 + sum_k w_k^2 G_k^2 for one sigma, and fill lambda_0..lambda_{N-1}."""
    s, lost = sigma, 0.0
    last = sigma * caps[len(steps)]
    squares = last * last
    stop = len(steps)
    while stop > 0:
        start = max(0, stop - _BLOCK)
        part = 0.0
        for k in range(stop - 1, start - 1, -1):
            w = steps[k] / s
            ratios[k] = w / s
            added = w + lost
            longer = s + added
            kept = longer - s
            lost = (s - (longer - kept)) + (added - kept)
            s = longer
            w *= caps[k]
            part += w * w
        squares += part
        stop = start
    return s, squares


def distance_term(D: float, first: float) -> float:
    """Return D^2 / s_0^4, from which d_0 = G_0^2 - D^2 / s_0^4, cut off where it would overflow."""
    ratio = min(D / first / first, 1e150)
    return ratio * ratio


def slack(ratios: Any, caps: Any, ratio_of_distance: float, stop: int) -> float:
    """Return d_stop, d_{t+1} = (1 - lambda_t^2) d_t - (G_t^2 - G_{t+1}^2), from d_0 = G_0^2 - ``ratio_of_distance``.

    For nonincreasing G and all lambda <= 1, where a negative d stays negative. Ties lambda = 1 count as 1 - 0. With
    d_t = G_t^2 - e_t the difference is taken where it loses least: between falls as a product, and after a deep fall
    from e_{t+1} = (1 - lambda_t^2) e_t + lambda_t^2 G_t^2.
    """
    e = ratio_of_distance
    d = caps[0] * caps[0] - e
    for t in range(stop):
        ratio, cap, following = ratios[t], caps[t], caps[t + 1]
        kept = max((1.0 - ratio) * (1.0 + ratio), 0.0)
        fall = (cap - following) * (cap + following)
        e = kept * e + ratio * ratio * cap * cap
        if fall == 0.0:
            d = max(kept * d, _LEAST) if d >= 0.0 else min(kept * d, -_LEAST)
        elif kept * abs(d) + fall < following * following:
            d = kept * d - fall
        else:
            d = following * following - e
    return d


def slacks(ratios: Any, caps: Any, ratio_of_distance: float, out: Any) -> None:
    """Fill d_0..d_N for any G and any sigma; the recursion of `slack`."""
    e = ratio_of_distance
    d = caps[0] * caps[0] - e
    out[0] = d
    for t in range(len(ratios)):
        ratio, cap, following = ratios[t], caps[t], caps[t + 1]
        kept = (1.0 - ratio) * (1.0 + ratio)
        fall = (cap - following) * (cap + following)
        e = kept * e + ratio * ratio * cap * cap
        if abs(kept * d) + abs(fall) < following * following:
            d = kept * d - fall
        else:
            d = following * following - e
        out[t + 1] = d
