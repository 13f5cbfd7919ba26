"""Free-form descent: the best schedule when every step is free, the lower reference of every family."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_count, check_steps

from .objectives import Evaluation, Objective
from .search import Candidate, Study
from .spaces import FreeShape

__all__ = ["Differentiable", "FreeForm", "free_form_descent", "starts_of"]


@runtime_checkable
class Differentiable(Protocol):
    """An objective with an exact gradient in the steps."""

    def value_and_gradient(self, steps: Array) -> tuple[float, Array]:
        """Return the value of absolute steps and its gradient."""
        ...


@dataclass(frozen=True)
class FreeForm:
    """The schedule found by free-form descent.

    Attributes
    ----------
    steps : float64[N]
        Absolute steps, base learning rate included.
    value : float
        The objective there.
    start_values : tuple of float
        The objective at each start.
    n_evaluations : int
        Evaluations spent.
    """

    steps: Array
    value: float
    start_values: tuple[float, ...]
    n_evaluations: int

    @property
    def candidate(self) -> Candidate:
        """The same as a shape of maximum 1 with its base learning rate."""
        peak = float(self.steps.max())
        return Candidate(FreeShape(tuple((self.steps / peak).tolist())), self.value, peak)


def free_form_descent(
    objective: Objective,
    starts: Sequence[npt.ArrayLike],
    *,
    seeds: Sequence[int] = (0,),
    max_evaluations: int = 20_000,
    n_blocks: int = 25,
) -> FreeForm:
    """Minimise over every single step from several starts and return the best end.

    With an exact gradient (linear regression) SciPy's L-BFGS-B does it, under steps of at least zero. Without one,
    blocks of neighbouring steps are multiplied by factors, coarse ones first (100, 2, 1.4 and their inverses, as the
    schedule descent of arXiv 2603.10301), as long as that lowers the score.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    starts : sequence of array, each of shape (N,)
        Absolute steps, for instance the best of each family (`starts_of`).
    seeds : sequence of int
        Seeds for a random objective.
    max_evaluations : int
        Limit on evaluations over all starts.
    n_blocks : int
        Number of blocks without a gradient; the starts keep their shape inside a block.

    Examples
    --------
    >>> from lastiterate.solvers.search.objectives import LinearRegression
    >>> found = free_form_descent(LinearRegression(n_steps=3), [np.ones(3)])
    >>> found.value < min(found.start_values)
    True
    """
    check_count(max_evaluations, "max_evaluations")
    check_count(n_blocks, "n_blocks")
    checked = [check_steps(start, f"starts[{i}]") for i, start in enumerate(starts)]
    if not checked:
        raise InputError("starts", "no start", "at least one schedule")
    for i, start in enumerate(checked):
        if start.size != objective.n_steps:
            raise InputError(f"starts[{i}]", f"{start.size} steps", f"{objective.n_steps} steps, as the objective has")
    share = max(1, max_evaluations // len(checked))
    if isinstance(objective, Differentiable):
        runs = [_with_gradient(objective, start, share) for start in checked]
    else:
        runs = [_by_factors(objective, start, seeds, share, n_blocks) for start in checked]
    best = min(runs, key=lambda run: run.value)
    return FreeForm(
        best.steps, best.value, tuple(run.start_values[0] for run in runs), sum(r.n_evaluations for r in runs)
    )


def starts_of(study: Study, n_steps: int) -> list[Array]:
    """Return the best schedule of each family of a study as absolute steps."""
    found = [family.polished or family.best for family in study.families.values()]
    return [candidate.shape.steps(n_steps) * candidate.base_lr for candidate in found]


def _with_gradient(objective: Differentiable, start: Array, max_evaluations: int) -> FreeForm:
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    def finite(steps: Array) -> tuple[float, Array]:
        value, gradient = objective.value_and_gradient(steps)
        # beyond the limit of stability the loss overflows; a large number makes the line search step back
        return (value, gradient) if np.isfinite(value) and np.isfinite(gradient).all() else (1e30, np.zeros_like(steps))

    begin = finite(start)[0]
    limits = {"maxfun": max_evaluations, "maxiter": max_evaluations, "ftol": 1e-14, "gtol": 1e-9, "maxcor": 30}
    bounds = [(0.0, None)] * start.size
    with threadpool_limits(1, user_api="blas"):  # the vectors are short: threads cost ten times what they save
        found = minimize(finite, start, jac=True, method="L-BFGS-B", bounds=bounds, options=limits)
    return FreeForm(np.asarray(found.x, dtype=np.float64), float(found.fun), (begin,), int(found.nfev))


_FACTORS = (100.0, 2.0, 1.4, 1.1)


def _by_factors(
    objective: Objective, start: Array, seeds: Sequence[int], max_evaluations: int, n_blocks: int
) -> FreeForm:
    steps = start.copy()
    blocks = np.array_split(np.arange(steps.size), min(n_blocks, steps.size))
    score = begin = float(_scores(objective, steps[None], seeds)[0])
    spent = 1
    for factor in _FACTORS:
        gained = True
        while gained and spent + 2 <= max_evaluations:
            gained = False
            for block in blocks:
                if spent + 2 > max_evaluations:
                    break
                trials = np.tile(steps, (2, 1))
                trials[0, block] *= factor
                trials[1, block] /= factor
                scores = _scores(objective, trials, seeds)
                spent += 2
                if scores.min() < score:
                    steps, score, gained = trials[scores.argmin()], float(scores.min()), True
    return FreeForm(steps, score, (begin,), spent)


def _scores(objective: Objective, schedules: Array, seeds: Sequence[int]) -> Array:
    """Score absolute schedules: shapes of maximum 1, each at its own base rate only."""
    peaks = np.maximum(schedules.max(axis=1, keepdims=True), 1e-300)
    shapes = [FreeShape(tuple(row)) for row in (schedules / peaks).tolist()]
    found: Evaluation = objective.evaluate(shapes, seeds, peaks)
    return found.scores
