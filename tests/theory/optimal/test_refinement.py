"""Refined schedules against closed forms, a literal filter, published values and random competitors."""

import csv
import math
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.optimal.refinement import RefinementWarning, smooth_norms, to_horizon

LOGS = Path(__file__).parents[4] / "shared" / "data" / "gradient_norms"

needs_logs = pytest.mark.skipif(not LOGS.is_dir(), reason=f"no recorded logs in {LOGS}")

positive = st.floats(0.01, 100.0)


def quiet(norms, rule="sgd", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)
        return li.refine(norms, rule, **options)


def literal_smoothing(norms, tau):
    """The filter as written on paper: nearest value on the left, reflection on the right."""
    n = len(norms)
    half = math.floor(tau * n / 2)
    period = max(2 * (n - 1), 1)

    def padded(i):
        if i < 0:
            return norms[0]
        j = i % period
        return norms[min(j, period - j) if n > 1 else 0]

    return np.array([np.median([padded(i) for i in range(k - half, k + half + 1)]) for k in range(n)])


def literal_refinement(norms, power):
    """Steps w_k w_{k+1:N} over their maximum, in rational arithmetic."""
    caps = [Fraction(norm) for norm in [*norms, norms[-1]]]
    weights = [1 / cap**power for cap in caps]
    steps = [weights[k] * sum(weights[k + 1 :]) for k in range(len(norms))]
    return np.array([float(step / max(steps)) for step in steps])


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("n_steps", [1, 2, 17, 1000])
@pytest.mark.parametrize("level", [1e-150, 0.3, 1e150])
def test_constant_norm_refines_to_linear_decay(rule, n_steps, level):
    refinement = li.refine(np.full(n_steps, level), rule=rule)
    np.testing.assert_allclose(refinement.steps, np.arange(n_steps, 0, -1) / n_steps, rtol=0, atol=1e-12)
    assert refinement.gain == pytest.approx(1.0, abs=1e-12)
    assert not refinement.degenerate


@given(st.lists(positive, min_size=1, max_size=30), st.sampled_from([("sgd", 2), ("adam", 1)]))
def test_refine_vs_rational_arithmetic(norms, rule_and_power):
    rule, power = rule_and_power
    steps = quiet(norms, rule=rule, smoothing=0.0).steps
    np.testing.assert_allclose(steps, literal_refinement(norms, power), rtol=1e-12)


@given(st.lists(positive, min_size=1, max_size=40), st.floats(0.0, 1.0))
def test_smoothing_vs_literal_median(norms, tau):
    np.testing.assert_array_equal(smooth_norms(norms, tau), literal_smoothing(norms, tau))


@given(st.lists(positive, min_size=2, max_size=30), st.floats(1e-3, 1e3))
def test_refine_does_not_depend_on_the_unit_of_the_norms(norms, unit):
    np.testing.assert_allclose(quiet(np.array(norms) * unit).steps, quiet(norms).steps, rtol=1e-9)


def test_refined_schedule_attains_the_optimal_rate_and_no_random_one_beats_it():
    rng = np.random.default_rng(3)
    norms = np.sort(rng.uniform(0.2, 3.0, 40))[::-1]
    refinement = quiet(norms, smoothing=0.0)
    caps = np.append(norms, norms[-1])
    optimum = 1.0 / np.sqrt(np.sum(caps**-2.0))
    assert li.tune_base_lr(refinement.steps, D=1.0, G=caps).value == pytest.approx(optimum, rel=1e-9)
    for _ in range(20):
        competitor = refinement.steps * rng.lognormal(0.0, 0.3, 40)
        assert li.tune_base_lr(competitor, D=1.0, G=caps).value >= optimum * (1 - 1e-9)


def test_gain_vs_rates_of_linear_and_refined():
    norms = np.linspace(2.0, 0.5, 300)
    refinement = quiet(norms, smoothing=0.0)
    caps = np.append(norms, norms[-1])
    # the predicted gain compares with linear decay in the weights of the plain sum: G_k^2 enters with equal weights
    optimum = 1.0 / np.sqrt(np.sum(caps**-2.0))
    plain = np.sqrt(np.sum(caps**2.0)) / caps.size
    assert refinement.gain == pytest.approx(plain / optimum, rel=1e-12)
    linear = li.tune_base_lr(np.arange(300, 0, -1.0), D=1.0, G=caps).value
    assert linear / optimum == pytest.approx(refinement.gain, rel=2e-3)


@given(st.lists(positive, min_size=1, max_size=50))
def test_gain_is_at_least_one_and_the_maximum_is_one(norms):
    refinement = quiet(norms)
    assert refinement.gain >= 1.0 - 1e-12
    assert refinement.steps.max() == 1.0
    assert (refinement.steps > 0.0).all()
    assert refinement.steps.size == len(norms)


