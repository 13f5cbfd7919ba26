"""Averages of the iterates beside any method: against means of the points, torch and DoG's package."""

import numpy as np
import pytest
from helpers import PROBLEMS
from hypothesis import given
from hypothesis import strategies as st
from method_references import run as literal

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.simulators.simulate import simulate

N = 30
LRS = 0.1 * (1.0 - np.arange(N) / N) + 0.01


def averaged(average: str, method: str = "momentum", **options) -> tuple[np.ndarray, np.ndarray]:
    """Return f of the average after every step, and the points returned by the literal method."""
    problem = PROBLEMS["logistic"]()
    f = simulate(problem, method, LRS, record=N, average=average, **options).diagnostics["f_average"][0, 0, 0]
    return f, literal(problem, method, LRS, **options)[1]


def values(points: list) -> np.ndarray:
    problem = PROBLEMS["logistic"]()
    return np.array([problem.value(np.asarray(point)) for point in points])


@pytest.mark.parametrize("method", ["momentum", "schedule_free"])
@pytest.mark.parametrize("fraction", [0.5, 0.21, 1.0, 1e-9])
def test_tail_is_the_mean_of_the_last_points(method, fraction):
    f, x = averaged(f"tail:fraction={fraction}", method)
    first = N + 1 - max(1, int(np.ceil(fraction * N)))
    expected = [x[k] if k < first else x[first : k + 1].mean(axis=0) for k in range(N + 1)]
    np.testing.assert_allclose(f, values(expected), rtol=1e-12)


@pytest.mark.parametrize(("every", "count"), [(1, 4), (3, 2), (7, 10), (30, 1)])
def test_lawa_is_the_mean_of_the_last_points_kept(every, count):
    f, x = averaged(f"lawa:every={every},count={count}")
    expected = [x[every : k + 1 : every][-count:].mean(axis=0) if k >= every else x[0] for k in range(N + 1)]
    np.testing.assert_allclose(f, values(expected), rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.97])
def test_ema_vs_torch(decay):
    torch = pytest.importorskip("torch")
    f, x = averaged(f"ema:decay={decay}")
    module = torch.nn.Linear(x.shape[1], 1, bias=False, dtype=torch.float64)
    model = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay))
    points = []
    for point in x:
        with torch.no_grad():
            module.weight.copy_(torch.tensor(point))
        model.update_parameters(module)
        points.append(model.module.weight.detach().numpy().ravel().copy())
    np.testing.assert_allclose(f, values(points), rtol=1e-12)


def test_polynomial_vs_the_averager_of_dog():
    torch, package = pytest.importorskip("torch"), pytest.importorskip("dog")
    f, x = averaged("polynomial")
    module = torch.nn.Linear(x.shape[1], 1, bias=False, dtype=torch.float64)
    averager, points = package.PolynomialDecayAverager(module), [x[0]]
    for point in x[1:]:
        with torch.no_grad():
            module.weight.copy_(torch.tensor(point))
        averager.step()
        points.append(averager.averaged_model.weight.detach().numpy().ravel().copy())
    np.testing.assert_allclose(f, values(points), rtol=1e-12)


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 1.0))
def test_averages_lie_between_the_points(every, count, fraction):
    """On |x| far from the kink f is linear, so f of an average is an average of values."""
    problem = li.problems.absolute_value(100.0)
    for average in (f"lawa:every={every},count={count}", f"tail:fraction={fraction}", f"ema:decay={1 - fraction}"):
        run = simulate(problem, "sgd", np.ones(12), record=12, average=average)
        f = run.diagnostics["f_average"][0, 0, 0]
        assert (f >= run.f[0, 0, 0].min() - 1e-9).all()
        assert (f <= 100.0 + 1e-9).all()


def test_a_bound_on_the_methods_own_average_does_not_speak_of_another():
    problem = PROBLEMS["logistic"]()
    assert simulate(problem, "adagrad_norm", np.ones(9)).bound is not None
    run = simulate(problem, "adagrad_norm", np.ones(9), average="tail")
    assert run.bound is None
    assert "tail" in run.bound_reason
    assert simulate(li.problems.absolute_value(1.0), "sgd", np.ones(9), average="ema").bound_iterate == "last"


@pytest.mark.parametrize(
    ("average", "named"),
    [
        ("mean", "average"),
        ("tail:fraction=0", "fraction"),
        ("tail:fraction=1.5", "fraction"),
        ("tail:fraction=x", "fraction"),
        ("ema:decay=1", "decay"),
        ("lawa:every=0", "every"),
        ("lawa:every=31", "every"),
        ("lawa:count=0", "count"),
        ("polynomial:gamma=-1", "gamma"),
        ("tail:half=0.5", "average"),
        (2, "average"),
    ],
)
def test_what_cannot_be_averaged_is_named(average, named):
    with pytest.raises(InputError, match=f"^{named}"):
        simulate(PROBLEMS["logistic"](), "sgd", LRS, average=average)
