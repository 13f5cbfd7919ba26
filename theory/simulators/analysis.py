"""What users ask of a sweep over base learning rates: the best for each schedule, and how wide the good range is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lastiterate.theory.base.validation import Array, check_positive
from lastiterate.theory.problems.problem import Problem

if TYPE_CHECKING:
    from .result import Simulation


_FLOOR = 1e-12


def gap_floor(problem: Problem) -> float:
    """Return the gap below which differences are rounding: smaller gaps count as equal."""
    return _FLOOR * max(1.0, abs(problem.f_star))


@dataclass(frozen=True)
class BestRate:
    """The best base learning rate of one schedule and the range around it that is nearly as good.

    Attributes
    ----------
    schedule : str
        Name of the schedule.
    base_lr, gap : float
        The best rate of the grid and the median over seeds of f - f* there; infinite where every rate diverges.
    low, high : float
        Ends of the range around it where the median gap stays within the tolerance (interpolated in log-log).
    decades : float
        Width of that range, log10(high / low): the larger, the less sensitive. It ends at the grid's own ends.
        Infinite from a base learning rate of 0 on, beyond which nothing is interpolated.
    """

    schedule: str
    base_lr: float
    gap: float
    low: float
    high: float
    decades: float


def best_rates(run: "Simulation", *, iterate: str = "last", tolerance: float = 0.1) -> list[BestRate]:
    """Return the best base learning rate of each schedule and the range within ``tolerance`` of the best gap.

    Parameters
    ----------
    run : Simulation
        Runs over a grid of base learning rates; the score is the median over seeds, infinite for diverged runs.
    iterate : str
        ``last``, ``best`` or ``average``.
    tolerance : float
        0.1 means: the gap is at most 10% above the best.

    Examples
    --------
    >>> import numpy as np
    >>> from lastiterate.theory import problems
    >>> from lastiterate.theory.simulators.simulate import simulate
    >>> run = simulate(problems.absolute_value(1.0), "sgd", "linear", n_steps=100, base_lr=np.geomspace(1e-3, 10, 41))
    >>> best_rates(run)[0].base_lr <= 0.1
    True
    """
    tolerance = check_positive(tolerance, "tolerance")
    gaps = run.iterate(iterate) - run.problem.f_star
    scores = np.median(np.where(np.isfinite(gaps), np.maximum(gaps, gap_floor(run.problem)), np.inf), axis=2)
    order = np.argsort(run.base_lrs)
    return [
        _best(name, run.base_lrs[order], score[order], tolerance)
        for name, score in zip(run.schedules, scores, strict=True)
    ]


def _best(name: str, base_lrs: Array, score: Array, tolerance: float) -> BestRate:
    top = int(np.argmin(score))
    if not np.isfinite(score[top]):
        here = float(base_lrs[top])
        return BestRate(name, here, float("inf"), here, here, 0.0)
    limit = (1.0 + tolerance) * score[top]
    low, high = _edge(base_lrs, score, top, -1, limit), _edge(base_lrs, score, top, 1, limit)
    decades = 0.0 if high == low else float(np.log10(high / low)) if low > 0.0 else float("inf")
    return BestRate(name, float(base_lrs[top]), float(score[top]), low, high, decades)


def _edge(base_lrs: Array, score: Array, top: int, direction: int, limit: float) -> float:
    """Return where the score crosses the limit, going from the best in one direction."""
    here = top
    while 0 <= here + direction < score.size and score[here + direction] <= limit:
        here += direction
    beyond = here + direction
    if not 0 <= beyond < score.size or not np.isfinite(score[beyond]) or min(base_lrs[here], base_lrs[beyond]) == 0.0:
        return float(base_lrs[here])
    share = np.log(limit / score[here]) / np.log(score[beyond] / score[here])
    return float(base_lrs[here] * (base_lrs[beyond] / base_lrs[here]) ** share)
