"""Certificates: the multipliers of the inequalities behind a rate, checked in floating point or proved exactly.

Two forms. `SgdCertificate` keeps the O(N) numbers of SGD's closed form; `StepMatrixCertificate` keeps one multiplier a
pair of points and works for any step matrix. Both come from the class methods of `Certificate`::

    Certificate.for_sgd(steps, v, sigma, D=1.0, G=1.0)                # v_k = w_k / h_k of the exact rate
    Certificate.step_matrix(H, pairs, tau, norms=None, D=1.0, G=1.0)  # for instance a semidefinite program's duals

The exact arithmetic lives in ``check_certificate.py``, which needs nothing but Python's standard library.
"""

import json
import math
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.errors import LastIterateError
from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import (
    InputError,
    check_count,
    check_gradient_bounds,
    check_positive,
    check_step_matrix,
    check_steps,
    check_vector,
)

from .arithmetic import (
    cancel_values,
    check_pairs,
    exact_bound,
    feasible_norms,
    gradient_form,
    round_to_grid,
    sgd_conditions,
    value_sums,
)
from .check_certificate import prove
from .reading import check_keys, check_length, common, numbers, parse, read_pairs

Array = npt.NDArray[np.float64]
SCHEMA = 1


class CertificateError(LastIterateError, ValueError):
    """A certificate that does not prove what it states."""


