"""Local optimisation of the exact rate from a feasible schedule, under linear constraints.

L-BFGS-B (SciPy) on an augmented Lagrangian: bounds are kept by the method, the other rows enter by multipliers, and a
quadratic program removes what is left of their violation. Where the free values must decay, their decrements are the
coordinates, so that the order is a bound too.
"""

from typing import Any

import numpy as np
from numba import njit
from scipy import optimize

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array
from lastiterate.theory.rates.sgd import exact_rate

from .constraints import Constraints
from .region import Chart

OUTER, INNER = 20, 300
PENALTY = 10.0


@njit(**JIT)
def rate_and_gradient(steps: Array, D: float, G: Array, sigma: float) -> tuple[float, Array, float]:
    """Return R(sigma) of the exact rate with its derivatives in the steps and in sigma, by the adjoint recursion."""
    n = steps.size
    s = np.empty(n + 1)
    s[n] = sigma
    total = (sigma * G[n]) ** 2
    for k in range(n - 1, -1, -1):
        w = steps[k] / s[k + 1]
        s[k] = s[k + 1] + w
        total += (w * G[k]) ** 2
    gradient = np.empty(n)
    adjoint = -(D**2) / s[0] ** 3
    for k in range(n):
        w = steps[k] / s[k + 1]
        slope = w * G[k] ** 2 + adjoint
        gradient[k] = slope / s[k + 1]
        adjoint -= slope * w / s[k + 1]
    return 0.5 * (total + (D / s[0]) ** 2), gradient, adjoint + sigma * G[n] ** 2


def polish(steps: Array, D: float, G: Array, constraints: Constraints) -> Array:
    """Return a schedule at least as good as ``steps`` in the exact rate that satisfies the constraints."""
    start = exact_rate(steps, D, G)
    if constraints.n_free == 0 or start.sigma <= 0.0:
        return steps
    basis, fixed = constraints.basis, constraints.fixed
    free, region = constraints.free_values(steps), constraints.region()
    chart = Chart.at(free, region.chain)
    low, high, inside = region.in_chart(chart)
    rows, columns = inside.rows, inside.rows.T.tocsr()
    multipliers, penalty, violation = np.zeros(inside.low.size), PENALTY, np.inf

    def lagrangian(y: Array) -> tuple[float, Array]:
        sigma = start.sigma * np.exp(y[-1])
        z = chart.free(y[:-1])
        value, slope, slope_sigma = rate_and_gradient(basis @ z + fixed, D, G, sigma)
        shifted = rows @ z / chart.unit + multipliers / penalty
        excess = shifted - np.clip(shifted, inside.low / chart.unit, inside.high / chart.unit)
        slope_free = basis.T @ slope / start.value + penalty * (columns @ excess) / chart.unit
        gradient = np.append(chart.pull_back(slope_free), slope_sigma * sigma / start.value)
        return value / start.value + 0.5 * penalty * float(excess @ excess), gradient

    box = [*zip(low, high, strict=True), (-30.0, 30.0)]
    point = np.append(np.clip(chart.coordinates(free), low, high), 0.0)
    options = {"maxiter": INNER, "maxfun": 2 * INNER, "maxcor": 30, "ftol": 1e-15, "gtol": 1e-10}
    for _ in range(OUTER if inside.low.size else 1):
        found: Any = optimize.minimize(lagrangian, point, jac=True, method="L-BFGS-B", bounds=box, options=options)
        point = found.x
        reached = rows @ chart.free(point[:-1]) / chart.unit
        shifted = reached + multipliers / penalty
        multipliers = penalty * (shifted - np.clip(shifted, inside.low / chart.unit, inside.high / chart.unit))
        remaining = float(
            np.abs(reached - np.clip(reached, inside.low / chart.unit, inside.high / chart.unit)).max(initial=0.0)
        )
        if remaining < 1e-10:
            break
        if remaining > 0.25 * violation:
            penalty *= 5.0
        violation = remaining
    nearest = region.project(chart.free(point[:-1]))
    candidate = np.asarray(basis @ nearest).ravel() + fixed
    return candidate if exact_rate(candidate, D, G).value < start.value else steps
