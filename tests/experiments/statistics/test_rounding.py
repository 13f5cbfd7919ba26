"""Two digits of a number: no exponent where it is short, and what a format of two digits gives everywhere below 100."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lastiterate.experiments.statistics.rounding import rounded


@given(st.floats(1e-4, 99.0))
def test_small_numbers_have_two_digits(value):
    assert math.isclose(float(rounded(value)), float(f"{value:.2g}"), rel_tol=1e-12)


@given(st.floats(10.0, 999_999.0))
def test_larger_ones_are_whole_and_have_no_exponent(value):
    assert "e" not in rounded(value)
    assert abs(float(rounded(value).replace(",", "")) - value) <= 0.5
    assert rounded(-value) == f"-{rounded(value)}"
