"""Momentum, schedule-free, MADGRAD, Adam and AdaGrad against their reference packages, fed the same gradients."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from margin_references import called

from lastiterate.theory import problems
from lastiterate.theory.simulators.kernels.protocol import FIRST
from lastiterate.theory.simulators.methods.table import METHODS

torch = pytest.importorskip("torch")

N = 300
SCHEDULES = {"constant": np.ones(N), "linear": 1.0 - np.arange(N) / N}


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(torch.float32)


def largest_difference(method: str, lrs: np.ndarray, make: Callable, **options: float) -> float:
    """Drive the kernel and the package with the gradients at the kernel's points; return the largest difference."""
    rng, row = np.random.default_rng(0), METHODS[method]
    data = problems.dataset("breast_cancer")
    problem = problems.logistic(data.features, data.one_against_rest(), x0=0.1 * rng.normal(size=31))
    assert not set(options) - set(row.options)
    values = np.hstack([*{**row.options, **options}.values()]).astype(float)
    x, state, scalars = problem.x0.copy(), np.zeros((row.vectors, problem.dim)), np.zeros(FIRST + row.scalars)
    parameter = torch.nn.Parameter(torch.tensor(problem.x0))
    optimizer, worst = make([parameter]), 0.0
    if hasattr(optimizer, "train"):
        optimizer.train()
    for k, lr in enumerate(lrs):
        rows = rng.integers(0, problem.n_samples, 16)
        gradient = problem.subgradient(x, rows)
        called(row.step, k, lr, 0.0, x, gradient.copy(), rows, state, np.empty(0), scalars, values)
        optimizer.param_groups[0]["lr"] = lr
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        worst = max(worst, float(np.abs(parameter.detach().numpy() - x).max()))
    assert np.linalg.norm(x - problem.x0) > 0.1
    if row.output >= 0:
        optimizer.eval()
        worst = max(worst, float(np.abs(parameter.detach().numpy() - state[row.output]).max()))
    return worst


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("beta", "dampening"), [(0.9, 0.0), (0.5, 0.0), (0.9, 0.9)])
def test_momentum_vs_torch(schedule, beta, dampening):
    def make(parameters):
        return torch.optim.SGD(parameters, lr=0.1, momentum=beta, dampening=dampening)

    options = {"beta": beta, "dampening": dampening}
    assert largest_difference("momentum", 0.1 * SCHEDULES[schedule], make, **options) < 1e-13


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("beta", "r", "power"), [(0.9, 0.0, 2.0), (0.5, 1.0, 2.0), (0.98, 0.0, 0.0)])
def test_schedule_free_vs_schedulefree(schedule, beta, r, power):
    package = pytest.importorskip("schedulefree")

    def make(parameters):
        return package.SGDScheduleFree(parameters, lr=0.1, momentum=beta, r=r, weight_lr_power=power, foreach=False)

    options = {"beta": beta, "r": r, "weight_lr_power": power}
    assert largest_difference("schedule_free", SCHEDULES[schedule], make, **options) < 1e-12


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("momentum", [0.9, 0.5])
@pytest.mark.parametrize("name", ["madgrad", "mirror_madgrad"])
def test_madgrad_vs_madgrad(name, momentum, schedule):
    package = pytest.importorskip("madgrad")
    kind = {"madgrad": package.MADGRAD, "mirror_madgrad": package.MirrorMADGRAD}[name]

    def make(parameters):
        return kind(parameters, lr=0.01, momentum=momentum, eps=1e-6)

    options = {"momentum": momentum, "eps": 1e-6}
    assert largest_difference(name, 0.01 * SCHEDULES[schedule], make, **options) < 1e-13


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_adam_vs_torch(schedule):
    assert largest_difference("adam", 0.01 * SCHEDULES[schedule], lambda p: torch.optim.Adam(p, lr=0.01)) < 1e-13


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_adagrad_vs_torch(schedule):
    assert largest_difference("adagrad", 0.1 * SCHEDULES[schedule], lambda p: torch.optim.Adagrad(p, lr=0.1)) < 1e-13


def test_spa_vs_torch_momentum():
    """eta = alpha / (1 - beta), c = 1 - beta is torch's SGD with constant learning rate and momentum."""

    def make(parameters):
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)

    row = METHODS["spa"]
    assert row.vectors == 1
    rng, problem = np.random.default_rng(0), problems.l1_regression(np.eye(4), np.arange(4.0))
    parameter = torch.nn.Parameter(torch.tensor(problem.x0))
    optimizer, x = make([parameter]), problem.x0.copy()
    state, scalars, options = np.zeros((1, 4)), np.zeros(FIRST), np.array([0.1])
    for k in range(N):
        gradient = problem.subgradient(x, rng.integers(0, 4, 2))
        called(row.step, k, 1.0, 0.0, x, gradient, np.empty(0, np.int64), state, np.empty(0), scalars, options)
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        assert np.abs(parameter.detach().numpy() - x).max() < 1e-12
