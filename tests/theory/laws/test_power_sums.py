"""Near-linear sums of power-law memory against direct double sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastiterate.theory.laws.power_sums import power_sums


def direct(widths, amplitudes, offsets, p, spread):
    """Gaps are summed from the nearest step on, so that none is a difference of large numbers."""
    out = np.zeros(widths.size + 1)
    for n in range(1, widths.size + 1):
        far = np.cumsum(widths[:n][::-1])[::-1]
        near = np.append(far[1:], 0.0)
        low, high = offsets[:n] + near, offsets[:n] + far
        if spread:
            logs = np.log1p(widths[:n] / low)
            memory = logs if p == 1.0 else -(low ** (1.0 - p)) * np.expm1((1.0 - p) * logs) / (p - 1.0)
        else:
            memory = high**-p
        out[n] = np.sum(amplitudes[:n] * memory)
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    p=st.sampled_from([0.1, 0.3, 0.9, 1.0, 1.3, 2.0, 5.0]),
    spread=st.booleans(),
    decades=st.floats(0.0, 3.0),
)
def test_power_sums_vs_direct_sums(seed, p, spread, decades):
    rng = np.random.default_rng(seed)
    widths = 10.0 ** (decades * rng.standard_normal(150) - 3.0) * (rng.random(150) > 0.1)
    amplitudes, offsets = rng.random(150), 10.0 ** (decades * rng.standard_normal(150) - 3.0)
    found = power_sums(widths, amplitudes, offsets, p, spread=spread)
    np.testing.assert_allclose(found[1:], direct(widths, amplitudes, offsets, p, spread)[1:], rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("spread", [True, False])
def test_amplitudes_of_both_signs_and_zeros(spread):
    rng = np.random.default_rng(2)
    widths, amplitudes = rng.random(200), rng.standard_normal(200) * (rng.random(200) > 0.5)
    offsets = np.where(amplitudes != 0.0, 0.1, 0.0)
    found = power_sums(widths, amplitudes, offsets, 1.4, spread=spread)
    expected = direct(widths, amplitudes, np.where(offsets > 0.0, offsets, 1.0), 1.4, spread)
    size = direct(widths, np.abs(amplitudes), np.where(offsets > 0.0, offsets, 1.0), 1.4, spread)
    assert np.max(np.abs(found - expected)[1:] / size[1:]) < 1e-10


def test_no_amplitudes():
    assert not power_sums(np.ones(3), np.zeros(3), np.zeros(3), 1.0, spread=True).any()
