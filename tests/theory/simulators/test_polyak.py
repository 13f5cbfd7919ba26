"""Polyak-style methods: literal references, projections, the MoMo identity, guarantees, and who wins where."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_references import called

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.problems import Problem
from lastiterate.theory.simulators.kernels.protocol import FIRST, STEP_SIZE
from lastiterate.theory.simulators.methods.table import METHODS

RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(60, 6)), RNG.normal(size=60)
SOLUTION = np.arange(1.0, 7.0)
INTERPOLATING: dict[str, Problem] = {
    "consistent l1": problems.l1_regression(A, A @ SOLUTION),
    "separable hinge": problems.hinge(A, np.sign(A @ SOLUTION)),
    "consistent squares": problems.least_squares(A, A @ SOLUTION),
}
GENERAL: dict[str, Problem] = {
    "l1": problems.l1_regression(A, B, x0=np.full(6, 1.0)),
    "logistic": problems.logistic(A, np.sign(B), x0=np.full(6, 2.0)),
    "max affine": problems.max_affine(np.vstack([A, -A]), np.tile(B, 2), x0=np.full(6, 1.0)),
}
UNCAPPED = 1e12


class Runner:
    """Calls a kernel from Python, with the problem's own losses and subgradients."""

    def __init__(self, name: str, problem: Problem, **options: float) -> None:
        row = METHODS[name]
        chosen = {
            key: getattr(problem, value) if isinstance(value, str) else value for key, value in row.options.items()
        }
        assert not set(options) - set(chosen)
        self.problem, self.row = problem, row
        self.options = np.array([float(value) for value in {**chosen, **options}.values()])
        self.x, self.scalars = problem.x0.copy(), np.zeros(FIRST + row.scalars)
        self.state, self.memory = np.zeros((row.vectors, problem.dim)), np.zeros(problem.n_samples)
        self.k = 0

    def step(self, lr: float, rows: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        chosen = slice(None) if rows is None else rows
        loss = self.problem.value(self.x, chosen)
        gradient = self.problem.subgradient(self.x, chosen)
        batch = np.zeros(0, dtype=np.int64) if rows is None else rows
        called(
            self.row.step,
            self.k,
            lr,
            loss,
            self.x,
            gradient.copy(),
            batch,
            self.state,
            self.memory,
            self.scalars,
            self.options,
        )
        self.k += 1
        return loss, gradient


@settings(max_examples=8)
@given(seed=st.integers(0, 2**31), beta=st.sampled_from([0.0, 0.5, 0.9]))
@pytest.mark.parametrize("on", GENERAL)
def test_momo_identity_and_contraction(on, seed, beta):
    """The model gap equals (1 - beta)(f_k - f*) from the second step on, and every step is a projection."""
    problem, rng = GENERAL[on], np.random.default_rng(seed)
    runner = Runner("momo", problem, beta=beta, lower_bound=problem.f_star)
    runner.x[:] = rng.normal(size=problem.dim)
    for k in range(60):
        before = runner.x.copy()
        loss, _ = runner.step(UNCAPPED)
        d, (mean_loss, inner) = runner.state[0], runner.scalars[FIRST + 1 : FIRST + 3]
        model_gap = mean_loss + d @ before - inner - problem.f_star
        factor = 1.0 if k == 0 else 1.0 - beta
        if loss - problem.f_star < 1e-9:
            break
        assert model_gap == pytest.approx(factor * (loss - problem.f_star), rel=1e-7, abs=1e-11)
        fallen = np.sum((before - problem.x_star) ** 2) - np.sum((runner.x - problem.x_star) ** 2)
        assert fallen >= model_gap**2 / (d @ d) - 1e-9
        assert runner.scalars[FIRST] == 0.0


@pytest.mark.parametrize("on", INTERPOLATING)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**31), gamma=st.floats(0.05, 1.95), batch=st.integers(1, 8))
def test_sp_contracts_under_interpolation(on, seed, gamma, batch):
    problem, rng = INTERPOLATING[on], np.random.default_rng(seed)
    runner = Runner("sp", problem)
    for _ in range(50):
        before = runner.x.copy()
        loss, gradient = runner.step(gamma, rng.choice(problem.n_samples, batch, replace=False))
        promised = gamma * (2 - gamma) * loss**2 / (gradient @ gradient + 1e-12)
        fallen = np.sum((before - problem.x_star) ** 2) - np.sum((runner.x - problem.x_star) ** 2)
        assert fallen >= promised - 1e-9 * (1 + problem.D**2)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), cap=st.sampled_from([0.01, 0.3, UNCAPPED]))
