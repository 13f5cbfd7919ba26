"""Means of a loss over samples: regression and classification on data."""

from typing import Any

import numpy as np

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_count
from lastiterate.theory.problems.minimum.solve import solve_minimum

from .arguments import read_coefficient, read_folder, read_matrix, read_signs, read_start, read_targets
from .losses import LOSSES
from .problem import Problem

__all__ = ["l1_regression", "hinge", "logistic", "softmax", "least_squares", "finite_sum"]


def _samples(
    name: str, kind: str, rows: Any, targets: Array, x0: Any, l2: Any, cache: Any, n_classes: int = 1
) -> Problem:
    start, folder = read_start(x0, n_classes * rows.shape[1]), read_folder(cache)
    l2 = read_coefficient(l2)
    return Problem(name, kind, rows, targets, start, l2, n_classes, cache=folder, solver=solve_minimum)


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

    Returns
    -------
    Problem
        Its minimum is solved for on first use.

    Raises
    ------
    InputError
        For data of another shape or kind, or values beyond float64.

    Examples
    --------
    >>> l1_regression([[1.0], [1.0], [1.0]], [0.0, 1.0, 5.0]).x_star
    array([1.])
    """
    rows = read_matrix(matrix)
    return _samples("l1 regression", "absolute", rows, read_targets(targets, rows), x0, 0.0, cache)


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

    Returns
    -------
    Problem
        Its minimum is solved for on first use.

    Raises
    ------
    InputError
        For data of another shape or kind, labels of more than two kinds, or values beyond float64.

    Examples
    --------
    >>> hinge([[1.0], [-2.0]], [1, -1]).f_star
    0.0
    """
    rows = read_matrix(matrix)
    return _samples("hinge", "hinge", rows, read_signs(labels, rows), x0, l2, cache)


@within_float64
def logistic(matrix: Any, labels: Any, *, l2: float = 0.0, x0: Any = None, cache: Any = None) -> Problem:
    """Return binary logistic regression f(x) = mean_i log(1 + exp(-b_i a_i x)) + l2/2 ||x||^2.

    On separable data without ``l2`` the infimum is not attained: ``minimum.attained`` is
    False and ``x_star`` is a point within 1e-10 of the infimum, which is as good a comparator for every rate.

    Parameters
    ----------
    matrix : array or scipy sparse matrix, shape (n, d)
        Rows a_i.
    labels : array, shape (n,)
        Labels -1 and +1, or any two distinct values.
    l2 : float
        Coefficient of the quadratic term.
    x0 : float64[d], optional
        The start; zero by default.
    cache : path, optional
        Folder in which the minimum is kept.

    Returns
    -------
    Problem
        Its minimum is solved for on first use.

    Raises
    ------
    InputError
        For data of another shape or kind, labels of more than two kinds, or values beyond float64.

    Examples
    --------
    >>> round(logistic([[1.0], [1.0], [1.0]], [1, 1, -1]).f_star, 6)  # the entropy of 1/3
    0.636514
    """
    rows = read_matrix(matrix)
    return _samples("logistic", "logistic", rows, read_signs(labels, rows), x0, l2, cache)


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

    Returns
    -------
    Problem
        Its minimum is solved for on first use; `Problem.n_outputs` is K.

    Raises
    ------
    InputError
        For data of another shape or kind, labels that are no classes, or values beyond float64.

    Examples
    --------
    >>> import numpy as np
    >>> problem = softmax(np.ones((4, 1)), [0, 0, 1, 2])
    >>> round(problem.f_star, 6)  # the entropy of (1/2, 1/4, 1/4)
    1.039721
    """
    rows = read_matrix(matrix)
    targets = read_targets(labels, rows, "labels")
    if targets.min() < 0 or np.any(targets != np.floor(targets)):
        raise InputError("labels", targets, "whole numbers 0, 1, ..., K - 1")
    classes = check_count(n_classes if n_classes is not None else int(targets.max()) + 1, "n_classes", minimum=2)
    if targets.max() >= classes:
        raise InputError("labels", f"a label {int(targets.max())}", f"labels below n_classes = {classes}")
    return _samples("softmax", "softmax", rows, targets, x0, l2, cache, classes)


@within_float64
def least_squares(matrix: Any, targets: Any, *, l2: float = 0.0, x0: Any = None, cache: Any = None) -> Problem:
    """Return f(x) = mean_i (a_i x - b_i)^2 / 2 + l2/2 ||x||^2; `Problem.G` holds within 2 D of the minimiser.

    Parameters
    ----------
    matrix : array or scipy sparse matrix, shape (n, d)
        Rows a_i.
    targets : array of float, shape (n,)
        Right-hand sides b_i.
    l2 : float
        Coefficient of the quadratic term.
    x0 : float64[d], optional
        The start; zero by default.
    cache : path, optional
        Folder in which the minimum is kept.

    Returns
    -------
    Problem
        Its minimum is solved for on first use.

    Raises
    ------
    InputError
        For data of another shape or kind, or values beyond float64.

    Examples
    --------
    >>> least_squares([[1.0], [1.0]], [0.0, 2.0]).f_star
    0.5
    """
    rows = read_matrix(matrix)
    return _samples("least squares", "squared", rows, read_targets(targets, rows), x0, l2, cache)


@within_float64
def finite_sum(loss: str, matrix: Any, targets: Any, *, l2: float = 0.0, x0: Any = None, cache: Any = None) -> Problem:
    """Return the mean of a loss of `lastiterate.theory.problems.losses.LOSSES` over samples, plus l2 / 2 ||x||^2.

    Parameters
    ----------
    loss : str
        Name of the row.
    matrix : array or scipy sparse matrix, shape (n, p)
        One sample a row.
    targets : array, shape (n,)
        Right-hand sides, labels +-1, or class names, as the loss has them.
    l2 : float
        Coefficient of ||x||^2 / 2.
    x0 : float64[p], optional
        The start; zero by default.
    cache : path, optional
        Folder for the solved minimum.

    Returns
    -------
    Problem
        Its minimum is solved for on first use.

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
    rows = read_matrix(matrix)
    numbers = read_signs(targets, rows) if row.labels == "signs" else read_targets(targets, rows)
    return _samples(loss, loss, rows, numbers, x0, l2, cache)
