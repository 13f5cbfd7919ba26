"""Rates of methods other than plain SGD: a value, what proves it, and the certificate."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lastiterate.theory.certificates.certificate import Certificate, StepMatrixCertificate

from .chain import Multipliers, best_multipliers
from .result import Rate

Array = npt.NDArray[np.float64]
SEARCH_LIMIT = 40
FULL_LIMIT = 16


@dataclass(frozen=True, eq=False, repr=False)
class CertifiedRate(Rate):
    """A `Rate` of momentum or dual averaging, with multipliers for all pairs of points.

    Attributes
    ----------
    method : str
        ``"closed form"`` (exact for momentum where G is constant or nonincreasing), or for an upper bound ``"search"``
        (all pairs of points up to N = 16, where the value is the worst case to 1e-5; from later to earlier points
        beyond), ``"chain"`` (neighbours only), ``"ramp"`` or ``"recursion"`` (O(N) multipliers of momentum and of dual
        averaging), or ``"lipschitz"``.
    """

    method: str = ""
    _prove: Callable[[], StepMatrixCertificate] | None = field(repr=False, compare=False, default=None)

    @cached_property
    def weights(self) -> Array:
        """Multipliers of f* >= f_k + <g_k, x* - x_k>, float64[N+1], with sum 1."""
        return self.certificate().optimum

    def certificate(self) -> StepMatrixCertificate:
        """Return the multipliers of all pairs of points, O(N^2) numbers, in a form that others can check."""
        assert self._prove is not None
        return self._prove()


def assemble(
    value: float,
    found: Rate | None,
    method: str,
    steps: Array,
    D: float,
    caps: Array,
    prove: Callable[[], StepMatrixCertificate],
) -> CertifiedRate:
    """Return the result; it is exact where it comes from an exact rate of SGD."""
    exact = found is not None and found.exact
    return CertifiedRate(
        value=value,
        base_lr=1.0,
        tolerance=found.tolerance if found is not None else math.nan,
        kind="exact" if exact else "upper",
        n_steps=steps.size,
        _steps=steps,
        _D=D,
        _G=caps,
        method=method,
        _prove=prove,
    )


def searched_rate(H: Array, steps: Array, D: float, caps: Array) -> CertifiedRate:
    """Return the bound of the best multipliers: all pairs up to 16 steps, from later to earlier points beyond."""
    forward = steps.size if steps.size <= FULL_LIMIT else 0
    gap = 1e-5 if steps.size <= 24 else 1e-4
    found = _proved(best_multipliers(H, D, caps, gap, forward=forward), "search", H, steps, D, caps)
    return min(found, chain_rate(H, steps, D, caps), key=float)


def chain_rate(H: Array, steps: Array, D: float, caps: Array) -> CertifiedRate:
    """Return the bound of the best multipliers between neighbours, each point with the one before it."""
    return _proved(best_multipliers(H, D, caps, 1e-4, band=1), "chain", H, steps, D, caps)


def _proved(best: Multipliers, method: str, H: Array, steps: Array, D: float, caps: Array) -> CertifiedRate:
    """Repair the multipliers and return what they prove."""
    certificate = Certificate.step_matrix(H, best.pairs, best.tau, best.norms, D=D, G=caps)
    return assemble(certificate.value, None, method, steps, D, caps, lambda: certificate)


def lipschitz_rate(
    value: float, step_matrix: Callable[[], Array], steps: Array, D: float, caps: Array
) -> CertifiedRate:
    """Return the bound f(x_N) - f* <= <g_N, x_N - x*>."""

    def prove() -> StepMatrixCertificate:
        H = step_matrix()
        return Certificate.step_matrix(H, np.zeros_like(H), float(caps[-1]) / D, D=D, G=caps)

    return assemble(value, None, "lipschitz", steps, D, caps, prove)
