"""Forecasts of recorded language-model curves: three are fitted, six are predicted; skipped where no data are."""

from pathlib import Path

import numpy as np
import pytest

from lastiterate.experiments.forecast.fitting import fit_losses
from lastiterate.experiments.forecast.reading import read_losses

CURVES = Path(__file__).parents[4] / "shared" / "data" / "loss_curves"
FITTED = ("constant_24000", "cosine_24000", "wsdcon_9")  # the split of arXiv 2503.12811


@pytest.mark.slow
@pytest.mark.skipif(not CURVES.exists(), reason=f"no recorded curves in {CURVES}")
@pytest.mark.filterwarnings("ignore::lastiterate.experiments.forecast.result.ForecastWarning")
@pytest.mark.parametrize(
    ("size", "law", "limit"),
    [
        ("25M", "norm_memory", 0.0026),
        ("100M", "norm_memory", 0.0016),
        ("25M", "auto", 0.0030),
        ("100M", "auto", 0.0020),
        ("25M", "multi_power", 1.2 * 0.0038),
        ("100M", "multi_power", 1.2 * 0.0044),
    ],
)
def test_six_curves_from_three(size, law, limit):
    logs = [read_losses(path, weight_decay=0.1, init_std=0.02) for path in sorted((CURVES / size).glob("*.csv"))]
    fit = fit_losses([log for log in logs if log.name in FITTED], law)
    others = [log for log in logs if log.name not in FITTED]
    assert len(others) == 6
    assert np.mean([np.mean(np.abs(fit.predict(log.steps)[log.at] - log.loss)) for log in others]) < limit