@dataclass(frozen=True)
class Check:
    """What a floating-point check found; true where the certificate holds.

    Attributes
    ----------
    residual : float
        The largest relative violation of any condition, the stated value included.
    tolerance : float
        The largest residual that rounding explains.
    """

    residual: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the residual is within the tolerance."""
        return self.residual <= self.tolerance

    def __bool__(self) -> bool:
        """Return `ok`."""
        return self.ok


@dataclass(frozen=True, kw_only=True)
class Certificate(ABC):
    """The multipliers behind an upper bound on f(x_N) - f*; see `SgdCertificate` and `StepMatrixCertificate`.

    Attributes
    ----------
    D : float
        The bound on ||x_0 - x*||.
    G : ndarray, shape (N+1,)
        The bounds on the subgradients.
    value : float
        The upper bound on f(x_N) - f* that the certificate stands for.

    Examples
    --------
    >>> certificate = Certificate.for_sgd([0.5, 0.25], v=[0.8, 1.0], sigma=1.0)
    >>> certificate.check().ok
    True
    >>> float(certificate.prove()) <= certificate.value * (1 + 1e-12)
    True
    >>> Certificate.from_json(certificate.to_json()).value == certificate.value
    True
    """

    D: float
    G: Array = field(repr=False)
    value: float

    @staticmethod
    def for_sgd(steps: Any, v: Any, sigma: Any, D: Any = 1.0, G: Any = 1.0) -> "SgdCertificate":
        """Certify SGD with the multipliers of the exact rate, or with any others that are valid.

        Parameters
        ----------
        steps : array_like, shape (N,)
            The step sizes.
        v : array_like, shape (N,) or (N+1,)
            v_0, ..., v_{N-1}, with v_{-1} in front or the least valid one by default. The exact rate has
            v_k = w_k / h_k = 1 / s_{k+1}.
        sigma : float
            The weight s_N of the last point, the free parameter of the exact rate.
        D, G : float, float or array_like
            The distance bound and the gradient bounds.

        Returns
        -------
        SgdCertificate
            With the value that the multipliers give; nothing is verified until `check` or `prove`.
        """
        h = check_steps(steps, allow_empty=True)
        bounds, distance = check_gradient_bounds(G, h.size), check_positive(D, "D")
        s_N, multipliers = check_positive(sigma, "sigma"), check_vector(v, "v")
        if multipliers.size == h.size:
            s_1 = s_N + float(h[1:] @ multipliers[1:])
            first = multipliers[0] * s_1 / (s_1 + h[0] * multipliers[0]) if h.size else 1.0 / s_N
            multipliers = np.append(first, multipliers)
        check_length(multipliers, "v", h.size + 1)
        if multipliers.min() <= 0.0:
            index = int(np.argmin(multipliers))
            raise InputError("v", f"v[{index}] = {multipliers[index]}", "positive multipliers")
        value = sgd_conditions(h, multipliers, s_N, distance, bounds)[1]
        return SgdCertificate(D=distance, G=bounds, value=value, steps=h, v=multipliers, s_N=s_N)

    @staticmethod
    def step_matrix(
        H: Any, pairs: Any, tau: Any, norms: Any = None, *, D: Any = 1.0, G: Any = 1.0, monotone: Any = None
    ) -> "StepMatrixCertificate":
        """Certify any step matrix from approximate multipliers, repaired so that they hold exactly.

        The last row of ``H`` is the point whose value is bounded (append the row of an average to bound that).

        Parameters
        ----------
        H : array_like, shape (N+1, N+1)
            The step matrix.
        pairs : array_like, shape (N+1, N+1)
            ``pairs[i, j]`` multiplies f_i >= f_j + <g_j, x_i - x_j>, scaled so that f_N - f* has coefficient 1. Entries
            that are negative within 1e-6 of the largest are rounding errors of a solver and count as zero.
        tau : float
            The multiplier of ||x_0 - x*||^2 <= D^2.
        norms : array_like, shape (N+1,), optional
            The multipliers of ||g_i||^2 <= G_i^2, raised where the quadratic form is not semidefinite; by default
            the least ones that make it diagonally dominant.
        D, G : float, float or array_like
            The distance bound and the gradient bounds.
        monotone : array_like, shape (N+1,), optional
            The multipliers of <g_i, x_i - x*> >= 0, that is, of f_i >= f* and f* >= f_i + <g_i, x* - x_i> together.

        Returns
        -------
        StepMatrixCertificate
            The multipliers of f* >= f_j + <g_j, x* - x_j> follow from the others: every f_j must cancel.
        """
        matrix = check_step_matrix(H)
        size = matrix.shape[0]
        distance, bounds = check_positive(D, "D"), check_gradient_bounds(G, size - 1)
        multipliers = check_pairs(pairs, size)
        weight = check_positive(tau, "tau")
        both = np.zeros(size) if monotone is None else np.maximum(check_vector(monotone, "monotone"), 0.0)
        check_length(both, "monotone", size)
        together = round_to_grid(np.column_stack([multipliers, both]))  # one grid, so that sums stay exact
        multipliers, both = np.ascontiguousarray(together[:, :size]), together[:, size]
        optimum, minimum = (values + both for values in cancel_values(multipliers))
        given = None if norms is None else np.maximum(check_vector(norms, "norms"), 0.0)
        if given is not None:
            check_length(given, "norms", size)
        nu = feasible_norms(matrix, multipliers, optimum, weight, bounds, given)
        exact = exact_bound(weight, distance, nu, bounds)
        return StepMatrixCertificate(
            D=distance,
            G=bounds,
            value=float(exact),
            H=matrix,
            pairs=multipliers,
            optimum=optimum,
            minimum=minimum,
            norms=nu,
            tau=weight,
            bound=exact,
        )

    @abstractmethod
    def check(self) -> Check:
        """Check every condition in floating point and report the residual."""

    @abstractmethod
    def _document(self) -> dict[str, Any]:
        """Return the numbers as plain Python objects, ready for JSON."""

    def prove(self, digits: int = 20) -> Fraction:
        """Verify every condition in exact rational arithmetic.

        Parameters
        ----------
        digits : int
            Decimal digits kept when SGD's multipliers are rounded to dyadic numbers; the bound exceeds the value by
            about N 10^-digits, relative. The multipliers of a step matrix are exact as they are.

        Returns
        -------
        Fraction
            A certified upper bound on f(x_N) - f*, at most 1e-12 (relative) above `value` for the default digits.

        Raises
        ------
        CertificateError
            If a condition fails or the bound exceeds the stated value by more than rounding explains.
        """
        digits = check_count(digits, "digits")
        found = self.check()
        if not found:
            raise CertificateError(f"not a proof: residual {found.residual:.3g} in floating point")
        try:
            bound = prove(self._document(), digits)
        except ValueError as error:
            raise CertificateError(str(error)) from error
        size = self.G.size
        slack = Fraction(max(1e-12, size * 2.0**-52)) + Fraction(3 * size, 10**digits)
        if bound > Fraction(self.value) * (1 + slack):
            raise CertificateError(f"the multipliers prove {float(bound)!r}, not the stated {self.value!r}")
        return bound

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the certificate as JSON text and, given a path, write it there atomically."""
        text = json.dumps({"schema": SCHEMA, **self._document()}, allow_nan=False)
        if path is not None:
            write_atomically(Path(path), text + "\n")
        return text

    @staticmethod
    def from_json(source: str | os.PathLike[str]) -> "Certificate":
        """Read a certificate from JSON text or from a file; whether it proves anything is for `check` and `prove`.

        Raises
        ------
        InputError
            Saying where a malformed document fails: which key is missing, which entry is not a finite number.
        """
        doc = parse(source)
        check_keys(doc, "certificate", {"schema", "kind"})
        if doc["schema"] != SCHEMA or isinstance(doc["schema"], bool):
            raise InputError("schema", doc["schema"], f"{SCHEMA}")
        if doc["kind"] == "sgd":
            return SgdCertificate.from_document(doc)
        if doc["kind"] == "step-matrix":
            return StepMatrixCertificate.from_document(doc)
        raise InputError("kind", doc["kind"], "sgd or step-matrix")


