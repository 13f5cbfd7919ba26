"""The checker against its own docstring, written out once more: every inequality, matrix and number, literally."""

import hashlib
import json
import math
import struct
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.certificates import check_certificate as checker


def is_semidefinite(matrix, *, strictly=False):
    """Symmetric elimination in exact arithmetic."""
    rest = [list(map(Fraction, row)) for row in matrix]
    while rest:
        pivot, row = rest[0][0], rest[0][1:]
        if pivot < 0 or (pivot == 0 and (strictly or any(row))):
            return False
        rest = [
            [z - (row[i] * row[k] / pivot if pivot else 0) for k, z in enumerate(line[1:])]
            for i, line in enumerate(rest[1:])
        ]
    return True


def significant_bits(x):
    odd = x.numerator
    while odd and odd % 2 == 0:
        odd //= 2
    return abs(odd).bit_length()


def is_dyadic(x):
    return x.denominator & (x.denominator - 1) == 0


@pytest.mark.parametrize("bits", [1, 2, 7, 60])
def test_rounding_upwards_gives_the_least_number_of_so_many_bits_after_the_first(bits):
    rng = np.random.default_rng(bits)
    values = [Fraction(int(a), int(b)) for a, b in rng.integers(1, 10**9, (60, 2))]
    values += [Fraction(2) ** e * (1 + i * Fraction(1, 2**bits)) for e in range(-3, 4) for i in (-1, 0, 1)]
    for x in values:
        rounded = checker.round_up(x, bits)
        assert rounded >= x
        assert is_dyadic(rounded)
        assert significant_bits(rounded) <= bits + 1
        step = Fraction(2) ** (math.floor(math.log2(rounded)) - bits)  # of numbers of the size of the rounded one
        below = rounded - (step / 2 if significant_bits(rounded) == 1 else step)
        assert below < x


@pytest.mark.parametrize("scale", [0, -320, 320, 3000, -3000])
def test_printed_decimals_are_the_nearest_on_their_side(scale):
    rng = np.random.default_rng(0)
    numbers = [Fraction(int(a), int(b)) for a, b in rng.integers(1, 10**9, (40, 2))]
    numbers += [Fraction(1), Fraction(10), Fraction(1, 10), Fraction(10**16), Fraction(10**17 - 1), Fraction(1, 3)]
    for x in (number * Fraction(10) ** scale for number in numbers):
        down = checker.decimal(x, checker.ROUND_FLOOR)
        up = checker.decimal(x, checker.ROUND_CEILING)
        assert Fraction(down) <= x <= Fraction(up)
        unit = Fraction(10) ** (down.adjusted() - 16)
        assert Fraction(up) - Fraction(down) == (0 if Fraction(down) == x else unit)
        assert len(up.as_tuple().digits) <= 17


def test_a_decimal_between_two_of_forty_digits_is_rounded_to_its_own_side():
    """What lies beyond the digits that are computed decides upwards too."""
    barely = 1 + Fraction(1, 10**60)
    assert checker.decimal(barely, checker.ROUND_CEILING) == Decimal("1.0000000000000001")
    assert checker.decimal(barely, checker.ROUND_FLOOR) == 1


@pytest.mark.parametrize(
    "x", [1.0, -1.0, 0.0, 1e-300, 1, -3, 2**53, 2**53 + 2, 2**1023, -(2**1023), 0.1, 5e-324, 1.7e308]
)
def test_float64_numbers_are_taken_exactly(x):
    assert checker.number(x, "x") == Fraction(x)


@pytest.mark.parametrize("x", ["1", True, None, [1.0], math.inf, -math.inf, math.nan, 2**53 + 1, 2**1024, -(2**1024)])
def test_other_numbers_are_refused_by_name(x):
    with pytest.raises(ValueError, match=r"not a proof: here must be a finite float64 number"):
        checker.number(x, "here")
    with pytest.raises(ValueError, match=r"not a proof: list\[1\] must be a finite"):
        checker.numbers([1.0, x], "list")


