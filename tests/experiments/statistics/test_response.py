"""The response to the base learning rate, against constructed cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastiterate.experiments.statistics import fit_response, where_is_best


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
