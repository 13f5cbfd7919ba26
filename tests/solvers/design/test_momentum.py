import numpy as np
import pytest

import lastiterate as li
from lastiterate.experiments.plots.momentum import momentum_schedules
from lastiterate.solvers.design.momentum import VARIANTS, design_momentum
from lastiterate.theory.base.validation import InputError


@pytest.mark.parametrize("n_steps", [1, 3])
def test_no_method_beats_the_minimax_rate_and_schedules_reach_it(n_steps):
    study = design_momentum(n_steps, 2.0, 0.5, starts=2)
    assert study.optimum == pytest.approx(1.0 / np.sqrt(n_steps + 1))
    rows = {row["method"]: row for row in study.table()}
    for best in study.methods:
        assert best.value >= study.optimum * (1 - 1e-8)
        again = li.worst_case(li.step_matrix.momentum(best.lrs, best.beta), 2.0, 0.5)
        assert again.value == pytest.approx(best.value, rel=1e-8)
    for name in ("scheduled lr, no momentum", "scheduled lr, scheduled momentum"):
        assert rows[name]["over DG/sqrt(N+1)"] == pytest.approx(1.0, abs=1e-5)


def test_constant_learning_rate_vs_grid():
    study = design_momentum(4, variants=VARIANTS[:2], starts=3)
    grid = [
        li.worst_case(li.step_matrix.momentum(np.full(4, lr), beta)).value
        for lr in np.geomspace(0.05, 0.5, 8)
        for beta in (0.0, 0.3, 0.6)
    ]
    assert study.methods[1].value <= min(grid) * (1 + 1e-9)
    assert study.methods[1].value < study.methods[0].value  # momentum helps a constant learning rate


def test_plot_and_limits():
    study = design_momentum(2, variants=VARIANTS[:3], starts=1)
    assert len(momentum_schedules(study).axes) == 3
    with pytest.raises(InputError, match="15"):
        design_momentum(16)