def test_signs_and_sizes():
    assert checker.number(5e-324, "x", positive=True) == Fraction(1, 2**1074)
    assert checker.numbers([0.0, -1.0], "x", 2) == [0, -1]
    assert checker.numbers([], "x", 0) == checker.numbers([], "x") == []
    for x in (0.0, -1.0, 0):
        with pytest.raises(ValueError, match="x must be positive"):
            checker.number(x, "x", positive=True)
        with pytest.raises(ValueError, match=r"x\[1\] must be positive"):
            checker.numbers([1.0, x], "x", positive=True)
    for values, message in (((1.0,), "a list"), ({}, "a list"), ("1", "a list"), ([1.0], "2 entries")):
        with pytest.raises(ValueError, match=message):
            checker.numbers(values, "x", 2)


def test_scaled_integers():
    assert checker.scaled_integers({"exponent": -2, "integers": [1, -3, 0]}, "x", 3) == [
        Fraction(k, 4) for k in (1, -3, 0)
    ]
    assert checker.scaled_integers({"exponent": 20000, "integers": [1]}, "x", 1) == [2**20000]
    assert checker.scaled_integers({"exponent": -20000, "integers": [1]}, "x", 1) == [Fraction(1, 2**20000)]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ([], "x must be an object"),
        ({"exponent": 1}, "x must hold exponent, integers and nothing else"),
        ({"exponent": 1, "integers": [1], "other": 1}, "x must hold exponent, integers and nothing else"),
        ({"exponent": 1.0, "integers": [1]}, r"x\.exponent must be an integer"),
        ({"exponent": 20001, "integers": [1]}, r"x\.exponent must be an integer of at most 20000"),
        ({"exponent": -20001, "integers": [1]}, r"x\.exponent must be"),
        ({"exponent": 0, "integers": (1,)}, r"x\.integers must have 1 entries"),
        ({"exponent": 0, "integers": [1, 2]}, r"x\.integers must have 1 entries"),
        ({"exponent": 0, "integers": [1.0]}, r"x\.integers must be integers"),
        ({"exponent": 0, "integers": [True]}, r"x\.integers must be integers"),
    ],
)
def test_malformed_scaled_integers_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        checker.scaled_integers(part, "x", 1)


def sgd_document(**changes):
    doc = {"schema": 1, "kind": "sgd", "value": 9.0, "D": 2.0, "G": [1.0, 1.0], "steps": [0.5], "v": [1.0, 1.0]}
    return {**doc, "s_N": 1.0, **changes}


STEP_MATRIX = {
    "schema": 1, "kind": "step-matrix", "value": 9.0, "bound": "2", "D": 2.0, "G": [1.0], "H": [[]],
    "tau": 1.0, "norms": [0.0], "optimum": [1.0], "minimum": [0.0], "pairs": [],
}  # fmt: skip


@pytest.mark.parametrize("doc", [sgd_document(), STEP_MATRIX])
def test_exactly_the_fields_of_a_kind(doc):
    assert checker.parse(json.dumps(doc)) == doc
    fields = ", ".join(sorted(doc))
    for name in doc:
        without = {key: value for key, value in doc.items() if key != name}
        with pytest.raises(ValueError, match=r"schema must be|kind must be|must hold"):
            checker.parse(json.dumps(without))
    with pytest.raises(ValueError, match=f"the certificate must hold {fields} and nothing else"):
        checker.parse(json.dumps({**doc, "more": 1}))


LOWER = {"value": 1.0, "norms": [1.0, 1.0], "rho": {}, "start": {}}


