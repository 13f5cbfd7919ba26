"""Every number and sentence of a comparison, from SciPy's tests and the definitions in the docstrings, one by one."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from statistics_references import literal_holm, one_sided, refused

from lastiterate.experiments.statistics import (
    Comparison,
    Contrast,
    Difference,
    Plan,
    compare,
    default_plan,
    detectable_difference,
    read_plan,
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