def test_sps_max_vs_momo_without_momentum(seed, cap):
    rng, problem = np.random.default_rng(seed), GENERAL["logistic"]
    sps, momo = Runner("sps_max", problem), Runner("momo", problem, beta=0.0)
    for _ in range(30):
        rows = rng.integers(0, problem.n_samples, 4)
        sps.step(cap, rows)
        momo.step(cap, rows)
        np.testing.assert_allclose(sps.x, momo.x, rtol=1e-9, atol=1e-9)
        momo.x[:] = sps.x


def test_sp_vs_sps_max():
    """The two names of one method: SP with relaxation 1 / c and cap, SPS_max with factor c."""
    problem = GENERAL["logistic"]
    sp, sps = Runner("sp", problem, sps_max=0.7, eps=0.0), Runner("sps_max", problem, c=0.8)
    for k in range(40):
        rows = np.array([k % 60, (3 * k) % 60])
        sp.step(1.25, rows)
        sps.step(0.7, rows)
    np.testing.assert_allclose(sp.x, sps.x, rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 3, None])
def test_taps_step_vs_least_norm_projection(batch):
    """gamma = 1 projects (w, alpha of the batch) onto f_B + <g, dw> = mean alpha; the epoch's end onto mean = tau."""
    problem, rng = GENERAL["logistic"], np.random.default_rng(0)
    runner = Runner("taps", problem, tau=0.3)
    n = problem.n_samples
    per_epoch = 1 if batch is None else n // batch
    for k in range(2 * per_epoch):
        rows = None if batch is None else rng.choice(n, batch, replace=False)
        before, alpha = runner.x.copy(), runner.memory.copy()
        loss, gradient = runner.step(1.0, rows)
        members = np.arange(n) if rows is None else rows
        row = np.concatenate([gradient, np.zeros(n)])
        row[problem.dim + members] = -1.0 / len(members)
        change = np.linalg.pinv(row[None, :])[:, 0] * (alpha[members].mean() - loss)
        alpha = alpha + change[problem.dim :]
        if (k + 1) % per_epoch == 0:
            alpha += 0.3 - alpha.mean()
        np.testing.assert_allclose(runner.x - before, change[: problem.dim], atol=1e-13)
        np.testing.assert_allclose(runner.memory, alpha, atol=1e-13)


