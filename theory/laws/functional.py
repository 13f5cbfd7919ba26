r"""The functional scaling law: a signal term in intrinsic time, and noise that a power-law memory forgets.

With the clock S_n = sum of the rates h of the first n steps (arXiv 2509.19189, exact for SGD on linear regression with
power-law spectra up to constants),

    loss_n = L0 + a S_n^-s + b sum_k V(h_k) [ G(S_n - S_{k-1}) - G(S_n - S_k) ],    G(t) = (1 - (1 + c t)^-q) / q.

The sum is the integral of the noise V(h) against the kernel c (1 + c t)^-(1+q), exact for piecewise constant h. V(h) is
h (noise exponent 1), h^m (free), or h / (1 + h / h1), which saturates.
"""

from dataclasses import dataclass

import numpy as np

from lastiterate.theory.base.validation import Array

from .pieces import Pieces, cut
from .power_sums import power_sums
from .protocol import LawParameter, Points, Run

__all__ = ["FunctionalLaw", "floored_clock", "kernel_integral", "power_signal", "signal_parameters"]

NOISES = ("linear", "power", "saturating")


@dataclass(frozen=True)
class FunctionalLaw:
    """The functional law with one of three noises.

    Attributes
    ----------
    noise : {"linear", "power", "saturating"}
    unit : float
        Rates are counted in this unit and the clock in a thousand steps at it, so that priors have a scale.
    """

    name: str = "functional"
    noise: str = "linear"
    unit: float = 1e-3
    title: str = "functional"
    source: str = "arXiv 2509.19189"
    assumes: str = "loss falls with the sum of learning rates; noise follows the learning rate and is forgotten slowly"

    def parameters(self, runs: list[Run], lowest: float, typical: float) -> tuple[LawParameter, ...]:
        """Return L0, log a, s, log b, log c, q and the noise's parameter."""
        clock = float(np.median([self._rates(run).sum() for run in runs]))
        b = np.log(typical / 3.3) - 2.0
        shared = signal_parameters(lowest, typical, clock)
        memory = (
            LawParameter("log_b", b - 12.0, b + 12.0, b - 0.5, b, 2.0, "size of the noise"),
            LawParameter("log_c", -5.0, 9.0, 4.0, 4.0, 3.0, "rate at which noise starts to be forgotten"),
            LawParameter("q", -0.9, 4.0, 0.3, 0.3, 0.3, "exponent of the memory, minus one"),
        )
        return (*shared, *memory, *_NOISE_PARAMETERS[self.noise])

    def terms(self, run: Run, at: Points, *, exact: bool = False) -> Pieces:
        """Return the pieces on the clock of this law."""
        return cut(self._rates(run), at, exact=exact)

    def evaluate(self, theta: Array, terms: Pieces) -> tuple[Array, Array]:
        """Return losses and Jacobian; see the protocol."""
        a, b, c, q = np.exp(theta[1]), np.exp(theta[3]), np.exp(theta[4]), theta[5]
        signal, signal_jacobian = power_signal(a, theta[2], terms.clock)
        far, far_c, far_q = kernel_integral(c * terms.far, q)
        near, near_c, near_q = kernel_integral(c * terms.near, q)
        volume, volume_slope = self._noise(terms.rate * 1e3, theta)
        parts = [volume * (far - near), volume * (far_c - near_c), volume * (far_q - near_q)]
        if volume_slope is not None:
            parts.append(volume_slope * (far - near))
        noise = b * terms.sum(np.stack(parts, axis=1))
        jacobian = np.column_stack([np.ones(signal.size), *signal_jacobian, noise[:, 0], noise[:, 1:]])
        return theta[0] + signal + noise[:, 0], jacobian

    def curve(self, theta: Array, run: Run) -> Array:
        """Return the losses after 0..N steps."""
        rates = self._rates(run)
        b, c, q = np.exp(theta[3]), np.exp(theta[4]), theta[5]
        volume = self._noise(rates * 1e3, theta)[0]
        noise = power_sums(rates, volume, np.full(rates.size, 1.0 / c), 1.0 + q, spread=True)
        clock = floored_clock(rates)
        return theta[0] + np.exp(theta[1]) * clock ** -theta[2] + b * c**-q * noise

    def final_gradient(self, theta: Array, run: Run) -> tuple[float, Array]:
        """Return the last loss and its derivatives to the learning rates."""
        rates = self._rates(run)
        after = np.cumsum(rates[::-1])[::-1]  # clock from the start of each step to the end
        before = np.append(after[1:], 0.0)
        a, s, b, c, q = np.exp(theta[1]), theta[2], np.exp(theta[3]), np.exp(theta[4]), theta[5]
        volume, slope = self._noise(rates * 1e3, theta)[0], self._noise_slope(rates * 1e3, theta)
        grown = kernel_integral(c * after, q)[0] - kernel_integral(c * before, q)[0]
        total = max(float(after[0]), 1e-100)
        value = theta[0] + a * total**-s + b * float(volume @ grown)
        kernel_far, kernel_near = c * (1.0 + c * after) ** (-1.0 - q), c * (1.0 + c * before) ** (-1.0 - q)
        aged = volume * (kernel_far - kernel_near)  # what a longer clock after step k does to its noise
        passed = np.concatenate([[0.0], np.cumsum(aged)[:-1]])
        to_rates = -a * s * total ** (-s - 1.0) + b * (1e3 * slope * grown + volume * kernel_far + passed)
        return float(value), self._to_steps(run, to_rates)

    def _rates(self, run: Run) -> Array:
        """What each step adds to the clock."""
        return run.steps / (1e3 * self.unit)

    def _to_steps(self, run: Run, slopes: Array) -> Array:
        """Derivatives to the learning rates from those to what each step adds to the clock."""
        return slopes / (1e3 * self.unit)

    def _noise(self, rates: Array, theta: Array) -> tuple[Array, Array | None]:
        """Volume of the noise, and its derivative to the noise's own parameter; rates are in units."""
        if self.noise == "linear":
            return rates, None
        if self.noise == "power":
            powers = rates ** theta[6]
            return powers, powers * np.log(np.where(rates > 0.0, rates, 1.0))
        share = 1.0 / (1.0 + rates * np.exp(-theta[6]))
        volume = rates * share
        return volume, volume * (1.0 - share)

    def _noise_slope(self, rates: Array, theta: Array) -> Array:
        """Derivative of the volume to the rate, in units."""
        if self.noise == "linear":
            return np.ones(rates.size)
        if self.noise == "power":
            return theta[6] * np.where(rates > 0.0, rates, 1.0) ** (theta[6] - 1.0) * (rates > 0.0)
        return (1.0 + rates * np.exp(-theta[6])) ** -2.0


