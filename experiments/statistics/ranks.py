"""Ranks of schedules over workloads: Friedman's test, Nemenyi's critical difference, agreement of two lists."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import InputError, check_count, check_fraction

from .response import as_losses

__all__ = ["Ranking", "critical_difference", "rank_correlation", "rank_over_workloads"]


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over workloads, and how far apart two of them have to be.

    Attributes
    ----------
    mean_ranks : dict of str to float
        Mean rank of each schedule, 1 for the best.
    p_value : float
        Friedman's test that all schedules are alike; NaN under three workloads or schedules.
    n_workloads : int
    critical_difference : float
        Two mean ranks that differ by less do not differ at ``level`` (Nemenyi); NaN under two workloads or schedules.
    level : float
        Level of the critical difference, over all pairs of schedules.
    """

    mean_ranks: dict[str, float] = field(hash=False)
    p_value: float
    n_workloads: int
    critical_difference: float
    level: float

    def differ(self, first: str, second: str) -> bool:
        """Return whether the mean ranks of two schedules differ by more than the critical difference."""
        return abs(self.mean_ranks[first] - self.mean_ranks[second]) > self.critical_difference


def critical_difference(n_schedules: int, n_workloads: int, level: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks.

    Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), section 3.2.2: the quantile
    of the studentized range over sqrt(2), times sqrt(k (k + 1) / (6 N)). It takes the workloads as independent: three
    sizes of one model are one workload.

    Parameters
    ----------
    n_schedules, n_workloads : int
        Numbers k and N of what is ranked, and of rankings.
    level : float
        Probability of finding any difference where there is none.

    Returns
    -------
    float
        NaN under two schedules.

    Raises
    ------
    InputError
        Naming the argument, its value and what is expected.

    Examples
    --------
    >>> round(critical_difference(6, 10), 2)
    2.38
    """
    k, n = check_count(n_schedules, "n_schedules"), check_count(n_workloads, "n_workloads")
    check_fraction(level, "level")
    if k < 2:
        return math.nan
    return _range_quantile(k, level) * math.sqrt(k * (k + 1) / (12.0 * n))


@lru_cache(maxsize=64)
def _range_quantile(k: int, level: float) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1.0 - level, k, np.inf))


def rank_over_workloads(scores: Sequence[Mapping[str, float]], level: float = 0.05) -> Ranking:
    """Rank the schedules on each workload, 1 for the best (lowest) score, and average.

    Parameters
    ----------
    scores : sequence of mapping of str to float
        One mapping a workload, from schedule to score, lower is better, not finite is worst. Schedules missing
        somewhere are left out.
    level : float
        Level of the critical difference.

    Returns
    -------
    Ranking

    Raises
    ------
    InputError
        For an empty sequence, or a level not between 0 and 1.

    Examples
    --------
    >>> ranking = rank_over_workloads([{"a": 1.0, "b": 2.0}, {"a": 5.0, "b": 5.0}])
    >>> ranking.mean_ranks, ranking.differ("a", "b")
    ({'a': 1.25, 'b': 1.75}, False)
    """
    from scipy.stats import friedmanchisquare, rankdata

    if not scores:
        raise InputError("scores", "an empty sequence", "the scores of at least one workload")
    names = [name for name in scores[0] if all(name in row for row in scores)]
    table = np.array([[as_losses(row[name]) for name in names] for row in scores], dtype=np.float64)
    ranks = rankdata(table, axis=1)
    p_value = math.nan
    if len(scores) >= 3 and len(names) >= 3 and np.ptp(ranks, axis=1).any():
        p_value = float(friedmanchisquare(*ranks.T).pvalue)
    means = ranks.mean(axis=0)
    distance = critical_difference(len(names), len(scores), level) if len(names) > 1 < len(scores) else math.nan
    return Ranking(dict(zip(names, map(float, means), strict=True)), p_value, len(scores), distance, level)


def rank_correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return Kendall's tau-b of two lists of scores; NaN if one of them is constant or there are fewer than two.

    >>> rank_correlation([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    1.0
    """
    from scipy.stats import kendalltau

    a, b = as_losses(first), as_losses(second)
    if a.size < 2 or np.unique(a).size < 2 or np.unique(b).size < 2:
        return math.nan
    outcome: Any = kendalltau(a, b)
    return round(float(outcome.statistic), 12)
