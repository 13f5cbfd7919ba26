import os
import signal
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from literal_sdp import pepit_value, primal_value

import lastiterate as li
from lastiterate.solvers.design.momentum import matrix_gradient
from lastiterate.solvers.worst_case.solve import SolverError
from lastiterate.theory.base.validation import InputError

matrices = li.step_matrix


def linear(n_steps):
    return (1 - np.arange(1, n_steps + 1) / (n_steps + 1)) / np.sqrt(n_steps + 1)


def dual_averaging(n_steps):
    return matrices.dual_averaging(np.ones(n_steps), 2.0 * np.sqrt(np.arange(1, n_steps + 1)))


METHODS = {
    "sgd": lambda n: matrices.sgd(linear(n)),
    "momentum 0.5": lambda n: matrices.momentum(linear(n), 0.5),
    "momentum 0.9": lambda n: matrices.momentum(linear(n), 0.9),
    "spa 0.5": lambda n: matrices.spa(linear(n), 0.5),
    "spa 0.9": lambda n: matrices.spa(np.full(n, 0.3), 0.1),
    "primal averaging": lambda n: matrices.primal_averaging(np.full(n, 0.2)),
    "dual averaging": dual_averaging,
}


@pytest.mark.parametrize("n_steps", [1, 5, 10])
@pytest.mark.parametrize("method", METHODS)
def test_worst_case_vs_pepit(method, n_steps):
    H = METHODS[method](n_steps)
    result = li.worst_case(H)
    assert result.status == "optimal"
    assert result.value == pytest.approx(pepit_value(H), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_worst_case_vs_pepit_at_20_steps(method):
    H = METHODS[method](20)
    assert li.worst_case(H).value == pytest.approx(pepit_value(H), rel=1e-6)


def test_worst_case_with_caps_vs_pepit():
    generator = np.random.default_rng(0)
    for _ in range(4):
        H = np.tril(generator.uniform(-0.3, 1.0, (5, 5)), -1)
        G, D = generator.uniform(0.3, 3.0, 5), generator.uniform(0.5, 2.0)
        assert li.worst_case(H, D, G).value == pytest.approx(pepit_value(H, D, G), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 30.0)), min_size=1, max_size=7),
    decay=st.lists(st.floats(0.5, 1.0), min_size=8, max_size=8),
)
@example(steps=[0.0] * 4, decay=[1.0, 1.0, 0.5, 0.875, 0.6875, 1.0, 1.0, 1.0])
def test_worst_case_vs_exact_rate(steps, decay):
    G = np.cumprod(decay)[: len(steps) + 1]  # nonincreasing bounds, where the closed form is exact
    result = li.worst_case(matrices.sgd(steps), 1.5, G)
    assert result.value == pytest.approx(li.exact_rate(steps, 1.5, G).value, rel=1e-7)
    assert result.lower <= result.value


def test_exact_rate_is_an_upper_bound_for_increasing_caps_vs_sdp():
    G = np.exp(np.random.default_rng(1).uniform(-1.0, 1.0, 7))
    steps = np.full(6, 0.4)
    assert li.worst_case(matrices.sgd(steps), 1.0, G).lower <= li.exact_rate(steps, 1.0, G).value * (1 + 1e-9)


@pytest.mark.parametrize("n_steps", [1, 2, 7, 20, 30, pytest.param(60, marks=pytest.mark.slow)])
def test_linear_decay_attains_the_minimax_rate(n_steps):
    result = li.worst_case(matrices.sgd(linear(n_steps)))
    assert result.value * np.sqrt(n_steps + 1) == pytest.approx(1.0, rel=1e-7)
    assert result.lower * np.sqrt(n_steps + 1) == pytest.approx(1.0, rel=1e-7)


@pytest.mark.parametrize("n_steps", [3, 12])
def test_constant_step_with_primal_averaging_is_optimal_at_the_optimal_step(n_steps):
    D, G = 2.0, 3.0
    H = matrices.primal_averaging(np.full(n_steps, D / (G * np.sqrt(n_steps + 1))))
    rate = D * G / np.sqrt(n_steps + 1)
    assert li.worst_case(H, D, G).value == pytest.approx(rate, rel=1e-7)
    assert li.worst_case(1.1 * H, D, G).value > rate * 1.001


def test_average_iterate_vs_literal_sdp():
    H = matrices.sgd([0.5, 0.4, 0.1, 0.3])
    uniform = np.full(5, 0.2)
    assert li.worst_case(H, at="average").value == pytest.approx(primal_value(H, weights=uniform), rel=1e-6)
    weights = np.array([0.4, 0.0, 0.1, 0.2, 0.3])
    assert li.worst_case(H, 2.0, 0.5, at=weights).value == pytest.approx(
        primal_value(H, 2.0, 0.5, weights=weights), rel=1e-6
    )
    last = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    assert li.worst_case(H, at=last).value == pytest.approx(li.worst_case(H).value, rel=1e-6)