@pytest.mark.parametrize(("beta", "package"), [(0.0, False), (0.8, False), (0.0, True), (0.5, True)])
@pytest.mark.parametrize("gamma_tau", [-1.0, 0.0, 0.5])
def test_motaps_vs_literal_algorithm(gamma_tau, beta, package):
    problem, rng, gamma = GENERAL["logistic"], np.random.default_rng(1), 0.6
    runner = Runner("motaps", problem, gamma_tau=gamma_tau, beta=beta, package=package)
    pace = gamma / (1 - beta) if package else gamma  # the authors' code rescales the rate of the targets too
    rate = 0.9 - 0.899 * gamma if gamma_tau < 0 else gamma_tau
    w, z, n = problem.x0.copy(), problem.x0.copy(), problem.n_samples
    alpha, tau = np.zeros(n), 0.0
    for k in range(3 * n):
        i = int(rng.integers(n))
        gradient, loss = problem.subgradient(w, [i]), problem.value(w, [i])
        c = (loss - alpha[i]) / (gradient @ gradient + 1)
        alpha[i] += pace * c
        z = z - gamma / (1 - beta) * c * gradient
        w = beta * w + (1 - beta) * z
        if (k + 1) % n == 0:
            mean = alpha.mean()
            tau = (1 - rate) * tau + rate * n / (n + 1) * mean
            alpha += pace * (tau - mean)
        runner.step(gamma, np.array([i]))
        np.testing.assert_allclose(runner.x, w, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(runner.memory, alpha, rtol=1e-11, atol=1e-12)
    assert runner.scalars[FIRST] == pytest.approx(tau, rel=1e-11)


@pytest.mark.parametrize("on", GENERAL)
@pytest.mark.parametrize(
    ("name", "lr", "options"),
    [("polyak", [0.5, 1.0, 1.9], {}), ("momo", UNCAPPED, {"beta": 0.5}), ("momo", UNCAPPED, {})],
)
def test_gap_is_within_its_bound(on, name, lr, options):
    problem = GENERAL[on]
    options = {**options, "lower_bound": problem.f_star} if name == "momo" else options
    run = li.simulate(problem, name, np.ones(300), base_lr=lr, **options)
    assert run.bound_iterate == "average"
    assert np.all(run.gap <= run.bound)


@pytest.mark.parametrize("on", ["consistent l1", "separable hinge"])
@pytest.mark.parametrize(("name", "lr"), [("sp", 1.0), ("sp", 0.5), ("sps_max", UNCAPPED), ("momo", UNCAPPED)])
def test_stochastic_gap_is_within_its_bound_under_interpolation(on, name, lr):
    run = li.simulate(INTERPOLATING[on], name, np.ones(400), base_lr=lr, batch_size=4, seeds=5)
    assert np.mean(run.gap) <= np.mean(run.bound)


@pytest.mark.parametrize(
    ("method", "changes", "reason"),
    [
        ("sp", {}, "exact f"),
        ("polyak", {"batch_size": 2}, "no interpolation"),
        ("polyak", {"base_lr": 2.5}, "no step makes progress"),
        ("momo_star", {}, "known f"),
        ("taps", {}, "star-convex"),
    ],
)
def test_no_bound_comes_with_its_reason(method, changes, reason):
    run = li.simulate(GENERAL["l1"], method, np.ones(10), **changes)
    assert run.bound is None
    assert reason in run.bound_reason


def test_capped_steps_have_no_bound():
    problem = GENERAL["l1"]
    run = li.simulate(problem, "momo", np.ones(10), base_lr=1e-3, lower_bound=problem.f_star)
    assert run.bound is None
    assert "capped" in run.bound_reason


def test_momo_star_finds_the_minimum_of_a_regularised_loss():
    """Started from the lower bound 0, the estimate never exceeds the batch losses' own scale and ends near f*."""
    problem = problems.logistic(A, np.sign(B), l2=0.1)
    runner = Runner("momo_star", problem)
    for _ in range(400):
        runner.step(1.0)
    assert runner.problem.value(runner.x) - problem.f_star < 1e-3
    assert runner.scalars[FIRST + 3] == pytest.approx(problem.f_star, abs=0.05)


@pytest.mark.parametrize("name", ["polyak", "sp", "sps_max", "taps", "motaps", "momo", "momo_star", "momo_adam"])
def test_zero_gradients_are_harmless(name):
    runner = Runner(name, problems.absolute_value(0.0))
    for _ in range(3):
        runner.step(0.5)
    np.testing.assert_array_equal(runner.x, 0.0)
    assert np.isfinite(runner.scalars[STEP_SIZE])


def test_motaps_beats_sp_without_interpolation_and_sp_wins_with_it():
    """n = 50, d = 200 logistic as in arXiv 2106.11851: separable without l2 SP wins; with l2 = 1/n it stalls."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 200))
    labels = np.sign(features @ rng.normal(size=200))
    steps = np.ones(50 * 50)
    common = {"batch_size": 1, "replacement": True, "seeds": 3}

    separable = problems.logistic(features, labels)
    sp = li.simulate(separable, "sp", steps, **common)
    taps = li.simulate(separable, "taps", steps, tau=0.0, **common)
    motaps = li.simulate(separable, "motaps", steps, base_lr=0.999, **common)
    assert np.mean(sp.final) < 0.01 * min(np.mean(taps.final), np.mean(motaps.final))

    sigma = 1.0 / 50
    gamma = 1.0 / (1.0 + 0.25 * sigma * np.exp(sigma))
    regular = problems.logistic(features, labels, l2=sigma)
    sp = li.simulate(regular, "sp", steps, **common)
    motaps = li.simulate(regular, "motaps", steps, base_lr=gamma, **common)
    assert np.mean(motaps.final - regular.f_star) < 0.25 * np.mean(sp.final - regular.f_star)


def test_momo_stays_trained_where_momentum_diverges():
    """Softmax on digits, batch 16, constant rate: MoMo is flat in its cap, SGD with momentum climbs above the start."""
    data = problems.dataset("digits")
    problem = problems.softmax(data.features, data.targets)
    rates = np.array([1.0, 100.0, 1000.0])
    common = {"base_lr": rates, "batch_size": 16, "record": 1}
    momentum = li.simulate(problem, "momentum", np.ones(600), dampening=0.9, **common)
    momo = li.simulate(problem, "momo", np.ones(600), **common)
    adam = li.simulate(problem, "momo_adam", np.ones(600), **common)
    start = np.log(10.0)
    assert np.all(momentum.final[0, 2:, 0] > 3 * start)
    assert np.all(momo.final < 0.05 * start)
    assert np.all(adam.final < 0.05 * start)
    assert min(problem.accuracy(point) for point in momo.points[0, :, 0]) > 0.96


def test_momo_on_least_squares_where_momentum_overflows():
    data = problems.dataset("digits")
    problem = problems.least_squares(data.features, data.one_against_rest(3))
    common = {"base_lr": [1.0, 10.0, 100.0], "batch_size": 32}
    momentum = li.simulate(problem, "momentum", np.ones(600), dampening=0.9, **common)
    momo = li.simulate(problem, "momo", np.ones(600), **common)
    assert momentum.diverged[0, 1:, 0].all()
    assert not momo.diverged.any()
    assert np.all(momo.final < 0.5 * problem.value(problem.x0))
