"""The exact-rate law: loss_n = L0 + c R_n^p with the exact worst case R_n of the last iterate, every D/G at once.

For constant G the exact rate at horizon n is phi(max(M_0(n)^2, D/G)), phi(u) = (D^2 / u + u) / 2 - S_n for G = 1, where
M_0(n) does not depend on D: a table of M_0 a run serves every fit iteration.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

from .protocol import Points, Run
from .rate_power import RatePowerLaw

_CURVE_POINTS = 600
_EVERY_HORIZON = 4000


@dataclass(frozen=True, eq=False)
class RootTable:
    """Squares of M_0 and sums of the steps at some horizons, in units of the learning rate."""

    squares: Array
    sums: Array

    @classmethod
    def joined(cls, parts: "Sequence[RootTable]") -> "RootTable":
        """Return the points of several runs as one."""
        return cls(np.concatenate([part.squares for part in parts]), np.concatenate([part.sums for part in parts]))


@dataclass(frozen=True)
class ExactRateLaw(RatePowerLaw):
    """L0 + c R^p with the exact rate; the rate is that of arXiv 2307.11134, exact for constant gradient bounds."""

    name: str = "exact"
    title: str = "exact rate"

    def terms(self, run: Run, at: Points, *, exact: bool = False) -> RootTable:
        """Return M_0^2 and S at the points; one backward pass a point that is not free."""
        steps = run.steps / self.unit
        return RootTable(_squared_roots(steps, at), np.cumsum(steps)[at - 1])

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0..N steps: of long runs exact at some horizons and jumps, interpolated between."""
        n = run.steps.size
        if n <= _EVERY_HORIZON:
            losses = self.evaluate(theta, self.terms(run, np.arange(1, n + 1)))[0]
            return np.append(theta[0] + np.exp(theta[1] + theta[3] * theta[2]), losses)
        spread = np.concatenate([np.geomspace(1, n, _CURVE_POINTS // 2), np.linspace(1, n, _CURVE_POINTS // 2)])
        jumps = np.flatnonzero(np.abs(np.diff(run.steps)) > 0.02 * run.steps.max())
        near = np.concatenate([jumps - 1, jumps, jumps + 1, jumps + 2]) if jumps.size < _CURVE_POINTS else jumps[:0]
        at = np.unique(np.clip(np.rint(np.append(spread, near)), 1, n).astype(np.int64))
        losses = self.evaluate(theta, self.terms(run, at))[0]
        start = theta[0] + np.exp(theta[1] + theta[3] * theta[2])
        return np.interp(np.arange(n + 1), np.append(0, at), np.append(start, losses))

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates."""
        steps = run.steps / self.unit
        loss, jacobian = self.evaluate(theta, self.terms(run, np.array([steps.size])))
        distance = float(np.exp(theta[2]))
        rate = float(np.exp(jacobian[0, 3] / jacobian[0, 1]))
        return float(loss[0]), theta[3] * jacobian[0, 1] / rate * _rate_gradient(steps, distance) / self.unit

    def _rate(self, terms: RootTable, distance: float) -> tuple[Array, Array]:
        u = np.maximum(terms.squares, distance)
        return 0.5 * (distance * (distance / u) + u) - terms.sums, distance / u


@njit(**JIT)
def _squared_roots(steps: Array, at: Points) -> Array:
    """M_0(n)^2 for each n in ``at``, increasing; theta is the minimising sigma of each horizon."""
    out = np.empty(at.size)
    theta, last, index = 0.0, 0.0, 0
    binding = 0  # the horizon whose M_0 is still valid
    known = -1
    for n in range(1, int(at[-1]) + 1):
        h = steps[n - 1]
        if h > 0.0:
            if 2.0 * np.sqrt(h) >= theta:
                theta = np.sqrt(h)
                binding = n
            else:
                theta = (theta + np.sqrt(max(theta * theta - 4.0 * h, 0.0))) / 2.0
        if n == at[index]:
            if binding != known:
                m = 0.0
                for k in range(binding - 1, -1, -1):
                    if steps[k] > 0.0:
                        z = max(m, np.sqrt(steps[k]))
                        m = z + steps[k] / z
                last, known = m * m, binding
            out[index] = last
            index += 1
    return out


@njit(**JIT)
def _rate_gradient(steps: Array, distance: float) -> Array:
    """Derivatives of the exact rate (G = 1) to the steps."""
    n = steps.size
    z = np.empty(n)
    m = 0.0
    for k in range(n - 1, -1, -1):
        z[k] = m
        if steps[k] > 0.0:
            z[k] = max(m, np.sqrt(steps[k]))
            m = z[k] + steps[k] / z[k]
    out = np.full(n, -1.0)
    chain = (1.0 - (distance / (m * m)) ** 2) * m if m * m > distance else 0.0
    for k in range(n):
        if steps[k] > 0.0 and chain > 0.0:
            reset = steps[k] == z[k] * z[k] or k == n - 1 or z[k] <= np.sqrt(steps[k])
            out[k] += chain / z[k]
            chain = 0.0 if reset else chain * (1.0 - steps[k] / (z[k] * z[k]))
    return out
