"""What the checker reads and says: numbers, fields, decimals, statements and the reasons of its refusals."""

import hashlib
import json
import math
import struct
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from checker_references import STEP_MATRIX, literal_lower, literal_sgd, sgd_document

from lastiterate.theory.certificates import check_certificate as checker


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


def test_half_a_unit_of_the_fortieth_digit_is_rounded_up():
    barely = 1 + Fraction(1, 2 * 10**40)
    assert checker.decimal(barely, checker.ROUND_CEILING) == Decimal("1.0000000000000001")


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


def digest(steps):
    return hashlib.sha256(struct.pack(f"<{len(steps)}d", *steps)).hexdigest()[:16]


def test_statements_say_what_is_proved():
    doc = sgd_document(steps=[0.5, 1, 0.25, 2.0], G=[1.5] * 5)
    assert checker.statement(doc) == (
        f"SGD, N = 4, steps 0.5, 1.0, 0.25, 2.0 (sha256 {digest(doc['steps'])}), D = 2.0, G = 1.5"
    )
    doc = sgd_document(steps=[0.5, 1, 0.25, 2.0, 3.0], G=[1, 2.0, 3.0, 2.5, 2.0, 0.5], D=3)
    assert checker.statement(doc) == (
        f"SGD, N = 5, steps 0.5, 1.0, 0.25, 2.0, ... (sha256 {digest(doc['steps'])}), D = 3.0, "
        "G = 1.0, 2.0, 3.0, 2.5, ... (from 0.5 to 3.0)"
    )
    doc = sgd_document(steps=[], G=[1.0])
    assert checker.statement(doc) == f"SGD, N = 0, steps none (sha256 {digest([])}), D = 2.0, G = 1.0"
    doc = {**STEP_MATRIX, "H": [[], [0.5], [1, 0.25]], "G": [1.0] * 3}
    assert checker.statement(doc) == (
        f"step matrix, N = 2, rows of H 0.5, 1.0, 0.25 (sha256 {digest([0.5, 1, 0.25])}), D = 2.0, G = 1.0"
    )


def test_conclusions():
    """One step of 1/2, D = 2, G = 1: the text, the two ends, and which values a file may state."""
    doc = sgd_document()
    bound = literal_sgd(doc)  # v is loose: 4 + 1/4 + 1 over 2
    assert bound == Fraction(21, 8)
    text, low, high = checker.conclude(json.dumps(doc))
    assert (low, high) == (0, bound)
    assert text == f"{checker.statement(doc)}\nproved: f(x_N) - f* <= 2.6250000000000000"
    checker.conclude(json.dumps({**doc, "value": 2.625}))
    checker.conclude(json.dumps({**doc, "value": 2.625 * (1 - 2.0**-41)}))
    for value in (2.625 * (1 - 2.0**-39), 1.0):
        with pytest.raises(ValueError, match="the bound exceeds the stated value"):
            checker.conclude(json.dumps({**doc, "value": value}))
    with pytest.raises(ValueError, match="value must be positive"):
        checker.conclude(json.dumps({**doc, "value": -9.0}))
    exact = {**STEP_MATRIX, "tau": 2e12, "D": 1.0, "norms": [2.0], "bound": str(10**12 + 1)}
    assert checker.conclude(json.dumps({**exact, "value": 1e12}))[2] == 10**12 + 1  # to the last of twelve digits
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
    interval = "[1.0000000000000000, 2.6250000000000000]"
    assert text == f"{checker.statement(doc)}\nproved: the worst case of f(x_N) - f* lies in {interval}"
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
