"""Proofs for SGD, on both sides, against the formula and the function of the checker's docstring."""

import json
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from checker_references import literal_lower, literal_sgd, sgd_document

import lastiterate as li
from lastiterate.theory.certificates import check_certificate as checker


def loose_sgd_document(rng):
    """Short dyadic multipliers well inside their limits, which rounding leaves as they are."""
    n = int(rng.integers(0, 6))
    h, v = rng.integers(0, 8, n) / 4.0, [float(rng.integers(1, 9))]
    s_N = s = Fraction(int(rng.integers(1, 9)), 4)
    for step in h[::-1]:
        product = v[0] * s
        s += Fraction(step) * Fraction(v[0])
        limit = Fraction(product) / s
        inside = [float(round((limit + (Fraction(v[0]) - limit) * i / 4) * 2**12) / 2**12) for i in (1, 2, 3, 4)]
        v.insert(0, float(rng.choice(inside)))
    G = rng.integers(1, 9, n + 1) / 2.0
    return sgd_document(steps=h.tolist(), v=v, s_N=float(s_N), G=G.tolist(), D=float(rng.integers(1, 9)))


@pytest.mark.parametrize("seed", range(40))
def test_sgd_bound_is_the_formula(seed):
    doc = loose_sgd_document(np.random.default_rng(seed))
    assert checker.prove_sgd(doc, 200) == checker.prove(doc, 60) == literal_sgd(doc)


def test_multipliers_this_close_to_their_limits_move_onto_them():
    """To 51 bits, one step of 1: the limit of v_0 is 1/2, and 9 (2^-50 + 2^-50) around it count as it."""
    doc = sgd_document(steps=[1.0])
    at_the_limit = literal_sgd({**doc, "v": [0.5, 1.0]})
    for units in (-9, -1, 0, 1, 9):
        near = {**doc, "v": [0.5 * (1.0 + units * 2.0**-49), 1.0]}
        assert checker.prove_sgd(near, 51) == at_the_limit
    above = {**doc, "v": [0.5 * (1.0 + 10 * 2.0**-49), 1.0]}
    assert checker.prove_sgd(above, 51) == literal_sgd(above) > at_the_limit
    with pytest.raises(ValueError, match="s_0 < v"):
        checker.prove_sgd({**doc, "v": [0.5 * (1.0 - 10 * 2.0**-49), 1.0]}, 51)


def test_bits_for_so_many_digits(monkeypatch):
    """A multiplier that is rounded to these bits is right to the digits that were asked for."""
    used = []
    monkeypatch.setattr(checker, "prove_sgd", lambda doc, bits: used.append(bits))
    for digits in range(1, 40):
        checker.prove(sgd_document(), digits)
    assert all(10**digits <= 2**bits < 10 ** (digits + 1) for digits, bits in zip(range(1, 40), used, strict=True))


def test_sgd_bound_of_tight_multipliers_is_the_rate_to_the_digits_asked_for():
    """Multipliers at their limits are replaced by the limits, rounded upwards."""
    steps = np.random.default_rng(0).random(20)
    certificate = li.exact_rate(steps, D=3.0, G=2.0).certificate()
    doc = json.loads(certificate.to_json())
    proofs = [checker.prove(doc, digits) for digits in (4, 8, 12, 16, 20, 60)]
    for digits, bound in zip((4, 8, 12, 16, 20), proofs[:-1], strict=True):
        assert 0 <= bound / proofs[-1] - 1 < 200 * Fraction(1, 10**digits)
    assert proofs[-1] == pytest.approx(certificate.value, rel=1e-14)
    assert checker.prove(doc) == checker.prove(doc, 20) != checker.prove(doc, 21)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": [-0.5]}, "steps must be nonnegative"),
        ({"v": [1.0]}, "v must have 2 entries"),
        ({"v": [0.0, 1.0]}, r"v\[0\] must be positive"),
        ({"G": [1.0]}, "G must have 2 entries"),
        ({"G": [1.0, 0.0]}, r"G\[1\] must be positive"),
        ({"D": 0.0}, "D must be positive"),
        ({"s_N": 0.0}, "s_N must be positive"),
        ({"steps": 1.0}, "steps must be a list"),
        ({"v": [1.5, 1.0]}, r"v\[0\] > v\[1\]"),
        ({"v": [1.0 + 2.0**-40, 1.0]}, r"v\[0\] > v\[1\]"),
        ({"v": [0.5, 1.0]}, r"v\[0\] s_0 < v\[1\] s_1"),  # the limit is 1 / 1.5
        ({"v": [(1.0 - 2.0**-40) / 1.5, 1.0]}, r"v\[0\] s_0 < v\[1\] s_1"),
    ],
)
def test_sgd_files_that_prove_nothing(changes, message):
    with pytest.raises(ValueError, match=f"not a proof: {message}"):
        checker.prove_sgd(sgd_document(**changes), 67)


def lower_document(steps, D, G, norms, rho, start):
    def scaled(values):
        return {"exponent": -4, "integers": [int(16 * x) for x in values]}

    part = {"value": 1.0, "norms": [float(x) for x in norms], "rho": scaled(rho), "start": scaled(start)}
    return sgd_document(
        steps=[float(x) for x in steps], D=float(D), G=[float(x) for x in G], lower=part, v=[1.0] * len(G)
    )


