"""The certificate of SGD: O(N) multipliers for the upper side, and a function that reaches the lower side."""

import json
import math
import sys
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import (
    InputError,
    check_gradient_bounds,
    check_positive,
    check_steps,
    check_vector,
)

from .arithmetic import exact_ldexp, sgd_conditions
from .certificate import Certificate, CertificateError, Check
from .check_certificate import number, prove, prove_lower
from .lower import lower_part
from .reading import check_length

Array = npt.NDArray[np.float64]

__all__ = ["SgdCertificate"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SgdCertificate(Certificate):
    """O(N) certificate of SGD (Zamani & Glineur, arXiv 2307.11134, as an inequality).

    For any 0 < v_{-1} <= v_0 <= ... <= v_{N-1} and s_N > 0, with w_k = h_k v_k and s_k = s_{k+1} + w_k such that
    Q_k = v_{k-1} s_k is nonincreasing in k = 0..N,

        f(x_N) - f*  <=  (v_{-1}^2 D^2 + sum_k w_k^2 G_k^2 + s_N^2 G_N^2) / (2 Q_N).

    The multipliers of f* >= f_k + <g_k, x* - x_k> are then w_k / Q_N, those of f_r >= f_t + <g_t, x_r - x_t> (r < t)
    are w_t (v_r - v_{r-1}) / Q_N, for a constant Q_k.

    Attributes
    ----------
    D, G, value, kind
        As in `lastiterate.theory.certificates.certificate.Certificate`.
    steps : ndarray, shape (N,)
        The step sizes.
    v : ndarray, shape (N+1,)
        v_{-1}, v_0, ..., v_{N-1}.
    s_N : float
        The weight of the last point.
    lower_text : str
        The function that reaches `lower`, in JSON; empty unless the certificate is two-sided.
    """

    steps: Array
    v: Array
    s_N: float
    lower_text: str = ""

    @classmethod
    def of(cls, steps: Any, v: Any, sigma: Any, D: Any, G: Any) -> Self:
        """Build the certificate, see `Certificate.for_sgd`."""
        h = check_steps(steps, allow_empty=True)
        bounds, distance = check_gradient_bounds(G, h.size), check_positive(D, "D")
        s_N, multipliers = check_positive(sigma, "sigma"), check_vector(v, "v")
        if multipliers.size == h.size:
            with np.errstate(over="ignore", invalid="ignore"):
                s_1 = s_N + float(h[1:] @ multipliers[1:])
                first = multipliers[0] * (s_1 / (s_1 + h[0] * multipliers[0])) if h.size else 1.0 / s_N
            multipliers = np.append(first, multipliers)
        check_length(multipliers, "v", h.size + 1)
        if multipliers.min() <= 0.0:
            index = int(np.argmin(multipliers))
            raise InputError("v", f"v[{index}] = {multipliers[index]}", "positive multipliers")
        found = sgd_conditions(h, multipliers, s_N, distance, bounds)
        value = 0.0 if found is None else float(np.ldexp(*found[1:]))
        if not sys.float_info.min <= value < math.inf:
            raise InputError("v", "a bound beyond float64", "multipliers of a bound between 2.3e-308 and 1.8e308")
        return cls(D=distance, G=bounds, value=value, steps=h, v=multipliers, s_N=s_N)

    @property
    def lower(self) -> float:
        """The value that some function of the class reaches; 0 unless the certificate is two-sided."""
        return float(json.loads(self.lower_text)["value"]) if self.lower_text else 0.0

    def two_sided(self) -> Self:
        """Return the certificate with the function that reaches `lower`: then it proves an interval.

        For nonincreasing G the interval closes to about 1e-12, relative. Takes and proves in O(N^2): a second at
        N = 1000, a minute at N = 10,000.

        Examples
        --------
        >>> low, high = Certificate.for_sgd([0.25], v=[1.2], sigma=0.5, D=0.5).two_sided().interval()
        >>> bool(low <= high)
        True
        """
        return replace(self, lower_text=json.dumps(lower_part(self.steps, self.D, self.G)))

    def prove_lower(self) -> Fraction:
        """Verify in exact rational arithmetic that a function of the class reaches `lower`; return what it reaches."""
        if not self.lower_text:
            return Fraction(0)
        try:
            reached = prove_lower(self._document())
            stated = number(self.lower, "lower.value", positive=True)
        except ValueError as error:
            raise CertificateError(str(error)) from error
        if stated > reached:
            raise CertificateError(f"the function reaches {float(reached)!r}, not the stated {self.lower!r}")
        return reached

    def check(self) -> Check:
        """Check the monotonicities and the value in units of D and G, to what rounding explains over N steps.

        Where float64 does not reach, and for the lower side, the arithmetic is exact.
        """
        tolerance = (self.steps.size + 8) * 2.0**-50
        try:
            self.prove_lower()
            found = sgd_conditions(self.steps, self.v, self.s_N, self.D, self.G)
            residual, bound = (0.0, prove(self._document())) if found is None else (found[0], exact_ldexp(*found[1:]))
        except ValueError:
            return Check(math.inf, tolerance)
        if not (math.isfinite(self.value) and self.value > 0.0 and bound > 0):
            return Check(math.inf, tolerance)
        mismatch = abs(bound - Fraction(self.value)) / bound
        return Check(max(residual, float(min(mismatch, Fraction(10**9)))), tolerance)

    def _document(self) -> dict[str, Any]:
        return {
            "kind": "sgd",
            "value": self.value,
            "D": self.D,
            "G": self.G.tolist(),
            "steps": self.steps.tolist(),
            "v": self.v.tolist(),
            "s_N": self.s_N,
            **({"lower": json.loads(self.lower_text)} if self.lower_text else {}),
        }
