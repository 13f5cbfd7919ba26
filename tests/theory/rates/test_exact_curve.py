"""The exact rate at every horizon against one pass for each, and against 50 digits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from rate_references import FAMILIES, constant_rate, random_schedule

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.curve import ExactCurve, rate_curve
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr


def shapes(n):
    s, rng = np.arange(n) / n, np.random.default_rng(0)
    yield "constant", np.ones(n)
    yield "linear", 1.0 - s
    yield "cosine", (1.0 + np.cos(np.pi * s)) / 2
    yield "wsd", np.minimum(1.0, 5.0 * (1.0 - s))
    yield "rising", np.sort(rng.uniform(0.0, 1.0, n))
    yield "seven decades", 10.0 ** rng.uniform(-7, 0, n)
    yield "twelve decades", 10.0 ** rng.uniform(-12, 0, n)
    yield "zeros", rng.uniform(0.0, 1.0, n) * (rng.random(n) < 0.3)
    yield "spikes", np.where(rng.random(n) < 0.01, 100.0, 1e-6)
    yield "inverse", 1.0 / np.arange(1, n + 1)
    yield "slow decay", np.maximum(0.999 ** np.arange(n), 1e-290)
    yield "fast decay", np.maximum(0.9 ** np.arange(n), 1e-290)
    yield "growth", np.minimum(1e-200 * 1.01 ** np.minimum(np.arange(n), 70_000), 1e200)
    yield "one huge step", np.append(1e6, np.ones(n - 1))


@pytest.mark.parametrize(("n_steps", "count"), [(1500, 60), pytest.param(200_000, 12, marks=pytest.mark.slow)])
@pytest.mark.parametrize("D", [1e-3, 1.0, 1e3, "tuned"])
def test_every_horizon_vs_one_pass_each(n_steps, count, D):
    rng = np.random.default_rng(1)
    for name, steps in shapes(n_steps):
        tuned = D == "tuned"
        distance = 1.0 if tuned else D * max(math.sqrt(steps.sum()), 1e-140)
        curve = rate_curve(steps, distance, bound="exact", tune_base_lr=tuned)
        for n in [*range(1, 5), 255, 256, 257, 511, 512, 513, *rng.integers(1, n_steps, count), n_steps]:
            if tuned and not steps[:n].any():
                continue
            rate = (tune_base_lr if tuned else exact_rate)(steps[:n], distance)
            assert curve.values[n - 1] == pytest.approx(rate.value, rel=1e-12), (name, n)
            assert curve.base_lr[n - 1] == pytest.approx(rate.base_lr, rel=1e-11), (name, n)
            assert curve.sigma[n - 1] == pytest.approx(rate.sigma, rel=1e-7), (name, n)


def test_a_long_geometric_decay_vs_50_digits():
    """The grid must reach down to the smallest steps: a clipped one gives 5.73 here, and no error."""
    n = 80_000
    steps = 0.999 ** np.arange(n)
    curve = rate_curve(steps, bound="exact")
    with mp.workdps(50):
        expected = float(constant_rate(steps, 1.0, 1.0))
    assert curve.values[-1] == pytest.approx(expected, rel=1e-12)
    assert curve.values[-1] == pytest.approx(0.25044, abs=1e-5)
    assert np.isfinite(curve.values).all()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FAMILIES), st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_both_routes_agree(family, seed, D):
    rng = np.random.default_rng(seed)
    steps = random_schedule(rng, 700, family)
    whole = rate_curve(steps, D, bound="exact")
    some = rate_curve(steps, D, bound="exact", horizons=[1, 2, 300, 699, 700])
    np.testing.assert_allclose(whole.values[some.horizons - 1], some.values, rtol=1e-12)
    np.testing.assert_allclose(whole.sigma[some.horizons - 1], some.sigma, rtol=1e-12)


def test_other_constants_need_no_other_pass():
    steps = 0.1 * li.schedules.cosine(600)
    curve = rate_curve(steps, bound="exact")
    assert isinstance(curve, ExactCurve)
    other = curve.at(3.0, 0.5)
    np.testing.assert_allclose(other.values, rate_curve(steps, 3.0, 0.5, bound="exact").values, rtol=1e-13)
    many = curve.at([3.0, 1.0, 1e-3], [0.5, 1.0, 2.0])
    assert many.values.shape == (3, 600)
    np.testing.assert_allclose(many.values[0], other.values, rtol=1e-15)
    np.testing.assert_allclose(many.values[2], rate_curve(steps, 1e-3, 2.0, bound="exact").values, rtol=1e-13)
    tuned = curve.at(np.array([1.0, 2.0]), 1.0, tune_base_lr=True)
    single = rate_curve(steps, 2.0, bound="exact", tune_base_lr=True)
    np.testing.assert_allclose(tuned.values[1], single.values, rtol=1e-13)
    np.testing.assert_allclose(tuned.base_lr[1], single.base_lr, rtol=1e-13)
    for arguments in ((0.0, 1.0), ([1.0, -1.0], 1.0), ([1.0, 2.0], [1.0, 2.0, 3.0]), (math.nan, 1.0), ([], 1.0)):
        with pytest.raises(InputError, match=r"^[DG]"):
            curve.at(*arguments)


def test_per_step_bounds_vs_the_rate_of_each_horizon():
    rng = np.random.default_rng(2)
    steps = rng.uniform(0.0, 1.0, 40)
    for caps, kind in ((np.linspace(2.0, 1.0, 41), "exact"), (10.0 ** rng.uniform(-1, 1, 41), "upper")):
        curve = rate_curve(steps, 1.0, caps, bound="exact")
        assert curve.kind == kind
        for n in (1, 7, 40):
            assert curve.values[n - 1] == exact_rate(steps[:n], 1.0, caps[: n + 1]).value
