"""Mechanic: its regret identity, a literal reference in the paper's form, and what it is for."""

import numpy as np
import pytest
from margin_references import called

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.simulators.kernels.protocol import D_ESTIMATE, FIRST
from lastiterate.theory.simulators.methods.mechanic import SCALE
from lastiterate.theory.simulators.methods.table import METHODS

BETAS = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])


def run(name: str, n_steps: int, **options: float):
    """Yield (x, g, scale, Delta) before each step."""
    rng = np.random.default_rng(0)
    problem = problems.logistic(rng.normal(size=(80, 5)), np.sign(rng.normal(size=80)), l2=0.01, x0=np.ones(5))
    row = METHODS[name]
    values = np.hstack([*{**row.options, **options}.values()]).astype(float)
    x, scalars, state = problem.x0.copy(), np.zeros(FIRST + row.scalars), np.zeros((row.vectors, 5))
    for k in range(n_steps):
        rows = rng.integers(0, 80, 4)
        g = problem.subgradient(x, rows)
        yield x.copy(), g, scalars[SCALE], state[1].copy()
        called(row.step, k, 0.5, 0.0, x, g.copy(), rows, state, np.zeros(0), scalars, values)


@pytest.mark.parametrize("name", ["mechanic_sgd", "mechanic_adam"])
def test_regret_identity_of_the_reduction(name):
    """sum <g, x_t - u> = sum h_t (S_t - s) + s sum <g, Delta_t - (u - x_1)/s> for every s > 0 and u (lambda = 0)."""
    history = list(run(name, 200, s_decay=0.0, s_init=1e-3))
    first = history[0][0]
    for s, u in ((0.3, np.zeros(5)), (2.0, np.full(5, -1.0))):
        regret = sum(g @ (x - u) for x, g, _, _ in history)
        tuner = sum((delta @ g) * (scale - s) for _, g, scale, delta in history)
        base = s * sum(g @ (delta - (u - first) / s) for _, g, _, delta in history)
        assert regret == pytest.approx(tuner + base, rel=1e-10)


@pytest.mark.parametrize("s_decay", [0.0, 0.05])
def test_kernel_vs_literal_paper_form(s_decay):
    """m_0 = 0 and the lambda-term at x_t, base SGD with momentum."""
    s, r, v, m = np.zeros((4, 6))
    buffer, delta, start = np.zeros(5), np.zeros(5), None
    for x, g, scale, seen in run("mechanic_sgd", 150, s_decay=s_decay, s_init=1e-4, momentum=0.8):
        start = x if start is None else start
        assert scale == pytest.approx(s.sum(), rel=1e-11)
        np.testing.assert_allclose(seen, delta, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(x, start + s.sum() * delta, rtol=1e-11)
        h = delta @ (g + s_decay * s.sum() * np.linalg.norm(g) * x / np.linalg.norm(x))
        buffer = 0.8 * buffer + g
        delta = delta - 0.5 * buffer
        m = np.maximum(BETAS * m, abs(h))
        v = BETAS**2 * v + h**2
        r = np.maximum(0.0, BETAS * r - s * h)
        s = (1e-4 / 6 * m + r) / (np.sqrt(v) + 1e-8)


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_base_rates_1_and_1000_both_match_tuned_momentum(name):
    data = problems.dataset(name)
    problem = problems.softmax(data.features, data.targets)
    steps = li.schedules.linear(1500)
    rates = np.array([0.01, 0.1, 1.0, 10.0])
    tuned = li.simulate(problem, "momentum", steps, base_lr=rates, batch_size=16, dampening=0.9)
    best = max(problem.accuracy(point) for point in tuned.points[0, :, 0])
    mechanic = li.simulate(problem, "mechanic_sgd", steps, base_lr=[1.0, 1000.0], batch_size=16)
    for point in mechanic.points[0, :, 0]:
        assert problem.accuracy(point) >= best - 0.02


def test_no_movement_without_gradients_and_the_learned_scale_is_recorded():
    run = li.simulate(problems.absolute_value(0.0), "mechanic_sgd", np.ones(4), diagnostics=["D_estimate"])
    np.testing.assert_array_equal(run.points, 0.0)
    assert run.bound is None
    run = li.simulate(problems.absolute_value(1.0), "mechanic_adam", np.ones(200), diagnostics=["D_estimate"])
    assert run.diagnostics["D_estimate"][0, 0, 0, -1] == pytest.approx(run.scalars[0, 0, 0, D_ESTIMATE])
    assert run.final[0, 0, 0] < 0.9
