"""Small cone programs over the entries of one semidefinite matrix."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from . import cone

__all__ = ["EntryProgram", "Term", "lifted", "times"]

Array = npt.NDArray[np.float64]
MARGIN = 1e-9  # what the solver keeps from every inequality, so that a repaired matrix has it
ROUNDING = 1e-11

Term = tuple[float, tuple[int, int]]
"""A factor and the entry of the matrix that it multiplies."""


def times(factor: float, terms: list[Term]) -> list[Term]:
    """Return a multiple of a linear combination."""
    return [(factor * value, entry) for value, entry in terms]


class EntryProgram:
    """Minimise a sum of diagonal entries of a semidefinite matrix under linear conditions on its entries.

    Parameters
    ----------
    order : int
        Rows of the matrix.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        column, row = np.tril_indices(order)
        self.index = np.zeros((order, order), dtype=np.int64)
        self.index[row, column] = self.index[column, row] = np.arange(row.size)
        self.scale = np.where(row == column, 1.0, math.sqrt(2.0))
        self.equalities: list[tuple[list[Term], float]] = []
        self.inequalities: list[tuple[list[Term], float]] = []

    def equal(self, terms: list[Term], right: float) -> None:
        """Ask for sum value * M[entry] = right."""
        self.equalities.append((terms, right))

    def at_least(self, terms: list[Term], right: float) -> None:
        """Ask for sum value * M[entry] >= right."""
        self.inequalities.append((terms, right))

    def rising(self, expressions: list[list[Term]]) -> None:
        """Ask for a nondecreasing sequence of combinations."""
        for lower, upper in pairwise(expressions):
            self.at_least([*upper, *times(-1.0, lower)], 0.0)

    def solve(self, cost: Array, fixed: int) -> Array | None:
        """Return the matrix, with M[fixed, fixed] = 1, or None where the solver finds none."""
        count = self.scale.size
        self.equal([(1.0, (fixed, fixed))], 1.0)
        equal, right = self._rows(self.equalities)
        unequal, least = self._rows(self.inequalities)
        costs = np.zeros(count)
        costs[self.index[np.arange(self.order), np.arange(self.order)]] = cost
        data = cone.ConeData(
            cost=costs / cost.max(),
            equal=sparse.csc_matrix(equal),
            right=right,
            psd=sparse.csc_matrix((self.scale, (np.arange(count), np.arange(count)))),
            constant=np.zeros(count),
            signed=np.zeros(0, dtype=np.int64),
            n_inequalities=count,
            unequal=sparse.csc_matrix(unequal),
            least=least + MARGIN,
        )
        found = cone.solve(data)
        if "Solved" not in found.status or not np.isfinite(found.multipliers).all():
            return None
        return found.multipliers[self.index]

    def holds(self, M: Array) -> bool:
        """Whether the inequalities hold but for rounding."""
        slack = (sum(value * M[entry] for value, entry in terms) - right for terms, right in self.inequalities)
        return min(slack) >= -ROUNDING

    def _rows(self, conditions: list[tuple[list[Term], float]]) -> tuple[Array, Array]:
        matrix = np.zeros((len(conditions), self.scale.size))
        for row, (terms, _) in enumerate(conditions):
            for value, entry in terms:
                matrix[row, self.index[entry]] += value
        return matrix, np.array([right for _, right in conditions])


def lifted(M: Array, fixed: int) -> Array:
    """Raise the diagonal, but for the fixed entry, until the matrix is surely semidefinite."""
    others = np.arange(M.shape[0]) != fixed
    rest = M[np.ix_(others, others)] - np.outer(M[others, fixed], M[others, fixed])
    spectrum = np.linalg.eigvalsh(rest)
    lift = max(0.0, -float(spectrum[0])) + 1e-15 * M.shape[0] * float(np.abs(spectrum).max())
    raised = M.copy()
    raised[others, others] += lift
    return raised
