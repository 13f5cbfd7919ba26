"""The response of the loss to the base learning rate: the form of theory's bound, and where a grid is best."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array

__all__ = ["Response", "as_losses", "fit_response", "where_is_best"]


@dataclass(frozen=True)
class Response:
    """The fit loss = A / lr + B * lr + C with A, B >= 0, the form of the theory's bound at a fixed schedule.

    Attributes
    ----------
    A, B, C : float
    best_lr : float
        sqrt(A / B), NaN if a coefficient is zero.
    relative_error : float
        Root mean square of the residuals over the spread of the fitted losses.
    lowest, highest : float
        Range of base learning rates in the fit.
    """

    A: float
    B: float
    C: float
    best_lr: float
    relative_error: float
    lowest: float
    highest: float

    def __call__(self, base_lr: npt.ArrayLike) -> Array:
        """Return the fitted loss at ``base_lr``."""
        lr = np.asarray(base_lr, dtype=np.float64)
        return self.A / lr + self.B * lr + self.C


def fit_response(base_lrs: npt.ArrayLike, losses: npt.ArrayLike) -> Response | None:
    """Fit the theory's response to the base learning rate; None if under three finite points remain.

    Points that lie above the best by more than four times the spread of the better half are left out: far from the
    optimum a network's loss saturates or explodes, which no convex bound describes.

    Examples
    --------
    >>> lrs = [0.1, 0.2, 0.4, 0.8]
    >>> fit = fit_response(lrs, [0.04 / lr + 1.0 * lr + 0.5 for lr in lrs])
    >>> round(fit.A, 6), round(fit.B, 6), round(fit.C, 6), round(fit.best_lr, 6)
    (0.04, 1.0, 0.5, 0.2)
    """
    from scipy.optimize import lsq_linear

    lrs, values = np.asarray(base_lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    finite = np.isfinite(values)
    lrs, values = lrs[finite], values[finite]
    if lrs.size < 3:
        return None
    spread = np.median(values) - values.min()
    near = values <= values.min() + 5.0 * spread if spread > 0 else np.ones(values.size, dtype=bool)
    lrs, values = lrs[near], values[near]
    if lrs.size < 3:
        return None
    # the columns are scaled by the middle learning rate, so that the solver sees numbers of one size
    middle = float(np.exp(np.log(lrs).mean()))
    columns = np.stack([middle / lrs, lrs / middle, np.ones(lrs.size)], axis=1)
    # the active-set method puts a coefficient at its bound to zero exactly, up to rounding of the others
    solution = np.asarray(lsq_linear(columns, values, bounds=([0.0, 0.0, -np.inf], np.inf), method="bvls").x)
    solution[:2][solution[:2] <= 1e-12 * np.abs(solution).max()] = 0.0
    falling, rising, offset = map(float, solution)
    residual = float(np.sqrt(np.mean((columns @ solution - values) ** 2)))
    spread = float(np.ptp(values))
    return Response(
        A=falling * middle,
        B=rising / middle,
        C=offset,
        best_lr=middle * math.sqrt(falling / rising) if falling > 0 and rising > 0 else math.nan,
        relative_error=residual / spread if spread > 0 else 0.0,
        lowest=float(lrs.min()),
        highest=float(lrs.max()),
    )


def where_is_best(values: npt.ArrayLike, higher_is_better: bool = False) -> Literal["low", "interior", "high", "none"]:
    """Say whether the best of a grid is at its low end, in its interior, at its high end, or nowhere.

    Values that are not finite stand for runs that diverged. An interior optimum has finite or diverged neighbours on
    both sides.

    >>> where_is_best([3.0, 1.0, 2.0]), where_is_best([1.0, 2.0, 3.0]), where_is_best([3.0, 1.0, float("nan")])
    ('interior', 'low', 'interior')
    """
    losses = as_losses(values, higher_is_better)
    if not np.isfinite(losses).any():
        return "none"
    best = int(np.argmin(losses))
    if losses.size == 1:
        return "high"
    return "low" if best == 0 else "high" if best == losses.size - 1 else "interior"


def as_losses(values: npt.ArrayLike, higher_is_better: bool = False) -> Array:
    """Return values such that lower is better and what is not finite is worst.

    >>> as_losses([0.9, float("nan")], higher_is_better=True).tolist()
    [-0.9, inf]
    """
    array = np.asarray(values, dtype=np.float64)
    signed = -array if higher_is_better else array
    return np.where(np.isfinite(array), signed, np.inf)
