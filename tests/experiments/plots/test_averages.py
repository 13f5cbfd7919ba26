"""Pictures of averages show the numbers of the results."""

import numpy as np
import pytest

from lastiterate.experiments.plots.averages import emulated, spacing
from lastiterate.theory.optimal.merge import optimal_merge
from lastiterate.theory.rates.averages.rate import average_rate

matplotlib = pytest.importorskip("matplotlib")


def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_emulated_decay():
    best = optimal_merge(np.full(12, 0.3), [6, 9, 12])
    drawn = emulated(best, ax=axes())
    np.testing.assert_array_equal(drawn.lines[1].get_ydata(), best.emulated)
    np.testing.assert_array_equal(drawn.lines[2].get_xdata(), np.flatnonzero(best.weights))
    assert emulated(best.rate, ax=axes()).get_title() == drawn.get_title()


def test_spacing_shows_the_interval():
    steps = np.full(12, 0.3)
    rates = {gap: average_rate(steps, np.isin(np.arange(13), range(12, 0, -gap)) / (12 // gap)) for gap in (1, 2, 4)}
    drawn = spacing(rates, ax=axes())
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), [rates[gap].value for gap in (1, 2, 4)])
    assert (drawn.lines[1].get_ydata() <= drawn.lines[0].get_ydata() + 1e-12).all()
