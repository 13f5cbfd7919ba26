"""The oracles of wide data: against NumPy, and the threads that share an evaluation or a step change no digit."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_references import CODES, KINDS, called, evaluate, reference

from lastiterate.theory import problems
from lastiterate.theory.simulators.kernels import wide
from lastiterate.theory.simulators.kernels.margins import WIDE, dense_margin
from lastiterate.theory.simulators.kernels.oracles import oracle_of
from lastiterate.theory.simulators.kernels.protocol import STRIP
from lastiterate.theory.simulators.kernels.vectors import norm2, shared_norm2
from lastiterate.theory.simulators.kernels.wide import NUMBERS, shared_margin, wide_margin
from lastiterate.theory.simulators.simulate import simulate

WIDTHS = st.integers(1, 40) | st.sampled_from([STRIP - 1, STRIP, STRIP + 9, 3 * STRIP + 2])


@pytest.mark.parametrize("oracle", [wide_margin, shared_margin])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(WIDTHS, st.integers(1, 37), st.sampled_from([0.0, 0.3]), st.integers(0, 10**6))
def test_batches_vs_numpy(oracle, kind, d, size, l2, seed):
    rng = np.random.default_rng(seed)
    matrix, x = rng.standard_normal((9, d)), rng.standard_normal(d) / np.sqrt(d)
    target, rows = np.sign(rng.standard_normal(9)), rng.integers(0, 9, size)
    margins = matrix[rows] @ x
    value = reference(kind, margins, target[rows], slope=False).mean() + 0.5 * l2 * x @ x
    gradient = matrix[rows].T @ reference(kind, margins, target[rows], slope=True) / size + l2 * x
    found, g = evaluate(oracle, kind, x, rows, matrix, target, l2)
    assert found == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(g, gradient, rtol=0.0, atol=1e-13 * max(1.0, np.abs(gradient).max()))
    assert evaluate(oracle, kind, x, rows, matrix, target, l2, empty=True)[0] == found


@pytest.mark.parametrize("d", [3, WIDE + 5, NUMBERS // 8 + 3, NUMBERS // 2 + 3])
@pytest.mark.parametrize("size", [0, 1, 3, 6, 16])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_threads_that_share_an_evaluation_change_no_digit(d, size, l2):
    rng = np.random.default_rng(d + size)
    matrix, x, target = rng.standard_normal((5, d)), rng.standard_normal(d), np.sign(rng.standard_normal(5))
    rows = rng.integers(0, 5, size)  # none: the whole set
    alone, shared = (evaluate(f, "logistic", x, rows, matrix, target, l2) for f in (wide_margin, shared_margin))
    assert alone[0] == shared[0]
    np.testing.assert_array_equal(alone[1], shared[1])
    value, g = evaluate(dense_margin(CODES["logistic"]), "logistic", x, rows, matrix, target, l2)
    assert shared[0] == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(shared[1], g, rtol=0.0, atol=1e-14 * max(1.0, np.abs(g).max()))


@given(st.sampled_from([1, 7, STRIP, STRIP + 1, 5 * STRIP + 3]), st.integers(0, 10**6))
def test_norms_vs_numpy(d, seed):
    v = np.random.default_rng(seed).standard_normal(d)
    assert called(norm2, v) == shared_norm2(v) == pytest.approx(np.linalg.norm(v), rel=1e-14)
    v[d // 2] = np.nan
    assert np.isnan([called(norm2, v), shared_norm2(v)]).all()


def test_only_a_run_alone_on_wide_dense_rows_shares_its_steps(monkeypatch):
    monkeypatch.setattr(wide, "threading_layer", lambda: "omp")
    assert oracle_of("logistic", sparse=False, width=WIDE, alone=True) is shared_margin
    assert oracle_of("logistic", sparse=False, width=WIDE) is wide_margin
    assert oracle_of("logistic", sparse=False, width=WIDE - 1, alone=True) is dense_margin(CODES["logistic"])
    assert oracle_of("logistic", sparse=True, width=WIDE, alone=True) not in (shared_margin, wide_margin)
    monkeypatch.setattr(wide, "threading_layer", lambda: "workqueue")
    assert oracle_of("logistic", sparse=False, width=WIDE, alone=True) is wide_margin


@pytest.mark.parametrize("method", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("threads", [1, numba.config.NUMBA_NUM_THREADS])
def test_a_wide_run_alone_is_the_run_in_company(method, threads):
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((24, WIDE))
    problem = problems.logistic(matrix, np.sign(matrix[:, 0]))
    chosen = {"batch_size": 16, "record": 6, "base_lr": 1e-3, "diagnostics": "grad_l2"}
    company = simulate(problem, method, np.ones(6), seeds=2, **chosen)
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        alone = simulate(problem, method, np.ones(6), **chosen)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(alone.f[0, 0, 0], company.f[0, 0, 0])
    np.testing.assert_array_equal(alone.diagnostics["grad_l2"][0, 0, 0], company.diagnostics["grad_l2"][0, 0, 0])
    np.testing.assert_array_equal(alone.points[0, 0, 0], company.points[0, 0, 0])
