"""The planar certificate of dual averaging: against semidefinite programs, its own multipliers and exact arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.certificates.certificate import Certificate
from lastiterate.theory.rates.methods.last_row import dual_averaging_lower
from lastiterate.theory.rates.methods.planar import planar_bound


def tuned(n_steps, weights, scaling):
    """Weights and scalings 1, sqrt(k) or k, at the best base learning rate of the last row."""
    k = np.arange(1.0, n_steps + 1.0)
    lam, beta = k ** {"const": 0.0, "sqrt": 0.5}[weights], k ** {"sqrt": 0.5, "linear": 1.0}[scaling]
    return lam * li.tune_base_lr(lam / beta[-1]).base_lr, beta


def certified(lam, beta, D=1.0, G=1.0):
    """Return the bound and what the general machinery makes of its multipliers."""
    bound = planar_bound(lam, beta, D, G)
    pairs, tau, norms, spare = bound.multipliers()
    H = li.step_matrix.dual_averaging(lam, beta)
    return bound, Certificate.step_matrix(H, pairs, tau, norms, D=D, G=G, monotone=spare)


# worst cases: the semidefinite program with all pairs, to five digits
WORST = {
    (10, "const", "sqrt"): 0.37932, (10, "const", "linear"): 0.44307,
    (10, "sqrt", "sqrt"): 0.40377, (10, "sqrt", "linear"): 0.42988,
    (20, "const", "sqrt"): 0.29201, (20, "const", "linear"): 0.33776,
    (20, "sqrt", "sqrt"): 0.31527, (20, "sqrt", "linear"): 0.33440,
    (40, "const", "sqrt"): 0.22063, (40, "const", "linear"): 0.25308,
    (40, "sqrt", "sqrt"): 0.24099, (40, "sqrt", "linear"): 0.25452,
}  # fmt: skip


@pytest.mark.parametrize("case", WORST)
def test_within_three_per_cent_of_the_worst_case(case):
    bound, certificate = certified(*tuned(*case))
    assert WORST[case] * (1 - 2e-5) <= bound.value <= 1.03 * WORST[case]
    assert certificate.value == pytest.approx(bound.value, rel=1e-10)
    assert dual_averaging_lower(*tuned(*case)).value <= WORST[case] * (1 + 2e-5)


def test_worst_cases_of_the_table():
    for case in WORST:
        if case[0] == 10:
            H = li.step_matrix.dual_averaging(*tuned(*case))
            assert li.worst_case(H, progress=False).value == pytest.approx(WORST[case], rel=2e-5)


CASES = st.integers(2, 9).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.float64, n, elements=st.floats(0.01, 3.0)),
        arrays.arrays(np.float64, n, elements=st.floats(0.05, 5.0)).map(np.sort),
        arrays.arrays(np.float64, n + 1, elements=st.floats(0.3, 2.0)),
    )
)


@given(CASES, st.floats(0.1, 10.0))
@settings(max_examples=40, deadline=None)
def test_any_weights_scalings_and_caps_are_bounded(case, D):
    """Jumps of every size: the value is what its multipliers prove, and not below the semidefinite program."""
    lam, beta, G = case
    bound = planar_bound(lam, beta, D, G)
    if bound.value == np.inf:  # rare: no valid vectors among the trials
        return
    _, certificate = certified(lam, beta, D, G)
    assert certificate.value <= bound.value * (1 + 1e-8)  # smaller where other norms are better
    assert certificate.check()
    assert bound.value >= li.worst_case(li.step_matrix.dual_averaging(lam, beta), D, G, progress=False).lower * (
        1 - 1e-7
    )


@given(st.floats(0.01, 100.0), st.floats(0.01, 100.0), st.floats(0.01, 100.0))
@settings(max_examples=20, deadline=None)
def test_units_do_not_matter(D, G, factor):
    lam, beta = tuned(12, "const", "sqrt")
    base = planar_bound(lam, beta).value
    moved = planar_bound(factor * lam * D / G, factor * beta, D, G)
    assert moved.value == pytest.approx(D * G * base, rel=1e-6)


@pytest.mark.parametrize(("D", "G"), [(1e-145, 1e140), (1e140, 1e-145), (1e145, 1e-140), (1e-140, 1e145)])
def test_far_units(D, G):
    """Squares of weights leave float64, those of weights times vectors do not."""
    lam, beta = tuned(12, "const", "linear")
    bound, certificate = certified(lam * (D / G), beta, D, G)
    assert bound.value == pytest.approx(D * G * planar_bound(lam, beta).value, rel=1e-6)
    assert certificate.value == pytest.approx(bound.value, rel=1e-8)
    assert certificate.check()


def test_constant_scaling_is_the_rate_of_sgd():
    steps = np.random.default_rng(0).random(15)
    assert planar_bound(steps, np.ones(15)).value == pytest.approx(li.exact_rate(steps).value, rel=1e-6)


@pytest.mark.parametrize(("scaling", "most"), [("sqrt", 1.07), ("linear", 1.21)])
def test_interval_at_a_thousand_steps(scaling, most):
    case = tuned(1000, "const", scaling)
    assert planar_bound(*case).value <= most * dual_averaging_lower(*case).value


def test_proof_in_rational_arithmetic():
    bound, certificate = certified(*tuned(60, "sqrt", "linear"))
    assert float(certificate.prove()) <= bound.value * (1 + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["sqrt", "linear"])
def test_proof_in_rational_arithmetic_at_200_steps(scaling):
    bound, certificate = certified(*tuned(200, "const", scaling))
    assert float(certificate.prove()) <= bound.value * (1 + 1e-8)


def test_a_hundred_thousand_steps():
    case = tuned(100_000, "const", "linear")
    assert planar_bound(*case).value <= 1.17 * dual_averaging_lower(*case).value


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: planar_bound([1.0, 0.0], [1.0, 2.0]), "weights"),
        (lambda: planar_bound([], [1.0, 2.0]), "weights"),
        (lambda: planar_bound([1.0, 1.0], [2.0, 1.0]), "scalings"),
        (lambda: planar_bound([1.0, 1.0], [0.0, 1.0]), "scalings"),
        (lambda: planar_bound([1.0, 1.0], [1.0, 1.0], D=np.inf), "D"),
        (lambda: planar_bound([1.0, 1.0], [1.0, 1.0], G=[1.0]), "G"),
    ],
)
def test_bad_input_names_the_argument(call, where):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == where
