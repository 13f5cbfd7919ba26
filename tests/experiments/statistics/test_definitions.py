"""Every number and sentence of a comparison, from SciPy's tests and the definitions in the docstrings, one by one."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from lastiterate.experiments.statistics import (
    Comparison,
    Contrast,
    Difference,
    Plan,
    Ranking,
    Response,
    as_losses,
    compare,
    critical_difference,
    default_plan,
    detectable_difference,
    equivalence,
    fit_response,
    holm,
    holm_confidence,
    paired_difference,
    rank_correlation,
    rank_over_workloads,
    read_plan,
    where_is_best,
)
from lastiterate.theory.base.validation import InputError

RNG = np.random.default_rng(12)
BASE = 2.0 + 0.1 * RNG.normal(size=6)
VALUES = {
    "linear": BASE,
    "constant": BASE + 0.4 + 0.01 * RNG.normal(size=6),
    "cosine": BASE + 1e-3 * RNG.normal(size=6),
    "wsd": BASE + 0.2 * RNG.normal(size=6),
}
PLAN = Plan(
    (
        Contrast("constant", "linear", 0.5, relative=False),
        Contrast("cosine", "linear", 0.01),
        Contrast("wsd", "linear"),
        Contrast("wsd", "cosine", 0.02),
    ),
    0.1,
)


def refused(call):
    with pytest.raises(InputError) as caught:
        call()
    return caught.value.argument


def literal_holm(p_values):
    """The smallest of k times k, the next at least that and times k - 1, ..., at most one; NaN last."""
    order = sorted(range(len(p_values)), key=lambda k: (math.isnan(p_values[k]), p_values[k]))
    corrected, worst = [math.nan] * len(p_values), 0.0
    for rank, k in enumerate(order):
        if not math.isnan(p_values[k]):
            worst = max(worst, p_values[k] * (len(p_values) - rank))
            corrected[k] = min(worst, 1.0)
    return corrected


def one_sided(candidate, reference, shift):
    difference = candidate - reference
    above = stats.ttest_rel(candidate, reference + shift, alternative="less").pvalue
    below = stats.ttest_rel(candidate, reference - shift, alternative="greater").pvalue
    assert difference.size > 1
    return max(above, below)


def test_a_comparison_vs_scipy_and_steps_by_hand():
    found = compare(VALUES, PLAN)
    pairs = [(VALUES[c.candidate], VALUES[c.reference]) for c in PLAN.contrasts]
    tests = [stats.ttest_rel(a, b) for a, b in pairs]
    p_holm = literal_holm([test.pvalue for test in tests])
    equal = [
        one_sided(*pairs[0], 0.5),
        one_sided(*pairs[1], 0.01 * pairs[1][1]),
        one_sided(*pairs[3], 0.02 * pairs[3][1]),
    ]
    p_equal = literal_holm(equal)
    order = np.argsort([test.pvalue for test in tests])
    rejected = sum(p <= 0.1 for p in p_holm)
    for k, comparison in enumerate(found):
        a, b = pairs[k]
        assert comparison.contrast is PLAN.contrasts[k]
        assert comparison.level == 0.1
        assert comparison.p_holm == pytest.approx(p_holm[k], rel=1e-9)
        plain = tests[k].confidence_interval(0.9)
        assert (comparison.difference.low, comparison.difference.high) == pytest.approx((plain.low, plain.high))
        assert comparison.difference.confidence == 0.9
        rank = min(order.tolist().index(k), rejected)
        corrected = tests[k].confidence_interval(1.0 - 0.1 / (4 - rank))
        assert (comparison.low, comparison.high) == pytest.approx((corrected.low, corrected.high))
        assert comparison.detectable == pytest.approx(
            detectable_difference(6, float(np.std(a - b, ddof=1)), level=0.1, n_contrasts=4), rel=1e-9
        )
        assert comparison.difference.n == 6
        assert comparison.difference.n_below == sum(a < b)
        assert comparison.difference.spread == pytest.approx(np.std(a - b, ddof=1), rel=1e-9)
    assert [found[k].p_equivalent for k in (0, 1, 3)] == pytest.approx(p_equal, rel=1e-6)
    assert math.isnan(found[2].p_equivalent)
    assert found[2].matches is False


def test_values_of_a_comparison_are_checked():
    assert refused(lambda: compare({"linear": [1.0]}, PLAN)) == "plan"
    with pytest.raises(InputError, match="plan: expected schedules among linear, constant, got the schedule 'cosine'"):
        compare({"linear": [1.0, 2.0], "constant": [1.0, 2.0]}, PLAN)
    assert refused(lambda: compare({**VALUES, "wsd": [1.0, 2.0]}, PLAN)) == "candidate"


def difference(mean=0.25, **changes):
    plain = Difference(mean, mean - 0.125, mean + 0.125, 0.95, 0.01, 0.5, 5, 1)
    return dataclasses.replace(plain, **changes)


def comparison(**changes):
    plain = Comparison(
        Contrast("a", "b"), difference(), 0.125, 0.375, p_holm=0.02, p_equivalent=math.nan, detectable=0.5, level=0.05
    )
    return dataclasses.replace(plain, **changes)


MARGIN = Contrast("a", "b", 0.005)


@pytest.mark.parametrize(
    ("found", "higher", "words"),
    [
        (comparison(), False, "a is worse than b"),
        (comparison(), True, "a is better than b"),
        (comparison(difference=difference(-0.25)), False, "a is better than b"),
        (comparison(difference=difference(-0.25)), True, "a is worse than b"),
        (comparison(difference=difference(0.0)), True, "a is worse than b"),
        (comparison(p_holm=0.05), False, "a is worse than b"),
        (comparison(p_holm=0.051), False, "5 seeds cannot decide between a and b"),
        (comparison(p_holm=0.051, difference=difference(n=1)), False, "1 seed cannot decide between a and b"),
        (comparison(contrast=MARGIN, p_equivalent=0.05), False, "a is worse than b, by less than the margin of 0.5%"),
        (comparison(contrast=MARGIN, p_equivalent=0.051), False, "a is worse than b"),
        (comparison(contrast=MARGIN, p_equivalent=0.05, p_holm=0.5), False, "a matches b within 0.5%"),
        (
            comparison(contrast=Contrast("a", "b", 0.00125, relative=False), p_equivalent=0.05, p_holm=0.5),
            False,
            "a matches b within 0.00125",
        ),
        (comparison(contrast=MARGIN, p_equivalent=0.051, p_holm=0.5), False, "5 seeds cannot decide between a and b"),
        (comparison(p_holm=math.nan), False, "5 seeds cannot decide between a and b"),
        (comparison(contrast=Contrast("a", "b", relative=False)), False, "a is worse than b"),
    ],
)
def test_verdicts_in_words(found, higher, words):
    assert found.verdict(higher) == words
    assert found.sentence(higher).startswith(words)
    if not higher:
        assert found.verdict() == words


@pytest.mark.parametrize(
    ("found", "numbers"),
    [
        (comparison(), ": a - b = +0.25 [0.125, 0.375], p = 0.02, 1 of 5 seeds below"),
        (
            comparison(contrast=MARGIN, p_equivalent=0.0312),
            ": a - b = +0.25 [0.125, 0.375], p = 0.02, of a match within 0.5% 0.031, 1 of 5 seeds below",
        ),
        (
            comparison(p_holm=0.5),
            ": a - b = +0.25 [0.125, 0.375], p = 0.5, 1 of 5 seeds below; they would have found a difference of 0.5",
        ),
        (
            comparison(p_holm=0.5, contrast=MARGIN, p_equivalent=0.01),
            ": a - b = +0.25 [0.125, 0.375], p = 0.5, of a match within 0.5% 0.01, 1 of 5 seeds below",
        ),
        (comparison(p_holm=0.5, detectable=math.inf), ": a - b = +0.25 [0.125, 0.375], p = 0.5, 1 of 5 seeds below"),
        (
            comparison(p_holm=math.nan, low=-math.inf, high=math.inf, detectable=math.inf),
            ": a - b = +0.25, 1 of 5 seeds below",
        ),
        (
            comparison(difference=difference(math.nan), p_holm=math.nan, low=-math.inf, detectable=math.nan),
            ", 1 of 5 seeds below",
        ),
    ],
)
def test_sentences(found, numbers):
    assert found.sentence() == found.verdict() + numbers
    assert found.sentence(True) == found.verdict(True) + numbers


def test_what_one_seed_or_a_diverged_run_could_have_found():
    plan = Plan((Contrast("a", "b", 0.01),))
    (alone,) = compare({"a": [1.0], "b": [2.0]}, plan)
    assert (alone.detectable, alone.differs, alone.matches, alone.level) == (math.inf, False, False, 0.05)
    (diverged,) = compare({"a": [1.0, math.nan], "b": [2.0, 1.0]}, plan)
    assert math.isnan(diverged.detectable)
    assert math.isnan(diverged.p_holm)
    assert diverged.difference.n_below == 1


def test_contrasts_and_plans():
    contrast = Contrast("a", "b")
    assert (contrast.name, contrast.margin, contrast.relative) == ("a - b", None, True)
    assert Plan((contrast,)).level == 0.05
    for arguments, name in (
        (("", "b"), "candidate"),
        ((1, "b"), "candidate"),
        (("a", ""), "reference"),
        (("a", None), "reference"),
        (("a", "a"), "reference"),
        (("a", "b", 0.0), "margin"),
        (("a", "b", -1.0), "margin"),
        (("a", "b", None, 1), "relative"),
        (("a", "b", 0.1, "yes"), "relative"),
    ):
        assert refused(lambda arguments=arguments: Contrast(*arguments)) == name


def test_names_among_those_that_are_there():
    plan = Plan((Contrast("wsd", "linear", 0.3, relative=False), Contrast("linear", "rex")), 0.2)
    found = plan.among(iter(["wsd:cooldown=0.1:x=2", "linear:warmup=3", "cosine"]))
    assert found == Plan((Contrast("wsd:cooldown=0.1:x=2", "linear:warmup=3", 0.3, relative=False),), 0.2)
    assert plan.among(["wsd", "wsd:cooldown=0.1", "linear"]).contrasts[0].candidate == "wsd"
    for there in (["wsd:a=1", "wsd:a=2", "linear"], ["wsdx", "linear"], ["linear"], ["wsd"], []):
        assert plan.among(there).contrasts == ()


def plan_file(folder, text):
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


ONE = '[[contrast]]\ncandidate = "a"\nreference = "b"\n'


def test_plans_are_read_with_their_defaults(tmp_path):
    assert read_plan(plan_file(tmp_path, ONE)) == Plan((Contrast("a", "b"),), 0.05)
    assert read_plan(str(plan_file(tmp_path, "level = 0.2\n" + ONE))).level == 0.2
    text = (
        "margin = 0.5\nrelative = false\n" + ONE + '[[contrast]]\ncandidate = "größer"\nreference = "b"\nmargin = 2\n'
    )
    assert read_plan(plan_file(tmp_path, text)).contrasts == (
        Contrast("a", "b", 0.5, relative=False),
        Contrast("größer", "b", 2, relative=False),
    )
    assert read_plan(plan_file(tmp_path, "relative = false\n" + ONE)).contrasts == (Contrast("a", "b", relative=False),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level = -0.1\n" + ONE, "level: "),
        ("level = 1.1\n" + ONE, "level: "),
        ("x = 1\ny = 2\n" + ONE, r"got \S*plan\.toml with x, y$"),
        (ONE + "x = 1\ny = 2\n", r"a contrast of .*plan\.toml with x, y$"),
        ('[[contrast]]\nreference = "b"', r"a contrast of .* without candidate$"),
        ('[[contrast]]\ncandidate = "b"', r"a contrast of .* without reference$"),
        ("contrast = []", r"with contrast = \[\]"),
        ("contrast = [[1]]", r"tables \[\[contrast\]\]"),
        ("[contrast]", r"tables \[\[contrast\]\]"),
        ("level = 0.1", "with contrast = None"),
        (ONE + ONE, "with a contrast twice"),
        (ONE + '[[contrast]]\ncandidate = "b"\nreference = "a"', "with a contrast twice"),
    ],
)
def test_files_that_are_no_plan_say_why(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_plan(plan_file(tmp_path, text))
    assert caught.value.argument == ("level" if message == "level: " else "plan")


def test_a_folder_is_no_plan(tmp_path):
    with pytest.raises(InputError, match="plan: expected a readable TOML file"):
        read_plan(tmp_path)
    assert refused(lambda: read_plan(tmp_path)) == "plan"
    assert refused(lambda: read_plan(tmp_path / "none.toml")) == "plan"


def test_the_packages_plan_is_read_once():
    assert default_plan() is default_plan()
    assert len(default_plan().contrasts) == 4


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


def response(lrs, A, B, C=0.5):
    return [A / lr + B * lr + C for lr in lrs]


def test_fields_of_a_response():
    lrs = [0.1, 0.2, 0.4, 0.8]
    fit = fit_response(lrs, response(lrs, 0.04, 1.0))
    assert (fit.A, fit.B, fit.C, fit.best_lr) == pytest.approx((0.04, 1.0, 0.5, 0.2), rel=1e-9)
    assert (fit.lowest, fit.highest) == (0.1, 0.8)
    assert fit.relative_error < 1e-9
    assert fit([0.1, 0.5]).tolist() == pytest.approx(response([0.1, 0.5], 0.04, 1.0), rel=1e-9)
    assert Response(1.0, 2.0, 3.0, 0.5, 0.0, 0.1, 1.0)(2.0) == 0.5 + 4.0 + 3.0


def test_response_vs_least_squares():
    """Where no coefficient is at its bound; the residual is a root mean square over the range of the losses."""
    rng = np.random.default_rng(0)
    lrs = np.geomspace(0.12, 0.34, 7)
    losses = np.array(response(lrs, 0.04, 1.0)) + 0.001 * rng.normal(size=7)
    columns = np.stack([1.0 / lrs, lrs, np.ones(7)], axis=1)
    (A, B, C), *_ = np.linalg.lstsq(columns, losses, rcond=None)
    fit = fit_response(lrs, losses)
    assert pytest.approx((A, B, C), rel=1e-9) == (fit.A, fit.B, fit.C)
    assert fit.best_lr == pytest.approx(math.sqrt(A / B), rel=1e-9)
    residual = math.sqrt(np.mean((columns @ [A, B, C] - losses) ** 2))
    assert fit.relative_error == pytest.approx(residual / (losses.max() - losses.min()), rel=1e-9)


def test_which_points_of_a_response_count():
    """Those up to four times the spread of the better half above it; at least three."""
    lrs = [0.1, 0.2, 0.4, 0.8, 1.6]
    for last, kept in ((1.0 + 5 * 0.5, 1.6), (1.0 + 5 * 0.5 + 1e-9, 0.8), (math.nan, 0.8), (math.inf, 0.8)):
        losses = [1.5, 1.0, 1.25, 1.6, last] if last > 2 or math.isnan(last) else []
        if not math.isfinite(last):
            assert fit_response(lrs, losses).highest == kept
            continue
        median = np.median(losses)
        assert median == 1.5
        assert fit_response(lrs, losses).highest == kept
    assert fit_response(lrs[:2], [1.0, 2.0]) is None
    assert fit_response(lrs[:3], [1.0, 2.0, math.nan]) is None
    assert fit_response(lrs[:3], [1.0, 1.1, 1.7]) is None  # two are left
    assert fit_response(lrs[:3], [1.0, 1.1, 1.5]) is not None


def test_a_response_at_a_bound_vs_least_squares_without_that_column():
    """Of losses that fall in a straight line no part rises: A and C are fitted again."""
    lrs = np.array([0.1, 0.2, 0.3, 0.4])
    columns = np.stack([1.0 / lrs, np.ones(4)], axis=1)
    for scale in (1.0, 1e-13, 1e13):
        losses = scale * (3.0 - lrs)
        fit = fit_response(lrs, losses)
        (A, C), *_ = np.linalg.lstsq(columns, losses, rcond=None)
        found = [fit.A, fit.B, fit.C]
        assert found == pytest.approx([A, 0.0, C], rel=1e-9, abs=0.0)
        curved = fit_response(lrs, scale * np.array(response(lrs, 0.04, 1.0)))
        found = [curved.A, curved.B]
        assert found == pytest.approx([0.04 * scale, scale], rel=1e-9, abs=0.0)


def test_losses_of_which_half_are_the_best_all_count():
    assert fit_response([0.1, 0.2, 0.4, 0.8], [1.0, 1.0, 1.0, 5.0]).highest == 0.8


def test_responses_at_their_bounds():
    level = fit_response([0.1, 0.2, 0.4], [1.0, 1.0, 1.0])
    assert (level.A, level.B, level.relative_error) == (0.0, 0.0, 0.0)
    assert pytest.approx(1.0) == level.C
    assert math.isnan(level.best_lr)
    falling = fit_response([0.1, 0.2, 0.4], [10.0, 5.0, 2.5])
    assert (pytest.approx(1.0), 0.0) == (falling.A, falling.B)
    assert math.isnan(falling.best_lr)
    rising = fit_response([0.1, 0.2, 0.4], [0.1, 0.2, 0.4])
    assert (0.0, pytest.approx(1.0)) == (rising.A, rising.B)
    assert math.isnan(rising.best_lr)
    below = fit_response([0.1, 0.2, 0.4, 0.8], [-x for x in response([0.1, 0.2, 0.4, 0.8], 0.04, 1.0)])
    assert min(below.A, below.B) == 0.0
    offset = fit_response([0.1, 0.2, 0.4, 0.8], response([0.1, 0.2, 0.4, 0.8], 0.04, 1.0, -3.0))
    assert pytest.approx(-3.0, rel=1e-9) == offset.C


@pytest.mark.parametrize(
    ("values", "higher", "place"),
    [
        ([2.0, 1.0], False, "high"),
        ([1.0, 2.0], False, "low"),
        ([1.0, 1.0, 1.0], False, "low"),
        ([1.0, math.inf, math.nan], True, "low"),
        ([2.0, 1.0, 1.5], False, "interior"),
        ([1.0, 2.0, 1.5], True, "interior"),
        ([math.nan], False, "none"),
        ([7.0], True, "high"),
        ([-math.inf, 1.0, 2.0], False, "interior"),
    ],
)
def test_places_of_the_best(values, higher, place):
    assert where_is_best(values, higher) == place
    if not higher:
        assert where_is_best(values) == place


def test_values_as_losses():
    assert as_losses([1.0, math.nan, -math.inf, math.inf]).tolist() == [1.0, math.inf, math.inf, math.inf]
    assert as_losses([1.0, math.inf], True).tolist() == [-1.0, math.inf]
    assert as_losses([1, 2]).dtype == np.float64
