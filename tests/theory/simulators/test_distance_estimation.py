"""D-Adaptation, Prodigy, Resetting and DoG: literal references, d <= D, and their guarantees."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_references import called

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.problems import Problem
from lastiterate.theory.simulators.kernels.protocol import D_ESTIMATE, FIRST
from lastiterate.theory.simulators.methods import distance_theory as kernels
from lastiterate.theory.simulators.methods.table import METHODS

RNG = np.random.default_rng(3)
A, B = RNG.normal(size=(40, 5)), RNG.normal(size=40)
PROBLEMS: dict[str, Problem] = {
    "absolute value": problems.absolute_value(1.0),
    "l1 regression": problems.l1_regression(A, B, x0=np.full(5, 2.0)),
    "max affine": problems.max_affine(np.vstack([A, -A]), np.abs(np.tile(B, 2)), x0=np.full(5, -1.0)),
    "logistic": problems.logistic(A, np.sign(B), x0=np.full(5, 3.0)),
}
THEORY = ("dadapt_da", "dadapt_gd", "dadapt_adagrad", "prodigy_gd", "prodigy_da", "resetting")
ON = pytest.mark.parametrize("on", PROBLEMS)


def trajectory(name: str, problem: Problem, lrs: np.ndarray, **options: float) -> tuple[np.ndarray, np.ndarray]:
    """Call the kernel from Python with the problem's own subgradients; return all points and all scalars."""
    row = METHODS[name]
    chosen = {key: getattr(problem, value) if isinstance(value, str) else value for key, value in row.options.items()}
    assert not set(options) - set(chosen)
    values = np.array([float(value) for value in {**chosen, **options}.values()])
    x, scalars = problem.x0.copy(), np.zeros(FIRST + row.scalars)
    state, memory, rows = np.zeros((row.vectors, problem.dim)), np.zeros(0), np.zeros(0, dtype=np.int64)
    points, seen = [x.copy()], []
    for k, lr in enumerate(lrs):
        called(row.step, k, lr, 0.0, x, problem.subgradient(x, step=k), rows, state, memory, scalars, values)
        points.append(x.copy())
        seen.append(scalars.copy())
    return np.array(points), np.array(seen)


def weighted_gap(problem: Problem, points: np.ndarray, weights: np.ndarray) -> float:
    return problem.value(weights @ points[: len(weights)] / weights.sum()) - problem.f_star


# Literal references: every sum is formed again from the whole history at every step.


def literal_dadapt_da(problem, lrs, option, d0=1e-6, G=0.0):
    x0, xs, gs, ds = problem.x0, [problem.x0], [], [d0]

    def gamma(k):
        below = G**2 + sum(g @ g for g in gs[:k])
        return 1 / math.sqrt(below) if below else 1 / np.linalg.norm(gs[0])

    for k in range(len(lrs)):
        gs.append(problem.subgradient(xs[k], step=k))
        weights = [lr * d for lr, d in zip(lrs, ds, strict=False)]
        sums = [sum((w * g for w, g in zip(weights[:i], gs, strict=False)), np.zeros_like(x0)) for i in range(k + 2)]
        s = sums[k + 1]
        norm = np.linalg.norm(s)
        if option == 1:
            spent = sum(gamma(i) * weights[i] ** 2 * (gs[i] @ gs[i]) for i in range(k + 1))
            estimate = (gamma(k + 1) * norm**2 - spent) / (2 * norm)
        else:
            estimate = sum(weights[i] * gamma(i) * (gs[i] @ sums[i]) for i in range(k + 1)) / norm
        ds.append(max(ds[k], estimate))
        xs.append(x0 - gamma(k + 1) * s)
    return np.array(xs), np.array(ds[1:])


def literal_dadapt_gd(problem, lrs, d0=1e-6):
    x0, xs, gs, ds, lams = problem.x0, [problem.x0], [], [d0], []
    for k in range(len(lrs)):
        gs.append(problem.subgradient(xs[k], step=k))
        lams.append(lrs[k] * ds[k] / math.sqrt(problem.G**2 + sum(g @ g for g in gs)))
        s = sum(lam * g for lam, g in zip(lams, gs, strict=True))
        spent = sum(lam**2 * (g @ g) for lam, g in zip(lams, gs, strict=True))
        ds.append(max(ds[k], (s @ s - spent) / (2 * np.linalg.norm(s))))
        xs.append(x0 - s)
    return np.array(xs), np.array(ds[1:])


