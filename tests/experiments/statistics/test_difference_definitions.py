"""Every number of a difference and of Holm's correction, from SciPy's tests and the docstrings."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from statistics_references import literal_holm, one_sided, refused, response

from lastiterate.experiments.statistics import (
    Contrast,
    Plan,
    as_losses,
    compare,
    detectable_difference,
    equivalence,
    fit_response,
    holm,
    holm_confidence,
    paired_difference,
)


def test_differences_that_are_equal_up_to_rounding_are_none():
    found = paired_difference([1.0, 3.0, 1e10], [1.0 + 2e-16, 3.0 - 4e-16, 1e10 + 2e-6])
    assert (found.mean, found.p_value, found.n_below) == (0.0, 1.0, 2)
    found = paired_difference([1.0, 2.0, 3.0], [1.0 + 4e-14, 2.0, 3.0])
    assert found.mean != 0.0
    assert found.p_value < 1.0
    assert paired_difference([1.0], [1.0]).p_value != 1.0  # one pair says nothing


@pytest.mark.parametrize(
    ("candidate", "reference"),
    [
        ([1.0], [2.0]),
        ([1.0, math.inf], [1.0, 1.0]),
        ([math.inf, math.inf], [1.0, 1.0]),
        ([math.inf, 1.0], [math.inf, 2.0]),
        ([math.inf], [-math.inf]),
        ([1.0, 2.0], [1.0, 2.0]),
        ([2.0, 3.0], [1.0, 2.0]),
    ],
)
def test_nothing_is_heard_where_there_is_no_statement(candidate, reference):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired_difference(candidate, reference)
        assert math.isnan(equivalence(candidate, reference, 1.0))
    assert found.p_value == 1.0 if candidate == reference else math.isnan(found.p_value)
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_run_that_diverged_equals_no_other(value):
    """Whichever side it is on, and however many seeds are like it."""
    for candidate in ([1.0, value, 3.0], [value] * 3, [-value, value, 1.0]):
        reference = [1.0, 2.0, 3.0]
        for a, b in ((candidate, reference), (reference, candidate)):
            found = paired_difference(a, b)
            assert math.isnan(found.mean)
            assert math.isnan(found.p_value)
            assert math.isnan(found.spread)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert math.isnan(equivalence(a, b, 0.5))
                assert math.isnan(equivalence(a, b, 0.5, relative=True))
            (compared,) = compare({"a": a, "b": b}, Plan((Contrast("a", "b", 0.5),)))
            assert (compared.differs, compared.matches) == (False, False)


def test_small_integers_do_not_wrap_around():
    a, b = np.array([1, 2, 5], dtype=np.uint8), np.array([2, 4, 6], dtype=np.uint8)
    assert paired_difference(a, b) == paired_difference(a.astype(float), b.astype(float))
    assert paired_difference(a, b.astype(float)) == paired_difference(a.astype(float), b)
    assert equivalence(a, b, 5.0) == equivalence(a.astype(float), b.astype(float), 5.0)
    assert as_losses(a, True).tolist() == [-1.0, -2.0, -5.0]
    assert fit_response(a, [3.0, 1.0, 2.0]) == fit_response(a.astype(float), [3.0, 1.0, 2.0])


def test_halves_are_computed_with_as_doubles():
    lrs, losses = np.float16([1, 2, 4, 8]), np.float16([6e4, -6e4, 0.0, 6e4])
    assert fit_response(lrs, losses) == fit_response(lrs.astype(float), losses.astype(float))
    fit = fit_response([0.1, 0.2, 0.4, 0.8], response([0.1, 0.2, 0.4, 0.8], 0.04, 1.0))
    assert fit(np.float16([0.5])).dtype == np.float64
    halves = np.float16([0.01, 0.02, 0.5])
    assert holm(halves).tolist() == holm(halves.astype(float)).tolist()
    assert holm_confidence(halves).tolist() == holm_confidence(halves.astype(float)).tolist()
    a, b = np.float16([1.0, 2.0, 4.0]), np.float16([1.5, 2.25, 4.5])
    assert paired_difference(a, b) == paired_difference(a.astype(float), b.astype(float))
    assert as_losses(a).dtype == np.float64


def test_fields_of_a_difference():
    a, b = [1.0, 2.5, 2.0, math.inf], [1.5, 2.0, math.nan, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired_difference(a, b, confidence=0.8)
    assert (found.confidence, found.n, found.n_below) == (0.8, 4, 2)
    assert math.isnan(found.spread)
    assert math.isnan(found.mean)
    assert math.isnan(paired_difference([1.0], [2.0]).spread)
    assert paired_difference([1.0], [2.0]).mean == -1.0
    assert paired_difference([1.0, 2.0, 4.0], [0.0, 0.0, 0.0]).confidence == 0.95
    assert paired_difference([1.0, 3.0], [0.0, 0.0]).spread == pytest.approx(math.sqrt(2.0))
    assert paired_difference([math.nan, 1.0], [math.inf, 1.0]).n_below == 0


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("level", [2.0, 0.5, -2.0])
def test_equivalence_vs_scipy(relative, level):
    rng = np.random.default_rng(3)
    reference = level + 0.05 * level * rng.normal(size=7)
    candidate = reference + 0.03 + 0.02 * rng.normal(size=7)
    shift = 0.02 * np.abs(reference) if relative else 0.05
    expected = one_sided(candidate, reference, shift)
    found = equivalence(candidate, reference, 0.02 if relative else 0.05, relative=relative)
    assert found == pytest.approx(expected, rel=1e-9)
    assert 1e-9 < found < 1.0
    mirrored = one_sided(2 * reference - candidate, reference, shift)
    assert equivalence(2 * reference - candidate, reference, 0.02 if relative else 0.05, relative=relative) == (
        pytest.approx(mirrored, rel=1e-9)
    )
    if not relative:
        assert equivalence(candidate, reference, 0.05) == found


def test_equivalence_makes_no_statement_without_a_spread():
    assert math.isnan(equivalence([1.0], [1.0], 0.1))
    assert math.isnan(equivalence([1.0, math.nan], [1.0, 1.0], 0.1))
    assert math.isnan(equivalence([1.0, 2.0], [1.0, 2.0], 0.1))
    assert math.isnan(equivalence([1.0, 1.0], [1.0, 1.0 + 1e-13], 0.1))
    assert not math.isnan(equivalence([1.0, 1.0], [1.0, 1.0 + 1e-11], 0.1))
    for margin in (0.0, -1.0, math.nan, "1"):
        assert refused(lambda margin=margin: equivalence([1.0, 2.0], [1.0, 2.0], margin)) == "margin"


def test_pairs_are_checked_by_name():
    for candidate, reference, name in (
        ([1.0], [], "reference"),
        ([1.0], [[1.0]], "reference"),
        (1.0, 1.0, "reference"),
        ([1.0, 2.0], [1.0], "candidate"),
        ([[1.0]], [1.0], "candidate"),
    ):
        assert refused(lambda c=candidate, r=reference: paired_difference(c, r)) == name
        assert refused(lambda c=candidate, r=reference: equivalence(c, r, 1.0)) == name


P_VALUES = [
    [0.01, 0.04, 0.03, 0.5],
    [0.5, 0.5],
    [0.2],
    [1.0, 0.0],
    [0.001, math.nan, 0.02, 0.03],
    [0.02, 0.02, 0.02],
    [0.9, 0.8, 0.7],
    [math.nan, math.nan],
    [0.0125, 0.0166, 0.025, 0.05],
    [0.001, 0.0005] * 20,
]


@pytest.mark.parametrize("p_values", P_VALUES)
def test_holm_by_hand(p_values):
    assert holm(p_values).tolist() == pytest.approx(literal_holm(p_values), rel=1e-14, nan_ok=True)
    assert holm(np.array(p_values)).dtype == np.float64


@pytest.mark.parametrize("level", [0.05, 0.2])
@pytest.mark.parametrize("p_values", P_VALUES)
def test_confidence_of_holm_by_hand(p_values, level):
    """What each p value was compared with: level / k for the smallest, level / (k - 1) for the next, ..."""
    size = len(p_values)
    order = sorted(range(size), key=lambda k: (math.isnan(p_values[k]), p_values[k]))
    expected, compared = [0.0] * size, 0
    for k in order:
        expected[k] = 1.0 - level / (size - compared)
        if p_values[k] <= level / (size - compared) + 1e-15 and compared < size - 1:
            compared += 1
    if level == 0.05:
        assert holm_confidence(p_values).tolist() == holm_confidence(p_values, 0.05).tolist()
    assert holm_confidence(p_values, level).tolist() == pytest.approx(expected, rel=1e-14)


def test_arguments_of_holm():
    for bad in ([-0.1, 0.5], [0.5, 1.1], [[0.5]], 0.5):
        assert refused(lambda bad=bad: holm(bad)) == "p_values"
        assert refused(lambda bad=bad: holm_confidence(bad)) == "p_values"
    for level in (-0.5, 2.0):
        assert refused(lambda level=level: holm_confidence([0.5], level)) == "level"
    assert holm([0.0, 1.0]).tolist() == [0.0, 1.0]
    assert holm_confidence([]).tolist() == []


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize(
    ("power", "level", "n_contrasts"), [(0.8, 0.05, 1), (0.9, 0.2, 1), (0.5, 0.05, 4), (0.06, 0.05, 2)]
)
def test_detectable_difference_vs_the_noncentral_t_distribution(n, power, level, n_contrasts):
    found = detectable_difference(n, 2.0, power=power, level=level, n_contrasts=n_contrasts)
    critical = stats.t.ppf(1.0 - level / (2 * n_contrasts), n - 1)
    assert stats.nct.sf(critical, n - 1, found / 2.0 * math.sqrt(n)) == pytest.approx(power, rel=1e-6)


def test_defaults_and_arguments_of_what_is_detectable():
    assert detectable_difference(7) == detectable_difference(7, 1.0, power=0.8, level=0.05, n_contrasts=1)
    assert detectable_difference(1, 0.0) == math.inf
    assert detectable_difference(2, 0.0) == 0.0
    for arguments, options, name in (
        ((0,), {}, "n"),
        ((2.5,), {}, "n"),
        ((3, -1.0), {}, "spread"),
        ((3, math.nan), {}, "spread"),
        ((3,), {"power": 0.04}, "power"),
        ((3,), {"power": 0.15, "level": 0.2}, "power"),
        ((3,), {"power": 1.1}, "power"),
        ((3,), {"level": -0.1}, "level"),
        ((3,), {"level": 1.1}, "level"),
        ((3,), {"n_contrasts": 0}, "n_contrasts"),
        ((3,), {"n_contrasts": 1.5}, "n_contrasts"),
    ):
        assert refused(lambda a=arguments, o=options: detectable_difference(*a, **o)) == name
