"""Every kernel against its literal NumPy twin, on every kind of problem."""

import numpy as np
import pytest
from helpers import FINITE_SUMS, PROBLEMS
from method_references import METHODS, batches, run

from lastiterate.theory import problems
from lastiterate.theory.simulators.simulate import simulate

N = 40
LRS = 0.2 * (1.0 - np.arange(N) / N) + 0.01


def _agree(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11 * (1.0 + np.abs(expected).max()))


@pytest.mark.parametrize("method", METHODS)
def test_method_vs_numpy_on_batches(method):
    problem = PROBLEMS["logistic"]()
    result = simulate(problem, method, LRS, seeds=[7], batch_size=16, record=N)
    rows = batches(7, N, problem.n_samples, 16, replacement=False)
    returned = run(problem, method, LRS, rows)[1]
    _agree(result.f[0, 0, 0], np.array([problem.value(x) for x in returned]))
    _agree(result.points[0, 0, 0], returned[-1])


@pytest.mark.parametrize("name", PROBLEMS)
def test_oracle_vs_numpy_full_batch(name):
    problem = PROBLEMS[name]()
    kinds = ["grad_l2", "grad_l1", "distance", "move", "step_size"]
    result = simulate(problem, "sgd", LRS, record=N, diagnostics=kinds, average=True)
    points = run(problem, "sgd", LRS)[0]
    gradients = np.array([problem.subgradient(x, step=k) for k, x in enumerate(points)])
    _agree(result.f[0, 0, 0], np.array([problem.value(x) for x in points]))
    seen = {kind: result.diagnostics[kind][0, 0, 0] for kind in kinds}
    _agree(seen["grad_l2"], np.linalg.norm(gradients, axis=1))
    _agree(seen["grad_l1"], np.abs(gradients).sum(axis=1))
    _agree(seen["distance"], np.linalg.norm(points - problem.x_star, axis=1))
    _agree(seen["move"][:-1], np.linalg.norm(np.diff(points, axis=0), axis=1))
    _agree(seen["step_size"][:-1], LRS)
    assert np.isnan(seen["move"][-1])
    average = np.average(points[:-1], axis=0, weights=LRS)
    assert result.averaged[0, 0, 0] == pytest.approx(problem.value(average), rel=1e-9)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("name", FINITE_SUMS)
def test_batches_vs_python_generator(name, replacement):
    problem = PROBLEMS[name]()
    size = min(3, problem.n_samples)
    result = simulate(problem, "sgd", LRS, seeds=[3], batch_size=size, replacement=replacement, record=N)
    rows = batches(3, N, problem.n_samples, size, replacement=replacement)
    _agree(result.points[0, 0, 0], run(problem, "sgd", LRS, rows)[0][-1])


def test_epochs_are_permutations_with_a_smaller_last_batch():
    rows = batches(0, 6, 8, 3, replacement=False)
    assert [len(batch) for batch in rows] == [3, 3, 2, 3, 3, 2]
    assert sorted(np.concatenate(rows[:3])) == sorted(np.concatenate(rows[3:])) == list(range(8))
    assert not np.array_equal(np.concatenate(rows[:3]), np.concatenate(rows[3:]))


def test_options_may_change_step_by_step_vs_numpy():
    problem, shares = PROBLEMS["logistic"](), 1.0 / np.arange(2.0, N + 2.0)
    result = simulate(problem, "spa", LRS, c=shares)
    z = x = problem.x0
    for lr, c in zip(LRS, shares, strict=True):
        z = z - lr * problem.subgradient(x)
        x = (1.0 - c) * x + c * z
    _agree(result.points[0, 0, 0], x)


def test_schedule_free_with_beta_one_is_primal_averaging():
    problem = PROBLEMS["l1"]()
    free = simulate(problem, "schedule_free", np.full(N, 0.1), beta=1.0)
    x1 = problem.x0 - 0.1 * problem.subgradient(problem.x0)
    z = x = x1
    for k in range(1, N):
        z = z - 0.1 * problem.subgradient(x)
        x = x + (z - x) / (k + 1)
    _agree(free.points[0, 0, 0], x)


