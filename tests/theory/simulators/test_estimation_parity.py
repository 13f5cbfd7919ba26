"""Practical D-Adaptation, Prodigy, MoMo and Mechanic against their reference packages, fed the same gradients."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from margin_references import called

from lastiterate.theory import problems
from lastiterate.theory.simulators.kernels.protocol import D_ESTIMATE, FIRST
from lastiterate.theory.simulators.methods.table import METHODS

torch = pytest.importorskip("torch")
N_STEPS = 300


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(torch.float32)


def stochastic_logistic(seed: int = 0) -> tuple[problems.Problem, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    data = problems.dataset("breast_cancer")
    problem = problems.logistic(
        data.features, data.one_against_rest(), l2=1e-3, x0=0.1 * rng.normal(size=data.features.shape[1])
    )
    return problem, [rng.integers(0, problem.n_samples, 16) for _ in range(N_STEPS)]


def both(
    name: str, options: dict[str, float], reference: Callable, lrs: np.ndarray, silent: int = 0
) -> tuple[float, np.ndarray]:
    """Run the kernel and the reference on the gradients at the kernel's points; return the largest difference.

    The first ``silent`` gradients are zero.
    """
    problem, batches = stochastic_logistic()
    row = METHODS[name]
    assert not set(options) - set(row.options)
    chosen = {**row.options, **options}
    values = np.hstack([*chosen.values()]).astype(float)
    x, scalars = problem.x0.copy(), np.zeros(FIRST + row.scalars)
    state, memory = np.zeros((row.vectors, problem.dim)), np.zeros(problem.n_samples)
    parameter = torch.nn.Parameter(torch.tensor(problem.x0))
    optimizer = reference([parameter])
    worst = 0.0
    for k, (rows, lr) in enumerate(zip(batches, lrs, strict=True)):
        gradient, loss = (k >= silent) * problem.subgradient(x, rows), problem.value(x, rows)
        called(row.step, k, lr, loss, x, gradient.copy(), rows, state, memory, scalars, values)
        parameter.grad = torch.tensor(gradient)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step(**({"loss": torch.tensor(loss)} if "momo" in type(optimizer).__module__ else {}))
        worst = max(worst, float(np.abs(parameter.detach().numpy() - x).max()))
    assert np.linalg.norm(x - problem.x0) > 1e-3
    return worst, scalars


LINEAR = np.minimum(1.0, 2.0 - 2.0 * np.arange(N_STEPS) / N_STEPS)  # constant, then linear decay
PAUSED = np.where(np.arange(N_STEPS) % 100 < 5, 0.0, LINEAR)  # no rate at the start and twice again


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, {}),
        ({"momentum": 0.9, "d0": 1e-2}, {"momentum": 0.9, "d0": 1e-2}),
        ({"growth_rate": 1.02, "d0": 1e-3}, {"growth_rate": 1.02, "d0": 1e-3}),
        ({"weight_decay": 0.1, "momentum": 0.5}, {"weight_decay": 0.1, "momentum": 0.5}),
    ],
)
def test_dadapt_sgd_vs_dadaptation(options, reference):
    package = pytest.importorskip("dadaptation")
    worst, scalars = both("dadapt_sgd", options, lambda p: package.DAdaptSGD(p, lr=1.0, **reference), LINEAR)
    assert worst < 1e-12
    assert scalars[D_ESTIMATE] > 1e-2


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, {}),
        ({"bias_correction": True}, {"use_bias_correction": True}),
        ({"beta1": 0.8, "beta2": 0.95, "growth_rate": 1.05}, {"betas": (0.8, 0.95), "growth_rate": 1.05}),
        ({"weight_decay": 0.1}, {"weight_decay": 0.1}),
        ({"weight_decay": 0.1, "decouple": True}, {"weight_decay": 0.1, "decouple": True}),
    ],
)
def test_dadapt_adam_vs_dadaptation(options, reference):
    package = pytest.importorskip("dadaptation")
    worst, _ = both("dadapt_adam", options, lambda p: package.DAdaptAdam(p, lr=1.0, **reference), LINEAR)
    assert worst < 1e-12


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, {}),
        ({"momentum": 0.9, "d0": 1e-3}, {"momentum": 0.9, "d0": 1e-3}),
        ({"weight_decay": 0.1, "growth_rate": 1.1}, {"weight_decay": 0.1, "growth_rate": 1.1}),
    ],
)
def test_dadapt_adagrad_practical_vs_dadaptation(options, reference):
    package = pytest.importorskip("dadaptation")
    worst, _ = both(
        "dadapt_adagrad_practical", options, lambda p: package.DAdaptAdaGrad(p, lr=1.0, **reference), LINEAR
    )
    assert worst < 1e-12


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, {}),
        (
            {"bias_correction": True, "growth_rate": 1.02, "d_coef": 0.5},
            {"use_bias_correction": True, "growth_rate": 1.02, "d_coef": 0.5},
        ),
        ({"weight_decay": 0.1, "beta3": 0.9}, {"weight_decay": 0.1, "beta3": 0.9}),
        ({"weight_decay": 0.1, "decouple": False}, {"weight_decay": 0.1, "decouple": False}),
        ({"safeguard_warmup": True, "d0": 1e-4}, {"safeguard_warmup": True, "d0": 1e-4}),
        ({"beta1": 0.0, "beta2": 0.99}, {"betas": (0.0, 0.99)}),
    ],
)
def test_prodigy_vs_prodigyopt(options, reference):
    package = pytest.importorskip("prodigyopt")
    worst, _ = both("prodigy", options, lambda p: package.Prodigy(p, lr=1.0, **reference), LINEAR)
    assert worst < 1e-12


@pytest.mark.parametrize(("lrs", "silent"), [(PAUSED, 0), (LINEAR, 3)], ids=["no rate", "no gradient"])
@pytest.mark.parametrize(
    ("name", "package", "kind"), [("dadapt_adam", "dadaptation", "DAdaptAdam"), ("prodigy", "prodigyopt", "Prodigy")]
)
def test_steps_without_rate_or_first_gradient_vs_packages(name, package, kind, lrs, silent):
    """They do not count in the bias correction, and decoupled weight decay waits with them."""
    reference = getattr(pytest.importorskip(package), kind)
    options = {"bias_correction": True, "weight_decay": 0.1, "decouple": True}
    chosen = {"use_bias_correction": True, "weight_decay": 0.1, "decouple": True}
    worst, _ = both(name, options, lambda p: reference(p, lr=1.0, **chosen), lrs, silent)
    assert worst < 1e-12


@pytest.mark.parametrize("estimate", [False, True], ids=["known", "estimated"])
@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, {}),
        ({"bias_correction": True}, {"bias_correction": True}),
        ({"lower_bound": 0.05, "beta": 0.5}, {"lb": 0.05, "beta": 0.5}),
        ({"beta": 0.0}, {"beta": 0.0}),
        ({"weight_decay": 0.1}, {"weight_decay": 0.1}),
        ({"lower_bound": -10.0, "weight_decay": 0.01}, {"lb": -10.0, "weight_decay": 0.01}),
    ],
)
def test_momo_vs_momo_opt(options, reference, estimate):
    package = pytest.importorskip("momo")
    name = "momo_star" if estimate else "momo"
    worst, _ = both(name, options, lambda p: package.Momo(p, use_fstar=estimate, **reference), 3.0 * LINEAR)
    assert worst < 1e-13


@pytest.mark.parametrize("estimate", [False, True], ids=["known", "estimated"])
@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({}, {}),
        ({"lower_bound": -1.0, "beta1": 0.8, "beta2": 0.99}, {"lb": -1.0, "betas": (0.8, 0.99)}),
        ({"weight_decay": 0.1}, {"weight_decay": 0.1}),
        ({"weight_decay": 0.1, "divide": False}, {"weight_decay": 0.1, "divide": False}),
    ],
)
def test_momo_adam_vs_momo_opt(options, reference, estimate):
    package = pytest.importorskip("momo")
    options = {**options, "estimate": estimate}
    worst, _ = both("momo_adam", options, lambda p: package.MomoAdam(p, use_fstar=estimate, **reference), 0.1 * LINEAR)
    assert worst < 1e-13


@pytest.mark.parametrize("s_decay", [0.0, 0.01])
@pytest.mark.parametrize(
    ("name", "options", "base"),
    [
        ("mechanic_sgd", {}, ("SGD", {})),
        ("mechanic_sgd", {"momentum": 0.9}, ("SGD", {"momentum": 0.9})),
        ("mechanic_adam", {}, ("Adam", {})),
        ("mechanic_adam", {"beta1": 0.8, "beta2": 0.95}, ("Adam", {"betas": (0.8, 0.95)})),
    ],
)
def test_mechanic_vs_mechanic_pytorch(name, options, base, s_decay):
    package = pytest.importorskip("mechanic_pytorch")
    kind = package.mechanize(getattr(torch.optim, base[0]), s_decay=s_decay, store_delta=True)
    options = {**options, "s_decay": s_decay, "package": True}
    worst, scalars = both(name, options, lambda p: kind(p, lr=1.0, **base[1]), LINEAR)
    assert worst < 1e-13
    assert scalars[D_ESTIMATE] > 1e-6
