"""One law fitted to the samples of some logs, and how well it predicts what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.laws.protocol import Law, LawParameter
from lastiterate.theory.laws.registry import LAWS

from .intervals import Uncertainty, uncertainty
from .least_squares import OFFSET, FitProblem, Solution
from .samples import Sample, truncate

__all__ = [
    "FittedLaw",
    "error_of_move",
    "error_on",
    "fit_law",
    "law_for",
    "left_out_errors",
    "parameters_of",
    "tail_error",
]

MOST_FOLDS = 12


@dataclass(frozen=True, eq=False)
class FittedLaw:
    """A law in the unit of the logs, its problem, solution and uncertainty."""

    law: Law
    problem: FitProblem
    solution: Solution
    uncertainty: Uncertainty


def law_for(name: str, samples: Sequence[Sample]) -> Law:
    """Return the law with the geometric mean of the peaks as its unit of the learning rate."""
    peaks = [float(part.run.steps.max()) for part in samples]
    law: Any = LAWS[name]
    return replace(law, unit=float(np.exp(np.mean(np.log(peaks)))))


def fit_law(law: Law, samples: Sequence[Sample], groups: Sequence[str | None], on: str) -> FittedLaw:
    """Fit from several starts."""
    problem = FitProblem(law, samples, parameters_of(law, samples, groups))
    solution = problem.solve(problem.starts())
    return FittedLaw(law, problem, solution, uncertainty(problem, solution, on))


def left_out_errors(fitted: FittedLaw, groups: Sequence[str | None]) -> Array:
    """Return the mean absolute error on each run, in nats, of the law fitted to the others.

    Of more than twelve runs several are left out at once. NaN for a single run.
    """
    samples, terms = fitted.problem.samples, fitted.problem.terms
    errors = np.full(len(samples), np.nan)
    if len(samples) < 2:
        return errors
    folds = min(len(samples), MOST_FOLDS)
    for fold in range(folds):
        out = list(range(fold, len(samples), folds))
        kept = [index for index in range(len(samples)) if index not in out]
        theta = _refit(fitted, [samples[i] for i in kept], [terms[i] for i in kept], groups)
        for index in out:
            errors[index] = error_on(fitted.law, theta, samples[index], terms[index])
    return errors


def error_of_move(fitted: FittedLaw, kept: Sequence[Sample], out: Sequence[Sample], groups: Sequence[Any]) -> float:
    """Return the mean absolute error on ``out``, in nats, of the law fitted to ``kept``; NaN if either is empty."""
    if not kept or not out:
        return float("nan")
    theta = _refit(fitted, kept, None, groups)
    return float(np.mean([error_on(fitted.law, theta, part, None) for part in out]))


def tail_error(fitted: FittedLaw, groups: Sequence[str | None]) -> float:
    """Return the error of the later half of training, predicted from the first: half of the longest run's steps."""
    samples = fitted.problem.samples
    limit = max(int(part.at[-1]) for part in samples) // 2
    kept, out = truncate(samples, limit, later=False), truncate(samples, limit, later=True)
    return error_of_move(fitted, kept, out, groups)


def error_on(law: Law, theta: Array, part: Sample, terms: Any) -> float:
    """Return the mean absolute error on the points of one log, in nats."""
    terms = law.terms(part.run, part.at) if terms is None else terms
    n_law = len(law.parameters([part.run], 1.0, 1.0))
    offset = 0.0 if part.group < 0 else float(theta[n_law + part.group])
    return float(np.mean(np.abs(law.evaluate(theta[:n_law], terms)[0] + offset - part.loss)))


def parameters_of(law: Law, samples: Sequence[Sample], groups: Sequence[str | None]) -> tuple[LawParameter, ...]:
    """Return the law's parameters, scaled to the losses, and an offset for every group but the first."""
    lowest = min(float(part.loss.min()) for part in samples)
    typical = float(np.median([part.loss[-1] for part in samples]))
    own = law.parameters([part.run for part in samples], lowest, typical)
    offsets = [
        LawParameter(
            f"{OFFSET}[{group}]", -typical, typical, 0.0, 0.0, 0.3 * typical, f"losses of {group} above others"
        )
        for group in groups[1:]
    ]
    return (*own, *offsets)


def _refit(fitted: FittedLaw, samples: Sequence[Sample], terms: Sequence[Any] | None, groups: Sequence[Any]) -> Array:
    problem = FitProblem(fitted.law, samples, parameters_of(fitted.law, samples, groups), terms)
    return problem.solve([fitted.solution.theta], fitted.solution.scale).theta
