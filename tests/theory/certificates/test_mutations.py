"""Files that were tampered with: the checker refuses them, or what it proves is true by a semidefinite program."""

import copy
import json
import math
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.certificates import check_certificate
from lastiterate.theory.certificates.certificate import Certificate, CertificateError

CHECKER = Path(check_certificate.__file__)


@cache
def documents():
    falling = li.exact_rate([0.5, 2.0, 0.0, 0.25], D=2.0, G=[1.5, 1.5, 1.0, 1.0, 0.5]).certificate()
    return {
        "sgd": json.loads(li.exact_rate([0.5, 0.25], D=2.0, G=1.5).certificate().to_json()),
        "two-sided": json.loads(falling.two_sided().to_json()),
        "step-matrix": json.loads(li.worst_case(li.step_matrix.momentum([0.5, 0.4], 0.5)).certificate().to_json()),
        "dominant": json.loads(Certificate.step_matrix(li.step_matrix.sgd([0.5]), np.zeros((2, 2)), 1.0).to_json()),
    }


@cache
def worst_case(H, D, G):
    """Certified bounds on the worst case in units of D and the largest G, which no size of the numbers disturbs."""
    matrix, caps = np.array(H), np.array(G)
    unit = caps.max()
    found = li.worst_case(matrix * (unit / D), 1.0, caps / unit)
    return found.lower * D * unit, found.value * D * unit


def assert_true(doc, low, high):
    """The proved interval must contain the worst case of the document's own method, D and G."""
    if doc["kind"] == "sgd":
        H = li.step_matrix.sgd(np.array(doc["steps"], dtype=float))
    else:
        H = np.zeros((len(doc["H"]), len(doc["H"])))
        for k, row in enumerate(doc["H"]):
            H[k, :k] = row
    D, G = float(doc["D"]), [float(x) for x in doc["G"]]
    if not math.isfinite(max(G) * D * abs(H).max()) or min(G) * D * (1.0 + abs(H).max()) < 1e-250:
        return
    attained, certified = worst_case(tuple(map(tuple, H)), D, tuple(G))
    assert attained * (1.0 - 1e-6) <= float(high)
    assert float(low) <= certified * (1.0 + 1e-6)


def places(value, path=()):
    """Every place of a document: keys, entries of lists, entries of entries."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*path, key))


WRONG = [
    None,
    True,
    False,
    "1.0",
    "",
    [],
    {},
    -1,
    0,
    1,
    2,
    -1.0,
    0.0,
    -0.0,
    0.5,
    1e-300,
    5e-324,
    1e300,
    1.7e308,
    10**20,
]
WRONG += [10**400, 1 - 10**400, 2**53 + 1, math.nan, math.inf, -math.inf, [1.0], [[1.0]], {"exponent": 0}]


@st.composite
def tampered(draw):
    """A document of any kind after one to three changes."""
    doc = copy.deepcopy(documents()[draw(st.sampled_from(sorted(documents())))])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(doc) if path]))
        holder = doc
        for key in path[:-1]:
            holder = holder[key]
        old = holder[path[-1]]
        action = draw(st.sampled_from(["wrong", "scale", "negate", "shift", "drop", "twice", "uniform"]))
        is_number = type(old) in (int, float) and abs(old) < 1e300
        if action == "drop" and isinstance(holder, dict):
            del holder[path[-1]]
        elif action == "twice" and isinstance(holder, list):
            holder.append(old)
        elif action == "uniform" and isinstance(old, list):
            holder[path[-1]] = [draw(st.sampled_from([-1.0, 0.0, 1e-200, 0.25, 1.0, 1e200]))] * len(old)
        elif action == "negate" and isinstance(old, list) and all(type(x) is float for x in old):
            holder[path[-1]] = [-x for x in old]
        elif is_number and action == "scale" and abs(old) < 1e100:
            holder[path[-1]] = old * draw(st.sampled_from([1 + 1e-9, 1 - 1e-9, 1.5, 0.5, 1e6, 1e-6, 2]))
        elif is_number and action == "negate":
            holder[path[-1]] = -old
        elif is_number and action == "shift":
            holder[path[-1]] = old + draw(st.sampled_from([1, -1, 1e-9, -1e-9]))
        else:
            holder[path[-1]] = copy.deepcopy(draw(st.sampled_from(WRONG)))
    return doc


def judge(doc):
    text = json.dumps(doc)
    try:
        _, low, high = check_certificate.conclude(text)
    except ValueError:
        accepted = False
    else:
        accepted = True
        assert_true(doc, low, high)
    try:
        certificate = Certificate.from_json(text)
    except InputError:
        return
    assert certificate.check().ok in (True, False)
    try:
        low, high = certificate.interval()
    except CertificateError:
        assert not accepted
    else:
        assert_true(doc, low, high)


@given(tampered())
@settings(max_examples=300, deadline=None)
def test_a_tampered_file_is_refused_or_true(doc):
    judge(doc)


@pytest.mark.slow
@given(tampered())
@settings(max_examples=20_000, deadline=None)
def test_many_tampered_files_are_refused_or_true(doc):
    judge(doc)


@pytest.mark.parametrize("kind", ["sgd", "two-sided", "step-matrix", "dominant"])
def test_every_place_with_every_wrong_value_is_refused_or_true(kind):
    original = documents()[kind]
    check_certificate.conclude(json.dumps(original))
    for path in [path for path in places(original) if path]:
        for wrong in WRONG:
            doc = copy.deepcopy(original)
            holder = doc
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = wrong
            judge(doc)


NEGATIVE = {
    "schema": 1, "kind": "step-matrix", "D": 1.0, "G": [-1.0, -1.0, -1.0], "H": [[], [0.5], [0.5, 0.5]], "tau": 1e-6,
    "norms": [0, 0, 0], "optimum": [0, 0, 1], "minimum": [0, 0, 0], "pairs": [], "value": 5e-7,
    "bound": "4722366482869645/9444732965739290427392",
}  # fmt: skip


@pytest.mark.parametrize("G", [[-1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [0.0, 1.0, 1.0]])
def test_negative_gradient_bounds_prove_nothing(G, tmp_path):
    file = tmp_path / "f.json"
    file.write_text(json.dumps({**NEGATIVE, "G": G}))
    found = subprocess.run([sys.executable, "-I", CHECKER, file], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("refused: ")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"D": 1.0, "D": 1e-6}',
        "[" * 100_000,
        '{"a": ' + "9" * 5001 + "}",
        '{"schema": 1, "kind": "sgd", "D": NaN}',
        "",
        '{"schema": 99, "kind": "sgd"}',
    ],
)
def test_what_is_no_certificate_is_refused_in_one_line(text, tmp_path):
    file = tmp_path / "f.json"
    file.write_text(text)
    found = subprocess.run([sys.executable, "-I", CHECKER, file], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    with pytest.raises(InputError):
        Certificate.from_json(file)


def test_a_key_that_stands_twice_is_refused():
    text = json.dumps(documents()["sgd"])
    forged = text.replace('"D": 2.0', '"D": 2.0, "D": 1e-06')
    with pytest.raises(ValueError, match="stands twice"):
        check_certificate.conclude(forged)
    with pytest.raises(InputError, match="stands twice"):
        Certificate.from_json(forged)


def test_devices_and_pipes_are_no_files(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path):
        with pytest.raises(InputError):
            Certificate.from_json(path)
        found = subprocess.run(
            [sys.executable, CHECKER, path], capture_output=True, text=True, check=False, timeout=120
        )
        assert found.stderr.startswith("refused: ")
