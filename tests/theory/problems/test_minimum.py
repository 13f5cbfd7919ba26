"""Minima of badly scaled, collinear and nearly separable problems, against the same problem in good coordinates."""

from collections.abc import Callable

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

from lastiterate.theory import problems
from lastiterate.theory.problems import Problem
from lastiterate.theory.problems.minimum.coordinates import whitened

RNG = np.random.default_rng(11)
MATRIX, TARGETS = RNG.normal(size=(30, 4)), RNG.normal(size=30)
SIGNS, CLASSES = np.sign(TARGETS + MATRIX[:, 0]), RNG.integers(0, 3, 30)
CENTRED = np.vstack([MATRIX, -MATRIX.mean(axis=0)])

PLAIN: dict[str, Callable[..., Problem]] = {
    "l1": lambda scale: problems.l1_regression(MATRIX * scale, TARGETS),
    "hinge": lambda scale: problems.hinge(MATRIX * scale, SIGNS),
    "logistic": lambda scale: problems.logistic(MATRIX * scale, SIGNS),
    "softmax": lambda scale: problems.softmax(MATRIX * scale, CLASSES),
    "squares": lambda scale: problems.least_squares(MATRIX * scale, TARGETS),
    "max": lambda scale: problems.max_affine(CENTRED * scale, np.append(TARGETS, 0.0)),
}
WITH_L2: dict[str, Callable[..., Problem]] = {
    "hinge": lambda a, l2: problems.hinge(a, SIGNS, l2=l2),
    "logistic": lambda a, l2: problems.logistic(a, SIGNS, l2=l2),
    "softmax": lambda a, l2: problems.softmax(a, CLASSES, l2=l2),
    "squares": lambda a, l2: problems.least_squares(a, TARGETS, l2=l2),
}


@pytest.mark.parametrize("scale", [1e-8, 1e8, np.array([1e-8, 1e8, 1.0, 1e-4])], ids=["tiny", "huge", "mixed"])
@pytest.mark.parametrize("name", PLAIN)
def test_minimum_does_not_depend_on_the_scale_of_columns(name, scale):
    """A column that others dwarf still counts: f* is that of the columns in one scale."""
    good, bad = PLAIN[name](1.0), PLAIN[name](scale)
    assert bad.f_star == pytest.approx(good.f_star, abs=1e-10)
    assert bad.value(bad.x_star) == bad.f_star
    assert bad.minimum.gap <= 1e-10


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("name", WITH_L2)
def test_minimum_with_l2_does_not_depend_on_the_unit(name, scale):
    good, bad = WITH_L2[name](MATRIX, 1e-3), WITH_L2[name](MATRIX * scale, 1e-3 * scale**2)
    assert bad.f_star == pytest.approx(good.f_star, abs=1e-10)
    np.testing.assert_allclose(bad.x_star * scale, good.x_star, atol=1e-5)


@pytest.mark.parametrize("name", ["hinge", "logistic", "softmax"])
@pytest.mark.parametrize("seed", range(4))
def test_huge_features_with_l2_are_certified(name, seed):
    matrix = 1e8 * np.random.default_rng(seed).normal(size=MATRIX.shape)
    assert WITH_L2[name](matrix, 1e-4).minimum.gap <= 1e-10


@pytest.mark.parametrize("seed", range(8))
def test_hinge_with_l2_on_rows_of_different_size_vs_cvxpy(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(12, 2)) * 10.0 ** rng.uniform(-3, 3, size=(12, 1))
    signs = np.sign(rng.normal(size=12))
    problem = problems.hinge(matrix, signs, l2=1e-6)
    x = cp.Variable(2)
    loss = cp.sum(cp.pos(1 - cp.multiply(signs, matrix @ x))) / 12 + 0.5e-6 * cp.sum_squares(x)
    assert problem.minimum.gap <= 1e-10
    assert problem.f_star <= cp.Problem(cp.Minimize(loss)).solve(solver=cp.CLARABEL) + 1e-7


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_nearly_collinear_columns(layout):
    twin = MATRIX[:, :1] + 1e-5 * RNG.normal(size=(30, 1))
    matrix = np.hstack([MATRIX, twin])
    rotated = whitened(matrix).rows  # the same span, well conditioned
    for make, targets in ((problems.l1_regression, TARGETS), (problems.logistic, SIGNS), (problems.hinge, SIGNS)):
        problem = make(layout(matrix), targets)
        assert problem.f_star == pytest.approx(make(rotated, targets).f_star, abs=2e-10)
        assert problem.value(problem.x_star) == problem.f_star


@pytest.mark.parametrize("seed", range(5))
def test_tiny_l2_on_collinear_columns_is_certified(seed):
    """The last Newton steps change f by less than its rounding, yet the gradient is not small enough without them."""
    rng = np.random.default_rng(seed)
    matrix, signs = np.repeat(rng.normal(size=(19, 1)), 2, axis=1), np.sign(rng.normal(size=19))
    for problem in (problems.logistic(matrix, signs, l2=1e-8), problems.softmax(matrix, (signs + 1) / 2, l2=1e-8)):
        assert problem.minimum.gap <= 1e-12


def test_large_targets_that_are_fitted_exactly():
    rng = np.random.default_rng(5)
    problem = problems.l1_regression(rng.normal(size=(7, 20)), 1e6 * rng.normal(size=7))
    assert problem.f_star <= 1e-8
    assert problem.minimum.gap == problem.f_star


def test_problems_with_l2_attain_their_minimum():
    matrix = 1e4 * np.random.default_rng(2).normal(size=(8, 9))
    assert problems.logistic(matrix, np.arange(8) % 2.0, l2=1e-8).minimum.attained


def test_columns_equal_to_ten_digits_do_not_make_the_hinge_loss_unbounded():
    rng = np.random.default_rng(709)
    column = rng.normal(size=(21, 1))
    matrix = np.hstack([column, column * (1 + 1e-10 * rng.normal(size=(21, 1)))])
    problem = problems.hinge(matrix, np.where(rng.random(21) < 0.5, 1.0, -1.0))
    try:
        gap = problem.minimum.gap
    except RuntimeError:  # an honest answer where rounding leaves no more
        gap = 0.0
    assert gap <= 1e-10
