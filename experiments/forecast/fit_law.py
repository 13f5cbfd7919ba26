"""One law fitted to the samples of some logs, and how well it predicts what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.laws.protocol import Law, LawParameter
from lastiterate.theory.laws.registry import LAWS

from .intervals import Information, LeftOutRun, Uncertainty, uncertainty
from .least_squares import OFFSET, FitProblem, Solution
from .samples import Sample, truncate

__all__ = ["FittedLaw", "error_of_move", "fit_law", "law_for", "parameters_of", "tail_error"]

MOST_FOLDS = 12
EARLY = 0.1  # no law describes the first tenth of a run, and no interval is measured by it


@dataclass(frozen=True, eq=False)
class FittedLaw:
    """A law in the unit of the logs, its problem, its solution and the groups of the logs."""

    law: Law
    problem: FitProblem
    solution: Solution
    groups: Sequence[str | None]

    @cached_property
    def left_out(self) -> tuple[LeftOutRun, ...]:
        """Every run as the law fitted to the others predicts it; of more than twelve several are left out at once.

        Without a run that is alone in its group, whose offset the others do not tell.
        """
        samples = self.problem.samples
        found: list[LeftOutRun] = []
        folds = min(len(samples), MOST_FOLDS)
        for fold in range(folds) if len(samples) > 1 else ():
            out = range(fold, len(samples), folds)
            kept = [index for index in range(len(samples)) if index not in out]
            problem, solution = _refit(self, kept)
            information = Information.of(problem, solution)
            known = {samples[index].group for index in kept}
            found += [self._as_left_out(index, solution, information) for index in out if samples[index].group in known]
        return tuple(found)

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """What the residuals and the left-out runs say of the deviations of points and runs."""
        return uncertainty(self.problem, self.solution, self.left_out)

    def _as_left_out(self, index: int, solution: Solution, information: Information) -> LeftOutRun:
        part = self.problem.samples[index]
        alone = FitProblem(self.law, [part], self.problem.parameters, [self.problem.terms[index]])
        errors, jacobian = alone.residuals(solution.theta)
        mean = float(np.mean(np.abs(np.expm1(errors)) * part.loss))
        late = part.at > EARLY * part.at[-1]
        return LeftOutRun(errors[late], jacobian[late], part.at[late], information, mean)


def law_for(name: str, samples: Sequence[Sample]) -> Law:
    """Return the law with the geometric mean of the peaks as its unit of the learning rate."""
    peaks = [float(part.run.steps.max()) for part in samples]
    law: Any = LAWS[name]
    return replace(law, unit=float(np.exp(np.mean(np.log(peaks)))))


def fit_law(law: Law, samples: Sequence[Sample], groups: Sequence[str | None]) -> FittedLaw:
    """Fit from several starts."""
    problem = FitProblem(law, samples, parameters_of(law, samples, groups))
    return FittedLaw(law, problem, problem.solve(problem.starts()), groups)


def error_of_move(fitted: FittedLaw, kept: Sequence[Sample], out: Sequence[Sample]) -> float:
    """Return the mean absolute error on ``out``, in nats, of the law fitted to ``kept``; NaN if either is empty."""
    if not kept or not out:
        return float("nan")
    theta = _refit_to(fitted, kept, None)[1].theta
    return float(np.mean([_error_on(fitted, theta, part) for part in out]))


def tail_error(fitted: FittedLaw) -> float:
    """Return the error of the later half of training, predicted from the first: half of the longest run's steps."""
    samples = fitted.problem.samples
    limit = max(int(part.at[-1]) for part in samples) // 2
    return error_of_move(fitted, truncate(samples, limit, later=False), truncate(samples, limit, later=True))


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


def _refit(fitted: FittedLaw, kept: Sequence[int]) -> tuple[FitProblem, Solution]:
    problem = fitted.problem
    return _refit_to(fitted, [problem.samples[i] for i in kept], [problem.terms[i] for i in kept])


def _refit_to(fitted: FittedLaw, samples: Sequence[Sample], terms: Sequence[Any] | None) -> tuple[FitProblem, Solution]:
    problem = FitProblem(fitted.law, samples, parameters_of(fitted.law, samples, fitted.groups), terms)
    return problem, problem.solve([fitted.solution.theta], fitted.solution.scale)


def _error_on(fitted: FittedLaw, theta: Array, part: Sample) -> float:
    """Return the mean absolute error on the points of one log, in nats."""
    loss = FitProblem(fitted.law, [part], fitted.problem.parameters).predict(theta)[0]
    return float(np.mean(np.abs(loss - part.loss)))
