"""How uncertain a fitted law is: its parameters, and what one run differs from the next.

The half width of an interval is t_nu sqrt(J C J' + s^2) in the log of the loss, with the covariance
C = (J' W J / (f s^2) + prior)^-1 and s a run's own error. Last losses are independent: f = 1, and s is estimated with
nu = points - effective parameters + 4 degrees of freedom, four of them a prior at 0.00025. Points of a curve are not:
f = 6, nu = 8, s the root mean square of the residuals.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lastiterate.theory.base.validation import Array

from .least_squares import FitProblem, Solution

__all__ = ["Uncertainty", "interval_points", "uncertainty", "unidentified"]

PRIOR_ERROR = 2.5e-4
PRIOR_COUNT = 4.0
CURVE_FREEDOM = 8.0
CURVE_CORRELATION = 6.0
UNKNOWN_SHARE = 0.5
INTERVAL_POINTS = 256


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Covariance of the parameters, a run's own relative error, and the degrees of freedom of the latter."""

    covariance: Array
    run_error: float
    freedom: float
    correlation: float

    @property
    def deviations(self) -> Array:
        """Standard deviations of the parameters."""
        return np.asarray(np.sqrt(np.diag(self.covariance)), dtype=np.float64)

    def half_width(self, jacobian: Array, level: float, extra: Array | float = 0.0) -> Array:
        """Return half widths in the log of the loss, for derivatives of the log of the loss."""
        variance = np.einsum("ij,jk,ik->i", jacobian, self.covariance, jacobian)
        quantile = float(stats.t.ppf(0.5 + 0.5 * level, self.freedom))
        return np.asarray(quantile * np.sqrt(variance + self.run_error**2 + np.square(extra)), dtype=np.float64)

    def with_run(self, jacobian: Array) -> Array:
        """Return the covariance after one more run whose derivatives at its independent points are given."""
        information = jacobian.T @ jacobian / (self.correlation * self.run_error**2)
        return np.asarray(np.linalg.inv(np.linalg.inv(self.covariance) + information), dtype=np.float64)


def uncertainty(problem: FitProblem, solution: Solution, on: str) -> Uncertainty:
    """Return the uncertainty of a solution."""
    jacobian, weights = solution.jacobian, solution.weights
    squares = jacobian.T @ (weights[:, None] * jacobian)
    prior = np.diag(problem.precision**2)
    rss = float(weights @ solution.residuals**2)
    if on == "final":
        used = np.trace(np.linalg.solve(squares / solution.scale**2 + prior, squares / solution.scale**2))
        freedom = max(weights.size - float(used), 0.0) + PRIOR_COUNT
        error = np.sqrt((rss + PRIOR_COUNT * PRIOR_ERROR**2) / freedom)
        correlation = 1.0
    else:
        freedom, correlation = CURVE_FREEDOM, CURVE_CORRELATION
        error = max(np.sqrt(rss / weights.size), PRIOR_ERROR)  # smoothed losses hide what runs differ by
    covariance = np.linalg.inv(squares / (correlation * error**2) + prior)
    return Uncertainty(0.5 * (covariance + covariance.T), float(error), freedom, correlation)


def unidentified(problem: FitProblem, deviations: Array) -> tuple[str, ...]:
    """Return the parameters of which the data say little: the prior decides them."""
    wide = deviations * problem.precision > UNKNOWN_SHARE
    return tuple(p.name for p, unknown in zip(problem.parameters, wide, strict=True) if unknown)


def interval_points(steps: Array) -> npt.NDArray[np.int64]:
    """Return points for intervals: spread over training and its logarithm, and around jumps of the rate."""
    n = steps.size
    spread = np.append(np.linspace(1, n, INTERVAL_POINTS // 2), np.geomspace(1, n, INTERVAL_POINTS // 2))
    jumps = np.flatnonzero(np.abs(np.diff(steps)) > 0.1 * steps.max())[: INTERVAL_POINTS // 2]
    near = np.concatenate([jumps, jumps + 1, jumps + 2])
    return np.unique(np.clip(np.rint(np.append(spread, near)), 1, n).astype(np.int64))