def test_only_sgd_files_have_a_lower_part_and_it_has_its_own_fields():
    assert checker.parse(json.dumps(sgd_document(lower=LOWER)))["lower"] == LOWER
    with pytest.raises(ValueError, match="the certificate must hold"):
        checker.parse(json.dumps({**STEP_MATRIX, "lower": LOWER}))
    for part in (1, [], {**LOWER, "more": 1}, {"value": 1.0}):
        with pytest.raises(ValueError, match="lower must"):
            checker.parse(json.dumps(sgd_document(lower=part)))
    with pytest.raises(ValueError, match="lower must hold norms, rho, start, value and nothing else"):
        checker.parse(json.dumps(sgd_document(lower={})))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "the file must hold a JSON object"),
        ("{}", "schema must be 1"),
        ('{"schema": 2, "kind": "sgd"}', "schema must be 1"),
        ('{"schema": true, "kind": "sgd"}', "schema must be 1"),
        ('{"schema": 1.0, "kind": "sgd"}', "schema must be 1"),
        ('{"schema": 1}', "kind must be one of sgd, step-matrix"),
        ('{"schema": 1, "kind": ["sgd"]}', "kind must be one of"),
        ('{"schema": 1, "kind": "other"}', "kind must be one of"),
        ('{"a": 1, "b": 2, "b": 3}', r"the key \['b'\] stands twice"),
        ('{"a": {"c": 1, "d": 1, "c": 2, "d": 2}}', r"the key \['c'\] stands twice"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_certificate_is_refused_with_its_reason(text, message):
    with pytest.raises(ValueError, match=f"not a proof: {message}"):
        checker.parse(text)


def literal_sgd(doc):
    """The bound as the docstring has it."""
    h, v, G = (list(map(Fraction, doc[key])) for key in ("steps", "v", "G"))
    D, s_N, n = Fraction(doc["D"]), Fraction(doc["s_N"]), len(doc["steps"])
    w = [h[k] * v[k + 1] for k in range(n)]
    return (v[0] ** 2 * D**2 + sum(w[k] ** 2 * G[k] ** 2 for k in range(n)) + s_N**2 * G[n] ** 2) / (2 * v[n] * s_N)


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


def gram(norms, rho):
    n = len(norms)
    return [[norms[i] ** 2 if i == k else rho[min(i, k)] for k in range(n)] for i in range(n)]


def literal_lower(steps, D, G, norms, rho, start):
    """What is wrong with the function, and f(x_N): points, values and pieces one by one, zero steps left out."""
    groups = [[]]
    for k, cap in enumerate(G):
        groups[-1].append(cap)
        if k < len(steps) and steps[k]:
            groups.append([])
    h, n = [step for step in steps if step], len(groups) - 1
    M = gram(norms, rho)

    def inner(a, b):
        return sum(a[i] * M[i][k] * b[k] for i in range(n + 1) for k in range(n + 1))

    unit = [[int(i == k) for i in range(n + 1)] for k in range(n + 1)]
    points = [[0] * (n + 1)]  # x_k - x_0 in terms of the subgradients
    for k in range(n):
        points.append([x - h[k] * e for x, e in zip(points[k], unit[k], strict=True)])
    minimiser = [-x for x in start]
    first = min(inner(g, start) for g in unit)
    f = [first - sum(h[k] * rho[k] for k in range(t)) for t in range(n + 1)]

    def piece(i, x):
        return f[i] + inner(unit[i], [a - b for a, b in zip(x, points[i], strict=True)])

    wrong = set()
    if any(norm > min(caps) for norm, caps in zip(norms, groups, strict=True)):
        wrong.add("a norm exceeds its cap")
    if not is_semidefinite(M):
        wrong.add("the Gram matrix is not semidefinite")
    if inner(start, start) > D * D:
        wrong.add("x_0 is farther than D")
    if min(f) < 0:
        wrong.add("a value lies below the minimum")
    if any(piece(i, points[j]) > f[j] for i in range(n + 1) for j in range(n + 1)):
        wrong.add("the piece of point")
    assert all(piece(i, minimiser) <= 0 for i in range(n + 1))
    return wrong, f[n]


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


def literal_form(doc):
    """Twice the quadratic form that the sum of the inequalities leaves, as a matrix in (x_0 - x*, g_0, ..., g_N)."""
    n = len(doc["H"])
    H = [[*map(Fraction, row), *[Fraction(0)] * (n - len(row))] for row in doc["H"]]

    def form(d, g):
        x = [-sum(H[k][j] * g[j] for j in range(n)) for k in range(n)]  # x_k - x_0, and x* - x_0 = -d
        found = Fraction(doc["tau"]) * d * d + sum(Fraction(a) * b * b for a, b in zip(doc["norms"], g, strict=True))
        found += sum(2 * Fraction(a) * g[j] * (x[i] - x[j]) for i, j, a in doc["pairs"])
        return found + sum(2 * Fraction(a) * g[j] * (-d - x[j]) for j, a in enumerate(doc["optimum"]))

    unit = [[int(i == k) for i in range(n + 1)] for k in range(n + 1)]
    alone = [form(e[0], e[1:]) for e in unit]
    both = [[form(a[0] + b[0], [s + t for s, t in zip(a[1:], b[1:], strict=True)]) for b in unit] for a in unit]
    return [[(both[i][k] - alone[i] - alone[k]) / 2 for k in range(n + 1)] for i in range(n + 1)]


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


def words(doc):
    return checker.statement(doc)


def digest(steps):
    return hashlib.sha256(struct.pack(f"<{len(steps)}d", *steps)).hexdigest()[:16]


def test_statements_say_what_is_proved():
    doc = sgd_document(steps=[0.5, 1, 0.25, 2.0], G=[1.5] * 5)
    assert words(doc) == f"SGD, N = 4, steps 0.5, 1.0, 0.25, 2.0 (sha256 {digest(doc['steps'])}), D = 2.0, G = 1.5"
    doc = sgd_document(steps=[0.5, 1, 0.25, 2.0, 3.0], G=[1, 2.0, 3.0, 2.5, 2.0, 0.5], D=3)
    assert words(doc) == (
        f"SGD, N = 5, steps 0.5, 1.0, 0.25, 2.0, ... (sha256 {digest(doc['steps'])}), D = 3.0, "
        "G = 1.0, 2.0, 3.0, 2.5, ... (from 0.5 to 3.0)"
    )
    assert words(sgd_document(steps=[], G=[1.0])) == f"SGD, N = 0, steps none (sha256 {digest([])}), D = 2.0, G = 1.0"
    doc = {**STEP_MATRIX, "H": [[], [0.5], [1, 0.25]], "G": [1.0] * 3}
    assert (
        words(doc)
        == f"step matrix, N = 2, rows of H 0.5, 1.0, 0.25 (sha256 {digest([0.5, 1, 0.25])}), D = 2.0, G = 1.0"
    )


def test_conclusions():
    """One step of 1/2, D = 2, G = 1: the text, the two ends, and which values a file may state."""
    doc = sgd_document()
    bound = literal_sgd(doc)  # v is loose: 4 + 1/4 + 1 over 2
    assert bound == Fraction(21, 8)
    text, low, high = checker.conclude(json.dumps(doc))
    assert (low, high) == (0, bound)
    assert text == f"{words(doc)}\nproved: f(x_N) - f* <= 2.6250000000000000"
    checker.conclude(json.dumps({**doc, "value": 2.625}))
    checker.conclude(json.dumps({**doc, "value": 2.625 * (1 - 2.0**-41)}))
    for value in (2.625 * (1 - 2.0**-39), 1.0):
        with pytest.raises(ValueError, match="the bound exceeds the stated value"):
            checker.conclude(json.dumps({**doc, "value": value}))
    with pytest.raises(ValueError, match="value must be positive"):
        checker.conclude(json.dumps({**doc, "value": -9.0}))
    matrix = checker.conclude(json.dumps({**STEP_MATRIX, "norms": [1.0], "bound": "5/2"}))
    assert matrix[1:] == (0, Fraction(5, 2))


def test_conclusions_of_two_sided_files():
    doc = sgd_document(lower={
        "value": 1.0, "norms": [1.0, 1.0], "rho": {"exponent": 0, "integers": [0]},
        "start": {"exponent": 0, "integers": [1, 1]},
    })  # fmt: skip
    text, low, high = checker.conclude(json.dumps(doc))
    assert low == checker.prove_lower(doc) == literal_lower([0.5], 2, [1, 1], [1, 1], [0], [1, 1])[1] == 1
    assert high == Fraction(21, 8)
    assert (
        text == f"{words(doc)}\nproved: the worst case of f(x_N) - f* lies in [1.0000000000000000, 2.6250000000000000]"
    )
    for value, message in (
        (1.0 + 2.0**-50, "the lower value is not reached"),
        (-1.0, r"lower\.value must be positive"),
    ):
        changed = {**doc, "lower": {**doc["lower"], "value": value}}
        with pytest.raises(ValueError, match=message):
            checker.conclude(json.dumps(changed))


def test_regular_files_are_read_as_they_are(tmp_path):
    (tmp_path / "f.json").write_text("größer\n", encoding="utf-8")
    assert checker.read(str(tmp_path / "f.json")) == "größer\n"
    with pytest.raises(ValueError, match="is not a file"):
        checker.read(str(tmp_path))
