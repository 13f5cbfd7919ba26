"""Rates of methods other than plain SGD: a value, what proves it, and what lies below it."""

import math
from collections.abc import Callable
from dataclasses import field, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.result import result
from lastiterate.theory.certificates.certificate import Certificate, StepMatrixCertificate
from lastiterate.theory.pep.program import Program, in_units
from lastiterate.theory.rates.result import BaseRate
from lastiterate.theory.rates.sgd import exact_rate

from .chain import best_multipliers
from .last_row import LowerBound

__all__ = [
    "SEARCH_LIMIT",
    "CertifiedRate",
    "assemble",
    "certified",
    "chain_rate",
    "lipschitz_rate",
    "program_rate",
    "proved_rate",
    "standing_rate",
]

Array = npt.NDArray[np.float64]
SEARCH_LIMIT = 40
Lower = Callable[[], LowerBound]


class Proof(Protocol):
    """A bound with the multipliers that prove it, as arguments of `Certificate.step_matrix`."""

    @property
    def value(self) -> float:
        """The bound."""
        ...

    def multipliers(self) -> tuple[Array, float, Array | None, Array | None]:
        """Return the multipliers of the pairs, of the distance, of the norms and of f_t >= f*."""
        ...


@result
class CertifiedRate(BaseRate):
    """A `BaseRate` of momentum or dual averaging, with multipliers for all pairs of points and a lower bound.

    Attributes
    ----------
    value, base_lr, tolerance, kind, n_steps
        As in `lastiterate.theory.rates.result.BaseRate`.
    method : str
        What the value comes from: ``"closed form"`` (exact for momentum where G is constant or nonincreasing), or for
        an upper bound ``"program"`` (the semidefinite program of all multipliers), ``"blocks"``, ``"ramp"`` and
        ``"chain"`` (momentum), ``"planar"`` and ``"recursion"`` (dual averaging), or ``"lipschitz"``.
    """

    method: str = ""
    _prove: Callable[[], StepMatrixCertificate] | None = field(repr=False, compare=False, default=None)
    _lower: Lower | None = field(repr=False, compare=False, default=None)

    @cached_property
    def weights(self) -> Array:
        """Multipliers of f* >= f_k + <g_k, x* - x_k>, float64[N+1], with sum 1."""
        return self.certificate().optimum

    def certificate(self) -> StepMatrixCertificate:
        """Return the multipliers of all pairs of points, O(N^2) numbers, in a form that others can check."""
        assert self._prove is not None
        return self._prove()

    @property
    def lower(self) -> float:
        """A value that some function attains: no bound is smaller. Zero where none is known."""
        return self._attained.value

    @property
    def lower_note(self) -> str:
        """Where `lower` comes from, or which condition of the construction failed."""
        return self._attained.note

    @cached_property
    def _attained(self) -> LowerBound:
        if self.exact or self._lower is None:
            return LowerBound(self.value, "attained") if self.exact else LowerBound(0.0, "no lower bound")
        return self._lower()


def assemble(
    value: float,
    found: BaseRate | None,
    method: str,
    steps: Array,
    D: float,
    caps: Array,
    prove: Callable[[], StepMatrixCertificate],
    lower: Lower | None = None,
) -> CertifiedRate:
    """Return the result; it is exact where it comes from an exact rate of SGD."""
    exact = found is not None and found.exact
    return CertifiedRate(
        value=float(value),
        base_lr=1.0,
        tolerance=found.tolerance if found is not None else math.nan,
        kind="exact" if exact else "upper",
        n_steps=steps.size,
        _steps=steps,
        _D=D,
        _G=caps,
        method=method,
        _prove=prove,
        _lower=lower,
    )


def proved_rate(
    proof: Proof,
    found: BaseRate | None,
    method: str,
    step_matrix: Callable[[], Array],
    steps: Array,
    D: float,
    caps: Array,
    lower: Lower | None = None,
) -> CertifiedRate:
    """Return the rate of a proof; ``step_matrix`` makes H when a certificate asks for it."""
    prove = partial(_certify, proof, step_matrix, D, caps)
    return assemble(proof.value, found, method, steps, D, caps, prove, lower)


