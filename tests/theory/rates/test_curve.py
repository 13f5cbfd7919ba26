"""Curves over horizons against the rates of each prefix and against direct sums in extended precision."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.theorem10 import classical_average_rate

RATES = {"exact": li.exact_rate, "theorem10": li.theorem10_rate, "average": classical_average_rate}
steps_with_zeros = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-6, 1e3), st.floats(1e-60, 1e60)), min_size=1, max_size=120
).map(np.array)


def direct_theorem10(steps, horizon, fictitious, caps, D=1.0):
    """The sum at one horizon, tails summed from the right in extended precision."""
    h = np.append(steps[:horizon], fictitious).astype(np.longdouble)
    tails = np.cumsum(h[::-1])[::-1]
    terms = (h[:-1] * caps[:horizon].astype(np.longdouble)) ** 2 / tails[1:]
    return float((np.longdouble(D) ** 2 / tails[0] + terms.sum() + h[-1] * np.longdouble(caps[horizon]) ** 2) / 2)


def shapes(n, rng):
    yield "constant", np.full(n, 0.02)
    yield "quadratic decay", (1.0 - np.arange(n) / n) ** 2
    yield "ten decades", 10.0 ** rng.uniform(-10, 0, n)
    yield "duplicates", np.where(rng.random(n) < 0.7, 0.0, rng.random(n))
    yield "blocks of zeros", np.repeat(rng.random(n // 50 + 1) * (rng.random(n // 50 + 1) < 0.5), 50)[:n]
    yield "spikes", np.where(rng.random(n) < 0.01, 1e6, 1e-6)
    yield "geometric", np.exp(-20.0 * np.arange(n) / n)
    yield "rising", np.exp(20.0 * np.arange(n) / n)


@pytest.mark.parametrize("caps", ["constant", "varying"])
def test_theorem10_curve_vs_direct_sum(caps):
    rng = np.random.default_rng(0)
    n = 6000
    G = np.ones(n + 1) if caps == "constant" else 10.0 ** rng.uniform(-1, 1, n + 1)
    for name, steps in shapes(n, rng):
        curve = li.rate_curve(steps, G=G, last_value=0.37)
        for horizon in [*range(1, 40), *rng.integers(40, n, 60), n]:
            direct = direct_theorem10(steps, horizon, 0.37, G)
            assert curve.values[horizon - 1] == pytest.approx(direct, rel=2e-12), (name, horizon)


@pytest.mark.slow
def test_theorem10_curve_vs_direct_sum_at_a_million_steps():
    rng = np.random.default_rng(1)
    n = 1_000_000
    G = 10.0 ** rng.uniform(-1, 1, n + 1)
    for name, steps in shapes(n, rng):
        fixed = li.rate_curve(steps, G=G, last_value=0.01)
        best = li.rate_curve(steps, G=G)
        for horizon in [1, 17, 4097, 333_333, 999_999, n]:
            direct = direct_theorem10(steps, horizon, 0.01, G)
            assert fixed.values[horizon - 1] == pytest.approx(direct, rel=1e-11), (name, horizon)
            single = li.theorem10_rate(steps[:horizon], G=G[: horizon + 1]).value
            assert best.values[horizon - 1] == pytest.approx(single, rel=1e-11), (name, horizon)


@settings(max_examples=60, deadline=None)
@given(steps_with_zeros, st.sampled_from(sorted(RATES)), st.booleans(), st.booleans())
def test_curve_vs_rate_of_every_prefix(steps, bound, tuned, varying):
    rng = np.random.default_rng(steps.size)
    G = 10.0 ** rng.uniform(-1, 1, steps.size + 1) if varying else np.full(steps.size + 1, 1.7)
    curve = li.rate_curve(steps, 2.0, G, bound, tune_base_lr=tuned)
    np.testing.assert_array_equal(curve.horizons, np.arange(1, steps.size + 1))
    for n, value, base_lr in zip(curve.horizons, curve.values, curve.base_lr, strict=True):
        caps = G[: n + 1]
        if tuned and steps[:n].any():
            single = li.tune_base_lr(steps[:n], 2.0, caps, bound)
            assert base_lr == pytest.approx(single.base_lr, rel=1e-4)
        else:
            single = RATES[bound](steps[:n], 2.0, caps)
            assert base_lr == 1.0
        assert value == pytest.approx(single.value, rel=2e-11)


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("last_value", ["schedule", 0.2])
def test_theorem10_curve_with_a_given_last_value_vs_the_rate(tuned, last_value):
    steps = np.random.default_rng(0).random(50)
    steps[[3, 20]] = 0.0
    curve = li.rate_curve(steps, last_value=last_value, tune_base_lr=tuned)
    for n, value, base_lr in zip(curve.horizons, curve.values, curve.base_lr, strict=True):
        if tuned and steps[: n - (last_value == "schedule")].any():
            single = li.tune_base_lr(steps[:n], bound="theorem10", last_value=last_value)
            if math.isfinite(value):
                assert base_lr == pytest.approx(single.base_lr, rel=1e-11)
        elif not tuned:
            single = li.theorem10_rate(steps[:n], last_value=last_value)
        else:
            continue
        assert value == pytest.approx(single.value, rel=1e-11)
    assert math.isinf(curve.values[3]) == (last_value == "schedule")


def test_no_positive_step_yet():
    steps = np.array([0.0, 0.0, 1.0, 0.0])
    for bound in RATES:
        for tuned in (False, True):
            curve = li.rate_curve(steps, 2.0, 3.0, bound, tune_base_lr=tuned)
            np.testing.assert_allclose(curve.values[:2], 6.0, rtol=1e-14)
            assert curve.values[2] <= 6.0 or not tuned
            assert np.isfinite(curve.values).all()
        np.testing.assert_allclose(li.rate_curve(np.zeros(40), 2.0, 3.0, bound).values, 6.0, rtol=1e-14)


def test_log_spaced_horizons_are_distinct_and_as_many_as_asked():
    steps = np.full(1000, 0.1)
    curve = li.rate_curve(steps, bound="exact", horizons=200)
    assert len(curve) == 200
    assert curve.horizons[0] == 1
    assert curve.horizons[-1] == 1000
    assert (np.diff(curve.horizons) >= 1).all()
    np.testing.assert_array_equal(li.rate_curve(steps, horizons=5000).horizons, np.arange(1, 1001))
    np.testing.assert_array_equal(li.rate_curve(steps, horizons=1).horizons, [1000])
    full = li.rate_curve(steps)
    some = li.rate_curve(steps, horizons=[3, 77, 1000])
    np.testing.assert_allclose(some.values, full.values[[2, 76, 999]], rtol=2e-11)


def test_steps_of_any_size_do_not_overflow():
    steps = 10.0 ** np.random.default_rng(0).uniform(-70, 70, 300)
    for tuned in (False, True):
        curve = li.rate_curve(steps, tune_base_lr=tuned)
        rates = [
            (li.tune_base_lr(steps[:n], bound="theorem10") if tuned else li.theorem10_rate(steps[:n]))
            for n in curve.horizons
        ]
        np.testing.assert_allclose(curve.values, [rate.value for rate in rates], rtol=2e-11)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"steps": []}, "steps"),
        ({"steps": np.empty(0)}, "steps"),
        ({"steps": [-1.0]}, "steps"),
        ({"steps": [[1.0]]}, "steps"),
        ({"steps": [math.nan]}, "steps"),
        ({"D": 0.0}, "D"),
        ({"G": [1.0]}, "G"),
        ({"G": -1.0}, "G"),
        ({"bound": "best"}, "bound"),
        ({"horizons": 0}, "horizons"),
        ({"horizons": True}, "horizons"),
        ({"horizons": "some"}, "horizons"),
        ({"horizons": []}, "horizons"),
        ({"horizons": [0, 1]}, "horizons"),
        ({"horizons": [2, 1]}, "horizons"),
        ({"horizons": [1, 1]}, "horizons"),
        ({"horizons": [1, 4]}, "horizons"),
        ({"horizons": [1.5]}, "horizons"),
        ({"horizons": [[1]]}, "horizons"),
        ({"last_value": "none"}, "last_value"),
        ({"last_value": 0.0}, "last_value"),
        ({"tune_base_lr": "yes"}, "tune_base_lr"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(InputError, match=rf"^{name}.*expected"):
        li.rate_curve(**{"steps": [1.0, 0.5, 0.2], **arguments})
