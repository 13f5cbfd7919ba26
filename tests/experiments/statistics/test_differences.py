"""Paired differences against SciPy, literal procedures, hand-made cases, and coverage on simulated data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lastiterate.experiments.statistics import (
    detectable_difference,
    equivalence,
    holm,
    holm_confidence,
    median_interval,
    paired_difference,
    t_interval,
)
from lastiterate.theory.base.validation import InputError

REPETITIONS = 1000
FINITE = st.floats(-1e6, 1e6).filter(lambda value: abs(value) > 1e-6)


def slack(rate: float) -> float:
    """Three standard errors of a share that is counted over the repetitions."""
    return 3.0 * math.sqrt(rate * (1.0 - rate) / REPETITIONS)


@pytest.mark.parametrize("n", [2, 4, 9, 30])
def test_difference_vs_scipy(n):
    rng = np.random.default_rng(n)
    reference, candidate = rng.normal(size=n), rng.normal(size=n)
    found = paired_difference(candidate, reference, confidence=0.9)
    oracle = stats.ttest_rel(candidate, reference)
    interval = oracle.confidence_interval(0.9)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (np.mean(candidate - reference), interval.low, interval.high)
    )
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert found.n_below == sum(candidate < reference)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=12), st.floats(0.5, 0.999))
def test_interval_p_value_and_sign_agree(pairs, confidence):
    candidate, reference = np.array(pairs).T
    found = paired_difference(candidate, reference, confidence=confidence)
    assert found.low <= found.mean <= found.high
    excludes = found.low > 0.0 or found.high < 0.0
    if abs(found.p_value - (1.0 - confidence)) > 1e-9 and not math.isnan(found.p_value):
        assert excludes == (found.p_value < 1.0 - confidence)
    if excludes:
        assert np.sign(found.low) == np.sign(found.high) == np.sign(found.mean)
    mirrored = paired_difference(reference, candidate, confidence=confidence)
    assert (mirrored.mean, mirrored.low, mirrored.high) == (-found.mean, -found.high, -found.low)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_t_intervals_cover_and_null_tests_keep_their_level(n):
    rng = np.random.default_rng(100 + n)
    pairs = rng.normal(size=(REPETITIONS, 2, n)) + rng.normal(size=(REPETITIONS, 1, n))  # a seed shifts both
    found = [paired_difference(a, b) for a, b in pairs]
    covered = np.mean([d.low <= 0.0 <= d.high for d in found])
    assert abs(covered - 0.95) <= slack(0.95)
    assert np.mean([d.p_value <= 0.05 for d in found]) <= 0.05 + slack(0.05)


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("relative", [False, True])
def test_equivalence_keeps_its_level_at_the_margin_and_is_found_inside(n, relative):
    rng = np.random.default_rng(200 + n)
    base = 2.0 + 0.01 * rng.normal(size=(REPETITIONS, n))
    margin, shift = (0.01, 0.02) if relative else (0.02, 0.02)
    at_margin = base + shift + 0.01 * rng.normal(size=base.shape)

    def claimed(candidates):
        pairs = zip(candidates, base, strict=True)
        return np.mean([equivalence(a, b, margin, relative=relative) <= 0.05 for a, b in pairs])

    assert claimed(at_margin) <= 0.05 + slack(0.05)
    assert claimed(base + 0.001 * rng.normal(size=base.shape)) > 0.95


@given(st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=9), st.floats(0.01, 10.0))
def test_equivalence_vs_scipys_one_sided_tests(pairs, margin):
    candidate, reference = np.array(pairs).T
    difference = candidate - reference
    if np.ptp(difference) <= 1e-6 * np.abs(difference).max():
        return
    above = stats.ttest_1samp(difference, margin, alternative="less").pvalue
    below = stats.ttest_1samp(difference, -margin, alternative="greater").pvalue
    assert equivalence(candidate, reference, margin) == pytest.approx(max(above, below), abs=1e-6)


def test_relative_margin_of_negative_values_is_that_of_the_mirrored_ones():
    reference, candidate = np.array([1.0, 1.2, 0.9, 1.1]), np.array([1.01, 1.19, 0.905, 1.1])
    found = equivalence(candidate, reference, 0.02, relative=True)
    assert equivalence(-candidate, -reference, 0.02, relative=True) == pytest.approx(found)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=7), st.floats(0.01, 0.5))
def test_holm_vs_stepping_down_literally(p_values, level):
    rejected, order = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, k in enumerate(order):
        if p_values[k] > level / (len(p_values) - rank):
            break
        rejected.add(k)
    corrected = holm(p_values)
    for k, p in enumerate(corrected):
        if abs(p - level) > 1e-12:
            assert (p <= level) == (k in rejected)


def test_holm_counts_contrasts_without_a_statement():
    assert holm([0.01, math.nan]).tolist() == pytest.approx([0.02, math.nan], nan_ok=True)
    assert holm([]).tolist() == []
    for bad in ([-0.1], [1.1], [[0.5]]):
        with pytest.raises(InputError, match="p_values"):
            holm(bad)


@pytest.mark.parametrize(("n", "n_contrasts"), [(3, 1), (5, 4), (10, 4)])
def test_detectable_difference_is_detected_as_often_as_it_says(n, n_contrasts):
    shift = detectable_difference(n, 2.0, n_contrasts=n_contrasts)
    rng = np.random.default_rng(n)
    samples = shift + 2.0 * rng.normal(size=(4 * REPETITIONS, n))
    t = samples.mean(axis=1) / samples.std(axis=1, ddof=1) * math.sqrt(n)
    found = np.mean(stats.t.sf(t, n - 1) <= 0.025 / n_contrasts)
    assert abs(found - 0.8) <= 3.0 * math.sqrt(0.16 / (4 * REPETITIONS))


def test_what_can_be_detected_with_few_seeds():
    assert detectable_difference(1) == math.inf
    assert detectable_difference(2, 0.0) == 0.0
    assert detectable_difference(3, n_contrasts=4) > 7.0 * detectable_difference(20, n_contrasts=4)
    with pytest.raises(InputError, match="power"):
        detectable_difference(3, power=0.01)


@pytest.mark.parametrize("pair", [([2.0], [1.0]), ([1.5, 2.5, 3.5], [1.0, 2.0, 3.0])])
def test_without_a_spread_there_is_no_statement(pair):
    found = paired_difference(*pair)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(found.p_value)
    assert math.isnan(equivalence(*pair, 100.0))


def test_equal_runs_are_no_difference_and_no_proof_of_equality():
    found = paired_difference([1.0, 2.0], [1.0, 2.0])
    assert (found.mean, found.p_value, found.low, found.high) == (0.0, 1.0, -math.inf, math.inf)


def test_a_diverged_run_makes_no_statement_and_is_worse():
    found = paired_difference([1.0, math.nan, 0.5], [1.0, 2.0, 1.0])
    assert math.isnan(found.mean)
    assert math.isnan(found.p_value)
    assert (found.low, found.high, found.n_below) == (-math.inf, math.inf, 1)
    assert paired_difference([1.0, 1.0], [math.nan, math.inf]).n_below == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired_difference([1.0], [1.0, 2.0]),
        lambda: paired_difference([], []),
        lambda: paired_difference([1.0, 2.0], [1.0, 2.0], confidence=1.5),
        lambda: equivalence([1.0, 2.0], [1.0, 2.0], -1.0),
        lambda: t_interval([]),
        lambda: t_interval([[1.0]]),
        lambda: t_interval([1.0, 2.0], level=-0.1),
        lambda: median_interval([]),
        lambda: median_interval([math.nan, 1.0]),
        lambda: median_interval([1.0, 2.0], level=2.0),
    ],
)
def test_bad_input(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize("n", [1, 2, 5, 6, 10, 25])
def test_median_interval_vs_simulation_of_its_level(n):
    rng = np.random.default_rng(n)
    found = [median_interval(values) for values in rng.exponential(size=(REPETITIONS, n))]
    level = found[0].level
    covered = np.mean([interval.low <= math.log(2.0) <= interval.high for interval in found])
    assert abs(covered - level) <= slack(level)
    assert (level >= 0.95) == (n >= 6)


def test_median_interval_vs_binomial_sums():
    found = median_interval(np.arange(1.0, 13.0), 0.9)
    inside = sum(math.comb(12, k) for k in range(3, 10)) / 2**12  # between the 3rd and the 10th value
    assert (found.value, found.low, found.high) == (7.0, 3.0, 10.0)
    assert found.level == pytest.approx(inside)
    assert 1.0 - 2.0 * sum(math.comb(12, k) for k in range(4)) / 2**12 < 0.9


def test_median_of_diverged_runs():
    found = median_interval([1.0, 2.0, 3.0, np.inf, np.inf])
    assert (found.value, found.low, found.high) == (3.0, 1.0, np.inf)
    assert median_interval([np.inf, np.inf]).value == np.inf


P_VALUES = st.lists(st.one_of(st.floats(0.0, 1.0), st.just(math.nan)), max_size=8)


@given(P_VALUES, st.sampled_from([0.01, 0.05, 0.2]))
def test_an_interval_excludes_zero_exactly_where_holm_finds_a_difference(p_values, level):
    p, confidence = np.array(p_values), holm_confidence(p_values, level)
    assert (confidence >= 1.0 - level - 1e-12).all()
    near = np.abs(p - (1.0 - confidence)) < 1e-9  # there rounding decides
    assert ((p <= 1.0 - confidence) == (holm(p_values) <= level))[~near].all()
