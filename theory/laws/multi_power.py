r"""The multi-power law: a power law in the sum of the rates, minus what every fall of the rate gains in its own time.

    loss_n = L0 + A S_n^-alpha - B sum_k (eta_{k-1} - eta_k) (1 - (1 + C eta_k^-gamma (S_n - S_{k-1}))^-beta),

arXiv 2503.12811; a rise to a new height, such as the warm-up, counts in S alone.
"""

from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.validation import Array

from .functional import floored_clock, power_signal, signal_parameters
from .pieces import Pieces, cut, falls, falls_adjoint
from .power_sums import power_sums
from .protocol import LawParameter, Points, Run

__all__ = ["MultiPowerLaw"]


@dataclass(frozen=True)
class MultiPowerLaw:
    """The multi-power law; ``unit`` as in `lastiterate.theory.laws.functional.FunctionalLaw`."""

    name: str = "multi_power"
    unit: float = 1e-3
    title: str = "multi-power"
    source: str = "arXiv 2503.12811"
    assumes: str = "as the annealing law; the gain of a fall depends on the rate it falls to and saturates"

    def parameters(self, runs: list[Run], lowest: float, typical: float) -> tuple[LawParameter, ...]:
        """Return L0, log A, alpha, log B, log C, beta and gamma."""
        clock = float(np.median([run.steps.sum() for run in runs])) / (1e3 * self.unit)
        b = float(np.log(typical / 3.3)) - 0.7
        return (
            *signal_parameters(lowest, typical, clock),
            LawParameter("log_B", b - 12.0, b + 12.0, b, b, 2.0, "gain from a fall of the rate, a unit"),
            LawParameter("log_C", -6.0, 10.0, 1.0, 1.0, 3.0, "rate at which the gain starts"),
            LawParameter("beta", 0.05, 4.0, 0.5, 0.5, 0.5, "exponent of the gain"),
            LawParameter("gamma", -1.0, 3.0, 0.6, 0.6, 0.5, "how much longer a fall to a smaller rate takes"),
        )

    def terms(self, run: Run, at: Points, *, exact: bool = False) -> Pieces:
        """Return the pieces on the clock of rates in units of a thousand steps."""
        return cut(run.steps / (1e3 * self.unit), at, exact=exact, refine=1 if exact else 2)

    def evaluate(self, theta: Array, terms: Pieces) -> tuple[Array, Array]:
        """Return losses and Jacobian; see the protocol."""
        signal, signal_jacobian = power_signal(np.exp(theta[1]), theta[2], terms.clock)
        c, beta, gamma = np.exp(theta[4]), theta[5], theta[6]
        drops = 1e3 * terms.drop
        logs = np.log(np.where(terms.rate > 0.0, 1e3 * terms.rate, 1.0))
        grown = c * np.exp(-gamma * logs) * terms.far
        lasting = np.where(terms.rate > 0.0, (1.0 + grown) ** -beta, (terms.far <= 0.0).astype(np.float64))
        bend = beta * lasting * grown / (1.0 + grown)
        parts = [1.0 - lasting, bend, lasting * np.log1p(grown), -bend * logs]
        gain = np.exp(theta[3]) * terms.sum(drops[:, None] * np.stack(parts, axis=1))
        return theta[0] + signal - gain[:, 0], np.column_stack([np.ones(signal.size), *signal_jacobian, -gain])

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0..N steps."""
        rates = run.steps / (1e3 * self.unit)
        c, beta, gamma = np.exp(theta[4]), theta[5], theta[6]
        drops = falls(1e3 * rates)
        lengths = np.where(rates > 0.0, 1e3 * rates, 1.0) ** gamma / c
        moving = np.where(rates > 0.0, drops, 0.0)
        lasting = power_sums(rates, moving * lengths**beta, lengths, beta, spread=False)
        stopped = np.cumsum(np.where(rates > 0.0, 0.0, drops))  # falls to zero gain all as soon as the clock moves on
        stopped = np.where(rates > 0.0, stopped, 0.0)
        stopped = np.maximum.accumulate(stopped)
        gain = np.cumsum(moving) - lasting[1:] + stopped
        loss = theta[0] + np.exp(theta[1]) * floored_clock(rates) ** -theta[2]
        return loss - np.exp(theta[3]) * np.concatenate([[0.0], gain])

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates."""
        rates = run.steps / (1e3 * self.unit)
        a, s, b, c = np.exp(theta[1]), theta[2], np.exp(theta[3]), np.exp(theta[4])
        beta, gamma = theta[5], theta[6]
        drops, moving = falls(1e3 * rates), np.where(rates > 0.0, rates, 1.0)
        far = np.cumsum(rates[::-1])[::-1]
        grown = c * (1e3 * moving) ** -gamma * far
        lasting = np.where(rates > 0.0, (1.0 + grown) ** -beta, (far <= 0.0).astype(np.float64))
        gained = 1.0 - lasting
        bend = np.where(rates > 0.0, beta * lasting / (1.0 + grown), 0.0)  # derivative of gained to grown
        total = max(float(far[0]), 1e-100)
        value = theta[0] + a * total**-s - b * float(drops @ gained)
        passed = np.cumsum(drops * bend * c * (1e3 * moving) ** -gamma)
        to_rates = 1e3 * falls_adjoint(rates, gained) - drops * bend * gamma * grown / moving + passed
        return float(value), (-a * s * total ** (-s - 1.0) - b * to_rates) / (1e3 * self.unit)
