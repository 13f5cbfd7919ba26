"""Which law to trust: the one that physics asks for, unless another predicts what was left out clearly better.

Three or four runs do not settle it by their errors alone. Where the optimiser decays its weights, the norm-memory law
is taken unless another law's error on left-out runs and on the later half of training (weights 3 and 1) is smaller by
more than a factor of 1.3; where it does not, the law with the least such error. Its short form is no rival: chosen by
the same runs that it was fitted on, it would confirm itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .fit_law import FittedLaw, fit_law, law_for, tail_error
from .samples import Sample

__all__ = ["Score", "choose", "score"]

CLEARLY = 1.3
FEWEST_RUNS = 3
DEFAULT = "norm_memory"
NEEDS_NORM = ("norm_memory", "norm_memory_scale_free")
CANDIDATES = (
    "norm_memory",
    "norm_memory_scale_free",
    "functional",
    "functional_power",
    "multi_power",
    "annealing",
    "exact",
    "theorem10",
)


@dataclass(frozen=True)
class Score:
    """Errors of one law, in nats: on the fitted points, on runs left out, on the later half of training."""

    law: str
    in_sample: float
    left_out: float
    tail: float

    @property
    def value(self) -> float:
        """The number that decides; the error on fitted points where nothing can be left out."""
        if math.isnan(self.left_out):
            return self.in_sample if math.isnan(self.tail) else self.tail
        return self.left_out if math.isnan(self.tail) else 0.75 * self.left_out + 0.25 * self.tail


def choose(
    samples: Sequence[Sample], groups: Sequence[str | None], *, decays: bool, norm_known: bool
) -> tuple[FittedLaw, tuple[Score, ...]]:
    """Fit every candidate and return the chosen one with all scores."""
    fits: dict[str, FittedLaw] = {}
    scores: dict[str, Score] = {}
    for name in CANDIDATES:
        if norm_known or name not in NEEDS_NORM:
            fits[name] = fit_law(law_for(name, samples), samples, groups)
            scores[name] = score(fits[name])
    best = min(scores, key=lambda name: scores[name].value)
    if decays and DEFAULT in scores:
        rivals = [name for name in scores if name not in NEEDS_NORM]
        best = min(rivals, key=lambda name: scores[name].value)
        if len(samples) < FEWEST_RUNS or CLEARLY * scores[best].value >= scores[DEFAULT].value:
            best = DEFAULT
    return fits[best], tuple(scores.values())


def score(fitted: FittedLaw) -> Score:
    """Return the errors of a fitted law."""
    errors = np.abs(np.expm1(fitted.solution.residuals) * fitted.problem.measured)
    mean = float(np.mean([run.mean_error for run in fitted.left_out])) if fitted.left_out else float("nan")
    return Score(fitted.law.name, float(errors.mean()), mean, tail_error(fitted))
