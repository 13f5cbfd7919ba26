"""No method yields NaN: every method on problems at the ends of the number range, with schedules that pause."""

import warnings

import numpy as np
import pytest

from lastiterate.theory import problems
from lastiterate.theory.simulators.methods.table import METHODS
from lastiterate.theory.simulators.simulate import simulate

N = 24
SCHEDULES = {
    "linear": 1.0 - np.arange(N) / N,
    "zeros first": np.where(np.arange(N) < 6, 0.0, 1.0),
    "all zero": np.zeros(N),
}


def _data(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return scale * rng.normal(size=(12, 4)), rng.choice([0.0, 1.0, 2.0], size=12)


def _start_at_the_minimum() -> problems.Problem:
    return problems.l1_regression([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.zeros(3))


def _separable() -> problems.Problem:
    matrix, _ = _data()
    return problems.logistic(matrix, np.where(matrix[:, 0] > 0.0, 1.0, -1.0))


def _zero_column() -> problems.Problem:
    matrix, classes = _data()
    return problems.softmax(matrix * [1.0, 0.0, 1.0, 1.0], classes)


def _one_sample() -> problems.Problem:
    return problems.hinge(np.ones((1, 3)), [1.0])


EXTREMES = {
    "start at the minimum": _start_at_the_minimum,
    "separable": _separable,
    "zero column": _zero_column,
    "scale 1e150": lambda: problems.l1_regression(_data(1e150)[0], _data()[1]),
    "scale 1e-150": lambda: problems.l1_regression(_data(1e-150)[0], _data()[1]),
    "matrix of scale 1e-150": lambda: problems.softmax(_data(1e-150)[0], _data()[1]),
    "one sample": _one_sample,
}


WITH_OPTIONS = [
    ("sp", {"beta": 0.9}),
    ("taps", {"beta": 0.9}),
    ("motaps", {"beta": 0.9, "package": True}),
    ("dog", {"init_eta": 0.5}),
    ("dog_layerwise", {"init_eta": 0.5}),
    ("mechanic_sgd", {"mechanic_betas": (0.0, 1.0)}),
    ("mechanic_adam", {"mechanic_betas": 0.5, "package": True}),
]
CASES = [*((name, {}) for name in METHODS), *WITH_OPTIONS]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 1])
@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize(
    ("method", "options"), CASES, ids=[f"{name} {options or ''}".strip() for name, options in CASES]
)
def test_no_method_yields_nan(method, options, extreme, batch_size):
    problem = EXTREMES[extreme]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a run warns of is tested elsewhere
        run = simulate(problem, method, SCHEDULES, batch_size=batch_size, record=N, average="ema:decay=0.5", **options)
        assert not np.isnan(run.f).any()
        assert not np.isnan(run.diagnostics["f_average"]).any()
        assert not np.isnan(run.points).any()
        still = run.points[2, 0, 0]
        moved = run.stopped_at[2, 0, 0] >= 0 or "init_eta" in options  # which is a step whatever the rate
        assert np.allclose(still, problem.x0) or moved
