"""Methods compared as they should be: a rate chosen on some seeds, gaps to the minimum on others, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastiterate.theory.base.intervals import t_interval
from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIRST_REPORTED", "TUNING_SEEDS", "choose", "gap_table", "ratio", "seed_gaps", "tuned_gaps"]

TUNING_SEEDS = (0, 1, 2)
FIRST_REPORTED = 100
FLOOR = 1e-15
Values = Sequence[float | None] | Array


def gap_table(
    problem: Problem,
    method: str,
    steps: Array,
    lrs: Sequence[float] | Array,
    n_seeds: int,
    batch_size: int | None,
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
    batch_size : int or None
    **options
        The method's own.

    Returns
    -------
    dict
        ``gaps`` [rates][seeds] (None where a run diverged), ``best`` (index of the chosen rate), ``inside`` (whether
        it has two neighbours).
    """
    best = choose(seed_gaps(problem, method, steps, lrs, TUNING_SEEDS, batch_size, **options)[0])
    reported = range(FIRST_REPORTED, FIRST_REPORTED + n_seeds)
    gaps = seed_gaps(problem, method, steps, lrs, reported, batch_size, **options)[0]
    return {"gaps": [_plain(row) for row in gaps], "best": best, "inside": 0 < best < len(lrs) - 1}


def tuned_gaps(
    problem: Problem,
    method: str,
    shapes: Mapping[str, Array],
    lrs: Array,
    n_seeds: int,
    batch_size: int | None,
    **options: Any,
) -> dict[str, Any]:
    """Return, for every schedule, the gaps of the reported seeds at the rate that the tuning seeds choose for it.

    Parameters
    ----------
    problem, method, n_seeds, batch_size, **options
        As in `gap_table`.
    shapes : mapping of str to float64[N]
        The schedules.
    lrs : float64[rates]

    Returns
    -------
    dict
        By schedule: ``gaps`` [seeds] (None where a run diverged), ``base_lr`` and ``inside``.
    """
    names = list(shapes)
    tuning = seed_gaps(
        problem, method, np.array([shapes[name] for name in names]), lrs, TUNING_SEEDS, batch_size, **options
    )
    reported = range(FIRST_REPORTED, FIRST_REPORTED + n_seeds)
    found: dict[str, Any] = {}
    for name, gaps in zip(names, tuning, strict=True):
        best = choose(gaps)
        fresh = seed_gaps(problem, method, shapes[name], lrs[best : best + 1], reported, batch_size, **options)
        inside = 0 < best < len(lrs) - 1
        found[name] = {"gaps": _plain(fresh[0, 0]), "base_lr": float(lrs[best]), "inside": inside}
    return found


def seed_gaps(
    problem: Problem,
    method: str,
    steps: Array,
    lrs: Sequence[float] | Array,
    seeds: Sequence[int],
    batch_size: int | None,
    **options: Any,
) -> Array:
    """Return final gaps to the minimum, float64[schedule, rate, seed]; infinite where a run diverged."""
    shared: dict[str, Any] = {"batch_size": batch_size, "record": 1, "progress": False}
    run = simulate(problem, method, steps, base_lr=lrs, seeds=seeds, **shared, **options)
    return np.where(run.diverged | ~np.isfinite(run.final), np.inf, run.final - problem.f_star)


def choose(gaps: Array) -> int:
    """Return the row, a base learning rate, with the least geometric mean over the seeds.

    >>> choose(np.array([[2.0, 2.0], [0.5, 3.0], [np.inf, 0.1]]))
    1
    """
    return int(np.argmin(np.log(np.maximum(gaps, FLOOR)).mean(axis=1)))


def _plain(gaps: Array) -> list[float | None]:
    return [float(gap) if np.isfinite(gap) else None for gap in gaps]


def ratio(candidate: Values, reference: Values) -> tuple[float, float, float]:
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
