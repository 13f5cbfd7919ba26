r"""The annealing law: a power law in the sum of the rates, minus a gain from every fall of the rate.

    loss_n = L0 + A S_n^-alpha - C sum_{i<=n} m_i,      m_i = lambda m_{i-1} + (eta_{i-1} - eta_i),

arXiv 2408.11029. A fall at step k counts (1 - lambda^(n-k+1)) / (1 - lambda) times. A rise to a new height, such as the
warm-up, counts in S alone.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from lastiterate.theory.base.validation import Array

from .functional import floored_clock, power_signal, signal_parameters
from .pieces import Pieces, cut, falls, falls_adjoint
from .protocol import LawParameter, Points, Run

__all__ = ["AnnealingLaw"]


@dataclass(frozen=True)
class AnnealingLaw:
    """The annealing law; ``unit`` as in `lastiterate.theory.laws.functional.FunctionalLaw`."""

    name: str = "annealing"
    unit: float = 1e-3
    title: str = "annealing"
    source: str = "arXiv 2408.11029"
    assumes: str = "loss falls with the sum of learning rates, and with every fall of the learning rate"

    def parameters(self, runs: list[Run], lowest: float, typical: float) -> tuple[LawParameter, ...]:
        """Return L0, log A, alpha, log C and the log of the memory 1 / -log lambda in steps."""
        clock = float(np.median([run.steps.sum() for run in runs])) / (1e3 * self.unit)
        c = float(np.log(typical / 3.3)) - 8.5
        return (
            *signal_parameters(lowest, typical, clock),
            LawParameter("log_C", c - 12.0, c + 12.0, c, c, 3.0, "gain from a fall of the rate, a unit and a step"),
            LawParameter("log_memory", 0.0, 12.0, 6.2, 6.2, 1.5, "steps that a fall keeps adding"),
        )

    def terms(self, run: Run, at: Points, *, exact: bool = False) -> Pieces:
        """Return the pieces on the clock of rates in units of a thousand steps."""
        return cut(run.steps / (1e3 * self.unit), at, exact=exact, refine=1 if exact else 2)

    def evaluate(self, theta: Array, terms: Pieces) -> tuple[Array, Array]:
        """Return losses and Jacobian; see the protocol."""
        signal, signal_jacobian = power_signal(np.exp(theta[1]), theta[2], terms.clock)
        memory = np.exp(theta[4])
        keep = -np.expm1(-1.0 / memory)  # 1 - lambda
        gone = np.exp(-terms.age / memory)
        counted = (1.0 - gone) / keep
        slope = (counted * (1.0 - keep) - gone * terms.age) / (memory * keep)  # derivative to log memory
        drops = 1e3 * terms.drop
        gain = np.exp(theta[3]) * terms.sum(np.stack([drops * counted, drops * slope], axis=1))
        return theta[0] + signal - gain[:, 0], np.column_stack([np.ones(signal.size), *signal_jacobian, -gain])

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0..N steps."""
        rates = run.steps / (1e3 * self.unit)
        kept = np.exp(-np.exp(-theta[4]))
        momentum = np.asarray(lfilter([1.0], [1.0, -kept], falls(1e3 * rates)))
        area = np.concatenate([[0.0], np.cumsum(momentum)])
        return theta[0] + np.exp(theta[1]) * floored_clock(rates) ** -theta[2] - np.exp(theta[3]) * area

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates."""
        rates = run.steps / (1e3 * self.unit)
        a, s, gain = np.exp(theta[1]), theta[2], np.exp(theta[3])
        kept = np.exp(-np.exp(-theta[4]))
        counted = (1.0 - kept ** np.arange(rates.size, 0, -1)) / (1.0 - kept)
        total = max(float(rates.sum()), 1e-100)
        value = theta[0] + a * total**-s - gain * float(counted @ falls(1e3 * rates))
        to_rates = -a * s * total ** (-s - 1.0) - 1e3 * gain * falls_adjoint(rates, counted)
        return float(value), to_rates / (1e3 * self.unit)
