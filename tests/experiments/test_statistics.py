"""Statistics of replays against SciPy, textbook values and constructed cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lastiterate.experiments.statistics import (
    fit_response,
    paired_differences,
    rank_correlation,
    rank_over_workloads,
    where_is_best,
)
from lastiterate.theory.base.validation import InputError


def test_interval_of_few_pairs_vs_scipy_t():
    reference, candidate = np.array([1.0, 1.2, 0.9, 1.1]), np.array([0.8, 1.1, 0.85, 0.8])
    found = paired_differences(reference, {"a": candidate})["a"]
    oracle = stats.ttest_rel(candidate, reference)
    interval = oracle.confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((-0.1625, interval.low, interval.high))
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert found.method == "Student t"


def test_interval_of_many_pairs_is_a_bootstrap_that_covers():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        reference = rng.normal(size=20)
        found = paired_differences(reference, {"a": reference + 0.3 + rng.normal(size=20)})["a"]
        assert found.method == "bootstrap"
        covered += found.low <= 0.3 <= found.high
    assert covered >= 88


def test_correction_vs_literal_benjamini_yekutieli():
    rng = np.random.default_rng(1)
    reference = rng.normal(size=6)
    candidates = {f"s{k}": reference + k * 0.4 + rng.normal(size=6) for k in range(5)}
    found = paired_differences(reference, candidates)
    raw = sorted((difference.p_value, name) for name, difference in found.items())
    factor = sum(1 / k for k in range(1, 6))
    adjusted, smallest = {}, 1.0
    for rank in range(5, 0, -1):
        p_value, name = raw[rank - 1]
        smallest = min(smallest, p_value * 5 * factor / rank)
        adjusted[name] = smallest
    for name, value in adjusted.items():
        assert found[name].p_corrected == pytest.approx(value)


def test_one_seed_makes_no_statement():
    found = paired_differences([1.0], {"a": [2.0]})["a"]
    assert found.mean == 1.0
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(found.p_corrected)


def test_equal_runs_are_no_difference():
    found = paired_differences([1.0, 2.0], {"a": [1.0, 2.0]})["a"]
    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_pairs_must_match():
    with pytest.raises(InputError, match="a: expected 2 values"):
        paired_differences([1.0, 2.0], {"a": [1.0]})


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(-1, 1), st.integers(-3, 3))
def test_response_recovers_the_form(A, B, C, decade):
    scale = 10.0**decade
    lrs = scale * np.geomspace(0.3, 3.0, 6) * math.sqrt(A / B)
    fit = fit_response(lrs, A * scale / lrs + B / scale * lrs + C)
    assert fit is not None
    assert fit.best_lr == pytest.approx(scale * math.sqrt(A / B), rel=1e-3)
    assert pytest.approx((A * scale, B / scale), rel=1e-3) == (fit.A, fit.B)
    assert fit.relative_error < 1e-6


def test_response_ignores_divergence_and_explosions():
    lrs = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    values = 0.04 / lrs + lrs + 0.5
    values[4:] = [50.0, np.nan]
    fit = fit_response(lrs, values)
    assert fit is not None
    assert fit.best_lr == pytest.approx(0.2, rel=1e-6)
    assert fit.highest == 0.8
    assert fit_response([0.1, 0.2, 0.4], [1.0, np.inf, np.nan]) is None


def test_monotone_response_has_no_optimum():
    fit = fit_response([1.0, 2.0, 4.0], [4.0, 2.0, 1.0])
    assert fit is not None
    assert math.isnan(fit.best_lr)


@pytest.mark.parametrize(
    ("values", "higher", "expected"),
    [
        ([3, 1, 2], False, "interior"),
        ([3, 2, 1], False, "high"),
        ([1, 2, 3], False, "low"),
        ([1, 2, 3], True, "high"),
        ([3, 2, math.nan], False, "interior"),
        ([math.nan, 2, 3], False, "interior"),
        ([math.nan, math.nan], False, "none"),
        ([1.0], False, "high"),
    ],
)
def test_where_the_best_is(values, higher, expected):
    assert where_is_best(values, higher) == expected


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