@pytest.mark.parametrize(
    ("rule", "exponent", "degenerate"),
    [
        *(("sgd", exponent, exponent > 0.25) for exponent in (0.1, 0.2, 0.3, 1.0)),
        *(("adam", exponent, exponent > 0.5) for exponent in (0.3, 0.45, 0.55, 2.0)),
    ],
)
@pytest.mark.parametrize("n_steps", [200, 5000])
def test_degeneration_threshold(rule, exponent, degenerate, n_steps):
    remaining = 1.0 - np.arange(1, n_steps + 1) / (n_steps + 1)
    noise = np.exp(0.02 * np.random.default_rng(0).normal(size=n_steps))
    if degenerate:
        with pytest.warns(RefinementWarning, match="hardly decays"):
            refinement = li.refine(remaining**exponent * noise, rule=rule)
    else:
        refinement = li.refine(remaining**exponent * noise, rule=rule)
    assert refinement.degenerate is degenerate
    assert refinement.end_exponent == pytest.approx(exponent, abs=0.05)


def test_asymptotic_exponent_of_the_refined_schedule():
    n_steps, exponent = 200_000, 0.15
    remaining = 1.0 - np.arange(1, n_steps + 1) / (n_steps + 1)
    steps = li.refine(remaining**exponent, "sgd", smoothing=0.0).steps
    window = slice(n_steps // 2, -1000)
    slope = np.polyfit(np.log(remaining[window]), np.log(steps[window]), 1)[0]
    assert slope == pytest.approx(1 - 4 * exponent, abs=0.02)


@needs_logs
def test_vit_row_vs_published_schedule():
    published = {
        0.01: 0.142, 0.02: 0.787, 0.05: 0.984, 0.1: 0.614, 0.2: 0.589,
        0.3: 0.636, 0.5: 0.502, 0.7: 0.284, 0.9: 0.085, 0.99: 0.008,
    }  # fmt: skip
    refinement = li.refine(li.read_norms(LOGS / "vit_l1.csv", positions="rows"), rule="adam")
    positions = np.linspace(0.0, 1.0, refinement.steps.size)
    found = np.interp(list(published), positions, refinement.steps)
    np.testing.assert_allclose(found, list(published.values()), rtol=0, atol=0.002)
    assert refinement.peak == pytest.approx(0.032, abs=0.001)
    assert not refinement.degenerate
    with (LOGS / "vit_l1.csv").open() as handle:
        last = max(int(row["Step"]) for row in csv.DictReader(handle))
    assert refinement.steps.size == last + 1


@needs_logs
def test_vit_row_by_its_step_column():
    refinement = li.refine(li.read_norms(LOGS / "vit_l1.csv"), rule="adam")
    assert np.interp(0.02, np.linspace(0.0, 1.0, refinement.steps.size), refinement.steps) == pytest.approx(
        0.963, abs=5e-4
    )


@needs_logs
def test_roberta_peak_vs_published_schedule():
    refinement = li.refine(li.read_norms(LOGS / "roberta_l1.csv", positions="rows"), rule="adam")
    assert refinement.peak == pytest.approx(0.45, abs=0.01)


def test_horizon_interpolates_smoothed_norms_in_log_space():
    norms = np.exp(np.linspace(0.0, 2.0, 51))
    refinement = li.refine(norms, "sgd", smoothing=0.0, n_steps=501)
    np.testing.assert_allclose(refinement.smoothed, np.exp(np.linspace(0.0, 2.0, 501)), rtol=1e-12)
    uneven = li.refine(norms[[0, 1, 50]], "sgd", smoothing=0.0, n_steps=501, positions=[0, 10, 500])
    np.testing.assert_allclose(uneven.smoothed, refinement.smoothed, rtol=1e-12)


def test_arguments_are_not_written_to():
    norms = np.linspace(1.0, 2.0, 20)
    norms.setflags(write=False)
    li.refine(norms, "sgd")
    to_horizon(norms, 7)


@pytest.mark.parametrize(
    ("norms", "options", "named"),
    [
        ([], {}, "norms"),
        ([1.0, 0.0], {}, r"norms\[1\] = 0"),
        ([1.0, -2.0], {}, r"norms\[1\] = -2"),
        ([1.0, math.nan], {}, r"norms\[1\] = nan"),
        ([[1.0]], {}, "shape"),
        (["a"], {}, "norms"),
        ([1j], {}, "norms"),
        ([1.0], {"rule": "lion"}, "rule.*sgd, adam.*lion"),
        ([1.0], {"smoothing": 1.5}, "smoothing.*1.5"),
        ([1.0], {"smoothing": -0.1}, "smoothing"),
        ([1.0], {"n_steps": 0}, "n_steps"),
        ([1.0, 2.0], {"positions": [1.0, 1.0]}, "positions"),
        ([1.0, 2.0], {"positions": [1.0]}, "positions"),
    ],
)
def test_bad_input_names_the_argument(norms, options, named):
    with pytest.raises(InputError, match=named):
        li.refine(norms, **{"rule": "sgd", **options})


def test_a_rule_that_is_left_out_is_assumed_with_a_warning_at_the_callers_line():
    norms = np.linspace(3.0, 1.0, 40)
    with pytest.warns(FutureWarning, match="rule") as caught:
        assumed = li.refine(norms)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(assumed.steps, li.refine(norms, "sgd").steps)
    assert assumed.rule == "sgd"