@dataclass(frozen=True, kw_only=True)
class SgdCertificate(Certificate):
    """O(N) certificate of SGD (Zamani & Glineur, arXiv 2307.11134, as an inequality).

    For any 0 < v_{-1} <= v_0 <= ... <= v_{N-1} and s_N > 0, with w_k = h_k v_k and s_k = s_{k+1} + w_k such that
    Q_k = v_{k-1} s_k is nonincreasing in k = 0..N,

        f(x_N) - f*  <=  (v_{-1}^2 D^2 + sum_k w_k^2 G_k^2 + s_N^2 G_N^2) / (2 Q_N).

    The multipliers of f* >= f_k + <g_k, x* - x_k> are then w_k / Q_N, those of f_r >= f_t + <g_t, x_r - x_t> (r < t)
    are w_t (v_r - v_{r-1}) / Q_N, for a constant Q_k.

    Attributes
    ----------
    steps : ndarray, shape (N,)
        The step sizes.
    v : ndarray, shape (N+1,)
        v_{-1}, v_0, ..., v_{N-1}.
    s_N : float
        The weight of the last point.
    """

    steps: Array = field(repr=False)
    v: Array = field(repr=False)
    s_N: float = field(repr=False)

    def check(self) -> Check:
        """Check the two monotonicities and the value; the tolerance is what rounding explains over N steps."""
        residual, value = sgd_conditions(self.steps, self.v, self.s_N, self.D, self.G)
        mismatch = abs(value - self.value) / value if value > 0.0 else math.inf
        return Check(max(residual, mismatch), (self.steps.size + 8) * 2.0**-50)

    def _document(self) -> dict[str, Any]:
        return {
            "kind": "sgd",
            "value": self.value,
            "D": self.D,
            "G": self.G.tolist(),
            "steps": self.steps.tolist(),
            "v": self.v.tolist(),
            "s_N": self.s_N,
        }

    @classmethod
    def from_document(cls, doc: dict[str, Any]) -> Self:
        """Build the certificate from a parsed JSON object, checking types, lengths and finiteness."""
        check_keys(doc, "certificate", {"schema", "kind", "value", "D", "G", "steps", "v", "s_N"})
        steps, v = check_steps(numbers(doc["steps"], "steps"), allow_empty=True), numbers(doc["v"], "v")
        check_length(v, "v", steps.size + 1)
        return cls(**common(doc, steps.size + 1), steps=steps, v=v, s_N=check_positive(doc["s_N"], "s_N"))


