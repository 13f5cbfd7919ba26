"""Proofs for step matrices against the sum of the inequalities, and the two tests that a matrix is semidefinite."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from checker_references import STEP_MATRIX, is_semidefinite, literal_form

from lastiterate.theory.certificates import check_certificate as checker


def coarse_step_matrix(rng):
    """A document on a coarse grid whose function values cancel."""
    n = int(rng.integers(1, 5))
    H = [(rng.integers(-1, 5, k) / 4.0).tolist() for k in range(n)]
    pairs = [
        [int(i), int(j), float(x)]
        for i, j, x in rng.integers(0, 4, (rng.integers(0, 4), 3))
        if i != j and max(i, j) < n
    ]
    minimum = (rng.integers(0, 2, n) * (rng.random(n) < 0.3)).astype(float)
    out = [sum(x for i, _, x in pairs if i == k) - sum(x for _, j, x in pairs if j == k) for k in range(n)]
    optimum = [float((k == n - 1) + minimum[k] + out[k]) for k in range(n)]
    minimum -= np.minimum(optimum, 0.0)  # what is missing
    optimum = np.maximum(optimum, 0.0)
    tau, norms = float(rng.integers(1, 5)) / 2.0, (rng.integers(0, 9, n) / 2.0).tolist()
    G, D = (rng.integers(1, 5, n) / 2.0).tolist(), float(rng.integers(1, 5))
    bound = (
        Fraction(tau) * Fraction(D) ** 2 + sum(Fraction(a) * Fraction(b) ** 2 for a, b in zip(norms, G, strict=True))
    ) / 2
    return {
        **STEP_MATRIX, "H": H, "pairs": pairs, "minimum": minimum.tolist(), "optimum": optimum.tolist(), "tau": tau,
        "norms": norms, "G": G, "D": D, "bound": str(bound),
    }  # fmt: skip


def test_step_matrix_vs_the_sum_of_the_inequalities():
    """What is accepted is semidefinite, and what is definite is accepted, with the bound of the multipliers."""
    rng = np.random.default_rng(1)
    seen = Counter()
    for _ in range(300):
        doc = coarse_step_matrix(rng)
        form = literal_form(doc)
        try:
            found = checker.prove_step_matrix(doc)
        except ValueError as error:
            reason, found = str(error), None
        if found is None:
            assert reason == "not a proof: the quadratic form is not positive semidefinite"
            assert not is_semidefinite(form, strictly=True)
            seen["refused"] += 1
        else:
            assert is_semidefinite(form)
            assert found == Fraction(doc["bound"]) == checker.prove(doc)
            seen["definite" if is_semidefinite(form, strictly=True) else "singular"] += 1
    assert len(seen) == 3
    assert min(seen.values()) > 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"H": []}, "H must be a list of rows"),
        ({"H": {}}, "H must be a list of rows"),
        ({"H": [[], [0.5, 0.5]]}, r"H\[1\] must have 1 entries"),
        ({"H": [[0.5], [0.5]]}, r"H\[0\] must have 0 entries"),
        ({"norms": [1.0]}, "norms must have 2 entries"),
        ({"optimum": [1.0]}, "optimum must have 2 entries"),
        ({"minimum": [1.0]}, "minimum must have 2 entries"),
        ({"G": [1.0]}, "G must have 2 entries"),
        ({"G": [1.0, 0.0]}, r"G\[1\] must be positive"),
        ({"D": 0.0}, "D must be positive"),
        ({"tau": 0.0}, "tau must be positive"),
        ({"pairs": {}}, "pairs must be a list"),
        ({"pairs": [[0, 1]]}, r"pairs\[0\] must be \[i, j, multiplier\]"),
        ({"pairs": [{}]}, r"pairs\[0\] must be \[i, j, multiplier\]"),
        ({"pairs": [[0, 1, 1.0], "abc"]}, r"pairs\[1\] must be \[i, j, multiplier\]"),
        *(
            ({"pairs": [[i, j, 1.0]]}, r"pairs\[0\] must name two different points below 2")
            for i, j in ((0, 2), (2, 0), (-1, 0), (0, -1), (1, 1), (0.0, 1), (0, 1.0), (True, 0), (0, True))
        ),
        ({"pairs": [[0, 1, None]]}, r"pairs\[0\] must be a finite float64 number"),
        ({"pairs": [[0, 1, -1.0]]}, "a multiplier is negative"),
        ({"norms": [-1.0, 1.0]}, "a multiplier is negative"),
        ({"optimum": [-1.0, 1.0]}, "a multiplier is negative"),
        ({"minimum": [-1.0, 1.0]}, "a multiplier is negative"),
        ({"optimum": [0.5, 1.0]}, "the multipliers of f_0 do not sum to zero"),
        ({"optimum": [0.0, 0.5]}, "the multipliers of f_1 do not sum to zero"),
        ({"minimum": [0.0, 0.5]}, "the multipliers of f_1 do not sum to zero"),
        ({"pairs": [[0, 1, 1.0]]}, "the multipliers of f_0 do not sum to zero"),
        ({"norms": [0.0, 0.5]}, "the quadratic form is not positive semidefinite"),
        ({"bound": 3.0}, "the bound is not the one stated"),
        ({"bound": "3.0"}, "the bound is not the one stated"),
        ({"bound": "6/2"}, "the bound is not the one stated"),
        ({"D": 1.5}, "the bound is not the one stated"),
    ],
)
def test_step_matrices_that_prove_nothing(changes, message):
    """Changes of a document that proves its bound."""
    doc = {
        **STEP_MATRIX, "H": [[], [0.0]], "G": [1.0, 1.0], "norms": [0.0, 2.0], "optimum": [0.0, 1.0],
        "minimum": [0.0, 0.0], "bound": "3",
    }  # fmt: skip
    assert checker.prove_step_matrix(doc) == 3
    assert checker.prove_step_matrix({**doc, "D": 1.0, "bound": "3/2"}) == Fraction(3, 2)
    with pytest.raises(ValueError, match=f"not a proof: {message}"):
        checker.prove_step_matrix({**doc, **changes})


def test_a_form_that_vanishes_is_semidefinite():
    """Every entry is a sum that cancels: only then is a matrix without a pivot accepted."""
    doc = {
        **STEP_MATRIX, "H": [[], [1.0], [0.0, 1.0]], "pairs": [[2, 0, 1.0]], "minimum": [1.0, 1.0, 0.0],
        "optimum": [0.0, 1.0, 2.0], "tau": 1.0, "norms": [0.0, 1.0, 4.0], "G": [1.0] * 3, "D": 1.0, "bound": "3",
    }  # fmt: skip
    assert literal_form(doc) == [[1, 0, -1, -2], [0, 0, 0, 0], [-1, 0, 1, 2], [-2, 0, 2, 4]]
    assert checker.prove_step_matrix(doc) == 3


def test_dominance_vs_its_definition():
    rng = np.random.default_rng(2)
    seen = Counter()
    for _ in range(300):
        n = int(rng.integers(1, 4))
        Z = rng.integers(-2, 3, (n, n)) + np.diag(rng.integers(0, 5, n))
        Z = [[Fraction(int(z)) for z in row] for row in Z + Z.T]
        weights = [Fraction(int(w)) for w in rng.integers(1, 4, n)]
        dominant = all(
            Z[i][i] * weights[i] >= sum(abs(Z[i][k]) * weights[k] for k in range(n) if k != i) for i in range(n)
        )
        assert checker.dominant(Z, weights) is dominant
        assert is_semidefinite(Z) or not dominant
        seen[dominant] += 1
    assert min(seen[True], seen[False]) > 50


def symmetric(rng, n, least):
    """A matrix of rationals with a unit diagonal, nearly, and a given least eigenvalue."""
    vectors, _ = np.linalg.qr(rng.standard_normal((n, n)))
    values = np.append(rng.uniform(0.5, 1.5, n - 1), least)
    rough = vectors * values @ vectors.T
    return [[Fraction(float(rough[min(i, k), max(i, k)])) for k in range(n)] for i in range(n)]


@pytest.mark.parametrize("least", [0.3, 1e-4, 1e-7, 1e-9, 1e-12, -1e-12, -1e-9, -1e-4, -0.3])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_factors_are_found_exactly_where_a_matrix_is_definite(least, n):
    """Also in units that differ by hundreds of orders of magnitude."""
    rng = np.random.default_rng(n)
    for _ in range(5):
        Z = symmetric(rng, n, least)
        assert is_semidefinite(Z) is (least > 0)
        units = [Fraction(2) ** int(e) for e in rng.integers(-900, 900, n)]
        scaled = [[z * a * b for z, b in zip(row, units, strict=True)] for row, a in zip(Z, units, strict=True)]
        assert checker.factorises(Z) is checker.factorises(scaled) is (least > 0)


def test_a_pivot_of_exactly_zero_is_tried_with_a_smaller_shift():
    """The second pivot is nothing but the first shift, 2^-24."""
    b = 0.75
    row = b / (1.0 - 2.0**-24) ** 0.5
    c = row * row + 2.0**-24
    Z = [[Fraction(z) for z in line] for line in ([1.0, b, 0.0], [b, c, 0.0], [0.0, 0.0, 1.0])]
    assert c - 2.0**-24 - row * row == 0.0
    assert is_semidefinite(Z, strictly=True)
    assert checker.factorises(Z)


def test_matrices_without_a_factor():
    half, one, two = Fraction(1, 2), Fraction(1), Fraction(2)
    assert checker.factorises([[one]])
    assert checker.factorises([[one, half], [half, one]])
    for Z in (
        [[-one]],
        [[0 * one]],
        [[one, 0 * one], [0 * one, 0 * one]],
        [[one, two], [two, one]],
        [[one, 9 * one], [9 * one, one]],
    ):
        assert not checker.factorises(Z)