def test_mda_is_dual_averaging_with_square_root_weights():
    problem = PROBLEMS["logistic"]()
    mda = simulate(problem, "mda", LRS, momentum=0.0)
    plain = simulate(problem, "dual_averaging", LRS * np.sqrt(np.arange(1.0, N + 1.0)))
    _agree(mda.points, plain.points)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_mda_is_sgd_with_a_pull_to_the_start(momentum):
    """The z-recursion: z_{k+1} = z_k - lr_k g_k + (1 - sqrt(k / (k + 1))) (x_0 - z_k), x_{k+1} = m x_k + (1 - m) z."""
    problem = PROBLEMS["logistic"]()
    x = z = problem.x0
    for k, lr in enumerate(LRS):
        z = z - lr * problem.subgradient(x) + (1.0 - np.sqrt(k / (k + 1.0))) * (problem.x0 - z)
        x = momentum * x + (1.0 - momentum) * z
    found = simulate(problem, "mda", LRS, momentum=momentum, record=1).points[0, 0, 0]
    np.testing.assert_allclose(found, x, rtol=0.0, atol=1e-13)


def test_gradagrad_without_correlation_is_adagrad_norm():
    problem = PROBLEMS["logistic"]()
    for seed in range(3):
        chosen = {"seeds": [seed], "batch_size": 4, "record": N}
        plain = simulate(problem, "adagrad_norm", LRS, **chosen)
        np.testing.assert_array_equal(simulate(problem, "gradagrad", LRS, rho=0.0, **chosen).f, plain.f)


def test_gradagrad_grows_its_step_by_at_most_the_allowed_factor():
    problem = PROBLEMS["l1"]()
    growth = 0.25
    run_ = simulate(
        problem, "gradagrad", np.full(N, 1e-3), growth=growth, record=N, diagnostics=["step_size"], batch_size=1
    )
    ratios = run_.diagnostics["step_size"][0, 0, 0, 1:-1] / run_.diagnostics["step_size"][0, 0, 0, :-2]
    assert ratios.max() <= np.sqrt(1.0 + growth) * (1.0 + 1e-12)
    assert ratios.max() > 1.0


def test_spa_map_vs_momentum_for_varying_steps_and_beta():
    rng = np.random.default_rng(5)
    problem, alpha, beta = PROBLEMS["logistic"](), rng.uniform(0.05, 0.2, N), rng.uniform(0.5, 0.95, N)
    eta, c = np.empty(N), np.empty(N)
    eta[0] = 3.0
    for k in range(N):  # alpha_k = c_{k+1} eta_k, eta_{k+1} = (eta_k - alpha_k) / beta_{k+1}
        c[k] = alpha[k] / eta[k]
        if k + 1 < N:
            eta[k + 1] = (eta[k] - alpha[k]) / beta[k + 1]
    torch_form = simulate(problem, "momentum", alpha, beta=beta, batch_size=8, record=N)
    averaging = simulate(problem, "spa", eta, c=c, batch_size=8, record=N)
    np.testing.assert_allclose(averaging.f, torch_form.f, rtol=1e-11)
    np.testing.assert_allclose(averaging.points, torch_form.points, atol=1e-11)


@pytest.mark.parametrize("kind", ["l1_regression", "logistic"])
def test_gradagrad_forgives_a_small_first_step_and_adagrad_does_not(kind):
    """Final gaps after 2000 full-batch steps, first step from 1e-4 D to 1e-1 D."""
    name, positive = ("diabetes", None) if kind == "l1_regression" else ("breast_cancer", 0)
    data = problems.dataset(name, scale="standard" if positive is None else "symmetric")
    if positive is None:
        problem = problems.l1_regression(data.features, (data.targets - data.targets.mean()) / data.targets.std())
    else:
        problem = problems.logistic(data.features, data.one_against_rest(positive), l2=1e-3)
    base_lrs = problem.D * np.geomspace(1e-4, 1e-1, 4)
    spread = {}
    for method in ("gradagrad", "adagrad_norm"):
        gaps = simulate(problem, method, np.ones(2000), base_lr=base_lrs, record=1).final - problem.f_star
        spread[method] = gaps.max() / gaps.min()
    assert spread["gradagrad"] < 8.0
    assert spread["adagrad_norm"] > 50.0


@pytest.mark.parametrize(
    ("name", "positive", "l2"), [("digits", 3, 1e-3), ("iris", 1, 0.0), ("breast_cancer", 0, 1e-2)]
)
def test_gradagrad_averages_forgive_where_the_last_iterate_converges_too_fast_to_compare(name, positive, l2):
    data = problems.dataset(name, scale="standard" if name == "breast_cancer" else "symmetric")
    problem = problems.logistic(data.features, data.one_against_rest(positive), l2=l2)
    base_lrs = problem.D * np.geomspace(1e-4, 1e-1, 4)
    spread = {}
    for method in ("gradagrad", "adagrad_norm"):
        gaps = simulate(problem, method, np.ones(2000), base_lr=base_lrs, record=1).gap
        spread[method] = gaps.max() / gaps.min()
    assert spread["gradagrad"] < 8.0
    assert spread["adagrad_norm"] > 50.0
