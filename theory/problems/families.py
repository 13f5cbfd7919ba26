"""The problems by name: one function builds each, from data or from scratch."""

from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.deprecation import renamed_arguments
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_array,
    check_choice,
    check_count,
    check_positive,
    check_real,
    check_vector,
)
from lastiterate.theory.problems.minimum.solve import solve_minimum

from .losses import LOSSES
from .problem import TIES, Minimum, Problem

__all__ = [
    "absolute_value",
    "weighted_absolute",
    "l1_regression",
    "hinge",
    "logistic",
    "softmax",
    "least_squares",
    "finite_sum",
    "quadratic",
    "max_affine",
    "max_coordinate",
    "chain",
    "worst_case_function",
]


_made = partial(Problem, solver=solve_minimum)


def absolute_value(x0: float = 1.0) -> Problem:
    """Return f(x) = |x| on the line, started at ``x0``; f* = 0 and G = 1 exactly.

    >>> absolute_value(-2.0).D
    2.0
    """
    return weighted_absolute([1.0], [x0])


@within_float64
def weighted_absolute(weights: Any, x0: Any) -> Problem:
    """Return f(x) = sum_i weights_i |x_i|, started at ``x0``; f* = 0 and G = ||weights|| exactly.

    Parameters
    ----------
    weights : array of float, shape (d,)
        Positive weights.
    x0 : array of float, shape (d,)
        The start.

    Examples
    --------
    >>> weighted_absolute([3.0, 4.0], [1.0, 1.0]).G
    5.0
    """
    from scipy import sparse

    weights = check_vector(weights, "weights")
    if weights.size == 0 or weights.min() <= 0.0:
        raise InputError("weights", weights, "positive numbers")
    d = weights.size
    rows = sparse.csr_array((d * weights, np.arange(d), np.arange(d + 1)), shape=(d, d))
    known = Minimum(np.zeros(d), 0.0, 0.0, "closed form")
    name = "absolute value" if d == 1 else "weighted absolute values"
    return _made(name, "absolute", rows, np.zeros(d), _start(x0, d), known=known)


@within_float64
def l1_regression(matrix: Any, targets: Any, *, x0: Any = None, cache: Any = None) -> Problem:
    """Return f(x) = mean_i |a_i x - b_i|, started at ``x0`` (zero by default).

    Parameters
    ----------
    matrix : array or scipy sparse matrix, shape (n, d)
        Rows a_i.
    targets : array of float, shape (n,)
        Right-hand sides b_i.
    x0 : array of float, shape (d,), optional
        The start.
    cache : path, optional
        Folder in which the minimum is kept.

    Examples
    --------
    >>> l1_regression([[1.0], [1.0], [1.0]], [0.0, 1.0, 5.0]).x_star
    array([1.])
    """
    rows = _matrix(matrix)
    return _made(
        "l1 regression", "absolute", rows, _targets(targets, rows), _start(x0, rows.shape[1]), cache=_folder(cache)
    )


@within_float64
def hinge(matrix: Any, labels: Any, *, l2: float = 0.0, x0: Any = None, cache: Any = None) -> Problem:
    """Return the support vector machine f(x) = mean_i max(0, 1 - b_i a_i x) + l2/2 ||x||^2.

    Parameters
    ----------
    matrix : array or scipy sparse matrix, shape (n, d)
        Rows a_i; add a column of ones for a bias.
    labels : array, shape (n,)
        Labels -1 and +1; any two distinct values are mapped to these in ascending order.
    l2 : float
        Coefficient of the quadratic term.
    x0, cache
        As in `l1_regression`.

    Examples
    --------
    >>> hinge([[1.0], [-2.0]], [1, -1]).f_star
    0.0
    """
    rows = _matrix(matrix)
    signs = _signs(labels, rows)
    return _made("hinge", "hinge", rows, signs, _start(x0, rows.shape[1]), _coefficient(l2), cache=_folder(cache))


@within_float64
def logistic(matrix: Any, labels: Any, *, l2: float = 0.0, x0: Any = None, cache: Any = None) -> Problem:
    """Return binary logistic regression f(x) = mean_i log(1 + exp(-b_i a_i x)) + l2/2 ||x||^2.

    Arguments as in `hinge`. On separable data without ``l2`` the infimum is not attained: ``minimum.attained`` is
    False and ``x_star`` is a point within 1e-10 of the infimum, which is as good a comparator for every rate.

    Examples
    --------
    >>> round(logistic([[1.0], [1.0], [1.0]], [1, 1, -1]).f_star, 6)  # the entropy of 1/3
    0.636514
    """
    rows = _matrix(matrix)
    signs = _signs(labels, rows)
    return _made("logistic", "logistic", rows, signs, _start(x0, rows.shape[1]), _coefficient(l2), cache=_folder(cache))