def literal_dadapt_adagrad(problem, lrs, d0=1e-6):
    x0, xs, gs, ds = problem.x0, [problem.x0], [], [d0]

    def a(k):
        return np.sqrt(problem.G_inf**2 + sum((g**2 for g in gs[:k]), np.zeros_like(x0)))

    for k in range(len(lrs)):
        gs.append(problem.subgradient(xs[k], step=k))
        s = sum(lrs[i] * ds[i] * gs[i] for i in range(k + 1))
        spent = sum((lrs[i] * ds[i]) ** 2 * np.sum(gs[i] ** 2 / a(i)) for i in range(k + 1))
        ds.append(max(ds[k], (np.sum(s**2 / a(k + 1)) - spent) / (2 * np.abs(s).sum())))
        xs.append(x0 - s / a(k + 1))
    return np.array(xs), np.array(ds[1:])


def literal_prodigy_gd(problem, lrs, d0=1e-6, weight=1.0):
    """With x_0 - x_k as the sum of the steps, which the points know to about 1e-10 only while d is small."""
    xs, gs, ds, etas, moved = [problem.x0], [], [d0], [], [np.zeros_like(problem.x0)]
    for k in range(len(lrs)):
        gs.append(problem.subgradient(xs[k], step=k))
        below = (ds[k] * problem.G) ** 2 + sum((ds[i] * weight) ** 2 * (gs[i] @ gs[i]) for i in range(k + 1))
        etas.append(lrs[k] * ds[k] ** 2 * weight / math.sqrt(below))
        xs.append(xs[k] - etas[k] * gs[k])
        moved.append(moved[k] + etas[k] * gs[k])
        reward = sum(etas[i] * (gs[i] @ moved[i]) for i in range(k + 1))
        ds.append(max(ds[k], reward / np.linalg.norm(moved[k + 1])))
    return np.array(xs), np.array(ds[1:])


def literal_prodigy_da(problem, lrs, d0=1e-6):
    x0, xs, gs, ds = problem.x0, [problem.x0], [], [d0]
    for k in range(len(lrs)):
        gs.append(problem.subgradient(xs[k], step=k))
        s = sum(lrs[i] * ds[i] ** 2 * gs[i] for i in range(k + 1))
        reward = sum(lrs[i] * ds[i] ** 2 * (gs[i] @ (x0 - xs[i])) for i in range(k + 1))
        ds.append(max(ds[k], reward / np.linalg.norm(s)))
        below = (ds[k + 1] * problem.G) ** 2 + sum(ds[i] ** 2 * (gs[i] @ gs[i]) for i in range(k + 1))
        xs.append(x0 - s / math.sqrt(below))
    return np.array(xs), np.array(ds[1:])


def literal_resetting(problem, lrs, d0=1e-6):
    x0, xs, ds, d = problem.x0, [problem.x0], [], d0
    epoch: list[np.ndarray] = []
    for k in range(len(lrs)):
        epoch.append(problem.subgradient(xs[k], step=k))

        def gamma(i, epoch=epoch):
            return 1 / math.sqrt(problem.G**2 + sum(g @ g for g in epoch[:i]))

        s = d * sum(epoch)
        reward = sum(d * gamma(i) * (epoch[i] @ (d * sum(epoch[:i], np.zeros_like(x0)))) for i in range(len(epoch)))
        estimate = reward / np.linalg.norm(s)
        if estimate > 2 * d:
            d, epoch = estimate, []
            xs.append(x0)
        else:
            xs.append(x0 - gamma(len(epoch)) * s)
        ds.append(d)
    return np.array(xs), np.array(ds)


def literal_dog(problem, lrs):
    x0, xs, gs, ds = problem.x0, [problem.x0], [], []
    for k in range(len(lrs)):
        gs.append(problem.subgradient(xs[k], step=k))
        far = max([1e-6 * (1 + np.linalg.norm(x0)), *(np.linalg.norm(x - x0) for x in xs)])
        xs.append(xs[k] - lrs[k] * far / math.sqrt(sum(g @ g for g in gs)) * gs[k])
        ds.append(max(far, np.linalg.norm(xs[-1] - x0)))
    return np.array(xs), np.array(ds)