def coarse_function(rng):
    """Steps, D, G, norms, rho and start on a coarse grid, where ties are frequent."""
    steps = [Fraction(int(x), 2) for x in rng.integers(0, 4, rng.integers(0, 4))]
    n = sum(map(bool, steps))
    norms = [Fraction(int(x), 2) for x in rng.integers(2, 5, n + 1)]
    rho = [Fraction(int(x), 4) for x in np.sort(rng.integers(-2, 8, n))[:: rng.choice([-1, 1])]]
    start = [Fraction(int(x), 4) for x in rng.integers(-1, 9, n + 1)]
    G = [Fraction(int(x), 2) for x in rng.integers(2 if rng.random() < 0.3 else 4, 5, len(steps) + 1)]
    return steps, Fraction(int(rng.integers(1, 9))), G, norms, rho, start


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (([1, 1], 2, [1, 1, 1], [1, 1, 1], [1, 1], [1, 1, 0]), None),  # all subgradients are one: pivots of zero
        (([1, 1], 9, [2, 2, 2], [1, 1, 2], [1, 1], [2, 2, 2]), None),
        (([1, 1], 9, [2, 2, 2], [1, 1, 2], [1, 0], [2, 2, 2]), "the Gram matrix"),
        (([1, 1], 9, [2, 2, 2], [1, 1, 2], [1, 2], [2, 2, 2]), "the Gram matrix"),
        (([1, 1], 9, [2, 2, 2], [1, 0.5, 2], [1, 1], [2, 2, 2]), "the Gram matrix"),
        (([1], 9, [2, 2], [1, 0.5], [1], [2, 2]), "the Gram matrix"),
        (([], 2, [1], [1], [], [2]), None),
        (([], 2, [1], [1], [], [2.25]), "x_0 is farther"),
        (([0, 0], 2, [1, 0.5, 1], [0.5], [], [4]), None),
        (([0, 0], 2, [1, 0.5, 1], [1], [], [2]), "a norm exceeds its cap"),
    ],
)
def test_lower_parts_by_hand(problem, reason):
    wrong, reached = literal_lower(*problem)
    doc = lower_document(*problem)
    if reason is None:
        assert not wrong
        assert checker.prove_lower(doc) == reached
    else:
        assert any(start.startswith(reason) for start in wrong)
        with pytest.raises(ValueError, match=reason):
            checker.prove_lower(doc)


SCALED = {"exponent": 0, "integers": [1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 1}, "steps must be a list"),
        ({"steps": [None]}, r"steps\[0\] must be a finite"),
        ({"steps": [-0.5]}, "steps must be nonnegative"),
        ({"D": 0.0}, "D must be positive"),
        ({"D": "1"}, "D must be a finite"),
        ({"G": [1.0]}, "G must have 2 entries"),
        ({"G": [1.0, 1.0, 1.0]}, "G must have 2 entries"),
        ({"G": [1.0, 0.0]}, r"G\[1\] must be positive"),
        ({"norms": [1.0]}, r"lower\.norms must have 2 entries"),
        ({"norms": [1.0, 1.0, 1.0]}, r"lower\.norms must have 2 entries"),
        ({"norms": [1.0, -1.0]}, r"lower\.norms\[1\] must be positive"),
        ({"rho": {"exponent": 0, "integers": []}}, r"lower\.rho\.integers must have 1 entries"),
        ({"rho": 1}, r"lower\.rho must be an object"),
        ({"start": SCALED}, r"lower\.start\.integers must have 2 entries"),
        ({"start": 1}, r"lower\.start must be an object"),
    ],
)
def test_malformed_lower_parts_are_refused_by_name(changes, message):
    lower = {"value": 1.0, "norms": [1.0, 1.0], "rho": SCALED, "start": {"exponent": 0, "integers": [1, 0]}}
    assert checker.prove_lower(sgd_document(lower=lower)) == Fraction(1, 2)
    doc = sgd_document(lower={**lower, **{key: value for key, value in changes.items() if key in lower}})
    with pytest.raises(ValueError, match=f"not a proof: {message}"):
        checker.prove_lower({**doc, **{key: value for key, value in changes.items() if key not in lower}})


def test_lower_part_vs_the_function_itself():
    """Accepted exactly where nothing is wrong, and the reason of a refusal is one of what is wrong."""
    rng = np.random.default_rng(0)
    accepted, alone = 0, Counter()
    for _ in range(1500):
        problem = coarse_function(rng)
        wrong, reached = literal_lower(*problem)
        doc = lower_document(*problem)
        try:
            found = checker.prove_lower(doc)
        except ValueError as error:
            reason = str(error).removeprefix("not a proof: ")
            assert any(reason.startswith(start) for start in wrong), (problem, reason)
            alone.update(wrong if len(wrong) == 1 else ())
        else:
            assert not wrong, problem
            assert found == reached
            accepted += 1
    assert accepted > 400
    assert len(alone) == 5
    assert min(alone.values()) > 10