def test_equality_caps_vs_literal_sdp():
    H = np.tril(np.random.default_rng(3).uniform(-0.6, 0.9, (5, 5)), -1)
    G = [1.0, 0.2, 2.0, 0.4, 1.5]
    equal = li.worst_case(H, 1.0, G, norm_caps="equality")
    assert equal.value == pytest.approx(primal_value(H, 1.0, G, equality=True), rel=1e-6)
    assert equal.value < li.worst_case(H, 1.0, G).value * 0.999  # a case where it matters
    slopes = np.linalg.norm(equal.function.matrix[:-1], axis=1)
    np.testing.assert_allclose(slopes, G, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_worst_case_function_is_convex_lipschitz_and_attained(method):
    H = METHODS[method](8)
    D, G = 3.0, np.linspace(2.0, 0.5, 9)
    result = li.worst_case(H, D, G)
    function = result.function
    assert np.all(np.linalg.norm(function.matrix[:-1], axis=1) <= G * (1 + 1e-9))
    assert np.linalg.norm(function.x0 - function.x_star) <= D * (1 + 1e-9)
    generator = np.random.default_rng(5)
    points = generator.normal(scale=D, size=(40, function.dim))
    values = np.array([function.value(x) for x in points])
    for x, value in zip(points, values, strict=True):  # subgradients are global lower bounds: convexity
        assert np.all(values >= value + (points - x) @ function.subgradient(x) - 1e-9 * D)
    gaps = np.abs(values[:, None] - values) - G.max() * np.linalg.norm(points[:, None] - points, axis=2)
    assert gaps.max() <= 1e-9 * D
    assert values.min() >= function.f_star - 1e-9
    assert function.value(function.x_star) == pytest.approx(function.f_star, abs=1e-9 * D)
    assert function.run(H)[-1] == pytest.approx(result.value, rel=1e-7)


@pytest.mark.parametrize("D", [1e-3, 1.0, 1e3])
def test_simulator_reproduces_the_value(D):
    steps = D * np.random.default_rng(2).uniform(0.0, 0.8, 9)
    for method, H, options in (
        ("sgd", matrices.sgd(steps), {}),
        ("momentum", matrices.momentum(steps, 0.9), {"beta": 0.9}),
    ):
        result = li.worst_case(H, D)
        run = li.simulate(result.function, method, steps, **options)
        assert run.f.ravel()[-1] == pytest.approx(result.value, rel=1e-7)


def test_scaling():
    H, G = METHODS["momentum 0.9"](6), np.array([1.0, 2.0, 0.5, 1.0, 1.0, 3.0, 1.0])
    value = li.worst_case(H, 1.0, G).value
    assert li.worst_case(H * 200.0, 20.0, G * 0.1).value == pytest.approx(2.0 * value, rel=1e-7)


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_extreme_steps_vs_exact_rate(size):
    steps = size * np.array([1.0, 0.3, 0.0, 0.7])
    assert li.worst_case(matrices.sgd(steps)).value == pytest.approx(li.exact_rate(steps).value, rel=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_certificate_is_proved_in_rational_arithmetic(method):
    D, G = 2.0, 0.7
    result = li.worst_case(METHODS[method](8), D, G)
    proved = float(result.certificate().prove())
    assert result.lower <= proved * (1 + 1e-12)
    assert proved == pytest.approx(result.value, rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_certificate_at_20_steps(method):
    result = li.worst_case(METHODS[method](20))
    assert float(result.certificate().prove()) == pytest.approx(result.value, rel=1e-7)


def test_multipliers_conserve_flow_and_give_the_value():
    result = li.worst_case(dual_averaging(9), 2.0, 3.0)
    found = result.multipliers
    flow = found.pairs.sum(axis=0) + found.optimum - found.pairs.sum(axis=1) - found.minimum
    np.testing.assert_allclose(flow, np.eye(10)[-1], atol=1e-12)
    value = 0.5 * (found.tau * result.D**2 + found.norms @ result.G**2)
    assert value == pytest.approx(result.value, rel=1e-12)
    assert min(found.pairs.min(), found.optimum.min(), found.minimum.min(), found.norms.min()) >= 0.0


def test_matrix_gradient_vs_differences():
    H = matrices.momentum([0.3, 0.2, 0.4], 0.6)
    gradient = matrix_gradient(li.worst_case(H))
    for k, j in zip(*np.tril_indices(4, -1), strict=True):
        change = np.zeros_like(H)
        change[k, j] = 1e-5
        difference = li.worst_case(H + change).value - li.worst_case(H - change).value
        assert gradient[k, j] == pytest.approx(difference / 2e-5, abs=1e-5)


def test_no_steps():
    assert li.worst_case([[0.0]], 2.0, 3.0).value == pytest.approx(6.0)


def test_time_limit_returns_certified_bounds():
    H = METHODS["sgd"](25)
    exact = li.exact_rate(linear(25)).value
    for limit in (0.0, 0.02):
        result = li.worst_case(H, time_limit=limit)
        assert result.lower <= exact * (1 + 1e-7)
        assert result.value >= exact * (1 - 1e-7)
    stopped = li.worst_case(H, time_limit=0.0)
    assert stopped.status == "time limit"
    assert float(stopped.certificate().prove()) >= exact


@pytest.fixture
def heard():
    """Let an interrupt be heard, which the background jobs of a shell ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_interrupt_raises_and_restores_the_handler(heard):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    def solve_on_and_on():
        for _ in range(50):
            li.worst_case(METHODS["sgd"](60))

    with pytest.raises(KeyboardInterrupt):
        solve_on_and_on()
    assert signal.getsignal(signal.SIGINT) is heard


def test_other_solver_through_cvxpy():
    H = METHODS["momentum 0.5"](3)
    result = li.worst_case(H, solver="SCS")
    assert result.solver == "SCS"
    assert result.lower <= li.worst_case(H).value <= result.value * (1 + 1e-12)
    assert result.value == pytest.approx(li.worst_case(H).value, rel=1e-3)


def test_missing_solver_names_the_installed_ones():
    with pytest.raises(SolverError, match="CLARABEL"):
        li.worst_case(METHODS["sgd"](2), solver="NO_SUCH_SOLVER")


def test_missing_default_solver_names_the_others(monkeypatch):
    import cvxpy

    monkeypatch.setattr("lastiterate.theory.pep.cone.find_spec", lambda _: None)
    monkeypatch.setattr(cvxpy, "installed_solvers", lambda: ["OSQP", "SCS"])
    with pytest.raises(SolverError, match="available: SCS"):
        li.worst_case(METHODS["sgd"](2))


def test_solver_that_fails(monkeypatch):
    import cvxpy

    def fail(*_, **__):
        raise cvxpy.error.SolverError("no memory")

    monkeypatch.setattr(cvxpy.Problem, "solve", fail)
    with pytest.raises(SolverError, match="SCS failed"):
        li.worst_case(METHODS["sgd"](2), solver="SCS")


def test_progress_goes_to_standard_error(capsys):
    li.worst_case(METHODS["sgd"](3), progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""


@pytest.mark.parametrize(
    ("H", "message"),
    [
        ([[0.0, 0.0]], "square"),
        (np.zeros((2, 2, 2)), "square"),
        ([[0.0, 1.0], [0.0, 0.0]], "lower triangular"),
        ([[1.0]], "lower triangular"),
        ([[0.0, 0.0], [np.nan, 0.0]], "finite"),
        ([[0.0, 0.0], [np.inf, 0.0]], "finite"),
        ([["a", "b"], ["c", "d"]], "real"),
        ([[0.0], [1.0, 0.0]], "square"),
        (np.zeros((0, 0)), "square"),
    ],
)
def test_bad_matrix(H, message):
    with pytest.raises(InputError, match=message):
        li.worst_case(H)


@pytest.mark.parametrize(
    "options",
    [
        {"D": 0.0},
        {"D": np.nan},
        {"G": -1.0},
        {"G": [1.0]},
        {"at": "first"},
        {"at": [1.0]},
        {"at": [0.5, 0.5, 0.5]},
        {"norm_caps": "none"},
        {"time_limit": -1.0},
    ],
)
def test_bad_options(options):
    with pytest.raises(InputError):
        li.worst_case(matrices.sgd([0.5, 0.2]), **options)


def test_function_survives_a_file(tmp_path):
    function = li.worst_case(METHODS["sgd"](4)).function
    path = tmp_path / "worst.npz"
    li.problems.write_function(function, path)
    loaded = li.problems.read_function(path)
    assert loaded.run(METHODS["sgd"](4))[-1] == function.run(METHODS["sgd"](4))[-1]
    np.testing.assert_array_equal(loaded.matrix, function.matrix)
    assert [item.name for item in tmp_path.iterdir()] == ["worst.npz"]


def test_broken_files_and_interrupted_writes(tmp_path, monkeypatch):
    path = tmp_path / "worst.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match="npz"):
        li.problems.read_function(path)
    np.savez(path, slopes=np.zeros((2, 3)), intercepts=np.zeros(2))
    with pytest.raises(InputError, match="npz"):
        li.problems.read_function(path)
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        li.problems.write_function(li.worst_case(METHODS["sgd"](2)).function, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_low_rank_functions_attain_the_value():
    short = li.worst_case(matrices.sgd(np.full(4, 0.05)))
    assert short.function.dim > 1
    for heuristic in ("trace", "logdet"):  # short steps are worst on the absolute value
        assert short.low_rank_function(heuristic).dim == 1
    H = matrices.momentum(np.full(8, 0.1), 0.9)
    heavy = li.worst_case(H)
    found = heavy.low_rank_function()
    assert found.dim == 2 < heavy.function.dim
    assert found.run(H)[-1] == pytest.approx(heavy.value, rel=2e-7)
    assert found.G <= 1 + 1e-9
    for axes in (li.plots.function(found, H), li.plots.function(short.low_rank_function())):
        assert axes.lines
    with pytest.raises(InputError, match="variables"):
        li.plots.function(heavy.function)
