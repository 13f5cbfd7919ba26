"""What the laws built on a worst-case rate share: loss_n = L0 + c R_n(D/G)^p with the rate R_n for G = 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array

from .protocol import LawParameter, Run

__all__ = ["RatePowerLaw"]


@dataclass(frozen=True)
class RatePowerLaw:
    """Parameters and derivatives of L0 + c R^p; a law adds ``_rate(terms, distance)``."""

    name: str
    unit: float = 1e-3
    title: str = ""
    source: str = "arXiv 2602.07145"
    assumes: str = "losses fall like a power of the worst case of convex functions with one D/G"

    def parameters(self, runs: list[Run], lowest: float, typical: float) -> tuple[LawParameter, ...]:
        """Return L0, log c, log D/G (in units of the learning rate) and the power p."""
        # linear decay of N steps with peak eta is tuned to D/G = eta sqrt(N+1)
        guess = float(np.median([run.steps.max() * np.sqrt(run.steps.size + 1.0) for run in runs])) / self.unit
        size = float(np.median([run.steps.size for run in runs]))
        start = 0.89 * lowest
        level = float(np.log(0.4 * typical / 3.3 + 1e-300) - np.log(guess / np.sqrt(size)))
        return (
            LawParameter("L0", 0.0, lowest, start, start, 0.3 * lowest, "loss that no training removes"),
            LawParameter("log_c", level - 20.0, level + 20.0, level, level, 4.0, "nats a unit of the rate's power"),
            LawParameter(
                "log_D_over_G",
                np.log(guess) - 9.0,
                np.log(guess) + 9.0,
                np.log(guess),
                np.log(guess),
                3.0,
                "distance over gradient bound, in learning rates",
            ),
            LawParameter("p", 0.05, 4.0, 0.7, 1.0, 0.7, "power of the rate"),
        )

    def evaluate(self, theta: Array, terms: Any) -> tuple[Array, Array]:
        """Return losses and Jacobian; see the protocol."""
        distance = float(np.exp(theta[2]))
        rate, slope = self._rate(terms, distance)
        part = np.exp(theta[1]) * rate ** theta[3]
        columns = [np.ones(part.size), part, theta[3] * part * distance * slope / rate, part * np.log(rate)]
        return theta[0] + part, np.column_stack(columns)

    def _rate(self, terms: Any, distance: float) -> tuple[Array, Array]:
        raise NotImplementedError
