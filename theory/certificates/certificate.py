"""Certificates: the multipliers of the inequalities behind a rate, checked in floating point or proved exactly.

Two forms. `SgdCertificate` (`lastiterate.theory.certificates.sgd`) keeps the O(N) numbers of SGD's closed form;
`StepMatrixCertificate` keeps one multiplier a pair of points and works for any step matrix. Both come from the class
methods of `Certificate`::

    Certificate.for_sgd(steps, v, sigma, D=1.0, G=1.0)                # v_k = w_k / h_k of the exact rate
    Certificate.step_matrix(H, pairs, tau, norms=None, D=1.0, G=1.0)  # for instance a semidefinite program's duals

The exact arithmetic lives in ``check_certificate.py``, which needs nothing but Python's standard library.
"""

import json
import math
import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.errors import LastIterateError
from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.result import Bounding, Kind
from lastiterate.theory.base.validation import (
    InputError,
    check_count,
    check_gradient_bounds,
    check_positive,
    check_step_matrix,
    check_vector,
)

from .arithmetic import cancel_values, check_pairs, exact_bound, feasible_norms, round_to_grid, scaled_form, value_sums
from .check_certificate import SCHEMA, decimal, number, prove
from .reading import check_length, parse, sgd_fields, step_matrix_fields

if TYPE_CHECKING:
    from .sgd import SgdCertificate

__all__ = ["Certificate", "CertificateError", "Check", "StepMatrixCertificate"]

Array = npt.NDArray[np.float64]


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
        return bool(self.residual <= self.tolerance)  # not for NaN

    def __bool__(self) -> bool:
        """Return `ok`."""
        return self.ok


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Certificate(Bounding, ABC):
    """The multipliers behind an upper bound on f(x_N) - f*; see `SgdCertificate` and `StepMatrixCertificate`.

    Attributes
    ----------
    D : float
        The bound on ||x_0 - x*||.
    G : ndarray, shape (N+1,)
        The bounds on the subgradients.
    value : float
        The upper bound on f(x_N) - f* that the certificate stands for.
    kind : str
        ``"upper"``.

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

    _shown = ("value", "lower", "n_steps", "D")

    D: float
    G: Array
    value: float
    kind: Kind = field(default="upper", init=False)

    @property
    def n_steps(self) -> int:
        """N."""
        return self.G.size - 1

    @property
    def lower(self) -> float:
        """The value that some function of the class reaches; 0 unless the certificate is two-sided."""
        return 0.0

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
        from .sgd import SgdCertificate

        return SgdCertificate.of(steps, v, sigma, D, G)

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
        nu = feasible_norms(matrix, multipliers, optimum, weight, distance, bounds, given)
        exact = exact_bound(weight, distance, nu, bounds)
        if not Fraction(sys.float_info.min) <= exact <= Fraction(sys.float_info.max):
            raise InputError("tau", tau, "multipliers of a bound between 2.3e-308 and 1.8e308")
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
        try:
            value = number(self.value, "value", positive=True)
            bound = prove(self._document(), digits)
        except ValueError as error:
            raise CertificateError(str(error)) from error
        size = self.G.size
        slack = Fraction(max(1e-12, size * 2.0**-52)) + Fraction(3 * size, 10**digits)
        if bound > value * (1 + slack):
            raise CertificateError(f"the multipliers prove {decimal(bound, 'ROUND_CEILING')}, not {self.value!r}")
        return bound

    def prove_lower(self) -> Fraction:
        """Return what some function of the class surely reaches: 0 where the certificate has no lower side."""
        return Fraction(0)

    def interval(self, digits: int = 20) -> tuple[Fraction, Fraction]:
        """Prove both sides: the worst case of f(x_N) - f* lies between the two numbers (see `prove`)."""
        return self.prove_lower(), self.prove(digits)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the certificate as JSON text and, given a path, write it there atomically."""
        text = json.dumps({"schema": SCHEMA, **self._document()}, allow_nan=False)
        if path is not None:
            write_atomically(path, text + "\n")
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
        if type(doc.get("schema")) is not int or doc["schema"] != SCHEMA:
            raise InputError("schema", doc.get("schema"), f"{SCHEMA}")
        if doc.get("kind") == "sgd":
            from .sgd import SgdCertificate

            return SgdCertificate(**sgd_fields(doc))
        if doc.get("kind") == "step-matrix":
            return StepMatrixCertificate(**step_matrix_fields(doc))
        raise InputError("kind", doc.get("kind"), "sgd or step-matrix")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StepMatrixCertificate(Certificate):
    """Certificate of any step matrix: one multiplier for every inequality of the worst-case problem.

    The multipliers are float64 numbers on which the conditions hold exactly, not only up to rounding: the coefficient
    of every f_i vanishes, and the quadratic form that remains is positive semidefinite.

    Attributes
    ----------
    D, G, value, kind
        As in `Certificate`.
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

    H: Array
    pairs: Array
    optimum: Array
    minimum: Array
    norms: Array
    tau: float
    bound: Fraction

    def check(self) -> Check:
        """Check the signs, the function values and the bound exactly, the semidefiniteness by its least eigenvalue."""
        signs = np.concatenate([self.pairs.ravel(), self.optimum, self.minimum, self.norms, [self.tau]])
        finite = math.isfinite(self.value) and np.isfinite(signs).all() and float(np.abs(signs[:-1]).sum()) < math.inf
        if not (finite and signs.min() >= 0.0 < self.tau and self.value > 0.0):
            return Check(math.inf, 0.0)
        values = max(map(abs, value_sums(self.pairs, self.optimum, self.minimum)))
        exact = exact_bound(self.tau, self.D, self.norms, self.G)
        if values != 0.0 or exact != self.bound or abs(Fraction(self.value) - exact) > exact * Fraction(1, 2**53):
            return Check(max(values, 1.0), 0.0)
        form = scaled_form(self.H, self.pairs, self.optimum, self.norms, self.tau, self.D, self.G, self.value)
        tolerance = self.G.size * 2.0**-48
        if np.isfinite(form).all():
            return Check(max(0.0, -float(np.linalg.eigvalsh(form)[0])), tolerance)
        try:  # float64 does not reach: exact arithmetic tells
            prove(self._document())
        except ValueError:
            return Check(math.inf, tolerance)
        return Check(0.0, tolerance)

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
