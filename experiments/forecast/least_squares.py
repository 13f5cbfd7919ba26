"""The fit itself: Huber's loss of log(predicted / measured), weak priors, several starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from lastiterate.theory.base.validation import Array
from lastiterate.theory.laws.protocol import Law, LawParameter

from .samples import Sample, prepare

__all__ = ["SCALE", "FitProblem", "Solution"]

SCALE = 1e-3
N_STARTS = 3
OFFSET = "offset"
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Solution:
    """A fitted law.

    Attributes
    ----------
    theta : ndarray, shape (p,)
        Parameters of the law, then offsets of groups.
    scale : float
        Size of the relative error that counts as one; at least 0.001, more for noisy logs.
    residuals : ndarray, shape (m,)
        log(predicted / measured) at the points.
    jacobian : ndarray, shape (m, p)
        Derivatives of the log of the prediction.
    weights : ndarray, shape (m,)
        One for a point within the scale, less for an outlier.
    cost : float
    """

    theta: Array
    scale: float
    residuals: Array
    jacobian: Array
    weights: Array
    cost: float


class FitProblem:
    """A law, the points, and the priors of its parameters and of the groups' offsets."""

    def __init__(
        self,
        law: Law,
        samples: Sequence[Sample],
        parameters: Sequence[LawParameter],
        terms: Sequence[Any] | None = None,
    ) -> None:
        self.law: Law = law
        self.samples: list[Sample] = list(samples)
        self.parameters: tuple[LawParameter, ...] = tuple(parameters)
        self.terms: list[Any] = prepare(law, self.samples) if terms is None else list(terms)
        joined: Any = getattr(type(self.terms[0]), "joined", None)
        self.together: list[Any] = self.terms if joined is None else [joined(self.terms)]
        self.measured: Array = np.concatenate([part.loss for part in self.samples])
        self.low: Array = np.array([p.low for p in self.parameters])
        self.high: Array = np.array([p.high for p in self.parameters])
        self.mean: Array = np.array([p.mean for p in self.parameters])
        self.precision: Array = np.array([p.deviation for p in self.parameters]) ** -1.0
        self.n_law: int = sum(not p.name.startswith(OFFSET) for p in self.parameters)
        groups = np.concatenate([np.full(part.at.size, part.group) for part in self.samples])
        self.offsets: npt.NDArray[np.bool_] = groups[:, None] == np.arange(self.mean.size - self.n_law)

    def by_run(self, *columns: Array) -> list[tuple[Array, ...]]:
        """Return columns of all points cut into those of every run."""
        ends = np.cumsum([part.at.size for part in self.samples])[:-1]
        return list(zip(*(np.split(column, ends) for column in columns), strict=True))

    def predict(self, theta: Array) -> tuple[Array, Array]:
        """Return predicted losses and Jacobian at all points."""
        parts = [self.law.evaluate(theta[: self.n_law], terms) for terms in self.together]
        loss = np.concatenate([part[0] for part in parts]) + self.offsets @ theta[self.n_law :]
        jacobian = np.vstack([part[1] for part in parts])
        return loss, np.hstack([jacobian, self.offsets.astype(np.float64)])

    def residuals(self, theta: Array) -> tuple[Array, Array]:
        """Return log(predicted / measured) and its Jacobian."""
        loss, jacobian = self.predict(theta)
        loss = np.maximum(loss, _TINY)
        return np.log(loss / self.measured), jacobian / loss[:, None]

    def solve(self, starts: Sequence[Array], scale: float = SCALE) -> Solution:
        """Return the best solution from the given starts."""
        found = [self._from(start, scale) for start in starts]
        best = min(found, key=lambda solution: solution.cost)
        noise = 1.4826 * float(np.median(np.abs(best.residuals)))
        if noise > 1.5 * scale:  # a noisier log than the usual: its own noise is the unit
            return self._from(best.theta, noise)
        return best

    def at(self, theta: Array, scale: float) -> Solution:
        """Return the solution object of given parameters."""
        residuals, jacobian = self.residuals(theta)
        size = np.abs(residuals) / scale
        huber = np.where(size > 1.0, 2.0 * size - 1.0, size**2)
        cost = 0.5 * float(huber.sum() + np.sum(((theta - self.mean) * self.precision) ** 2))
        return Solution(theta, scale, residuals, jacobian, 1.0 / np.maximum(size, 1.0), cost)

    def starts(self, seed: int = 0) -> list[Array]:
        """Return the usual start and jittered ones."""
        rng = np.random.default_rng(seed)
        start = np.array([p.start for p in self.parameters])
        spread = np.minimum(self.precision**-1.0, 1.0) * 0.7
        spread[0] *= 0.3  # the loss at infinity is better guessed than the rest
        jittered = [start + spread * rng.standard_normal(start.size) for _ in range(N_STARTS - 1)]
        return [start, *jittered]

    def _from(self, start: Array, scale: float) -> Solution:
        count = self.measured.size
        cached: dict[bytes, tuple[Array, Array]] = {}

        def both(theta: Array) -> tuple[Array, Array]:
            key = theta.tobytes()
            if key not in cached:
                cached.clear()
                cached[key] = self.residuals(theta)
            return cached[key]

        def value(theta: Array) -> Array:
            return np.append(both(theta)[0] / scale, (theta - self.mean) * self.precision)

        def slope(theta: Array) -> Array:
            return np.vstack([both(theta)[1] / scale, np.diag(self.precision)])

        def huber(squares: Array) -> Array:
            rho = np.stack([squares, np.ones(squares.size), np.zeros(squares.size)])
            outside = np.flatnonzero(squares[:count] > 1.0)
            root = np.sqrt(squares[outside])
            rho[0, outside], rho[1, outside], rho[2, outside] = 2.0 * root - 1.0, 1.0 / root, -0.5 / root**3
            return rho

        inside = np.clip(start, self.low + 1e-9 * (self.high - self.low), self.high - 1e-9 * (self.high - self.low))
        solver: Any = optimize.least_squares
        found = solver(
            value, inside, slope, bounds=(self.low, self.high), loss=huber, x_scale="jac", max_nfev=200, ftol=1e-9
        )
        return self.at(np.asarray(found.x), scale)