@within_float64
def softmax(
    matrix: Any, labels: Any, *, l2: float = 0.0, n_classes: int | None = None, x0: Any = None, cache: Any = None
) -> Problem:
    """Return multinomial logistic regression; x holds one block of d weights for each class.

    Parameters
    ----------
    matrix : array or scipy sparse matrix, shape (n, d)
        Rows a_i.
    labels : array of int, shape (n,)
        Classes 0..K-1.
    l2 : float
        Coefficient of ||x||^2 / 2 over all weights.
    n_classes : int, optional
        K; by default one more than the largest label.
    x0, cache
        As in `l1_regression`; x0 has K d entries.

    Examples
    --------
    >>> import numpy as np
    >>> problem = softmax(np.ones((4, 1)), [0, 0, 1, 2])
    >>> round(problem.f_star, 6)  # the entropy of (1/2, 1/4, 1/4)
    1.039721
    """
    rows = _matrix(matrix)
    targets = _targets(labels, rows, "labels")
    if targets.min() < 0 or np.any(targets != np.floor(targets)):
        raise InputError("labels", targets, "whole numbers 0, 1, ..., K - 1")
    classes = check_count(n_classes if n_classes is not None else int(targets.max()) + 1, "n_classes", minimum=2)
    if targets.max() >= classes:
        raise InputError("labels", f"a label {int(targets.max())}", f"labels below n_classes = {classes}")
    start = _start(x0, classes * rows.shape[1])
    return _made("softmax", "softmax", rows, targets, start, _coefficient(l2), classes, cache=_folder(cache))


@within_float64
def least_squares(matrix: Any, targets: Any, *, l2: float = 0.0, x0: Any = None, cache: Any = None) -> Problem:
    """Return f(x) = mean_i (a_i x - b_i)^2 / 2 + l2/2 ||x||^2; `Problem.G` holds within 2 D of the minimiser.

    >>> least_squares([[1.0], [1.0]], [0.0, 2.0]).f_star
    0.5
    """
    rows = _matrix(matrix)
    start = _start(x0, rows.shape[1])
    return _made(
        "least squares", "squared", rows, _targets(targets, rows), start, _coefficient(l2), cache=_folder(cache)
    )


@within_float64
def finite_sum(loss: str, matrix: Any, targets: Any, *, l2: float = 0.0, x0: Any = None, cache: Any = None) -> Problem:
    """Return the mean of a loss of `lastiterate.theory.problems.losses.LOSSES` over samples, plus l2 / 2 ||x||^2.

    Parameters
    ----------
    loss : str
        Name of the row.
    matrix : array_like or scipy.sparse matrix, shape (n, p)
        One sample a row.
    targets : array_like, shape (n,)
        Right-hand sides, labels +-1, or class names, as the loss has them.
    l2 : float
        Coefficient of ||x||^2 / 2.
    x0 : array_like, optional
        The start; zero by default.
    cache : path, optional
        Folder for the solved minimum.

    Returns
    -------
    Problem

    Raises
    ------
    InputError
        For an unknown loss, or data that do not fit it.

    Examples
    --------
    >>> finite_sum("squared", [[1.0], [1.0]], [0.0, 2.0]).f_star
    0.5
    """
    row = LOSSES[check_choice(loss, "loss", LOSSES)]
    if row.labels == "classes":
        return softmax(matrix, targets, l2=l2, x0=x0, cache=cache)
    rows = _matrix(matrix)
    numbers = _signs(targets, rows) if row.labels == "signs" else _targets(targets, rows)
    return _made(loss, loss, rows, numbers, _start(x0, rows.shape[1]), _coefficient(l2), cache=_folder(cache))


@within_float64
def quadratic(spectrum: Any, x0: Any = None) -> Problem:
    """Return f(x) = sum_i spectrum_i x_i^2 / 2, started at ``x0`` (all ones by default); f* = 0.

    With the recursion of `linear_recursion` this is the linear workload of the schedule search (arXiv 2603.10301).

    >>> problem = quadratic([1.0, 0.25])
    >>> round(problem.value(problem.x0), 12)
    0.625
    """
    from scipy import sparse

    spectrum = check_vector(spectrum, "spectrum")
    if spectrum.size == 0 or spectrum.min() < 0.0:
        raise InputError("spectrum", spectrum, "eigenvalues that are at least zero")
    d = spectrum.size
    rows = sparse.csr_array((np.sqrt(d * spectrum), np.arange(d), np.arange(d + 1)), shape=(d, d))
    known = Minimum(np.zeros(d), 0.0, 0.0, "closed form")
    return _made("quadratic", "squared", rows, np.zeros(d), _start(np.ones(d) if x0 is None else x0, d), known=known)


