r"""The best schedule inside limits on single steps, by forward shooting in one number.

With u_k = s_k^2 in the recursion of `lastiterate.theory.rates.sgd` the exact rate for constant or nonincreasing G is

    R*(h) = min over u of 1/2 (D^2 / u_0 + G_0^2 u_0 - sum_{k>=1} (G_{k-1}^2 - G_k^2) u_k) - sum_k G_k^2 h_k,
    u_k = (u_{k+1} + h_k)^2 / u_{k+1},

jointly convex in h. Its optimality system under low <= h <= high runs forwards. With lambda_k = h_k / u_{k+1},
e_0 = D^2 / u_0^2, d_k = G_k^2 - e_k and e_{k+1} = e_k + lambda_k^2 d_k, the derivative of R* in h_k is -rho_k =
lambda_k d_k - e_k. A step inside its limits has rho_k = nu, the price of a unit of the sum of the steps (zero without
a budget), so lambda_k = (e_k - nu) / d_k; a step at its upper limit has rho_k >= nu, at its lower limit rho_k <= nu.
So u_0 determines everything; it is too small where some d_k turns negative or lambda_k would exceed one, and the least
u_0 that is not is the optimum. O(N) memory and about 60 passes; what comes out is certified by
`lastiterate.solvers.design.certificate`, so nothing rests on the search.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy import optimize

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

from .certificate import intercept
from .constraints import Constraints
from .options import Ramp

__all__ = ["Shot", "shoot"]

NEAR_RESET = 1e-4


@dataclass(frozen=True)
class Shot:
    """A schedule, its slopes rho_k >= or <= charge where a limit binds, and what they prove.

    ``bound`` is a lower bound on R*(h') + charge * sum(h') for every h' inside the limits.
    """

    steps: Array
    slopes: Array
    bound: float


def shoot(D: float, squares: Array, constraints: Constraints) -> Shot:
    """Return the best schedule for nonincreasing G under limits, a fixed order (constant G), a warm-up and a budget.

    Parameters
    ----------
    D : float
        Bound on ||x_0 - x*||.
    squares : ndarray, shape (N+1,)
        The squares G_k^2, nonincreasing; constant if the constraints ask for an order.
    constraints : Constraints
        Without blocks and ratios, not empty.

    Returns
    -------
    Shot
        Its ``bound`` is one on R* itself.
    """

    def priced(charge: float) -> Shot:
        if constraints.ramp is None:
            return _best_in_box(D, squares, *constraints.box(), charge)
        return _best_peak(D, squares, constraints, constraints.ramp, charge)

    found = priced(0.0)
    if math.fsum(found.steps) <= constraints.budget:
        return found
    least = constraints.peak_range()[0] if constraints.ramp is not None else None
    return _within_budget(priced, float(squares[0]), constraints.box(least)[0], constraints.budget)


def _within_budget(priced: Callable[[float], Shot], highest: float, shortest: Array, budget: float) -> Shot:
    """Find the price at which the steps add up to the budget; at a jump, mix the schedules of its two sides."""
    over, under = priced(0.0).steps, shortest
    if math.fsum(under) >= budget:
        shot = priced(highest)
        return Shot(under, shot.slopes, shot.bound - highest * budget)

    def excess(charge: float) -> float:
        nonlocal over, under
        # no step gains more than G_0^2 a unit: at that price all may be as short as they can be
        steps = shortest if charge >= highest else priced(charge).steps
        total = math.fsum(steps) - budget
        if total > 0.0:
            over = steps
        else:
            under = steps
        return total

    charge = _root(excess, 0.0, highest)
    shot = priced(charge)
    much, little = math.fsum(over), math.fsum(under)
    share = (budget - little) / (much - little)
    return Shot(share * over + (1.0 - share) * under, shot.slopes, shot.bound - charge * budget)


def _best_peak(D: float, squares: Array, constraints: Constraints, ramp: Ramp, charge: float) -> Shot:
    """Return the best schedule over the peak p of the warm-up, in which the least rate is convex.

    Its derivative in p is minus the sum of shape_k (rho_k - nu) over the warm-up and, where the order makes the last
    step of the warm-up an upper limit, of the like over the later steps that it holds down.
    """
    inside, last = slice(ramp.first, ramp.end), float(ramp.shape[-1])
    least, most = constraints.peak_range()

    def at(peak: float) -> tuple[Shot, float]:
        low, high = constraints.box(peak)
        shot = _best_in_box(D, squares, low, high, charge)
        weight = np.zeros(low.size)
        weight[inside] = ramp.shape
        if constraints.ordered_from is not None:
            held = (high[ramp.end :] == high[ramp.end - 1]) & (low[ramp.end :] < high[ramp.end :])
            weight[ramp.end :] = np.where(held, last, 0.0)
        return shot, float(weight @ (shot.slopes - charge))

    def slope(peak: float) -> float:
        return at(peak)[1]

    shot, push = at(least)
    if push <= 0.0 or least == most:
        return shot
    upper = most
    if math.isinf(most):
        upper = max(2.0 * least, D / math.sqrt(squares[0]))
        while slope(upper) > 0.0:
            upper *= 2.0
    elif slope(most) >= 0.0:
        return at(most)[0]
    peak = _root(slope, least, upper)
    shot, push = at(peak)
    slopes = shot.slopes.copy()
    slopes[ramp.first + int(np.argmax(ramp.shape))] -= push  # what the root finder left, so that the sum vanishes
    return _certified(shot.steps, slopes, D, squares, charge)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a continuous function changes its sign, to the last digit."""
    exact = 4 * np.finfo(np.float64).eps
    halvings = 10_000  # down to 1e-300 it takes a thousand
    found: Any = optimize.brentq(function, low, high, xtol=1e-300, rtol=exact, maxiter=halvings)
    return float(found)