_NOISE_PARAMETERS: dict[str, tuple[LawParameter, ...]] = {
    "linear": (),
    "power": (LawParameter("m", 0.0, 3.0, 0.8, 0.8, 0.5, "power of the rate that the noise follows"),),
    "saturating": (LawParameter("log_h1", -6.0, 6.0, 0.0, 0.0, 0.7, "rate at which the noise saturates"),),
}


def signal_parameters(lowest: float, typical: float, clock: float) -> tuple[LawParameter, LawParameter, LawParameter]:
    """Return the parameters of L0 + a S^-s that several laws share, scaled to a run of the given S."""
    start = 0.89 * lowest
    log_a = float(np.log(0.4 * typical / 3.3) + 0.6 * np.log(max(clock, 1e-12)))
    return (
        LawParameter("L0", 0.0, lowest, start, start, 0.3 * lowest, "loss that no training removes"),
        LawParameter("log_a", log_a - 12.0, log_a + 12.0, log_a, log_a, 2.0, "size of the signal"),
        LawParameter("s", 0.05, 1.5, 0.6, 0.6, 0.15, "exponent of the signal"),
    )


def power_signal(a: float, s: float, clock: Array) -> tuple[Array, tuple[Array, Array]]:
    """Return a S^-s and its derivatives to log a and s."""
    signal = a * clock**-s
    return signal, (signal, -signal * np.log(clock))


def floored_clock(rates: Array) -> Array:
    """Return S_0..S_N with every zero replaced by the first positive value: the start is no part of a law."""
    clock = np.concatenate([[0.0], np.cumsum(rates)])
    positive = clock > 0.0
    return np.where(positive, clock, clock[np.argmax(positive)]) if positive.any() else np.ones(clock.size)


def kernel_integral(ct: Array, q: float) -> tuple[Array, Array, Array]:
    """Return G and its derivatives to log c and to q, for given c t."""
    logs = np.log1p(ct)
    z = q * logs
    decay = np.exp(-z)
    small = np.abs(z) < 2e-3
    safe = np.where(small, 1.0, z)
    integral = logs * np.where(small, 1.0 - z / 2.0 * (1.0 - z / 3.0 * (1.0 - z / 4.0)), -np.expm1(-safe) / safe)
    bend = np.where(small, -0.5 + z * (1 / 3 - z * (1 / 8 - z / 30.0)), (decay * (1.0 + safe) - 1.0) / safe**2)
    return integral, ct / (1.0 + ct) * decay, logs * logs * bend
