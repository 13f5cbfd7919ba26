"""What a search minimises: final loss after the base learning rate is tuned, for many shapes at a time.

An objective evaluates shapes x base learning rates x seeds. The score of a shape is the minimum over the base rates of
the median over the seeds (arXiv 2603.10301): that is how the base learning rate is factored out.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_gradient_bounds,
    check_positive,
    check_vector,
)
from lastiterate.theory.problems.linear_regression import LinearRecursion
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr
from lastiterate.theory.simulators.simulate import simulate

from .spaces import AnyShape

__all__ = [
    "ConvexProblem",
    "Evaluation",
    "LinearRegression",
    "Objective",
    "TheoryRate",
    "base_lr_matrix",
    "step_matrix",
]


@dataclass(frozen=True)
class Evaluation:
    """Final losses of shapes, float64[shape, base_lr, seed], and the base rates used, float64[shape, base_lr].

    Examples
    --------
    >>> losses = np.array([[[3.0, 1.0, 2.0], [1.0, np.inf, 1.5]]])
    >>> found = Evaluation(losses, np.array([[0.1, 0.2]]))
    >>> found.scores, found.best_base_lrs
    (array([1.5]), array([0.2]))
    """

    losses: Array
    base_lrs: Array

    def __post_init__(self) -> None:
        """Count runs that are not finite as infinitely bad."""
        object.__setattr__(self, "losses", np.where(np.isfinite(self.losses), self.losses, np.inf))

    @property
    def medians(self) -> Array:
        """Median over the seeds, float64[shape, base_lr]."""
        # of two middle values the upper one: a mean with an infinite loss would hide a finite one
        return np.quantile(self.losses, 0.5, axis=2, method="higher")

    @property
    def scores(self) -> Array:
        """Minimum over the base rates of the median over the seeds, float64[shape]."""
        return self.medians.min(axis=1)

    @property
    def best_base_lrs(self) -> Array:
        """The base rate of each score, float64[shape]."""
        return np.take_along_axis(self.base_lrs, self.medians.argmin(axis=1)[:, None], axis=1)[:, 0]


class Objective(Protocol):
    """What a search needs to know; the bundled ones are in this module, sweeps in `experiments.sweep.objectives`."""

    @property
    def name(self) -> str:
        """A few words for tables."""
        ...

    @property
    def n_steps(self) -> int:
        """The horizon."""
        ...

    @property
    def is_random(self) -> bool:
        """Whether a run depends on its seed."""
        ...

    def evaluate(self, shapes: Sequence[AnyShape], seeds: Sequence[int], base_lrs: Array | None = None) -> Evaluation:
        """Run shapes x base rates x seeds; ``base_lrs`` float64[shape, k] replaces the objective's own list."""
        ...

    def at_horizon(self, n_steps: int) -> "Objective":
        """Return the same objective with another number of steps, for methods that begin with short runs."""
        ...


def base_lr_matrix(own: Array, given: Array | None, n_shapes: int) -> Array:
    """Return the base rates of every shape, float64[shape, k]."""
    if given is None:
        return np.broadcast_to(own, (n_shapes, own.size))
    if given.ndim != 2 or given.shape[0] != n_shapes:
        raise InputError("base_lrs", f"an array of shape {given.shape}", f"one row for each of {n_shapes} shapes")
    return given


def step_matrix(shapes: Sequence[AnyShape], n_steps: int) -> Array:
    """Return the steps of all shapes, float64[shape, n_steps]."""
    return np.array([shape.steps(n_steps) for shape in shapes]).reshape(len(shapes), n_steps)


def _check_base_lrs(base_lrs: npt.ArrayLike) -> Array:
    values = check_vector(base_lrs, "base_lrs")
    if values.size == 0 or values.min() <= 0.0:
        raise InputError("base_lrs", base_lrs, "at least one value, all positive")
    return np.sort(values)


