"""The exact-rate law: loss_n = L0 + c R_n^p with the exact worst case R_n of the last iterate, every D/G at once.

One pass over a run gives what the exact rate of every horizon needs for every D, so that a fit iteration costs a few
operations a point.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.rates.closed_form import OnePass
from lastiterate.theory.rates.horizons import passes_of_all_horizons
from lastiterate.theory.rates.sgd import exact_rate

from .protocol import Points, Run
from .rate_power import RatePowerLaw

__all__ = ["ExactRateLaw", "PassTable"]


@dataclass(frozen=True, eq=False)
class PassTable:
    """The passes of some horizons, for steps in units of the learning rate."""

    passes: OnePass

    @classmethod
    def joined(cls, parts: "Sequence[PassTable]") -> "PassTable":
        """Return the points of several runs as one."""
        columns = zip(*(part.passes for part in parts), strict=True)
        return cls(OnePass(*(np.concatenate(column) for column in columns)))


@dataclass(frozen=True)
class ExactRateLaw(RatePowerLaw):
    """L0 + c R^p with the exact rate; the rate is that of arXiv 2307.11134, exact for constant gradient bounds."""

    name: str = "exact"
    title: str = "exact rate"

    def terms(self, run: Run, at: Points, *, exact: bool = False) -> PassTable:
        """Return the passes of the horizons ``at``."""
        passes = passes_of_all_horizons(run.steps[: int(at[-1])] / self.unit)
        return PassTable(OnePass(*(column[at - 1] for column in passes)))

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0..N steps."""
        losses = self.evaluate(theta, self.terms(run, np.arange(1, run.steps.size + 1)))[0]
        return np.append(theta[0] + np.exp(theta[1] + theta[3] * theta[2]), losses)

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates."""
        rate = exact_rate(run.steps / self.unit, float(np.exp(theta[2])))
        part = np.exp(theta[1]) * rate.value ** theta[3]
        return float(theta[0] + part), theta[3] * part / rate.value * rate.gradient / self.unit

    def _rate(self, terms: PassTable, distance: float) -> tuple[Array, Array]:
        least = np.maximum(np.asarray(terms.passes.first) ** 2, distance)
        return distance * terms.passes.rates(np.asarray(np.sqrt(distance))), distance / least
