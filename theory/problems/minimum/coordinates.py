"""The certified minimum of a problem, and the changes of coordinates in which it is found.

Minima do not depend on the coordinates, solvers do: columns of norms 1e-8 and 1e8, or nearly collinear ones, are hidden
from them by `scaled` and `whitened`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.problem import Minimum, Problem

__all__ = ["Coordinates", "certified", "column_scales", "scaled", "whitened"]

WHITEN_LIMIT = 2000  # a singular value decomposition of a larger matrix takes too long
_RANK = 1e-12  # columns that others give up to this are redundant


class Coordinates(NamedTuple):
    """Rows r_i of another basis, and the map ``back`` with a_i back(z) = r_i z; it takes z or blocks of it."""

    rows: Any
    back: Callable[[Array], Array]


def certified(
    problem: Problem, candidates: Sequence[Array], lower: float, method: str, attained: bool = True
) -> Minimum:
    """Pick the best point and certify it by the ``lower`` bound on f.

    >>> from lastiterate.theory.problems import absolute_value
    >>> certified(absolute_value(), [np.array([1.0]), np.array([0.5])], 0.25, "by hand")
    Minimum(value=0.5, gap=0.25, method='by hand', attained=True)
    """
    values = [problem.value(x) for x in candidates]
    best = int(np.argmin(values))
    return Minimum(candidates[best], values[best], max(0.0, values[best] - lower), method, attained)


def column_scales(matrix: Any) -> Array:
    """Return the root mean square of every column, 1 for a column of zeros.

    >>> column_scales(np.array([[3e8, 0.0], [3e8, 0.0]]))
    array([3.e+08, 1.e+00])
    """
    largest = np.asarray(abs(matrix).max(axis=0).todense() if hasattr(matrix, "tocsr") else abs(matrix).max(axis=0))
    largest = np.where(largest.ravel() > 0.0, largest.ravel(), 1.0)
    shares = _divided(matrix, largest)
    squares = np.asarray((shares * shares).mean(axis=0)).ravel()
    return np.where(squares > 0.0, largest * np.sqrt(squares), 1.0)


def scaled(matrix: Any) -> Coordinates:
    """Return columns of root mean square 1; a sparse matrix stays sparse."""
    scales = column_scales(matrix)
    return Coordinates(_divided(matrix, scales), lambda z: z / scales)


def whitened(matrix: Any) -> Coordinates:
    """Return an orthonormal basis of the columns, times sqrt(n); redundant columns drop out."""
    scales = column_scales(matrix)
    matrix = _divided(matrix, scales)
    matrix = matrix.toarray() if hasattr(matrix, "tocsr") else matrix
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    keep = sizes > _RANK * sizes[0]
    size, sizes, right = np.sqrt(len(matrix)), sizes[keep], right[keep]
    return Coordinates(np.ascontiguousarray(left[:, keep] * size), lambda z: (z * (size / sizes)) @ right / scales)


def _divided(matrix: Any, scales: Array) -> Any:
    """Divide every column by its scale."""
    if not hasattr(matrix, "tocsr"):
        return matrix / scales
    from scipy import sparse

    return sparse.csr_array(matrix @ sparse.diags_array(1.0 / scales))
