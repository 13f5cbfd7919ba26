"""Convex problems and small helpers that several figures share."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.theory import problems
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.problems.problem import Problem

__all__ = ["accuracy", "convex_problem"]

CONVEX = ("|x|", "l1 regression", "max-affine", "logistic")


def convex_problem(name: str) -> Problem:
    """Return one of the four deterministic problems; the random ones have fixed seeds.

    >>> convex_problem("|x|").D
    1.0
    """
    rng = np.random.default_rng(0)
    if name == "|x|":
        return problems.absolute_value(1.0)
    if name == "l1 regression":
        matrix = rng.standard_normal((100, 20))
        return problems.l1_regression(matrix, matrix @ rng.standard_normal(20) + rng.standard_normal(100))
    if name == "max-affine":
        slopes = rng.standard_normal((40, 10))
        return problems.max_affine(slopes, rng.standard_normal(40), x0=10.0 * rng.standard_normal(10))
    data = dataset("breast_cancer")
    return problems.logistic(data.features, data.one_against_rest(1), l2=1e-3)


def accuracy(features: Any, targets: Any, points: Any) -> Any:
    """Return the share of rows that multinomial weights ``points`` (last axis K d) classify as labelled.

    >>> float(accuracy(np.eye(2), np.array([0, 1]), np.array([1.0, 0.0, 0.0, 1.0])))
    1.0
    """
    features = np.asarray(features)
    weights = np.reshape(points, (*np.shape(points)[:-1], -1, features.shape[1]))
    return np.mean(np.argmax(weights @ features.T, axis=-2) == np.asarray(targets), axis=-1)
