"""Ranks against SciPy, Demsar's table and simulated null data."""

import math

import numpy as np
import pytest
from scipy import stats

from lastiterate.experiments.statistics import critical_difference, rank_correlation, rank_over_workloads
from lastiterate.theory.base.validation import InputError

# Demsar, JMLR 7 (2006), table 5(a): critical values of the two-tailed Nemenyi test for 2 to 10 classifiers
DEMSAR = {
    0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
    0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
}


@pytest.mark.parametrize("level", DEMSAR)
def test_critical_difference_vs_the_published_table(level):
    for k, q in zip(range(2, 11), DEMSAR[level], strict=True):
        assert critical_difference(k, 7, level) == pytest.approx(q * math.sqrt(k * (k + 1) / 42.0), rel=6e-4)


@pytest.mark.parametrize(("n_schedules", "n_workloads"), [(3, 4), (6, 10)])
def test_nemenyi_finds_a_difference_in_noise_at_most_as_often_as_it_says(n_schedules, n_workloads):
    rng = np.random.default_rng(7)
    names = [f"s{k}" for k in range(n_schedules)]
    found = 0
    for _ in range(1000):
        scores = rng.normal(size=(n_workloads, n_schedules))
        ranking = rank_over_workloads([dict(zip(names, row, strict=True)) for row in scores])
        best, worst = (pick(ranking.mean_ranks, key=ranking.mean_ranks.get) for pick in (min, max))
        found += ranking.differ(best, worst)
    assert found <= 50 + 3 * math.sqrt(1000 * 0.05 * 0.95)


def test_few_workloads_or_schedules_have_no_critical_difference():
    assert math.isnan(rank_over_workloads([{"a": 1.0, "b": 2.0}]).critical_difference)
    assert math.isnan(rank_over_workloads([{"a": 1.0}, {"a": 2.0}]).critical_difference)
    with pytest.raises(InputError, match="scores"):
        rank_over_workloads([])


def test_ranks_vs_hand():
    ranking = rank_over_workloads(
        [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 2.0, "b": 1.0, "c": math.inf}, {"a": 5.0, "b": 5.0, "c": 9.0}]
    )
    assert ranking.mean_ranks == {"a": 1.5, "b": 1.5, "c": 3.0}
    oracle = stats.friedmanchisquare([1, 2, 1.5], [2, 1, 1.5], [3, 3, 3])
    assert ranking.p_value == pytest.approx(oracle.pvalue)


def test_rank_correlation():
    assert rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(2 / 3)
    assert rank_correlation([1, 2], [2, 1]) == -1.0
    assert math.isnan(rank_correlation([1, 1], [2, 1]))
    assert math.isnan(rank_correlation([1], [2]))