def _best_in_box(D: float, squares: Array, low: Array, high: Array, charge: float) -> Shot:
    """Minimise R* plus the price of the sum inside limits on single steps."""
    steps, slopes, snapped, snapped_slopes = _search(D, squares, low, high, charge)
    shots = [
        _certified(found, _clean(found, raw, low, high, charge), D, squares, charge)
        for found, raw in ((steps, slopes), (snapped, snapped_slopes))
    ]
    return max(shots, key=lambda shot: shot.bound)


def _clean(steps: Array, slopes: Array, low: Array, high: Array, charge: float) -> Array:
    """Remove rounding: exactly the charge where a step is free, on the right side of it where a limit binds."""
    cleaned = np.where(steps >= high, np.maximum(slopes, charge), np.minimum(slopes, charge))
    cleaned = np.where((low < steps) & (steps < high), charge, cleaned)
    return np.where(low == high, slopes, cleaned)


def _certified(steps: Array, slopes: Array, D: float, squares: Array, charge: float) -> Shot:
    """Attach the bound; the signs of the slopes make the steps the worst point of the limits for it."""
    return Shot(steps, slopes, intercept(slopes, D, squares) - math.fsum((slopes - charge) * steps))


@njit(**JIT)
def _pass(
    first: float,
    D: float,
    squares: Array,
    low: Array,
    high: Array,
    charge: float,
    reset: int,
    steps: Array,
    slopes: Array,
) -> bool:
    """Run forwards from u_0 = first; return whether it was large enough. At ``reset`` the step stays, lambda is one."""
    u, e = first, (D / first) ** 2
    for k in range(steps.size):
        d = squares[k] - e
        if d < 0.0:
            return False
        if k == reset:
            slopes[k] = e - d
            u, e = steps[k], squares[k]
            continue
        ratio = max((e - charge) / d, 0.0) if d > 0.0 else np.inf
        step = u * ratio / (1.0 + ratio) ** 2 if ratio <= 1.0 else np.inf
        if step < low[k] or step > high[k]:
            step = low[k] if step < low[k] else high[k]
            part = step / u
            if part > 0.25:
                return False
            ratio = 2.0 * part / (1.0 - 2.0 * part + math.sqrt(1.0 - 4.0 * part))
        elif ratio > 1.0:
            return False
        steps[k], slopes[k] = step, e - ratio * d
        u /= (1.0 + ratio) ** 2
        e += ratio * ratio * d
    return e <= squares[-1]


@njit(**JIT)
def _search(D: float, squares: Array, low: Array, high: Array, charge: float) -> tuple[Array, Array, Array, Array]:
    """Return steps and slopes at the least large enough u_0; then the same with lambda = 1 where it comes near.

    Near such a reset a rounding error of u_0 enters lambda by its square root.
    """
    steps, slopes = np.empty(low.size), np.empty(low.size)
    small = D / math.sqrt(squares[0])
    large = small
    while not _pass(large, D, squares, low, high, charge, -1, steps, slopes) and large < 1e300:
        small, large = large, 2.0 * large
    while True:
        middle = 0.5 * (small + large)
        if middle <= small or middle >= large:
            break
        if _pass(middle, D, squares, low, high, charge, -1, steps, slopes):
            large = middle
        else:
            small = middle
    _pass(large, D, squares, low, high, charge, -1, steps, slopes)
    e, largest, reset = (D / large) ** 2, 1.0 - NEAR_RESET, -1
    for k in range(steps.size):
        d = squares[k] - e
        ratio = (e - slopes[k]) / d if d > 0.0 else 0.0
        if ratio > largest:
            largest, reset = ratio, k
        e += ratio * ratio * d
    snapped, snapped_slopes = steps.copy(), slopes.copy()
    if reset < 0 or not _pass(large, D, squares, low, high, charge, reset, snapped, snapped_slopes):
        return steps, slopes, steps, slopes
    return steps, slopes, snapped, snapped_slopes