@within_float64
def max_affine(
    matrix: Any, offsets: Any, *, x0: Any = None, tie: str = "first", tie_tolerance: float = 1e-9, cache: Any = None
) -> Problem:
    """Return f(x) = max_i a_i x + b_i, bounded below.

    Parameters
    ----------
    matrix : array or scipy sparse matrix, shape (n, d)
        Slopes a_i.
    offsets : array of float, shape (n,)
        Offsets b_i.
    tie : str
        ``first`` answers with the first active piece; ``step`` at query k with piece k where it is active within
        ``tie_tolerance`` (relative), the resisting oracle.
    x0, cache
        As in `l1_regression`.

    Examples
    --------
    >>> round(max_affine([[1.0], [-1.0]], [0.0, 2.0]).f_star, 12)
    1.0
    """
    rows = _matrix(matrix)
    return _made(
        "max affine",
        "max_affine",
        rows,
        _targets(offsets, rows, "offsets"),
        _start(x0, rows.shape[1]),
        tie=check_choice(tie, "tie", TIES),
        tie_tolerance=check_positive(tie_tolerance, "tie_tolerance", allow_zero=True),
        cache=_folder(cache),
    )


@renamed_arguments(caps="G")
@within_float64
def max_coordinate(G: Any, D: float = 1.0) -> Problem:
    """Return f(x) = max(max_k G_k x_k, -c) from x0 = 0 with a resisting oracle, where refined schedules are tight.

    The floor c = D / sqrt(sum G_k^-2) is the value at the nearest minimiser, at distance ``D``. Whatever the steps, N
    steps with gradient norms G_0..G_N leave f(x_N) = 0, a gap of exactly c (arXiv 2310.07831; refined schedules attain
    it).

    Parameters
    ----------
    G : array of float, shape (N + 1,)
        Gradient norms G_0..G_N.
    D : float
        Distance from x0 to the minimiser.

    Examples
    --------
    >>> max_coordinate([1.0, 1.0, 1.0, 1.0], D=2.0).f_star
    -1.0
    """
    from scipy import sparse

    caps = check_vector(G, "G")
    if caps.size == 0 or caps.min() <= 0.0:
        raise InputError("G", caps, "positive gradient norms")
    distance, n = check_positive(D, "D"), caps.size
    floor = distance / float(np.sqrt(np.sum(caps**-2)))
    rows = sparse.csr_array((caps, np.arange(n), np.append(np.arange(n + 1), n)), shape=(n + 1, n))
    known = Minimum(-floor / caps, -floor, 0.0, "closed form")
    return _made(
        "max coordinate", "max_affine", rows, np.append(np.zeros(n), -floor), np.zeros(n), tie="step", known=known
    )


def chain(alpha: Any, beta: Any, x0: Any, *, name: str = "chain", tie_tolerance: float = 1e-9) -> Problem:
    """Return f(x) = max(0, max_t <g_t, x>), g_t = sum_{r<t} alpha_r e_r + beta_t e_t, with a resisting oracle.

    The minimiser is 0. Time and memory are linear in the number of pieces. It is the form of the functions that attain
    the exact rate (`lastiterate.theory.rates.attained`).

    Parameters
    ----------
    alpha, beta, x0 : array of float, shape (n,)
        The entries of the pieces, and the start. The last alpha has no effect.
    name : str
        What to call it.
    tie_tolerance : float
        Slack of f, absolute, within which piece t counts as active at query t.

    Examples
    --------
    >>> problem = chain([0.0, 0.0], [1.0, 1.0], [0.6, 0.8])
    >>> problem.value(problem.x0), problem.subgradient(problem.x0, step=1)
    (0.8, array([0., 1.]))
    """
    rows = np.array([check_vector(alpha, "alpha"), _start(beta, np.size(alpha), "beta")])
    start, size = _start(x0, rows.shape[1]), rows.shape[1]
    known = Minimum(np.zeros(size), 0.0, 0.0, "closed form")
    tolerance = check_positive(tie_tolerance, "tie_tolerance", allow_zero=True)
    return Problem(name, "chain", rows, np.zeros(size + 1), start, tie="step", tie_tolerance=tolerance, known=known)