def _certify(proof: Proof, step_matrix: Callable[[], Array], D: float, caps: Array) -> StepMatrixCertificate:
    pairs, tau, norms, minimum = proof.multipliers()
    return Certificate.step_matrix(step_matrix(), pairs, tau, norms, D=D, G=caps, monotone=minimum)


def certified(rate: CertifiedRate) -> CertifiedRate:
    """Return the rate with the value that its certificate proves, multipliers below zero being left out."""
    found = rate.certificate()
    return replace(rate, value=found.value, _prove=partial(_same, found))


def program_rate(H: Array, steps: Array, D: float, caps: Array, *, stochastic: bool, lower: Lower) -> CertifiedRate:
    """Return the least bound that the interpolation inequalities prove, by the semidefinite program.

    With ``stochastic`` no inequality from an earlier gradient to a later point is used. The lower bound is the
    function that the program returns or that of the last row, whichever is larger.
    """
    program = Program(in_units(H, D, caps))
    if stochastic:
        program.run_backward()
    else:
        program.run()
    pairs, optimum, minimum, tau, norms = program.multipliers(D, caps)
    certificate = Certificate.step_matrix(H, pairs, tau, norms, D=D, G=caps, monotone=np.minimum(optimum, minimum))
    found = LowerBound(min(program.lower.value * program.problem.unit, certificate.value), "attained")
    return assemble(
        certificate.value, None, "program", steps, D, caps, partial(_same, certificate), partial(_larger, found, lower)
    )


def chain_rate(H: Array, steps: Array, D: float, caps: Array, lower: Lower | None = None) -> CertifiedRate:
    """Return the bound of the best multipliers between neighbours, each point with the one before it."""
    best = best_multipliers(H, D, caps, 1e-4)
    certificate = Certificate.step_matrix(H, best.pairs, best.tau, best.norms, D=D, G=caps)
    return assemble(certificate.value, None, "chain", steps, D, caps, partial(_same, certificate), lower)


def lipschitz_rate(
    reach: float, step_matrix: Callable[[], Array], steps: Array, D: float, caps: Array, lower: Lower | None = None
) -> CertifiedRate:
    """Return the bound f(x_N) - f* <= <g_N, x_N - x*> <= G_N (D + reach), reach the longest way to x_N."""
    prove = partial(_certify_lipschitz, step_matrix, D, caps)
    return assemble(float(caps[-1]) * (D + reach), None, "lipschitz", steps, D, caps, prove, lower)


def _certify_lipschitz(step_matrix: Callable[[], Array], D: float, caps: Array) -> StepMatrixCertificate:
    H = step_matrix()
    return Certificate.step_matrix(H, np.zeros_like(H), float(caps[-1]) / D, D=D, G=caps)


def standing_rate(step_matrix: Callable[[], Array], steps: Array, D: float, caps: Array) -> CertifiedRate:
    """Return the rate without a positive step: every gradient is taken at x_0, and the least bound counts."""
    found = exact_rate(steps, D, caps)
    return assemble(found.value, found, "closed form", steps, D, caps, partial(_certify_standing, step_matrix, D, caps))


def _certify_standing(step_matrix: Callable[[], Array], D: float, caps: Array) -> StepMatrixCertificate:
    H, least = step_matrix(), int(np.argmin(caps))
    pairs = np.zeros_like(H)
    pairs[least, -1] = least < caps.size - 1  # f_k >= f_N, the point being the same
    return Certificate.step_matrix(H, pairs, float(caps[least]) / D, D=D, G=caps)


def _same(certificate: StepMatrixCertificate) -> StepMatrixCertificate:
    return certificate


def _larger(found: LowerBound, other: Lower) -> LowerBound:
    return max(found, other(), key=float)
