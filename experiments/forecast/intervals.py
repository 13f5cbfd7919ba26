r"""How uncertain a fitted law is: its parameters, the noise within a run, and what one run differs from the next.

The log of a loss is the law's, plus a deviation of its run, plus noise within the run. Runs of one recipe start alike
and drift apart, by accidents of the data's order and by whatever the law does not describe: the deviation is a random
walk, of variance b^2 n / N after n steps (N the longest fitted run), so that it grows with the horizon. The noise has
variance w^2 and is autocorrelated. Points of one run therefore tell its level only once; the fit, which minimises a sum
over points and the prior with the curvature H = J' W J / scale^2 + P, has the covariance (P is the prior's precision)

    C = H^-1 (sum over runs of J' W V W J / scale^4 + P) H^-1,    V_ij = b^2 min(n_i, n_j) / N + f w^2 [i = j],

with w the root mean square of the fit's residuals and f = (1 + rho) / (1 - rho) for their lag-one correlation rho.
Residuals of a fit cannot show b, because the parameters follow the runs. Runs that were left out can: b is the value
for which the squared errors on left-out runs, each over its own predicted variance v = J C J' + b^2 n / N + w^2,
average one (every run counts the same). The half width of an interval is t_nu sqrt(v). The degrees of freedom are
Satterthwaite's: a left-out run counts m^2 / sum_ij r_ij^2 for the predicted correlations r of the errors at its m
points: one where they all move together, two for a random walk. A run alone shows nothing of b, which is then taken to
be the relative error that the fit counts as one, with one degree of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from lastiterate.theory.base.validation import Array
from lastiterate.theory.laws.protocol import Points

from .least_squares import SCALE, FitProblem, Solution

__all__ = ["Information", "LeftOutRun", "Uncertainty", "interval_points", "uncertainty", "unidentified"]

LEAST_NOISE = 1e-5  # a law that meets all its points has noise all the same
LARGEST_DEVIATION = 1.0
UNKNOWN_SHARE = 0.5
INTERVAL_POINTS = 256


@dataclass(frozen=True, eq=False)
class Information:
    """What the points of some runs do to the parameters of a fit, before it is known how much runs and points deviate.

    Attributes
    ----------
    curvature : ndarray, shape (p, p)
        J' W J / scale^2 of all points and the prior: the curvature H of what the fit minimises.
    drift : ndarray, shape (p, p)
        Covariance of the gradient of what the fit minimises, from random walks of the runs with b = 1.
    noise : ndarray, shape (p, p)
        The same from independent noise of the points with variance one.
    prior : ndarray, shape (p, p)
        The same from the prior's own error: its inverse covariance.
    scale : float
        Error that the fit counts as one.
    horizon : float
        Steps at which a run deviates by b.
    """

    curvature: Array
    drift: Array
    noise: Array
    prior: Array
    scale: float
    horizon: float

    @classmethod
    def of(cls, problem: FitProblem, solution: Solution) -> "Information":
        """Return the information of the points of a solution."""
        horizon = max(float(part.at[-1]) for part in problem.samples)
        prior, nothing = np.diag(problem.precision**2), np.zeros((problem.mean.size, problem.mean.size))
        known = cls(prior, nothing, nothing, prior, solution.scale, horizon)
        columns = problem.by_run(solution.jacobian, solution.weights)
        for part, (jacobian, weights) in zip(problem.samples, columns, strict=True):
            known = known.with_run(jacobian, part.at, weights)
        return known

    def with_run(self, jacobian: Array, at: Points, weights: Array | float = 1.0) -> "Information":
        """Return the information with one more run, given the derivatives after ``at`` steps."""
        pull = (np.broadcast_to(weights, at.shape)[:, None] * jacobian) / self.scale**2
        return replace(
            self,
            curvature=self.curvature + pull.T @ jacobian,
            drift=self.drift + pull.T @ drift(at, self.horizon) @ pull,
            noise=self.noise + pull.T @ pull,
        )

    def covariance(self, between: float, noise: float) -> Array:
        """Return C for the variances b^2 between runs and f w^2 of the points of a run."""
        moved = between * self.drift + noise * self.noise + self.prior
        scale = 1.0 / np.sqrt(np.diag(self.curvature))  # parameters have very different sizes
        inverse = np.linalg.inv(self.curvature * np.outer(scale, scale)) * np.outer(scale, scale)
        covariance = inverse @ moved @ inverse
        return np.asarray(0.5 * (covariance + covariance.T), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class LeftOutRun:
    """A run that a refit did not see.

    Attributes
    ----------
    errors : ndarray, shape (m,)
        log(predicted / measured) at its points.
    jacobian : ndarray, shape (m, p)
        Derivatives of the log of the prediction.
    at : ndarray of int64, shape (m,)
        Numbers of steps.
    information : Information
        Of the runs that the refit saw.
    mean_error : float
        Mean absolute error in nats.
    """

    errors: Array
    jacobian: Array
    at: Points
    information: Information
    mean_error: float


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The deviations of runs and points, relative to the loss, and what follows for parameters and predictions.

    Attributes
    ----------
    information : Information
    between : float
        Standard deviation b of a run at the longest fitted horizon.
    within : float
        Standard deviation w of a point of a run.
    correlation : float
        The number f of points that tell as much as one independent one.
    freedom : float
        Degrees of freedom.
    covariance : ndarray, shape (p, p)
        Covariance C of the parameters.
    """

    information: Information
    between: float
    within: float
    correlation: float
    freedom: float
    covariance: Array

    @property
    def deviations(self) -> Array:
        """Standard deviations of the parameters."""
        return np.asarray(np.sqrt(np.diag(self.covariance)), dtype=np.float64)

    def variance(self, jacobian: Array, at: Points, covariance: Array | None = None) -> Array:
        """Return the variance of the log of a run's loss, for derivatives of the log of the prediction."""
        covariance = self.covariance if covariance is None else covariance
        return _spread(jacobian, covariance) + self.between**2 * at / self.information.horizon + self.within**2

    def half_width(self, jacobian: Array, at: Points, level: float, extra: Array | float = 0.0) -> Array:
        """Return half widths in the log of the loss; ``extra`` is a further standard deviation."""
        quantile = float(stats.t.ppf(0.5 + 0.5 * level, self.freedom))
        return np.asarray(quantile * np.sqrt(self.variance(jacobian, at) + np.square(extra)), dtype=np.float64)

    def with_run(self, jacobian: Array, at: Points) -> Array:
        """Return the covariance after one more run whose derivatives at some points are given."""
        more = self.information.with_run(jacobian, at)
        return more.covariance(self.between**2, self.correlation * self.within**2)


