"""How the best shape moves with weight decay (the last part of arXiv 2603.10301), on any objective."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array, InputError, check_choice, check_positive
from lastiterate.theory.problems.linear_regression import LinearRecursion

from .objectives import LinearRegression, Objective
from .search import Candidate, FamilyResult, search_family
from .spaces import SPACES

__all__ = ["ShapeFeatures", "WeightDecayStudy", "linear_regression_with_decay", "weight_decay_study"]


@dataclass(frozen=True)
class ShapeFeatures:
    """A schedule in a few numbers, all relative to its peak and its length.

    Attributes
    ----------
    peak_at : float
        Where the largest step is, as a fraction of training.
    start, end : float
        First and last step over the largest.
    mean : float
        Mean step over the largest.
    half_at : float
        Fraction of training after which the steps stay below half the largest.
    """

    peak_at: float
    start: float
    end: float
    mean: float
    half_at: float

    @classmethod
    def of(cls, steps: Array) -> "ShapeFeatures":
        """Measure a schedule with a positive step.

        >>> ShapeFeatures.of(np.array([0.5, 1.0, 0.8, 0.2]))
        ShapeFeatures(peak_at=0.25, start=0.5, end=0.2, mean=0.625, half_at=0.75)
        """
        peak = float(steps.max(initial=0.0))
        if peak <= 0.0:
            raise InputError("steps", "only zeros", "at least one positive step")
        above = np.flatnonzero(steps >= 0.5 * peak)
        n = steps.size
        return cls(
            peak_at=float(steps.argmax()) / n,
            start=float(steps[0]) / peak,
            end=float(steps[-1]) / peak,
            mean=float(steps.mean()) / peak,
            half_at=float(above[-1] + 1) / n,
        )


@dataclass(frozen=True)
class WeightDecayStudy:
    """The best member of one family for each weight decay.

    ``losses_of_undecayed[i]`` is the score, at ``decays[i]``, of the shape that is best without weight decay: what it
    costs not to adapt the shape.
    """

    family: str
    decays: tuple[float, ...]
    results: tuple[FamilyResult, ...]
    features: tuple[ShapeFeatures, ...]
    losses_of_undecayed: tuple[float, ...]

    @property
    def best(self) -> tuple[Candidate, ...]:
        """The best candidate for each decay, after descent where there was one."""
        return tuple(result.polished or result.best for result in self.results)

    def table(self) -> list[dict[str, float | str]]:
        """Return one row per weight decay."""
        columns = zip(self.decays, self.best, self.features, self.losses_of_undecayed, strict=True)
        return [
            {
                "weight decay": decay,
                "best": best.score,
                "shape without decay": undecayed,
                "base_lr": best.base_lr,
                "peak at": shape.peak_at,
                "start": shape.start,
                "end": shape.end,
                "mean": shape.mean,
                "half at": shape.half_at,
                "schedule": best.text,
            }
            for decay, best, shape, undecayed in columns
        ]


def weight_decay_study(
    decays: Sequence[float],
    objective_of: Callable[[float], Objective] | None = None,
    *,
    family: str = "smooth_nonmonotonic",
    **options: Any,
) -> WeightDecayStudy:
    """Search one family again for every weight decay.

    Parameters
    ----------
    decays : sequence of float
        Weight decays, the first of them the one whose best shape is tried at all others (0 if it is among them).
    objective_of : callable, optional
        Weight decay -> objective; by default linear regression with a decay of ``decay * step`` a step.
    family : str
        A name of `SPACES`; the default can take any form, so that nothing but the loss decides.
    **options
        As in `search_family`.

    Examples
    --------
    >>> study = weight_decay_study([0.0, 0.1], family="generalised_rex", n_shapes=16)
    >>> study.best[0].score < study.best[1].score  # a pull to zero costs on this problem
    True
    """
    values = tuple(check_positive(decay, "decays", allow_zero=True) for decay in decays)
    if not values:
        raise InputError("decays", decays, "at least one weight decay")
    space = SPACES[check_choice(family, "family", SPACES)]
    objectives = [(objective_of or linear_regression_with_decay)(decay) for decay in values]
    results = tuple(search_family(objective, space, **options) for objective in objectives)
    chosen = [result.polished or result.best for result in results]
    reference = chosen[values.index(0.0) if 0.0 in values else 0].shape
    seeds = range(int(options.get("n_seeds", 3)))
    return WeightDecayStudy(
        family=family,
        decays=values,
        results=results,
        features=tuple(
            ShapeFeatures.of(best.shape.steps(objective.n_steps))
            for best, objective in zip(chosen, objectives, strict=True)
        ),
        losses_of_undecayed=tuple(float(o.evaluate([reference], seeds).scores[0]) for o in objectives),
    )


def linear_regression_with_decay(decay: float) -> LinearRegression:
    """Return the linear regression of the search with a weight decay of ``decay * step`` a step.

    >>> linear_regression_with_decay(0.1).name
    'linear regression, T = 100, weight decay 0.1'
    """
    return LinearRegression(LinearRecursion.power_law(128, batch_size=8, weight_decay=decay))
