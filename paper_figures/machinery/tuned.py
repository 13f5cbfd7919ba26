"""Methods compared as they should be: a rate chosen on some seeds, gaps to the minimum on others, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lastiterate.theory.base.intervals import t_interval
from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["gap_table", "ratio"]

TUNING_SEEDS = (0, 1, 2)
FLOOR = 1e-15


def gap_table(
    problem: Problem,
    method: str,
    steps: Array,
    lrs: Sequence[float] | Array,
    n_seeds: int,
    batch_size: int,
    **options: Any,
) -> dict[str, Any]:
    """Return gaps to the minimum at every base learning rate, and the rate that the tuning seeds choose.

    Parameters
    ----------
    problem : Problem
        Its minimum must be attained.
    method : str
    steps : float64[N]
    lrs : sequence of float
    n_seeds : int
        Seeds 100, 101, ... that are reported; they choose nothing.
    batch_size : int
    **options
        The method's own.

    Returns
    -------
    dict
        ``gaps`` [rates][seeds] (None where a run diverged), ``best`` (index of the chosen rate), ``inside`` (whether
        it has two neighbours).
    """

    def gaps(seeds: Sequence[int]) -> Array:
        shared: dict[str, Any] = {"batch_size": batch_size, "record": 1, "progress": False}
        run = simulate(problem, method, steps, base_lr=lrs, seeds=seeds, **shared, **options)
        return np.where(run.diverged[0] | ~np.isfinite(run.final[0]), np.inf, run.final[0] - problem.f_star)

    best = int(np.argmin(np.log(np.maximum(gaps(TUNING_SEEDS), FLOOR)).mean(axis=1)))
    reported = gaps(range(100, 100 + n_seeds))
    shown = [[float(gap) if np.isfinite(gap) else None for gap in row] for row in reported]
    return {"gaps": shown, "best": best, "inside": 0 < best < len(lrs) - 1}


def ratio(candidate: Sequence[float | None], reference: Sequence[float | None]) -> tuple[float, float, float]:
    """Return the geometric mean of candidate / reference with its 95% t interval; infinite if one diverged.

    The values are paired by what was drawn independently: seeds, or instances of a problem.

    >>> mean, low, high = ratio([2.0, 4.0, 8.0], [1.0, 2.0, 4.1])
    >>> round(mean, 2), low < 2.0 < high
    (1.98, True)
    """
    if any(value is None for value in (*candidate, *reference)):
        return np.inf, np.inf, np.inf
    above, below = (np.log(np.maximum(np.array(values, dtype=np.float64), FLOOR)) for values in (candidate, reference))
    interval = t_interval(above - below)
    return float(np.exp(interval.value)), float(np.exp(interval.low)), float(np.exp(interval.high))