@dataclass(frozen=True, kw_only=True)
class StepMatrixCertificate(Certificate):
    """Certificate of any step matrix: one multiplier for every inequality of the worst-case problem.

    The multipliers are float64 numbers on which the conditions hold exactly, not only up to rounding: the coefficient
    of every f_i vanishes, and the quadratic form that remains is positive semidefinite.

    Attributes
    ----------
    H : ndarray, shape (N+1, N+1)
        The step matrix.
    pairs : ndarray, shape (N+1, N+1)
        Multipliers of f_i >= f_j + <g_j, x_i - x_j>.
    optimum, minimum : ndarray, shape (N+1,)
        Multipliers of f* >= f_j + <g_j, x* - x_j> and of f_i >= f*.
    norms : ndarray, shape (N+1,)
        Multipliers of ||g_i||^2 <= G_i^2.
    tau : float
        Multiplier of ||x_0 - x*||^2 <= D^2.
    bound : Fraction
        (tau D^2 + sum_i norms_i G_i^2) / 2, exactly.
    """

    H: Array = field(repr=False)
    pairs: Array = field(repr=False)
    optimum: Array = field(repr=False)
    minimum: Array = field(repr=False)
    norms: Array = field(repr=False)
    tau: float
    bound: Fraction = field(repr=False)

    def check(self) -> Check:
        """Check the signs, the function values and the bound exactly, the semidefiniteness by its least eigenvalue."""
        negative = -min(float(x.min()) for x in (self.pairs, self.optimum, self.minimum, self.norms))
        values = max(map(abs, value_sums(self.pairs, self.optimum, self.minimum)))
        stated = exact_bound(self.tau, self.D, self.norms, self.G) == self.bound and self.value == float(self.bound)
        if not (negative <= 0.0 < self.tau and values == 0.0 and stated):
            return Check(max(negative, values, float(not stated)), 0.0)
        form = gradient_form(self.H, self.pairs, self.optimum, self.tau) + np.diag(self.norms)
        scaled = form * np.outer(self.G, self.G) / self.value
        return Check(max(0.0, -float(np.linalg.eigvalsh(scaled)[0])), self.G.size * 2.0**-48)

    def _document(self) -> dict[str, Any]:
        rows, columns = np.nonzero(self.pairs)
        entries = self.pairs[rows, columns]
        return {
            "kind": "step-matrix",
            "value": self.value,
            "bound": str(self.bound),
            "D": self.D,
            "G": self.G.tolist(),
            "H": [row[:k].tolist() for k, row in enumerate(self.H)],
            "tau": self.tau,
            "norms": self.norms.tolist(),
            "optimum": self.optimum.tolist(),
            "minimum": self.minimum.tolist(),
            "pairs": list(map(list, zip(rows.tolist(), columns.tolist(), entries.tolist(), strict=True))),
        }

    @classmethod
    def from_document(cls, doc: dict[str, Any]) -> Self:
        """Build the certificate from a parsed JSON object, checking types, lengths and finiteness."""
        names = {"schema", "kind", "value", "bound", "D", "G", "H", "tau", "norms", "optimum", "minimum", "pairs"}
        check_keys(doc, "certificate", names)
        rows: Any = doc["H"]
        if not isinstance(rows, list) or not rows:
            raise InputError("H", rows, "a list of rows")
        size = len(rows)
        H = np.zeros((size, size))
        for k, row in enumerate(rows):
            values = numbers(row, f"H[{k}]")
            check_length(values, f"H[{k}]", k)
            H[k, :k] = values
        vectors: dict[str, Any] = {name: numbers(doc[name], name) for name in ("norms", "optimum", "minimum")}
        for name, vector in vectors.items():
            check_length(vector, name, size)
        try:
            exact = Fraction(doc["bound"]) if isinstance(doc["bound"], str) else None
        except (ValueError, ZeroDivisionError):
            exact = None
        if exact is None:
            raise InputError("bound", doc["bound"], "an exact fraction such as '1/3'")
        return cls(
            **common(doc, size),
            H=H,
            pairs=read_pairs(doc["pairs"], size),
            tau=check_positive(doc["tau"], "tau"),
            bound=exact,
            **vectors,
        )