def uncertainty(problem: FitProblem, solution: Solution, left_out: Sequence[LeftOutRun]) -> Uncertainty:
    """Return the uncertainty of a solution; see the module for the rule."""
    information = Information.of(problem, solution)
    weights, residuals = solution.weights, solution.residuals
    within = max(float(np.sqrt(weights @ residuals**2 / weights.size)), LEAST_NOISE)
    correlation = _correlation([part for (part,) in problem.by_run(residuals)])
    noise = correlation * within**2
    between = _between(left_out, within**2, noise) if left_out else SCALE**2
    freedom = _freedom(left_out, between, within**2, noise) if left_out else 1.0
    covariance = information.covariance(between, noise)
    return Uncertainty(information, between**0.5, within, correlation, freedom, covariance)


def drift(at: Points, horizon: float) -> Array:
    """Return the covariance of a random walk after ``at`` steps that has variance one at the horizon."""
    return np.asarray(np.minimum(at[:, None], at) / horizon, dtype=np.float64)


def _between(left_out: Sequence[LeftOutRun], within: float, noise: float) -> float:
    """Return the variance between runs for which standardised squared errors on left-out runs average one."""

    def excess(log_between: float) -> float:
        between = float(np.exp(log_between))
        ratios: list[float] = []
        for run in left_out:
            variance = _spread(run.jacobian, run.information.covariance(between, noise))
            variance += between * run.at / run.information.horizon + within
            ratios.append(float(np.mean(run.errors**2 / variance)))
        return float(np.mean(ratios)) - 1.0

    low, high = 2.0 * np.log(0.1 * LEAST_NOISE), 2.0 * np.log(LARGEST_DEVIATION)
    if excess(low) <= 0.0:  # noise and parameters explain the errors
        return 0.0
    root: Any = optimize.brentq(excess, low, high, xtol=1e-10) if excess(high) < 0.0 else high
    return float(np.exp(root))


def _freedom(left_out: Sequence[LeftOutRun], between: float, within: float, noise: float) -> float:
    """Return the degrees of freedom of a mean over runs of the mean squared standardised errors of each."""
    inverses: list[float] = []
    for run in left_out:
        parameters = run.jacobian @ run.information.covariance(between, noise) @ run.jacobian.T
        covariance = parameters + between * drift(run.at, run.information.horizon) + within * np.eye(run.at.size)
        size = np.diag(covariance)
        inverses.append(float(np.mean(covariance**2 / np.outer(size, size))))
    return len(left_out) / float(np.mean(inverses))


def _spread(jacobian: Array, covariance: Array) -> Array:
    return np.asarray(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian), dtype=np.float64)


def _correlation(residuals: Sequence[Array]) -> float:
    """Return (1 + rho) / (1 - rho) for the lag-one correlation rho within runs; 1 where there is none."""
    total = sum(float(part[:-1] @ part[:-1] + part[1:] @ part[1:]) for part in residuals)
    lagged = sum(float(part[:-1] @ part[1:]) for part in residuals)
    rho = min(max(2.0 * lagged / total, 0.0), 0.98) if total > 0.0 else 0.0
    return (1.0 + rho) / (1.0 - rho)


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
