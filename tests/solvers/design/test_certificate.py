"""The lower bound for all schedules: against 50 digits, the worst case, and the derivative of the rate."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lastiterate as li
from lastiterate.solvers.design.certificate import intercept


def longhand(slopes, D, squares):
    """The theorem in 50 digits, for slopes that satisfy its conditions."""
    with mpmath.workdps(50):
        common = mpmath.mpf(float(squares[-1]))
        for slope, square in zip(slopes[::-1], squares[-2::-1], strict=True):
            own, later = mpmath.mpf(float(square)) - float(slope), common - float(slope)
            assert own > 0
            assert later > 0
            common = float(slope) + own * later / (own + later)
        return D * mpmath.sqrt(common)


def test_intercept_vs_fifty_digits():
    generator = np.random.default_rng(0)
    for n_steps in (1, 2, 10, 300):
        squares = np.exp(generator.normal(0.0, 0.5, n_steps + 1))
        slopes = generator.uniform(-0.2, 0.2, n_steps) / n_steps**2 * squares.min()
        assert intercept(slopes, 2.0, squares) == pytest.approx(float(longhand(slopes, 2.0, squares)), rel=1e-14)


@given(
    slopes=hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(-2.0, 2.0)),
    data=st.data(),
)
def test_plane_is_below_the_exact_rate(slopes, data):
    steps = data.draw(hnp.arrays(np.float64, slopes.size, elements=st.floats(0.0, 3.0, allow_subnormal=False)))
    caps = data.draw(hnp.arrays(np.float64, slopes.size + 1, elements=st.floats(0.1, 3.0)))
    G = np.sort(caps)[::-1]
    plane = intercept(slopes, 1.0, G**2) - slopes @ steps
    assert plane <= li.exact_rate(steps, 1.0, G).value * (1 + 1e-12) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_plane_is_below_the_worst_case_for_any_bounds(seed):
    generator = np.random.default_rng(seed)
    G, steps = np.exp(generator.normal(0.0, 0.7, 6)), np.exp(generator.normal(-1.0, 1.0, 5))
    H = np.tril(np.tile(np.append(steps, 0.0), (6, 1)), -1)
    worst = li.worst_case(H, D=1.0, G=G).value
    for _ in range(200):
        slopes = generator.normal(0.0, 0.3, 5) * G[:-1] ** 2
        assert intercept(slopes, 1.0, G**2) - slopes @ steps <= worst * (1 + 1e-6)


def test_plane_touches_at_the_derivative():
    steps = np.random.default_rng(0).uniform(0.05, 0.4, 8)
    for G in (np.ones(9), np.linspace(1.5, 0.5, 9)):
        rate = li.exact_rate(steps, 1.0, G)
        slopes = np.empty(8)
        for k in range(8):
            moved = np.tile(steps, (2, 1))
            moved[:, k] += [1e-6, -1e-6]
            slopes[k] = -(li.exact_rate(moved[0], 1.0, G).value - li.exact_rate(moved[1], 1.0, G).value) / 2e-6
        assert intercept(slopes, 1.0, G**2) - slopes @ steps == pytest.approx(rate.value, rel=1e-6)


def test_slopes_that_are_too_large_are_lowered():
    squares = np.array([1.0, 4.0, 1.0])
    assert intercept(np.array([9.0, 9.0]), 3.0, squares) == intercept(np.array([1.0, 1.0]), 3.0, squares) == 3.0
    assert intercept(np.array([-9.0, -9.0]), 1.0, squares) == -np.inf