@dataclass(frozen=True)
class LinearRegression:
    """The exact expected loss of mini-batch SGD on linear regression, the analytic workload of arXiv 2603.10301.

    Parameters
    ----------
    recursion : LinearRecursion, optional
        By default 128 samples, batch 8, eigenvalues i^-1.5 with sum 1.
    n_steps : int
        T.
    base_lrs : array, optional
        The list that every shape is crossed with; by default 32 values over the five decades below 2 / max eigenvalue,
        where gradient descent itself stops converging.

    Examples
    --------
    >>> from lastiterate.solvers.search.spaces import Shape
    >>> found = LinearRegression().evaluate([Shape("constant"), Shape("cosine")], seeds=[0])
    >>> found.scores.round(3), found.losses.shape
    (array([0.351, 0.331]), (2, 32, 1))
    """

    recursion: LinearRecursion = field(default_factory=lambda: LinearRecursion.power_law(128, batch_size=8))
    n_steps: int = 100
    base_lrs: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        """Check the arguments and fill in the list of base rates."""
        check_count(self.n_steps, "n_steps")
        limit = 2.0 / float(self.recursion.spectrum.max())
        own = np.geomspace(1e-5 * limit, limit, 32) if np.size(self.base_lrs) == 0 else self.base_lrs
        object.__setattr__(self, "base_lrs", _check_base_lrs(own))

    @property
    def name(self) -> str:
        """A few words for tables."""
        decay = f", weight decay {self.recursion.weight_decay:g}" if self.recursion.weight_decay else ""
        return f"linear regression, T = {self.n_steps}{decay}"

    @property
    def is_random(self) -> bool:
        """The expectation is exact: there is nothing random."""
        return False

    def evaluate(self, shapes: Sequence[AnyShape], seeds: Sequence[int], base_lrs: Array | None = None) -> Evaluation:
        """Return the exact expected final losses; the seeds do not matter."""
        lrs = base_lr_matrix(self.base_lrs, base_lrs, len(shapes))
        schedules = (step_matrix(shapes, self.n_steps)[:, None, :] * lrs[:, :, None]).reshape(-1, self.n_steps)
        n_threads = min(os.cpu_count() or 1, max(1, len(schedules) // 64))  # the kernel releases the interpreter
        with ThreadPoolExecutor(n_threads) as pool:
            parts = list(pool.map(self.recursion.final_losses, np.array_split(schedules, n_threads)))
        return Evaluation(np.concatenate(parts).reshape(*lrs.shape, 1), lrs)

    def value_and_gradient(self, steps: Array) -> tuple[float, Array]:
        """Return the loss of absolute steps and its exact gradient, for free-form descent."""
        return self.recursion.gradient(steps)

    def at_horizon(self, n_steps: int) -> "LinearRegression":
        """Return the same regression with another number of steps."""
        return replace(self, n_steps=n_steps)


@dataclass(frozen=True)
class ConvexProblem:
    """The final value of a method of `li.simulate` on a convex problem.

    Parameters
    ----------
    problem : Problem
        From `lastiterate.theory.problems`.
    method : str
        A method of the simulators.
    n_steps : int
        N.
    base_lrs : array, optional
        By default 32 values over four decades around D / (G sqrt(N)).
    options : mapping
        Passed on to `simulate`: ``batch_size``, ``noise``, options of the method.
    """

    problem: Problem
    method: str = "sgd"
    n_steps: int = 1000
    base_lrs: Array = field(default_factory=lambda: np.empty(0))
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Check the arguments and fill in the list of base rates."""
        check_count(self.n_steps, "n_steps")
        own = self.base_lrs
        if np.size(own) == 0:
            own = self.problem.D / (self.problem.G * np.sqrt(self.n_steps)) * np.geomspace(1e-2, 1e2, 32)
        object.__setattr__(self, "base_lrs", _check_base_lrs(own))

    @property
    def name(self) -> str:
        """A few words for tables."""
        return f"{self.method} on {self.problem.name}, N = {self.n_steps}"

    @property
    def is_random(self) -> bool:
        """Whether batches or noise make runs differ by seed."""
        return self.options.get("batch_size") is not None or self.options.get("noise", 0.0) > 0.0

    def evaluate(self, shapes: Sequence[AnyShape], seeds: Sequence[int], base_lrs: Array | None = None) -> Evaluation:
        """Simulate every combination; a run that diverges counts as infinitely bad."""
        lrs = base_lr_matrix(self.base_lrs, base_lrs, len(shapes))
        steps = step_matrix(shapes, self.n_steps)
        runs = list(seeds) if self.is_random else list(seeds)[:1]
        common = bool((lrs == lrs[:1]).all())
        if common:  # one call for all shapes, so that the kernel sees enough runs for every core
            return Evaluation(self._final(steps, lrs[0], runs), lrs)
        return Evaluation(np.concatenate([self._final(steps[i : i + 1], row, runs) for i, row in enumerate(lrs)]), lrs)

    def _final(self, steps: Array, base_lrs: Array, seeds: list[int]) -> Array:
        run = simulate(
            self.problem, self.method, steps, base_lr=base_lrs, seeds=seeds, record=1, progress=False, **self.options
        )
        return run.final

    def at_horizon(self, n_steps: int) -> "ConvexProblem":
        """Return the same problem with another number of steps and the same base rates."""
        return replace(self, n_steps=n_steps)


@dataclass(frozen=True)
class TheoryRate:
    """The theory's own objective: the exact worst-case rate with the base learning rate tuned in closed form.

    With recorded gradient norms as ``G`` (length N or N + 1), the best possible value is that of the refined schedule,
    and with constant G that of linear decay.

    Examples
    --------
    >>> from lastiterate.solvers.search.spaces import Shape
    >>> found = TheoryRate(n_steps=99).evaluate([Shape("linear"), Shape("cosine")], seeds=[0])
    >>> found.scores.round(3)
    array([0.1  , 0.103])
    """

    n_steps: int = 1000
    D: float = 1.0
    G: float | Array = 1.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_count(self.n_steps, "n_steps")
        check_positive(self.D, "D")
        check_gradient_bounds(self.G, self.n_steps)

    @property
    def name(self) -> str:
        """A few words for tables."""
        return f"exact rate, N = {self.n_steps}"

    @property
    def is_random(self) -> bool:
        """A bound is a number."""
        return False

    def evaluate(self, shapes: Sequence[AnyShape], seeds: Sequence[int], base_lrs: Array | None = None) -> Evaluation:
        """Return the tuned rates; the base rate is tuned exactly, whatever list is given."""
        table = step_matrix(shapes, self.n_steps)
        moving = table.any(axis=1)
        at_rest = self.D * float(check_gradient_bounds(self.G, self.n_steps)[-1])
        values, lrs = np.full(len(table), at_rest), np.zeros(len(table))
        if moving.any():
            rates = tune_base_lr(table[moving], D=self.D, G=self.G)
            values[moving], lrs[moving] = rates.value, rates.base_lr
        return Evaluation(values[:, None, None], lrs[:, None])

    def value_and_gradient(self, steps: Array) -> tuple[float, Array]:
        """Return the exact rate of absolute steps and its gradient, for free-form descent."""
        rate = exact_rate(steps, D=self.D, G=self.G)
        return rate.value, rate.gradient

    def at_horizon(self, n_steps: int) -> "TheoryRate":
        """Return the rate after another number of steps, with the norms resampled in log space."""
        if np.ndim(self.G) == 0:
            return replace(self, n_steps=n_steps)
        caps = check_gradient_bounds(self.G, self.n_steps)
        old, new = np.linspace(0.0, 1.0, caps.size), np.linspace(0.0, 1.0, n_steps + 1)
        return replace(self, n_steps=n_steps, G=np.exp(np.interp(new, old, np.log(caps))))
