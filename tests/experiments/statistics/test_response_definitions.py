"""Every number of a response to the base learning rate, from SciPy's tests and the docstrings."""

import math

import numpy as np
import pytest
from statistics_references import response

from lastiterate.experiments.statistics import (
    Response,
    as_losses,
    fit_response,
    where_is_best,
)


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
