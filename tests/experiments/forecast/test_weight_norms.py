"""The norm recursion against the weights of a network trained with AdamW."""

import numpy as np
import pytest

from lastiterate.theory import schedules
from lastiterate.theory.laws.effective_steps import effective_steps

pytest.importorskip("torch")


@pytest.mark.slow
@pytest.mark.parametrize(("decay", "peak", "tolerance"), [(0.0, 1e-3, 0.04), (0.5, 1e-3, 0.04), (0.0, 3e-3, 0.12)])
def test_norms_under_adamw(decay, peak, tolerance):
    from lastiterate.paper_figures.figures.weight_norms import STD, train

    rates = peak * schedules.linear(1200)
    predicted = rates * STD / effective_steps(rates, weight_decay=decay, init_std=STD)
    norms, losses = train(rates, decay)
    measured = norms[:, :2]
    grown = measured / measured[0]
    np.testing.assert_allclose(grown[::100], np.tile(predicted[::100, None] / predicted[0], 2), rtol=tolerance)
    assert abs(predicted[-1] / STD - 1.0) > 1.5 * tolerance  # otherwise a constant would pass as well
    assert losses[-1] < losses[0]
