"""The losses of a finite sum, one row each: adding a loss means adding a row here.

A loss is a convex function of the margin a_i x and the target b_i of one sample (of K margins for classes). The NumPy
form serves `Problem`, the scalar form is compiled for the simulators; the four oldest losses have vector kernels beside
it, found by their place in the table (`lastiterate.theory.simulators.kernels.margins`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lastiterate.theory.base.validation import Array

__all__ = ["KINDS", "LOSSES", "Loss"]


@dataclass(frozen=True)
class Loss:
    """What problems, minima and simulators need to know of a loss.

    Attributes
    ----------
    values, slopes : callable
        (margins, targets) -> losses, float64[n], and their derivatives in the margins, shaped like the margins.
    scalar : callable or None
        (margin, target) -> (loss, derivative) of one sample, in code that Numba compiles; None where a kernel of its
        own serves the loss.
    slope_bound : float
        Bound on the Euclidean norm of the derivative; infinite for a quadratic loss.
    curvature : float
        Bound on the second derivative; infinite where there are kinks.
    labels : {"numbers", "signs", "classes"}
        What the targets are.
    minimise : str
        Function of `lastiterate.theory.problems.minimum`, as "module:name", that finds the minimum.
    """

    values: Callable[[Array, Array], Array]
    slopes: Callable[[Array, Array], Array]
    scalar: Callable[[Any, Any], tuple[Any, Any]] | None
    slope_bound: float
    curvature: float
    labels: Literal["numbers", "signs", "classes"]
    minimise: str = "smooth:smooth"


def _absolute(margin: Any, target: Any) -> tuple[Any, Any]:
    return abs(margin - target), np.sign(margin - target)


def _hinge(margin: Any, target: Any) -> tuple[Any, Any]:
    slack = 1.0 - target * margin
    if math.isnan(slack) or math.isinf(slack):
        return max(slack, 0.0), math.nan  # an overflowed margin stays visible
    return (slack, -target) if slack > 0.0 else (0.0, 0.0)


def _logistic(margin: Any, target: Any) -> tuple[Any, Any]:
    z = -target * margin
    if z > 0.0:
        tail = math.exp(-z)
        return z + math.log1p(tail), -target / (1.0 + tail)
    tail = math.exp(z)
    return math.log1p(tail), -target * tail / (1.0 + tail)


def _squared(margin: Any, target: Any) -> tuple[Any, Any]:
    return 0.5 * (margin - target) ** 2, margin - target


def _logistic_slopes(margins: Array, targets: Array) -> Array:
    from scipy.special import expit

    return -targets * expit(-targets * margins)


def _softmax_values(margins: Array, targets: Array) -> Array:
    from scipy.special import logsumexp

    chosen = np.take_along_axis(margins, targets.astype(np.int64)[:, None], axis=1)[:, 0]
    return np.asarray(logsumexp(margins, axis=1)) - chosen


def _softmax_slopes(margins: Array, targets: Array) -> Array:
    from scipy.special import softmax

    slopes = np.asarray(softmax(margins, axis=1))
    slopes[np.arange(len(targets)), targets.astype(np.int64)] -= 1.0
    return slopes


LOSSES: dict[str, Loss] = {
    "absolute": Loss(
        values=lambda margins, targets: np.abs(margins - targets),
        slopes=lambda margins, targets: np.sign(margins - targets),
        scalar=_absolute,
        slope_bound=1.0,
        curvature=math.inf,
        labels="numbers",
        minimise="programs:least_absolute",
    ),
    "hinge": Loss(
        values=lambda margins, targets: np.maximum(0.0, 1.0 - targets * margins),
        slopes=lambda margins, targets: np.where(targets * margins < 1.0, -targets, 0.0),
        scalar=_hinge,
        slope_bound=1.0,
        curvature=math.inf,
        labels="signs",
        minimise="programs:hinge",
    ),
    "logistic": Loss(
        values=lambda margins, targets: np.logaddexp(0.0, -targets * margins),
        slopes=_logistic_slopes,
        scalar=_logistic,
        slope_bound=1.0,
        curvature=0.25,
        labels="signs",
        minimise="newton:newton",
    ),
    "softmax": Loss(
        values=_softmax_values,
        slopes=_softmax_slopes,
        scalar=None,
        slope_bound=math.sqrt(2.0),  # ||softmax(z) - e_y||
        curvature=0.5,
        labels="classes",
        minimise="newton:newton",
    ),
    "squared": Loss(
        values=lambda margins, targets: 0.5 * (margins - targets) ** 2,
        slopes=lambda margins, targets: margins - targets,
        scalar=_squared,
        slope_bound=math.inf,
        curvature=1.0,
        labels="numbers",
        minimise="least_squares:least_squares",
    ),
}
"""Name of a kind of problem to its loss."""

PIECES = ("max_affine", "chain")
"""Kinds that are a maximum of affine pieces, not a mean of losses over samples."""

KINDS = {name: number for number, name in enumerate([*LOSSES, *PIECES])}
"""Every kind and its number in compiled code."""
