"""The least bound for gradient bounds that rise somewhere: a global search over sigma, and whether it is attained."""

import math
from functools import partial

import numpy as np

from lastiterate.theory.base.jit import Array, room, run
from lastiterate.theory.base.result import Kind
from lastiterate.theory.base.root import root_above
from lastiterate.theory.base.scalar_search import global_minimum

from .brackets import exact_bracket, tuned_exact_bracket
from .closed_form import chain, distance_term, slacks
from .kernels import ScaledSteps, exact_terms

__all__ = ["least_rising"]

_NEAR = 1e-5  # the search finds sigma to about 1e-8, relative
_ATTAINED = 1e-10


def least_rising(scaled: ScaledSteps, *, tuned: bool) -> tuple[float, int, float, Kind]:
    """Return sigma at the global minimum, how many steps bind (all), the tolerance, and ``attained`` or ``upper``.

    Condition (C) at a stationary sigma, d_t >= 0 for all t and d_N = 0, proves that a function attains the value.
    """

    def objective(tau: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # infinite far from the minimum is as good as huge
            first, squares = exact_terms(scaled, np.exp(tau))
            return squares / first / first if tuned else (scaled.distance / first) ** 2 + squares

    bracket = tuned_exact_bracket if tuned else exact_bracket
    found = global_minimum(objective, *bracket(scaled, objective), 4.0 if tuned else 2.0)
    slope = partial(_last_slack, scaled, tuned)
    low, high = found.point - _NEAR, found.point + _NEAR
    point = root_above(slope, low, high) if slope(low) < 0.0 <= slope(high) else found.point
    d = _slacks(scaled, tuned, point)
    relative = d / scaled.caps**2
    attained = relative.min() >= -_ATTAINED and relative[-1] <= _ATTAINED
    return math.exp(point), scaled.steps.size, found.tolerance, "attained" if attained else "upper"


def _slacks(scaled: ScaledSteps, tuned: bool, point: float) -> Array:
    """d_0..d_N at sigma = exp(point)."""
    size = scaled.steps.size
    ratios, d = room(size, size), room(size + 1, size)
    first, squares = run(chain, scaled.steps, scaled.caps, math.exp(point), ratios)
    run(slacks, ratios, scaled.caps, squares / first / first if tuned else distance_term(scaled.distance, first), d)
    return np.asarray(d)


def _last_slack(scaled: ScaledSteps, tuned: bool, point: float) -> float:
    return float(_slacks(scaled, tuned, point)[-1])
