"""The law of Theorem 10: loss_n = L0 + c R_n^p with the bound of arXiv 2310.07831, about twice the exact rate."""

from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.rates.cauchy_sums import CauchyTree, least_theorem10

from .protocol import Points, Run
from .rate_power import RatePowerLaw

__all__ = ["Theorem10Law", "TreeAt"]


@dataclass(frozen=True, eq=False)
class TreeAt:
    """The sums of one run, and where they are wanted."""

    tree: CauchyTree
    at: Points


@dataclass(frozen=True)
class Theorem10Law(RatePowerLaw):
    """L0 + c R^p with the bound of Theorem 10 and its best fictitious last step."""

    name: str = "theorem10"
    title: str = "Theorem 10"

    def terms(self, run: Run, at: Points, *, exact: bool = False) -> TreeAt:
        """Return the tree of causal Cauchy sums."""
        steps = np.ascontiguousarray(run.steps / self.unit)
        return TreeAt(CauchyTree(steps, steps**2), at)

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0..N steps."""
        losses = self.evaluate(theta, self.terms(run, np.arange(1, run.steps.size + 1)))[0]
        return np.append(theta[0] + np.exp(theta[1] + theta[3] * theta[2]), losses)

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates."""
        terms = self.terms(run, np.array([run.steps.size]))
        distance = float(np.exp(theta[2]))
        u, total, squares = (float(part[0]) for part in _least(terms, distance))
        steps = terms.tree.steps
        tails = u + np.append(np.cumsum(steps[:0:-1])[::-1], 0.0)
        ratios = steps / tails
        passed = np.concatenate([[0.0], np.cumsum(ratios**2)[:-1]])
        slopes = ratios - 0.5 * passed - 0.5 * (distance / total) ** 2
        rate = 0.5 * (distance * (distance / total) + squares)
        part = np.exp(theta[1]) * rate ** theta[3]
        return float(theta[0] + part), theta[3] * part / rate * slopes / self.unit

    def _rate(self, terms: TreeAt, distance: float) -> tuple[Array, Array]:
        _, total, squares = _least(terms, distance)
        return 0.5 * (distance * (distance / total) + squares), distance / total


def _least(terms: TreeAt, distance: float) -> tuple[Array, Array, Array]:
    """Fictitious step, total and squares at every point, for G = 1."""
    ones = np.ones(terms.at.size)
    return least_theorem10(terms.tree, terms.at, ones, distance, np.full(terms.at.size, np.nan), False)
