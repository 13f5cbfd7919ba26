"""The picture of the sensitivity shows the gradient of the rate, and what is free."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import lastiterate as li
from lastiterate.theory.base.validation import InputError


def test_where_a_schedule_loses():
    rate = li.exact_rate([1.0, 1.0, 0.4, 0.01, 0.02, 0.01])
    assert rate.binding < 6
    ax = rate.plot(ax=Figure().subplots())
    above, below = ax.child_axes
    np.testing.assert_array_equal(above.lines[0].get_ydata(), rate.steps)
    low = min(path.vertices[:, 1].min() for fill in below.collections for path in fill.get_paths())
    assert low == pytest.approx(rate.gradient.min())
    assert [patch.get_label() for patch in below.patches] == ["free"]
    assert li.plots.sensitivity(li.tune_base_lr(np.ones(5)), ax=Figure().subplots()).child_axes
    with pytest.raises(InputError, match=r"rate\[i\]"):
        li.plots.sensitivity(li.exact_rate(np.ones((2, 5))), ax=Figure().subplots())
