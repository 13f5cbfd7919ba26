r"""The functional law in the effective learning rate: weights that grow turn less, and decay lets them shrink again.

The clock adds angles, h_k / init_std with the effective rates h of `effective_steps`, so that the norm's memory enters
without a fitted number. Two forms: noise that saturates at h1 with a kernel of free cutoff (seven parameters), and a
scale-free kernel whose cutoff is ten steps (five parameters),

    loss_n = L0 + a S_n^-s + b sum_k h_k * integral over step k of (10 h_k + S_n - S)^-(1+q) dS.
"""

from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.validation import Array, InputError

from .effective_steps import adjoint, effective_steps
from .functional import FunctionalLaw, floored_clock, power_signal
from .pieces import Pieces
from .power_sums import power_sums
from .protocol import LawParameter, Run

__all__ = ["NormMemoryLaw", "ScaleFreeLaw"]

ANGLE = 0.05  # radians a step: 1e-3 at the usual initial scale of 0.02
CUTOFF = 10.0  # steps


@dataclass(frozen=True)
class NormMemoryLaw(FunctionalLaw):
    """The functional law on the clock of angles, with noise that saturates."""

    name: str = "norm_memory"
    noise: str = "saturating"
    title: str = "norm memory"
    source: str = "arXiv 2509.19189 in the effective rate of arXiv 2305.17212"
    assumes: str = "scale-invariant weights, updates of fixed size (Adam and its kin), decoupled weight decay"

    def _rates(self, run: Run) -> Array:
        _require(run)
        effective = effective_steps(run.steps, weight_decay=run.weight_decay, init_std=run.init_std)
        return effective / (1e3 * ANGLE * run.init_std)

    def _to_steps(self, run: Run, slopes: Array) -> Array:
        return adjoint(run.steps, run.weight_decay, run.init_std, slopes / (1e3 * ANGLE * run.init_std))


@dataclass(frozen=True)
class ScaleFreeLaw(NormMemoryLaw):
    """The five-parameter form: the kernel is cut off after ten steps of the size that made the noise."""

    name: str = "norm_memory_scale_free"
    noise: str = "linear"
    title: str = "norm memory, scale-free"

    def parameters(self, runs: list[Run], lowest: float, typical: float) -> tuple[LawParameter, ...]:
        """Return L0, log a, s, log b and q."""
        return tuple(p for p in super().parameters(runs, lowest, typical) if p.name != "log_c")

    def evaluate(self, theta: Array, terms: Pieces) -> tuple[Array, Array]:
        """Return losses and Jacobian; see the protocol."""
        b = np.exp(theta[3])
        signal, signal_jacobian = power_signal(np.exp(theta[1]), theta[2], terms.clock)
        integral, slope = _kernel(terms.rate, terms.near, terms.far, theta[4])
        noise = b * terms.sum(1e3 * terms.rate[:, None] * np.stack([integral, slope], axis=1))
        jacobian = np.column_stack([np.ones(signal.size), *signal_jacobian, noise])
        return theta[0] + signal + noise[:, 0], jacobian

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0..N steps."""
        rates = self._rates(run)
        noise = power_sums(rates, 1e3 * rates, CUTOFF * rates, 1.0 + theta[4], spread=True)
        clock = floored_clock(rates)
        return theta[0] + np.exp(theta[1]) * clock ** -theta[2] + np.exp(theta[3]) * noise

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates."""
        rates = self._rates(run)
        after = np.cumsum(rates[::-1])[::-1]
        before = np.append(after[1:], 0.0)
        a, s, b, q = np.exp(theta[1]), theta[2], np.exp(theta[3]), theta[4]
        grown = _kernel(rates, before, after, q)[0]
        total = max(float(after[0]), 1e-100)
        value = theta[0] + a * total**-s + b * 1e3 * float(rates @ grown)
        moving = np.where(rates > 0.0, rates, 1.0)
        far, near = (CUTOFF * moving + after) ** (-1.0 - q), (CUTOFF * moving + before) ** (-1.0 - q)
        aged = rates * (far - near)
        passed = np.concatenate([[0.0], np.cumsum(aged)[:-1]])
        to_rates = -a * s * total ** (-s - 1.0) + 1e3 * b * (grown + CUTOFF * aged + rates * far + passed)
        return float(value), self._to_steps(run, to_rates)


def _kernel(rates: Array, near: Array, far: Array, q: float) -> tuple[Array, Array]:
    """Integral of (10 r + t)^-(1+q) from near to far, zero where r is, and its derivative to q."""
    moving = rates > 0.0
    low = np.where(moving, CUTOFF * rates + near, 1.0)
    high = np.where(moving, CUTOFF * rates + far, 1.0)
    logs = np.log(high / low)
    z = q * logs
    small = np.abs(z) < 2e-3
    safe = np.where(small, 1.0, z)
    whole = low**-q * logs * np.where(small, 1.0 - z / 2.0 * (1.0 - z / 3.0 * (1.0 - z / 4.0)), -np.expm1(-safe) / safe)
    bend = np.where(small, -0.5 + z * (1 / 3 - z * (1 / 8 - z / 30.0)), (np.exp(-safe) * (1.0 + safe) - 1.0) / safe**2)
    return whole, low**-q * logs * logs * bend - np.log(low) * whole


def _require(run: Run) -> None:
    known = np.isfinite([run.weight_decay, run.init_std]).all()
    if not known:
        raise InputError(
            "weight_decay",
            f"weight_decay = {run.weight_decay:g}, init_std = {run.init_std:g}",
            "both known for the norm-memory law",
        )