LITERAL: dict[str, tuple[str, dict[str, float], Callable]] = {
    "dadapt_da, option I": ("dadapt_da", {"option": 1.0}, lambda p, lrs: literal_dadapt_da(p, lrs, 1)),
    "dadapt_da, option II": ("dadapt_da", {}, lambda p, lrs: literal_dadapt_da(p, lrs, 2)),
    "dadapt_da, G": ("dadapt_da", {"G": 2.0}, lambda p, lrs: literal_dadapt_da(p, lrs, 2, G=2.0)),
    "dadapt_gd": ("dadapt_gd", {}, literal_dadapt_gd),
    "dadapt_adagrad": ("dadapt_adagrad", {}, literal_dadapt_adagrad),
    "prodigy_gd": ("prodigy_gd", {}, literal_prodigy_gd),
    "prodigy_gd, weight": ("prodigy_gd", {"weight": 3.0}, lambda p, lrs: literal_prodigy_gd(p, lrs, weight=3.0)),
    "prodigy_da": ("prodigy_da", {}, literal_prodigy_da),
    "resetting": ("resetting", {}, literal_resetting),
    "dog": ("dog", {}, literal_dog),
}


@pytest.mark.parametrize("case", LITERAL)
@pytest.mark.parametrize("on", ["l1 regression", "logistic"])
def test_kernel_vs_literal_algorithm(case, on):
    name, options, literal = LITERAL[case]
    lrs = np.ones(60) if name == "resetting" else np.linspace(1.0, 0.3, 60)
    points, scalars = trajectory(name, PROBLEMS[on], lrs, **options)
    expected_points, expected_d = literal(PROBLEMS[on], lrs)
    np.testing.assert_allclose(scalars[:, D_ESTIMATE], expected_d, rtol=1e-11)
    np.testing.assert_allclose(points, expected_points, rtol=1e-11, atol=1e-13)


@ON
@pytest.mark.parametrize("name", THEORY)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**31), d0=st.sampled_from([1e-6, 1e-2]))
def test_estimate_never_exceeds_the_distance(name, on, seed, d0):
    """For every schedule of weights, not only for lr = 1."""
    problem, lrs = PROBLEMS[on], 3.0 * np.random.default_rng(seed).random(200)
    _, scalars = trajectory(name, problem, lrs, d0=d0)
    estimates = scalars[:, D_ESTIMATE]
    distance = np.abs(problem.x0 - problem.x_star).max() if name == "dadapt_adagrad" else problem.D
    assert estimates.max() <= distance * (1 + 1e-12)
    assert np.all(np.diff(estimates) >= 0.0)


@ON
@pytest.mark.parametrize("option", [1.0, 2.0])
def test_option_two_is_never_below_option_one(on, option):
    _, scalars = trajectory("dadapt_da", PROBLEMS[on], np.ones(1500), option=option)
    first, second = scalars[:, kernels.OPTION_1], scalars[:, kernels.OPTION_2]
    assert np.all(second >= first - 1e-12)
    assert scalars[-1, D_ESTIMATE] / PROBLEMS[on].D > 0.4


@pytest.mark.parametrize(("option", "plateau"), [(1.0, 0.500), (2.0, 0.618)])
def test_absolute_value_vs_published_plateau(option, plateau):
    """Figure 1 of arXiv 2301.07733: x0 = 1, d0 = 0.1; d rises, then stays."""
    _, scalars = trajectory("dadapt_da", PROBLEMS["absolute value"], np.ones(3000), option=option, d0=0.1)
    assert scalars[-1, D_ESTIMATE] == pytest.approx(plateau, abs=2e-3)


def test_prodigy_climbs_faster_than_dadapt_vs_independent_run():
    """Steps to reach 0.3 D from 1e-6 on |x|: 272 for D-Adaptation, 101 for Prodigy (dual averaging forms)."""
    reached = {}
    for name in ("dadapt_da", "prodigy_da"):
        _, scalars = trajectory(name, PROBLEMS["absolute value"], np.ones(400))
        reached[name] = int(np.argmax(scalars[:, D_ESTIMATE] >= 0.3)) + 1
    assert reached["dadapt_da"] == pytest.approx(272, abs=1)
    assert reached["prodigy_da"] == pytest.approx(101, abs=1)


