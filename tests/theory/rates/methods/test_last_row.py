"""The attained lower bound: against semidefinite programs, and by running methods on the function itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.methods import step_matrix as step_matrices
from lastiterate.theory.rates.methods.last_row import (
    averaging_last_row,
    averaging_lower,
    dual_averaging_lower,
    last_row_lower,
)

UNIT = st.floats(0.0, 1.0)


def matrices(low=0.0, smallest=1):
    """Step matrices of a few points with entries over some decades."""
    return st.integers(smallest, 6).flatmap(
        lambda n: arrays.arrays(np.float64, (n + 1, n + 1), elements=st.floats(low, 2.0)).map(lambda H: np.tril(H, -1))
    )


def run_on_worst_function(H, D, G):
    """Build vectors with the inner products rho of the last row, run the method, return what its oracle saw.

    The oracle answers call t with g_t; returned are f_N and by how much g_t misses being a subgradient.
    """
    rate = li.exact_rate(H[-1, :-1], D, G)
    s = np.cumsum(rate.weights[::-1])[::-1]
    n = rate.n_steps
    gram, E = np.diag(G**2), D**2 / s[0] ** 3
    for t in range(n):
        rho = (E - rate.weights[t] * G[t] ** 2) / s[t + 1]
        gram[t, t + 1 :] = gram[t + 1 :, t] = rho
        E -= rho * rate.weights[t]
    values, vectors = np.linalg.eigh(gram)
    assert values[0] > -1e-7 * values[-1]
    g = vectors * np.sqrt(np.maximum(values, 0.0))
    start = s[0] * rate.weights @ g
    points = start - H @ g
    pieces = points @ g.T  # <g_t, x_j - x*>
    height = np.maximum(pieces.max(axis=1), 0.0)
    return height[-1], np.max(height - np.diag(pieces)), np.linalg.norm(start)


@given(matrices(low=-0.5), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_a_positive_bound_is_attained_by_a_function_of_the_class(H, constant, seed):
    """The conditions are not trusted: the oracle's answers must be subgradients of the convex function it plays."""
    n = H.shape[0] - 1
    G = np.full(n + 1, 1.3) if constant else np.sort(np.random.default_rng(seed).uniform(0.3, 2.0, n + 1))[::-1]
    found = last_row_lower(H, 1.5, G)
    if found.value == 0.0:
        assert found.note.startswith("no lower bound")
        return
    reached, miss, distance = run_on_worst_function(H, 1.5, G)
    assert reached == pytest.approx(found.value, rel=1e-5)
    assert distance == pytest.approx(1.5, rel=1e-5)
    assert miss <= 1e-5 * (1.0 + reached + np.abs(H).max())


@given(matrices(), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_never_above_the_sdp(H, seed):
    G = np.random.default_rng(seed).uniform(0.5, 2.0, H.shape[0])
    assert last_row_lower(H, 1.2, G).value <= li.worst_case(H, 1.2, G, progress=False).value * (1 + 1e-7)


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(*[arrays.arrays(np.float64, n, elements=UNIT.map(lambda x: x + 1e-3)) for _ in range(2)])
    )
)
@settings(max_examples=25, deadline=None)
def test_averaging_needs_no_condition(case):
    """For c in [0, 1] the general check of every pair agrees, and the last row needs no matrix."""
    steps, c = case[0], np.minimum(case[1], 1.0)
    H = step_matrices.spa(steps, c)
    assert averaging_last_row(steps, c) == pytest.approx(H[-1, :-1], rel=1e-12)
    assert averaging_lower(steps, c, 2.0, 0.7).value == pytest.approx(last_row_lower(H, 2.0, 0.7).value, rel=1e-12)


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            arrays.arrays(np.float64, n, elements=st.floats(0.01, 3.0)),
            arrays.arrays(np.float64, n, elements=st.floats(0.1, 10.0)),
        )
    )
)
@settings(max_examples=60, deadline=None)
def test_dual_averaging_vs_the_general_check(case):
    lam, beta = case
    short = dual_averaging_lower(lam, beta, 1.1, 0.9)
    full = last_row_lower(step_matrices.dual_averaging(lam, beta), 1.1, 0.9)
    assert short.value == pytest.approx(full.value, rel=1e-9)
    assert short.note == full.note


def test_known_shares_of_the_worst_case():
    """Dual averaging with sqrt(k) in weights and scaling: 0.98 of the worst case; momentum 0.5: nearly all."""
    n = 20
    roots = np.sqrt(np.arange(1, n + 1))
    e = roots / roots[-1]
    lam = roots * li.tune_base_lr(e).base_lr
    sdp = li.worst_case(li.step_matrix.dual_averaging(lam, roots), progress=False).value
    assert dual_averaging_lower(lam, roots).value / sdp == pytest.approx(0.978, abs=2e-3)
    steps = 0.2 * li.schedules.linear(n)
    sdp = li.worst_case(li.step_matrix.spa(steps, 0.5), progress=False).value
    assert 0.99 <= averaging_lower(steps, 0.5).value / sdp <= 1.0 + 1e-7


def test_rising_caps_use_their_running_minimum():
    rising = averaging_lower([0.3] * 4, 0.5, G=[1.0, 2.0, 3.0, 1.5, 1.2])
    assert rising.value == averaging_lower([0.3] * 4, 0.5, G=1.0).value
    assert "running minimum" in rising.note


def test_long_runs_are_quick():
    n = 100_000
    found = dual_averaging_lower(np.full(n, 1e-3), np.sqrt(np.arange(1, n + 1) / n))
    assert found.note == "attained"
    assert 0.0 < found.value < 1.0


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: last_row_lower([[0.0, 1.0], [0.0, 0.0]]), "H"),
        (lambda: last_row_lower([[0.0, 0.0], [np.nan, 0.0]]), "H"),
        (lambda: last_row_lower([[0.0, 0.0], [1.0, 0.0]], D=-1.0), "D"),
        (lambda: last_row_lower([[0.0, 0.0], [1.0, 0.0]], G=[1.0, 2.0, 3.0]), "G"),
        (lambda: averaging_lower([1.0, 1.0], c=1.5), "c"),
        (lambda: dual_averaging_lower([1.0, -1.0], 1.0), "lam"),
        (lambda: dual_averaging_lower([1.0, 1.0], [1.0, 0.0]), "beta"),
    ],
)
def test_bad_input_names_the_argument(call, where):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == where
