"""Every number of a ranking, from SciPy's tests and the definitions in the docstrings, one by one."""

import math

import numpy as np
import pytest
from scipy import stats
from statistics_references import refused

from lastiterate.experiments.statistics import (
    Ranking,
    critical_difference,
    rank_correlation,
    rank_over_workloads,
)
from lastiterate.theory.base.validation import InputError


def test_critical_difference_vs_scipys_studentized_range():
    for k, n, level in ((2, 1, 0.05), (3, 4, 0.1), (6, 10, 0.01)):
        quantile = stats.studentized_range.ppf(1.0 - level, k, math.inf)
        expected = quantile / math.sqrt(2.0) * math.sqrt(k * (k + 1) / (6.0 * n))
        assert critical_difference(k, n, level) == pytest.approx(expected, rel=1e-9)
    assert critical_difference(3, 4) == critical_difference(3, 4, 0.05)
    assert math.isnan(critical_difference(1, 5))
    for arguments, name in (
        ((0, 5), "n_schedules"),
        ((2.5, 5), "n_schedules"),
        ((3, 0), "n_workloads"),
        ((3, 1.5), "n_workloads"),
        ((3, 5, -0.1), "level"),
        ((3, 5, 1.1), "level"),
        ((1, 5, 2.0), "level"),
    ):
        assert refused(lambda a=arguments: critical_difference(*a)) == name


def test_ranking_by_hand():
    scores = [
        {"a": 1.0, "b": 2.0, "c": 3.0, "only here": 0.0},
        {"b": 1.0, "c": math.inf, "a": 2.0},
        {"c": math.nan, "a": 5.0, "b": 5.0, "d": 1.0},
        {"a": 1.0, "b": 3.0, "c": 2.0},
    ]
    ranking = rank_over_workloads(scores, 0.1)
    assert ranking.mean_ranks == {"a": 1.375, "b": 1.875, "c": 2.75}
    oracle = stats.friedmanchisquare([1, 2, 1.5, 1], [2, 1, 1.5, 3], [3, 3, 3, 2])
    assert ranking.p_value == pytest.approx(oracle.pvalue, rel=1e-12)
    assert (ranking.n_workloads, ranking.level) == (4, 0.1)
    assert ranking.critical_difference == critical_difference(3, 4, 0.1)
    default = rank_over_workloads(scores)
    assert (default.level, default.critical_difference) == (0.05, critical_difference(3, 4))


def test_which_rankings_have_a_p_value_and_a_critical_difference():
    row, two = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.0, "b": 2.0}
    for scores, tested, distance in (
        ([row] * 3, True, 3),
        ([row] * 2, False, 3),
        ([two] * 3, False, 2),
        ([row], False, 0),
        ([{"a": 1.0}] * 3, False, 0),
        ([{"a": 1.0, "b": 1.0, "c": 1.0}] * 3, False, 3),
        ([row, row, {"a": 1.0, "b": 1.0, "c": 1.0}], True, 3),
    ):
        ranking = rank_over_workloads(scores)
        assert math.isnan(ranking.p_value) is not tested
        expected = critical_difference(distance, len(scores)) if distance else math.nan
        assert ranking.critical_difference == pytest.approx(expected, nan_ok=True)
    nothing = rank_over_workloads([{"a": 1.0}, {"b": 1.0}, {"c": 1.0}])
    assert (nothing.mean_ranks, nothing.n_workloads) == ({}, 3)
    assert math.isnan(nothing.critical_difference)
    assert refused(lambda: rank_over_workloads([])) == "scores"
    assert refused(lambda: rank_over_workloads([row, row], -0.1)) == "level"
    with pytest.raises(InputError, match="scores: expected the scores of at least one workload, got an empty sequence"):
        rank_over_workloads([])


def test_ranks_differ_by_more_than_the_critical_difference():
    ranking = Ranking({"a": 1.0, "b": 2.0, "c": 2.5}, 0.1, 3, 1.0, 0.05)
    assert not ranking.differ("a", "b")
    assert not ranking.differ("b", "a")
    assert ranking.differ("a", "c")
    assert ranking.differ("c", "a")


def test_rank_correlation_by_pairs():
    first, second = [1.0, 2.0, 2.0, 4.0, math.nan], [3.0, 1.0, 5.0, math.inf, math.nan]
    a, b = [1.0, 2.0, 2.0, 4.0, 9.0], [3.0, 1.0, 5.0, 9.0, 9.0]  # what is not finite is worst
    signs = [(np.sign(a[i] - a[k]), np.sign(b[i] - b[k])) for i in range(5) for k in range(i)]
    tau = sum(x * y for x, y in signs) / math.sqrt(sum(x * x for x, _ in signs) * sum(y * y for _, y in signs))
    assert rank_correlation(first, second) == pytest.approx(tau, abs=1e-12)
    assert rank_correlation([1, 2, 3], [1, 3, 2]) == round(1 / 3, 12)
    for constant in ([1.0, 1.0, 1.0], [math.nan, math.inf, math.inf]):
        assert math.isnan(rank_correlation(constant, [1.0, 2.0, 3.0]))
        assert math.isnan(rank_correlation([1.0, 2.0, 3.0], constant))
    assert math.isnan(rank_correlation([], []))
    assert math.isnan(rank_correlation([1.0], [1.0]))
    assert rank_correlation([1.0, 2.0], [1.0, 2.0]) == 1.0