@within_float64
def worst_case_function(
    points: Any, gradients: Any, values: Any, x_star: Any, *, f_star: float = 0.0, tie_tolerance: float = 1e-7
) -> Problem:
    """Return f(x) = max(f_star, max_k f_k + <g_k, x - x_k>) with a resisting oracle, started at points[0].

    Parameters
    ----------
    points, gradients : array of float, shape (N + 1, d)
        Iterates x_k and subgradients g_k of the interpolated function.
    values : array of float, shape (N + 1,)
        Values f_k.
    x_star : array of float, shape (d,)
        A minimiser; every piece is at most ``f_star`` there, up to ``tie_tolerance``.
    f_star : float
        The minimum.
    tie_tolerance : float
        Relative slack within which piece k counts as active at query k.

    Examples
    --------
    >>> problem = worst_case_function([[1.0], [0.0]], [[1.0], [-1.0]], [1.0, 0.5], [0.5], f_star=0.5)
    >>> problem.value(problem.x0)
    1.0
    """
    points, gradients = _dense(points, "points"), _dense(gradients, "gradients")
    if gradients.shape != points.shape:
        raise InputError("gradients", f"an array of shape {gradients.shape}", f"the shape {points.shape} of points")
    values, x_star = check_vector(values, "values"), _start(x_star, points.shape[1], "x_star")
    if values.size != len(points):
        raise InputError("values", f"an array of length {values.size}", f"one value for each of {len(points)} points")
    least = check_real(f_star, "f_star", "a finite number")
    slack = check_positive(tie_tolerance, "tie_tolerance", allow_zero=True)
    if not abs(least) < np.inf:
        raise InputError("f_star", f_star, "a finite number")
    rows = np.vstack([gradients, np.zeros(points.shape[1])])
    offsets = np.append(values - np.sum(gradients * points, axis=1), least)
    excess = float(np.max(rows @ x_star + offsets)) - least
    if excess > slack * (1.0 + abs(least)):
        raise InputError("x_star", f"a point where f exceeds f_star by {excess:.2e}", "a minimiser")
    known = Minimum(x_star, least + max(0.0, excess), max(0.0, excess), "given")
    return _made(
        "worst-case function",
        "max_affine",
        np.ascontiguousarray(rows),
        offsets,
        points[0].copy(),
        tie="step",
        tie_tolerance=slack,
        known=known,
    )


def _dense(values: Any, name: str) -> Array:
    array = check_array(values, name, 2, "a nonempty matrix of finite real numbers")
    if array.size == 0:
        raise InputError(name, f"shape {array.shape}", "a nonempty matrix of finite real numbers")
    return _aligned(array)


def _aligned(array: npt.NDArray[Any]) -> Array:
    """Return a float64 copy whose rows begin with cache lines: a vector instruction then touches one line, not two.

    From 16 columns on rows are kept apart for it, so that the copy is a view of something up to half as wide again.
    """
    n, width = array.shape
    stride = width if width < 16 else -(-width // 8) * 8
    buffer = np.empty(n * stride + 8)
    first = -(buffer.ctypes.data // 8) % 8
    copy = buffer[first : first + n * stride].reshape(n, stride)[:, :width]
    copy[...] = array
    return copy


def _matrix(values: Any, name: str = "matrix") -> Any:
    """Return the rows as float64, C-contiguous or CSR with sorted, unique column numbers."""
    if not hasattr(values, "tocsr"):
        return _dense(values, name)
    from scipy import sparse

    if values.dtype.kind not in "fiu":
        raise InputError(name, f"dtype {values.dtype}", "a nonempty matrix of real numbers")
    rows: Any = sparse.csr_array(values.tocsr().astype(np.float64), copy=True)
    rows.sum_duplicates()
    if 0 in rows.shape:
        raise InputError(name, f"shape {rows.shape}", "a nonempty matrix of real numbers")
    check_vector(rows.data, f"{name}.data")
    return rows


def _targets(values: Any, rows: Any, name: str = "targets") -> Array:
    targets = check_vector(values, name)
    if targets.size != rows.shape[0]:
        raise InputError(name, f"an array of length {targets.size}", f"one number for each of {rows.shape[0]} rows")
    return targets.copy()


def _signs(labels: Any, rows: Any) -> Array:
    """Labels as -1 and +1, from any two numbers in ascending order."""
    targets = _targets(labels, rows, "labels")
    kinds = np.unique(targets)
    if set(kinds) <= {-1.0, 1.0}:
        return targets
    if kinds.size != 2:
        raise InputError("labels", f"{kinds.size} distinct values", "two distinct values")
    return np.where(targets == kinds[1], 1.0, -1.0)


def _start(x0: Any, dim: int, name: str = "x0") -> Array:
    if x0 is None:
        return np.zeros(dim)
    start = check_vector(x0, name)
    if start.size != dim:
        raise InputError(name, f"an array of length {start.size}", f"length {dim}")
    return start.copy()


def _coefficient(l2: Any) -> float:
    return check_positive(l2, "l2", allow_zero=True)


def _folder(cache: Any) -> Path | None:
    if cache is not None and not isinstance(cache, (str, PathLike)):
        raise InputError("cache", cache, "the path of a folder")
    return None if cache is None else Path(cache)
