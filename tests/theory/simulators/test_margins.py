"""The oracles of a_i x against NumPy and extended precision, at every remainder of rows and columns."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margin_references import CODES, KINDS, evaluate, reference
from numba import njit, uint64

from lastiterate.theory import problems
from lastiterate.theory.simulators.kernels.logistic import AT_ONCE, logistic_losses, logistic_slopes
from lastiterate.theory.simulators.kernels.margins import WIDE, dense_margin, sparse_margin
from lastiterate.theory.simulators.simulate import simulate

ALL = np.empty(0, dtype=np.int64)


@njit
def slopes(work, scale):
    logistic_slopes(work, uint64(0), uint64(AT_ONCE), scale)


@njit
def losses(work):
    logistic_losses(work, uint64(0))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-800.0, 800.0), min_size=AT_ONCE, max_size=AT_ONCE),
    st.lists(st.sampled_from([-1.0, 1.0]), min_size=AT_ONCE, max_size=AT_ONCE),
)
def test_slopes_and_losses_vs_extended_precision(z, labels):
    work = np.array([*z, *labels])
    slopes(work, 1.0)
    logs = np.array(z)
    losses(logs)
    with mpmath.workdps(50):
        for slope, log, label, number in zip(work.tolist(), logs.tolist(), labels, z, strict=False):
            sigmoid = 1 / (1 + mpmath.exp(mpmath.mpf(label * number)))
            assert abs(slope + label * sigmoid) <= 1e-15 * sigmoid + 4e-308
            loss = mpmath.log1p(1 / mpmath.exp(mpmath.mpf(number)))
            assert abs(log - loss) <= 1e-15 * loss + 4e-308  # 7e-16 at most over 160,000 draws


def test_slopes_and_losses_at_the_ends():
    ends = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e300, -1e300, 5e-324]
    work, logs = np.array([*ends, *ends, *np.full(8, -1.0), *np.full(8, 1.0)]), np.array([*ends, *ends])
    slopes(work, 0.25)
    losses(logs)
    downhill = np.array([0.0, 1.0, np.nan, 0.5, 0.5, 0.0, 1.0, 0.5])
    np.testing.assert_allclose(work[:8], 0.25 * (1.0 - downhill), atol=4e-308, rtol=0.0)
    np.testing.assert_allclose(work[8:16], -0.25 * downhill, atol=4e-308, rtol=0.0)
    half = np.log(2.0)
    expected = [0.0, np.inf, np.nan, half, half, 0.0, 1e300, half]
    np.testing.assert_allclose(logs, expected * 2, atol=4e-308, rtol=2e-16)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40) | st.sampled_from([2047, 2050, 4096, 5001, WIDE - 1]),
    st.integers(1, 70),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 10**6),
)
def test_batches_vs_numpy(kind, d, size, l2, seed):
    rng = np.random.default_rng(seed)
    matrix, x = rng.standard_normal((9, d)), rng.standard_normal(d) / np.sqrt(d)
    target = np.sign(rng.standard_normal(9))
    rows = rng.integers(0, 9, size)
    margins = matrix[rows] @ x
    value = reference(kind, margins, target[rows], slope=False).mean() + 0.5 * l2 * x @ x
    gradient = matrix[rows].T @ reference(kind, margins, target[rows], slope=True) / size + l2 * x
    found, g = evaluate(dense_margin(CODES[kind]), kind, x, rows, matrix, target, l2)
    assert found == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(g, gradient, rtol=0.0, atol=1e-13 * max(1.0, np.abs(gradient).max()))
    only, nothing = evaluate(dense_margin(CODES[kind]), kind, x, rows, matrix, target, l2, empty=True)
    assert only == found
    assert nothing.size == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 12))
def test_the_whole_set_is_the_batch_of_all_rows(n, d):
    rng = np.random.default_rng(n + 1000 * d)
    matrix, x, target = rng.standard_normal((n, d)), rng.standard_normal(d), np.sign(rng.standard_normal(n))
    whole = evaluate(dense_margin(CODES["logistic"]), "logistic", x, ALL, matrix, target)
    listed = evaluate(dense_margin(CODES["logistic"]), "logistic", x, np.arange(n), matrix, target)
    assert whole[0] == listed[0]
    np.testing.assert_array_equal(whole[1], listed[1])


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_rows_vs_dense(kind):
    from scipy import sparse

    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((30, 11)) * (rng.random((30, 11)) < 0.4)
    rows, x, target = rng.integers(0, 30, 21), rng.standard_normal(11), np.sign(rng.standard_normal(30))
    stored = sparse.csr_array(matrix)
    index = np.concatenate([stored.indptr, stored.indices]).astype(np.int64)
    value, g = evaluate(sparse_margin(CODES[kind]), kind, x, rows, stored.data, target, 0.1, index=index)
    expected, gradient = evaluate(dense_margin(CODES[kind]), kind, x, rows, matrix, target, 0.1)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(g, gradient, rtol=0.0, atol=1e-14)
    assert (
        evaluate(sparse_margin(CODES[kind]), kind, x, rows, stored.data, target, 0.1, empty=True, index=index)[0]
        == value
    )


@pytest.mark.parametrize("d", [3, 8, 13, 31, 64, 65])
def test_what_lies_between_rows_is_not_read(d):
    rng = np.random.default_rng(d)
    wide = np.full((20, d + 5), np.nan)
    wide[:, :d] = matrix = rng.standard_normal((20, d))
    x, target, rows = rng.standard_normal(d), np.sign(rng.standard_normal(20)), rng.integers(0, 20, 13)
    plain = evaluate(dense_margin(CODES["logistic"]), "logistic", x, rows, matrix, target, 0.1)
    apart = evaluate(dense_margin(CODES["logistic"]), "logistic", x, rows, wide, target, 0.1, index=np.array([d + 5]))
    assert apart[0] == plain[0]
    np.testing.assert_array_equal(apart[1], plain[1])


@pytest.mark.parametrize("make", [problems.logistic, problems.softmax, problems.max_affine])
def test_rows_begin_with_a_cache_line_and_change_no_digit(make):
    rng = np.random.default_rng(0)
    targets = np.arange(9) % 2.0
    for d in (8, 16, 17, 31, 40):
        table = rng.standard_normal((9, d))
        problem = make(table, targets)
        dense = problem.arrays.dense
        assert dense.ctypes.data % 64 == 0
        assert dense.strides[0] % 64 == 0
        np.testing.assert_array_equal(dense, table)
        packed = replace(problem, matrix=table)  # rows one after another, wherever they begin
        assert packed.fingerprint() == problem.fingerprint()
        runs = [simulate(p, "sgd", "constant", n_steps=9, base_lr=0.1) for p in (problem, packed)]
        np.testing.assert_array_equal(runs[0].points, runs[1].points)
