"""What a law of the loss is: parameters with ranges and weak priors, a prediction, its gradient, what it assumes."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array

__all__ = ["Law", "LawParameter", "Points", "Run"]

Points = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LawParameter:
    """One parameter of a law.

    Attributes
    ----------
    name : str
    low, high : float
        Bounds.
    start : float
        Where a fit begins.
    mean, deviation : float
        Weak prior, a normal distribution that a few observations outweigh; an infinite deviation is none.
    meaning : str
    """

    name: str
    low: float
    high: float
    start: float
    mean: float
    deviation: float
    meaning: str


@dataclass(frozen=True, eq=False)
class Run:
    """What a law knows of a run.

    Attributes
    ----------
    steps : ndarray, shape (N,)
        Learning rates.
    weight_decay, init_std : float
        Decoupled weight decay, and the root mean square of the weights at the start; NaN where unknown.
    """

    steps: Array
    weight_decay: float = float("nan")
    init_std: float = float("nan")


class Law(Protocol):
    """A law of the loss after n steps of a run.

    ``terms`` is what does not depend on the parameters; a fit computes it once a run (a class of terms with a method
    ``joined`` lets the points of several runs be evaluated at once). ``evaluate`` gives losses and their Jacobian at
    the points of the terms, ``curve`` the losses after 0..N steps in near-linear time, and
    ``final_gradient`` the last loss with its derivatives to the N learning rates.
    """

    name: str
    title: str
    source: str
    assumes: str

    def parameters(self, runs: list[Run], lowest: float, typical: float) -> tuple[LawParameter, ...]:
        """Return the parameters, scaled to runs whose lowest loss and median last loss are given."""
        ...

    def terms(self, run: Run, at: Points, *, exact: bool = False) -> Any:
        """Return what the losses after ``at`` steps need; in pieces of nearly equal rates unless ``exact``."""
        ...

    def evaluate(self, theta: Array, terms: Any) -> tuple[Array, Array]:
        """Return losses, float64[m], and their derivatives to the parameters, float64[m, p]."""
        ...

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0, ..., N steps, float64[N+1]."""
        ...

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates, float64[N]."""
        ...
