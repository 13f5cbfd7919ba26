"""Both sides of SGD's worst case in exact arithmetic: the interval, what it costs, and what breaks it."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_sdp import primal_value

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.certificates import check_certificate
from lastiterate.theory.certificates.certificate import Certificate, CertificateError

CHECKER = Path(check_certificate.__file__)


def interval(steps, D=1.0, G=1.0):
    low, high = li.exact_rate(steps, D=D, G=G).certificate().two_sided().interval()
    return float(low), float(high)


@pytest.mark.parametrize(
    "text", ["constant", "linear", "cosine", "wsd:cooldown=0.2", "stepwise", "exponential", "inverse_sqrt"]
)
def test_a_thousand_steps_are_proved_on_both_sides_in_a_small_file(text, tmp_path):
    steps = li.tune_base_lr(li.schedules.parse(text, 1000), D=30.0).steps
    certificate = li.exact_rate(steps, D=30.0).certificate().two_sided()
    certificate.to_json(tmp_path / "c.json")
    found = subprocess.run(
        [sys.executable, "-I", CHECKER, tmp_path / "c.json"], capture_output=True, text=True, check=True
    )
    low, high = map(Fraction, found.stdout.split("[")[1].rstrip().rstrip("]").split(", "))
    assert 0 < high - low <= high * Fraction(1, 10**9)
    assert low <= Fraction(li.exact_rate(steps, D=30.0).value) * (1 + Fraction(1, 10**12))
    assert "N = 1000" in found.stdout
    assert (tmp_path / "c.json").stat().st_size < 1_000_000


CAPS = ["constant", "falling", "plateaus", "any"]


@st.composite
def problems(draw):
    """Steps over many decades with zeros and exact ties, D of any size, caps of every shape."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(0, 25))
    steps = 10.0 ** rng.uniform(-6, 6, n)
    shape = draw(st.sampled_from(["wild", "ties", "zeros", "sorted"]))
    if shape == "ties":
        steps = 4.0 ** -rng.integers(0, 8, n)
    elif shape == "zeros":
        steps = np.where(rng.random(n) < 0.5, 0.0, steps)
    elif shape == "sorted":
        steps = np.sort(steps)[::-1]
    caps = draw(st.sampled_from(CAPS))
    G = 10.0 ** rng.uniform(-2, 2, n + 1)
    if caps == "constant":
        G = np.full(n + 1, G[0])
    elif caps != "any":
        G = np.sort(np.round(G, 0 if caps == "plateaus" else 12) + 0.5)[::-1]
    return steps, float(10.0 ** rng.uniform(-6, 6)), G, caps


def judge(problem):
    steps, D, G, caps = problem
    certificate = li.exact_rate(steps, D=D, G=G).certificate().two_sided()
    low, high = certificate.interval()
    assert certificate.check()
    assert 0 < low <= high
    if caps != "any":
        assert high - low <= high * Fraction(1, 10**11)
    again = Certificate.from_json(certificate.to_json())
    assert again.interval() == (low, high)
    assert again.lower == certificate.lower <= low


@given(problems())
@settings(max_examples=40, deadline=None)
def test_interval_of_any_schedule_closes_where_G_does_not_increase(problem):
    judge(problem)


@pytest.mark.slow
@given(problems())
@settings(max_examples=3000, deadline=None)
def test_intervals_of_many_schedules_close(problem):
    judge(problem)


@pytest.mark.parametrize("seed", range(8))
def test_interval_vs_sdp(seed):
    rng = np.random.default_rng(seed)
    steps, D = 10.0 ** rng.uniform(-1, 1, 5), 10.0 ** rng.uniform(-1, 1)
    G = rng.uniform(0.5, 2.0, 6) if seed % 2 else np.sort(rng.uniform(0.5, 2.0, 6))[::-1]
    low, high = interval(steps, D, G)
    truth = primal_value(li.step_matrix.sgd(steps), D, G)
    assert low <= truth * (1 + 1e-7)
    assert truth <= high * (1 + 1e-7)


@pytest.mark.parametrize(
    ("D", "G", "steps"),
    [(1e300, 1e-300, [1e300]), (1e-300, 1e300, [1e-300]), (1e-150, 1e-150, [1.0, 5e-324]), (1.0, 1.0, [5e-324, 1e300])],
)
def test_certificates_at_the_ends_of_float64(D, G, steps):
    try:
        certificate = li.exact_rate(steps, D=D, G=G).certificate().two_sided()
    except InputError:
        return
    low, high = certificate.interval()
    assert high - low <= high * Fraction(1, 10**9)
    assert certificate.check()


def test_each_change_of_the_function_is_refused_or_still_proves_its_value():
    certificate = li.exact_rate([0.5, 2.0, 0.25], D=2.0, G=[1.5, 1.5, 1.0, 0.5]).certificate().two_sided()
    doc = json.loads(certificate.to_json())
    refused = 0
    for name in ("rho", "start"):
        for index, value in enumerate(doc["lower"][name]["integers"]):
            for share in (Fraction(1, 10**6), Fraction(-1, 10**6), Fraction(-2)):
                changed = json.loads(json.dumps(doc))
                changed["lower"][name]["integers"][index] = value + int(value * share) + (value == 0) * 10**60
                try:
                    check_certificate.conclude(json.dumps(changed))
                except ValueError:
                    refused += 1
                    with pytest.raises(CertificateError):
                        Certificate.from_json(json.dumps(changed)).interval()
    assert refused > 15


def test_a_lower_value_above_the_function_is_refused():
    doc = json.loads(li.exact_rate([0.5], D=2.0).certificate().two_sided().to_json())
    doc["lower"]["value"] *= 1 + 1e-9
    with pytest.raises(ValueError, match="not reached"):
        check_certificate.conclude(json.dumps(doc))
    with pytest.raises(CertificateError):
        Certificate.from_json(json.dumps(doc)).prove_lower()


def test_one_sided_certificates_have_lower_end_zero():
    assert li.exact_rate([0.5]).certificate().interval()[0] == 0
