"""Certificates: proofs that hold, tampering that is caught, files that are malformed."""

import ast
import dataclasses
import json
import subprocess
import sys
from fractions import Fraction
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


def sgd_certificate(n=6, seed=0):
    return li.exact_rate(np.random.default_rng(seed).random(n), D=2.0, G=1.5).certificate()


def sgd_pairs(certificate):
    """The multipliers of all pairs of points that the compact form stands for."""
    v, h = certificate.v, certificate.steps
    w = np.append(h * v[1:], certificate.s_N)
    total = v[-1] * certificate.s_N
    pairs = np.triu(np.outer(np.append(np.diff(v), 0.0), w), 1) / total
    return pairs, v[0] ** 2 / total


def momentum_certificate(n=6):
    return li.momentum_rate(np.full(n, 0.2), 0.9, D=2.0, G=1.5).certificate()


@given(st.lists(st.just(0.0) | st.floats(1e-9, 1e3), min_size=1, max_size=30), st.floats(0.1, 10), st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_proved_bound_vs_exact_rate(steps, D, G):
    rate = li.exact_rate(steps, D=D, G=G)
    certificate = rate.certificate()
    assert certificate.check()
    assert certificate.value == pytest.approx(rate.value, rel=1e-12)
    bound = certificate.prove()
    assert isinstance(bound, Fraction)
    assert abs(bound / Fraction(certificate.value) - 1) <= Fraction(1, 10**12)


def test_a_thousand_steps_are_proved():
    rate = li.exact_rate(li.schedules.cosine(1000), D=30.0, G=1.0)
    bound = rate.certificate().prove()
    assert 0 <= bound / Fraction(rate.value) - 1 + Fraction(1, 10**13) <= Fraction(1, 10**12)


def test_digits_round_the_multipliers_upwards():
    certificate = sgd_certificate(50)
    coarse, fine = certificate.prove(digits=4), certificate.prove(digits=40)
    assert fine < coarse < fine * Fraction(51, 50)


@pytest.mark.parametrize("n", [0, 1, 5, 12])
def test_compact_form_vs_pairs_of_points(n):
    """Two independent verifications of the same rate: the weights theorem and the general identity."""
    steps = np.random.default_rng(n).random(n)
    compact = li.exact_rate(steps).certificate()
    pairs, tau = sgd_pairs(compact)
    general = Certificate.step_matrix(li.step_matrix.sgd(steps), pairs, tau)
    assert general.check()
    assert abs(general.prove() / compact.prove() - 1) < Fraction(1, 10**12)


def test_certificate_vs_sdp_duals():
    H = li.step_matrix.momentum(np.full(8, 0.2), 0.9)
    sdp = li.worst_case(H)
    certificate = sdp.certificate()
    assert float(certificate.prove()) == pytest.approx(sdp.value, rel=1e-7)


def test_rough_multipliers_are_repaired_into_a_proof():
    """Solver noise, negative entries included, costs accuracy but never validity."""
    rng = np.random.default_rng(3)
    steps = rng.random(10)
    rate = li.exact_rate(steps)
    pairs, tau = sgd_pairs(rate.certificate())
    noisy = pairs + 1e-8 * rng.standard_normal(pairs.shape) * ~np.eye(11, dtype=bool)
    for norms in (None, np.zeros(11)):
        certificate = Certificate.step_matrix(li.step_matrix.sgd(steps), noisy, tau, norms)
        assert Fraction(rate.value) * (1 - Fraction(1, 10**12)) <= certificate.prove()
        assert certificate.value < rate.value * (1 + 1e-4 if norms is None else 2.0)


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("factor", [1 + 1e-6, 1 - 1e-6])
def test_tampering_with_an_sgd_multiplier_is_caught(index, factor):
    certificate = sgd_certificate()
    if index == 7:
        tampered = dataclasses.replace(certificate, s_N=certificate.s_N * factor)
    else:
        v = certificate.v.copy()
        v[index] *= factor
        tampered = dataclasses.replace(certificate, v=v)
    assert not tampered.check()
    with pytest.raises(CertificateError):
        tampered.prove()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_tampering_with_any_random_sgd_certificate_is_caught(data):
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    certificate = li.exact_rate(10.0 ** rng.uniform(-3, 1, n), G=rng.uniform(0.5, 2, n + 1)).certificate()
    v = certificate.v.copy()
    v[rng.integers(n + 1)] *= data.draw(st.sampled_from([1 + 1e-6, 1 - 1e-6]))
    tampered = dataclasses.replace(certificate, v=v)
    assert not tampered.check()
    with pytest.raises(CertificateError):
        tampered.prove()


@pytest.mark.parametrize(
    "make", [momentum_certificate, lambda: li.worst_case(li.step_matrix.sgd([1, 2, 3])).certificate()]
)
@pytest.mark.parametrize("factor", [1 + 1e-6, 1 - 1e-6])
def test_tampering_with_any_general_multiplier_is_caught(make, factor):
    certificate = make()
    assert certificate.check()
    for name in ("pairs", "optimum", "minimum", "norms"):
        values = getattr(certificate, name)
        for index in np.argwhere(values > 0.0):
            changed = values.copy()
            changed[tuple(index)] *= factor
            tampered = dataclasses.replace(certificate, **{name: changed})
            assert not tampered.check(), (name, index)
            with pytest.raises(CertificateError):
                tampered.prove()
            with pytest.raises(ValueError, match="not a proof"):
                check_certificate.prove(json.loads(tampered.to_json()))
    assert not dataclasses.replace(certificate, tau=certificate.tau * factor).check()


def test_a_bound_below_the_truth_cannot_be_proved():
    certificate = sgd_certificate()
    lower = dataclasses.replace(certificate, value=certificate.value * (1 - 1e-9))
    with pytest.raises(CertificateError):
        lower.prove()
    general = momentum_certificate()
    norms = general.norms * (1 - 1e-6)
    bound = (Fraction(general.tau) * 4 + sum(map(Fraction, norms)) * Fraction(9, 4)) / 2
    lower = dataclasses.replace(general, norms=norms, bound=bound, value=float(bound))
    with pytest.raises(CertificateError):
        lower.prove()
    with pytest.raises(ValueError, match="semidefinite"):
        check_certificate.prove(json.loads(lower.to_json()))


@pytest.mark.parametrize("make", [sgd_certificate, momentum_certificate])
def test_json_round_trip(make, tmp_path):
    certificate = make()
    again = Certificate.from_json(certificate.to_json(tmp_path / "c.json"))
    assert again.to_json() == certificate.to_json()
    assert again.prove() == certificate.prove() == Certificate.from_json(tmp_path / "c.json").prove()
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize("make", [sgd_certificate, momentum_certificate])
def test_stand_alone_checker(make, tmp_path):
    certificate = make()
    certificate.to_json(tmp_path / "good.json")
    command = [sys.executable, "-I", str(CHECKER)]
    good = subprocess.run([*command, str(tmp_path / "good.json")], capture_output=True, text=True, check=True)
    printed = Fraction(good.stdout.split("<=")[1].strip())
    assert certificate.prove() <= printed <= certificate.prove() * (1 + Fraction(1, 10**15))
    assert f"N = {certificate.G.size - 1}" in good.stdout
    assert "D = 2.0, G = 1.5" in good.stdout
    doc = json.loads(certificate.to_json())
    doc["value"] *= 1 - 1e-6
    (tmp_path / "bad.json").write_text(json.dumps(doc))
    bad = subprocess.run([*command, str(tmp_path / "bad.json")], capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "exceeds the stated value" in bad.stderr


def test_checker_is_short_and_uses_the_standard_library_only():
    source = CHECKER.read_text()
    assert len(source.splitlines()) < 320
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)


def change(form, /, **entries):
    doc = json.loads((sgd_certificate() if form == "sgd" else momentum_certificate()).to_json())
    for key, value in entries.items():
        if value is None:
            del doc[key]
        else:
            doc[key] = value
    return json.dumps(doc)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "line 1"),
        ("[1, 2]", "JSON text or a file"),
        ('{"schema": 1}', "kind"),
        (change("sgd", schema=2), "schema"),
        (change("sgd", schema=True), "schema"),
        (change("sgd", kind="other"), "kind"),
        (change("sgd", v=None), "no v"),
        (change("sgd", v=[1.0]), "v: expected length 7"),
        (change("sgd", v=[1.0] * 6 + [float("nan")]), r"v\[6\] = nan"),
        (change("sgd", v=[1.0] * 6 + ["x"]), r"v\[6\]"),
        (change("sgd", v=7), "v"),
        (change("sgd", steps=[-1.0] * 6), r"steps\[0\] = -1.0"),
        (change("sgd", G=[1.0] * 6), "G: expected length 7"),
        (change("sgd", G=[0.0] * 7), r"G\[0\] = 0.0"),
        (change("sgd", D=float("inf")), "D"),
        (change("sgd", D="1"), "D"),
        (change("sgd", s_N=True), "s_N"),
        (change("sgd", value=None), "value"),
        (change("step-matrix", H=[]), "H"),
        (change("step-matrix", H=[[], [1.0, 2.0]]), r"H\[1\]"),
        (change("step-matrix", norms=[1.0]), "norms"),
        (change("step-matrix", optimum=[float("inf")] * 7), r"optimum\[0\]"),
        (change("step-matrix", pairs=[[0, 1]]), r"pairs\[0\]"),
        (change("step-matrix", pairs=[[0, 1, 1.0], [0, 1, 1.0]]), r"pairs\[1\]"),
        (change("step-matrix", pairs=[[0, 9, 1.0]]), r"pairs\[0\]"),
        (change("step-matrix", pairs=[[0.0, 1, 1.0]]), r"pairs\[0\]\[0\]"),
        (change("step-matrix", pairs=[[0, 1, None]]), r"pairs\[0\]"),
        (change("step-matrix", bound="1/0"), "bound"),
        (change("step-matrix", bound=1.0), "bound"),
        (change("step-matrix", tau=-1.0), "tau"),
    ],
)
def test_malformed_documents_say_where(text, where):
    with pytest.raises(InputError, match=where):
        Certificate.from_json(text)


