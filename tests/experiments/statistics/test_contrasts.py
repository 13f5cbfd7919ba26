"""Planned contrasts: the file, its errors, families of schedules, and the false-positive rate of the whole family."""

import math

import numpy as np
import pytest

from lastiterate.experiments.statistics import Contrast, Plan, compare, default_plan, read_plan
from lastiterate.theory.base.validation import InputError

NAMES = ["constant", "cosine", "linear", "wsd", "refined"]


def written(folder, text):
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_plan_of_the_package():
    plan = default_plan()
    assert plan.level == 0.05
    assert [c.name for c in plan.contrasts] == [
        "constant - linear",
        "cosine - linear",
        "wsd - linear",
        "refined - linear",
    ]
    assert {(c.margin, c.relative) for c in plan.contrasts} == {(0.005, True)}


def test_keys_of_a_contrast_come_before_those_of_all(tmp_path):
    plan = read_plan(
        written(
            tmp_path,
            'level = 0.1\nmargin = 0.2\n[[contrast]]\ncandidate = "a"\nreference = "b"\n'
            '[[contrast]]\ncandidate = "a"\nreference = "c"\nmargin = 3\nrelative = false\n',
        )
    )
    assert plan == Plan((Contrast("a", "b", 0.2), Contrast("a", "c", 3, relative=False)), 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level =", "valid TOML"),
        ("", "tables"),
        ("contrast = 3", "tables"),
        ("contrast = [3]", "tables"),
        ('[[contrast]]\ncandidate = "a"', "without reference"),
        ('[[contrast]]\ncandidate = "a"\nreference = "a"', "another schedule"),
        ('[[contrast]]\ncandidate = "a"\nreference = ""', "name of a schedule"),
        ('[[contrast]]\ncandidate = 1\nreference = "a"', "name of a schedule"),
        ('[[contrast]]\ncandidate = "a"\nreference = "b"\nmargin = -1', "margin"),
        ('[[contrast]]\ncandidate = "a"\nreference = "b"\nmargin = "1"', "margin"),
        ('relative = 1\n[[contrast]]\ncandidate = "a"\nreference = "b"', "relative"),
        ('[[contrast]]\ncandidate = "a"\nreference = "b"\nweight = 1', "weight"),
        ('alpha = 0.1\n[[contrast]]\ncandidate = "a"\nreference = "b"', "alpha"),
        ('level = 2.0\n[[contrast]]\ncandidate = "a"\nreference = "b"', "level"),
        ('[[contrast]]\ncandidate = "a"\nreference = "b"\n[[contrast]]\ncandidate = "b"\nreference = "a"', "twice"),
    ],
)
def test_files_that_are_no_plan(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_plan(written(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="plan"):
        read_plan(tmp_path / "absent.toml")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="valid TOML"):
        read_plan(path)


def test_a_schedule_with_options_answers_to_its_family():
    plan = default_plan().among(["linear", "wsd:cooldown=0.1", "refined", "refined-2"])
    assert [c.name for c in plan.contrasts] == ["wsd:cooldown=0.1 - linear", "refined - linear"]
    assert default_plan().among(["linear", "wsd:cooldown=0.1", "wsd:cooldown=0.2"]).contrasts == ()
    assert [c.candidate for c in default_plan().among(["linear", "wsd", "wsd:cooldown=0.2"]).contrasts] == ["wsd"]


def test_values_must_hold_the_schedules_of_the_plan():
    with pytest.raises(InputError, match="cosine"):
        compare({"linear": [1.0, 2.0], "constant": [1.0, 2.0]}, default_plan())
    assert compare({}, Plan(())) == ()


@pytest.mark.parametrize("n", [3, 5, 10])
def test_on_null_data_any_claim_is_as_rare_as_the_level_says(n):
    rng = np.random.default_rng(300 + n)
    claimed, covered = 0, []
    for shared in rng.normal(size=(1000, 1, n)):
        values = dict(zip(NAMES, shared + rng.normal(size=(5, n)), strict=True))
        found = compare(values, default_plan())
        claimed += any(c.differs for c in found)
        covered += [c.difference.low <= 0.0 <= c.difference.high for c in found]
        assert all((c.low > 0.0 or c.high < 0.0) == c.differs for c in found)
        assert all(c.low <= c.difference.low and c.high >= c.difference.high for c in found)
    assert claimed <= 50 + 3 * math.sqrt(1000 * 0.05 * 0.95)
    assert abs(np.mean(covered) - 0.95) <= 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_verdicts():
    rng = np.random.default_rng(0)
    base = 1.0 + 0.1 * rng.normal(size=10)
    noise = 1e-4 * rng.normal(size=(3, 10))
    values = {
        "linear": base,
        "constant": base + 0.1 + noise[0],
        "cosine": base + noise[1],
        "wsd": base - 1e-3 + noise[2],
    }
    values["refined"] = 1.0 + 0.1 * rng.normal(size=10)
    found = compare(values, default_plan())
    assert [c.verdict() for c in found] == [
        "constant is worse than linear",
        "cosine matches linear within 0.5%",
        "wsd is better than linear, by less than the margin of 0.5%",
        "10 seeds cannot decide between refined and linear",
    ]
    assert found[0].verdict(higher_is_better=True) == "constant is better than linear"
    assert 0.5 * found[3].difference.spread < found[3].detectable < 2.0 * found[3].difference.spread
    alone = compare({name: row[:1] for name, row in values.items()}, default_plan())
    assert {c.detectable for c in alone} == {math.inf}
    assert {c.differs or c.matches for c in alone} == {False}