@ON
@pytest.mark.parametrize("n", [500])
def test_prodigy_dual_averaging_bound(on, n):
    """f(mean) - f* <= (2 + sqrt 3) D G d_{n+1} sqrt(sum_{i<=n+1} d_i^2) / sum_{i<=n} d_i^2, and the run's own bound."""
    problem = PROBLEMS[on]
    points, scalars = trajectory("prodigy_da", problem, np.ones(n))
    d = np.concatenate([[1e-6], scalars[:, D_ESTIMATE]])
    theorem = (2 + math.sqrt(3)) * problem.D * problem.G * d[n] * math.sqrt(np.sum(d**2)) / np.sum(d[:n] ** 2)
    run = li.simulate(problem, "prodigy_da", np.ones(n))
    assert run.gap[0, 0, 0] == pytest.approx(weighted_gap(problem, points, d[:n] ** 2), rel=1e-9, abs=1e-12)
    assert run.gap[0, 0, 0] <= run.bound[0, 0, 0] <= theorem


@ON
def test_dadaptation_non_asymptotic_bound(on):
    """At t = argmin d_{k+1} / sum_{i<=k} d_i, with G in gamma: at most 16 D G log2+(D/d0) / sqrt(n + 1)."""
    problem, n, d0 = PROBLEMS[on], 400, 1e-4
    points, scalars = trajectory("dadapt_da", problem, np.ones(n + 1), G=problem.G, d0=d0)
    d = np.concatenate([[d0], scalars[:, D_ESTIMATE]])
    t = int(np.argmin(d[1:] / np.cumsum(d[:-1])))
    bound = 16 * problem.D * problem.G * max(1.0, math.log2(problem.D / d0)) / math.sqrt(n + 1)
    assert weighted_gap(problem, points, d[: t + 1]) <= bound


@ON
def test_dadaptation_asymptotic_bound(on):
    problem, n = PROBLEMS[on], 3000
    run = li.simulate(problem, "dadapt_da", np.ones(n + 1))
    first = np.linalg.norm(problem.subgradient(problem.x0))
    size = problem.D * problem.G
    assert run.gap[0, 0, 0] <= 12 * size / math.sqrt(n + 1) + 8 * size * problem.G / ((n + 1) * first)


@ON
@pytest.mark.parametrize("name", [*THEORY, "dog"])
@pytest.mark.parametrize("shape", ["constant", "linear"])
def test_gap_is_within_its_bound(on, name, shape):
    run = li.simulate(PROBLEMS[on], name, li.schedules.parse(shape, 500), base_lr=[0.5, 1.0])
    if run.bound is None:
        assert name in ("resetting", "dog")
        assert shape == "linear"
        assert "lr = 1" in run.bound_reason
    else:
        known = np.isfinite(run.bound)
        assert known[0, 1, 0]
        assert np.all(run.gap[known] <= run.bound[known] + 1e-12)
        assert "arXiv" in run.bound_source


@ON
def test_resetting_starts_few_epochs(on):
    problem = PROBLEMS[on]
    _, scalars = trajectory("resetting", problem, np.ones(2000))
    assert 10 < scalars[-1, kernels.RESETS] <= 1 + math.log2(problem.D / 1e-6)
    assert scalars[-1, kernels.LONGEST] >= 2000 / (2 + math.log2(problem.D / 1e-6))


def test_factor_two_of_the_package_breaks_the_lower_bound():
    """On |x| the packaged SGD form ends at 1.114 D; with factor 1 it is the theory's lower bound again."""
    problem = PROBLEMS["absolute value"]
    _, package = trajectory("dadapt_sgd", problem, np.ones(3000))
    _, theory = trajectory("dadapt_sgd", problem, np.ones(3000), factor=1.0)
    assert package[-1, D_ESTIMATE] == pytest.approx(1.114, abs=1e-3)
    assert theory[:, D_ESTIMATE].max() <= problem.D


@pytest.mark.parametrize("name", [*THEORY, "dog", "dadapt_sgd", "dadapt_adam", "dadapt_adagrad_practical", "prodigy"])
def test_start_at_the_minimum_and_zero_rates_are_harmless(name):
    """No gradient, or rates of zero at the start, must give neither nan nor movement."""
    still = problems.absolute_value(0.0)
    points, _ = trajectory(name, still, np.ones(5), **({"d0": 0.1} if name != "dog" else {}))
    np.testing.assert_array_equal(points, 0.0)
    points, scalars = trajectory(name, PROBLEMS["l1 regression"], np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite(points).all()
    assert np.isfinite(scalars[:, D_ESTIMATE]).all()
    np.testing.assert_allclose(points[2], points[0], rtol=1e-15)


def test_stochastic_runs_have_no_bound_and_say_why():
    run = li.simulate(PROBLEMS["logistic"], "prodigy_da", np.ones(20), batch_size=4)
    assert run.bound is None
    assert "deterministic" in run.bound_reason