def test_unreadable_files_say_which(tmp_path):
    with pytest.raises(InputError, match=r"absent\.json"):
        Certificate.from_json(tmp_path / "absent.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        Certificate.from_json(tmp_path / "binary.json")
    (tmp_path / "cut.json").write_text(sgd_certificate().to_json()[:100])
    with pytest.raises(InputError, match=r"cut\.json.*line 1, column"):
        Certificate.from_json(tmp_path / "cut.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="list"):
        Certificate.from_json(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: Certificate.for_sgd([1.0], [1.0, 2.0, 3.0], 1.0), "v"),
        (lambda: Certificate.for_sgd([1.0], [0.0], 1.0), "v"),
        (lambda: Certificate.for_sgd([1.0], [1.0], -1.0), "sigma"),
        (lambda: Certificate.for_sgd([1.0], [1.0], 1.0, D=0.0), "D"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), np.zeros((3, 3)), 1.0), "pairs"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), [[0, np.nan], [0, 0]], 1.0), "pairs"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), [[0, -1.0], [0, 0]], 1.0), "pairs"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), np.eye(2), 1.0), "pairs"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), [["a", 0], [0, 0]], 1.0), "pairs"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), [[0], [0, 0]], 1.0), "pairs"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), np.zeros((2, 2)), 0.0), "tau"),
        (lambda: Certificate.step_matrix(np.zeros((2, 2)), np.zeros((2, 2)), 1.0, [1.0]), "norms"),
        (lambda: Certificate.step_matrix(np.eye(2), np.zeros((2, 2)), 1.0), "H"),
        (lambda: sgd_certificate().prove(digits=0), "digits"),
    ],
)
def test_bad_input_names_the_argument(call, where):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == where
