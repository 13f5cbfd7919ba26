"""Losses of margins in NumPy's own words, and one call of an oracle of them."""

import numpy as np
from numba import njit

from lastiterate.theory.problems.losses import KINDS as CODES
from lastiterate.theory.simulators.kernels.margins import WORK

KINDS = ("absolute", "hinge", "logistic", "squared")


@njit
def called(function, *arguments):
    """Call what only compiled code can call."""
    return function(*arguments)


def reference(kind: str, margin, target, slope: bool):
    """One loss or its derivative in NumPy's own words."""
    z = target * margin
    if kind == "logistic":
        return -target * np.exp(-np.logaddexp(0.0, z)) if slope else np.logaddexp(0.0, -z)
    if kind == "hinge":
        return np.where(z < 1.0, -target, 0.0) if slope else np.maximum(0.0, 1.0 - z)
    if kind == "absolute":
        return np.sign(margin - target) if slope else np.abs(margin - target)
    return margin - target if slope else 0.5 * (margin - target) ** 2


def evaluate(oracle, kind, x, rows, matrix, target, l2=0.0, empty=False, index=None):
    index = np.array([x.size]) if index is None else index
    params = np.array([CODES[kind], 1.0, l2, 0.0, 0.0])
    g = np.full(0 if empty else x.size, np.nan)
    value = called(oracle, 0, x, rows, matrix.ravel(), index, target, params, True, np.full(WORK, np.nan), g)
    return value, g
