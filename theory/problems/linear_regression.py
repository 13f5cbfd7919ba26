"""Exact expected loss of mini-batch SGD on linear regression, the analytic workload of the schedule search.

In the eigenbasis of the Hessian, with eigenvalues lam_i and p_i = E (x_i - x*_i)^2, one step of size h on a batch of B
out of N samples obeys (arXiv 2603.10301)

    p_i  <-  (1 - h lam_i)^2 p_i + h^2 (1/B - 1/N) lam_i sum_j lam_j p_j,        loss = mean_i lam_i p_i / 2.

Weight decay subtracts d_t x at each step, a pull to the start x = 0; then q_i = E (x_i - x*_i) x*_i is needed too:

    a_i = 1 - h lam_i - d_t,   p_i <- a_i^2 p_i - 2 a_i d_t q_i + d_t^2 P_i + noise,   q_i <- a_i q_i - d_t P_i,

with P_i = E x*_i^2 = p_i(0) and q_i(0) = -P_i. The noise term is the one above.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array, InputError, check_count, check_positive, check_steps, check_vector

__all__ = ["LinearRecursion"]


@njit(**JIT)
def _advance(p: Array, q: Array, spectrum: Array, start: Array, noise: float, h: float, decay: float) -> None:
    """Advance the second moments ``p`` and correlations ``q`` by one step, in place."""
    total = 0.0
    for i in range(p.size):
        total += spectrum[i] * p[i]
    for i in range(p.size):
        a = 1.0 - h * spectrum[i] - decay
        p[i] = a * a * p[i] + (h * h * noise * spectrum[i]) * total
        if decay != 0.0:
            p[i] += decay * (decay * start[i] - 2.0 * a * q[i])
            q[i] = a * q[i] - decay * start[i]
        else:
            q[i] *= a


@njit(**JIT)
def _loss(p: Array, spectrum: Array) -> float:
    total = 0.0
    for i in range(p.size):
        total += spectrum[i] * p[i]
    loss = 0.5 * total / p.size
    return loss if loss == loss else np.inf


@njit(**JIT)
def _curves(
    schedules: Array, spectrum: Array, start: Array, noise: float, rate: float, constant: float, losses: Array
) -> None:
    """Fill losses[m] with the whole curve if it has T + 1 columns, else with the final loss alone."""
    everything = losses.shape[1] > 1
    for m in range(schedules.shape[0]):
        p, q = start.copy(), -start
        for t in range(schedules.shape[1]):
            if everything:
                losses[m, t] = _loss(p, spectrum)
            h = schedules[m, t]
            _advance(p, q, spectrum, start, noise, h, rate * h + constant)
        losses[m, -1] = _loss(p, spectrum)


@njit(**JIT)
def _gradient(
    steps: Array, spectrum: Array, start: Array, noise: float, rate: float, constant: float
) -> tuple[float, Array]:
    """Final loss and its gradient with respect to the steps, by the adjoint recursion."""
    n_steps, size = steps.size, spectrum.size
    ps, qs = np.empty((n_steps + 1, size)), np.empty((n_steps + 1, size))
    ps[0], qs[0] = start, -start
    for t in range(n_steps):
        ps[t + 1], qs[t + 1] = ps[t], qs[t]
        _advance(ps[t + 1], qs[t + 1], spectrum, start, noise, steps[t], rate * steps[t] + constant)
    to_p, to_q = 0.5 * spectrum / size, np.zeros(size)
    gradient = np.empty(n_steps)
    for t in range(n_steps - 1, -1, -1):
        h, p, q = steps[t], ps[t], qs[t]
        decay = rate * h + constant
        total, back, slope = 0.0, 0.0, 0.0
        for i in range(size):
            total += spectrum[i] * p[i]
            back += spectrum[i] * to_p[i]
        for i in range(size):
            a, da = 1.0 - h * spectrum[i] - decay, -spectrum[i] - rate
            slope += to_p[i] * 2.0 * (a * da * p[i] - (da * decay + a * rate) * q[i] + decay * rate * start[i])
            slope += to_q[i] * (da * q[i] - rate * start[i])
            to_q[i] = a * to_q[i] - 2.0 * a * decay * to_p[i]
            to_p[i] = a * a * to_p[i] + h * h * noise * spectrum[i] * back
        gradient[t] = slope + 2.0 * h * noise * total * back
    return _loss(ps[n_steps], spectrum), gradient


@dataclass(frozen=True, eq=False)
class LinearRecursion:
    """The workload: a spectrum, the initial second moments, batch size and number of samples, weight decay.

    Parameters
    ----------
    spectrum : array of float, shape (M,)
        Eigenvalues lam_i of the Hessian, at least zero.
    start : array of float, shape (M,), optional
        Initial second moments p_i(0) = E (x*_i)^2, ones by default; the run starts at x = 0.
    batch_size, n_samples : int
        B and N; B = N is full-batch gradient descent.
    weight_decay : float
        Decay per unit step size, d_t = weight_decay * h_t; with ``independent`` it is d_t = weight_decay, whatever h_t.

    Examples
    --------
    >>> import numpy as np
    >>> work = LinearRecursion.power_law(128, exponent=1.5, batch_size=8)
    >>> losses = work.losses(np.full(100, 1.0))
    >>> losses.shape, round(float(losses[0]), 8)
    ((101,), 0.5)
    """

    spectrum: Array
    start: Array | None = None
    batch_size: int = 1
    n_samples: int = 1
    weight_decay: float = 0.0
    independent: bool = False

    def __post_init__(self) -> None:
        """Check all arguments and store the arrays as float64."""
        spectrum = check_vector(self.spectrum, "spectrum")
        start = np.ones(spectrum.size) if self.start is None else check_vector(self.start, "start")
        if spectrum.size == 0 or spectrum.min() < 0.0:
            raise InputError("spectrum", spectrum, "eigenvalues that are at least zero")
        if start.size != spectrum.size or start.min() < 0.0:
            raise InputError("start", start, f"{spectrum.size} second moments that are at least zero")
        check_count(self.batch_size, "batch_size")
        check_count(self.n_samples, "n_samples", minimum=self.batch_size)
        check_positive(self.weight_decay, "weight_decay", allow_zero=True)
        object.__setattr__(self, "spectrum", spectrum)
        object.__setattr__(self, "start", start)

    @classmethod
    def power_law(cls, size: int, *, exponent: float = 1.5, batch_size: int, n_samples: int | None = None, **more: Any):
        """Return the workload with eigenvalues proportional to i^-exponent, i = 1..size, that sum to 1.

        Unless ``start`` is given, every mode holds the same share of the initial loss: p_i = 1 / lam_i, loss 1/2.
        """
        spectrum = np.arange(1.0, check_count(size, "size") + 1.0) ** -check_positive(exponent, "exponent")
        n_samples = size if n_samples is None else n_samples
        spectrum /= spectrum.sum()
        return cls(spectrum, more.pop("start", 1.0 / spectrum), batch_size, n_samples, **more)

    @property
    def _constants(self) -> tuple[Array, Array, float, float, float]:
        """Spectrum, start, noise factor, decay per unit step, decay per step."""
        noise = 1.0 / self.batch_size - 1.0 / self.n_samples
        rate = 0.0 if self.independent else float(self.weight_decay)
        start = self.spectrum if self.start is None else self.start
        return self.spectrum, start, noise, rate, float(self.weight_decay) - rate

    def losses(self, steps: Any) -> Array:
        """Return the exact expected loss before each of the N steps and after the last, float64[N + 1]."""
        steps = check_steps(steps)
        losses = np.empty((1, steps.size + 1))
        _curves(steps[None, :], *self._constants, losses)
        return losses[0]

    def final_losses(self, schedules: Any) -> Array:
        """Return the exact expected final loss of each schedule, float64[M] for float64[M, N]; diverged runs give inf.

        >>> LinearRecursion(np.array([1.0])).final_losses(np.array([[1.0], [0.5]]))
        array([0.   , 0.125])
        """
        schedules = np.ascontiguousarray(schedules, dtype=np.float64)
        if schedules.ndim != 2 or not np.isfinite(schedules).all():
            raise InputError("schedules", f"shape {schedules.shape}", "a matrix of finite step sizes, one row a run")
        losses = np.empty((schedules.shape[0], 1))
        _curves(schedules, *self._constants, losses)
        return losses[:, 0]

    def gradient(self, steps: Any) -> tuple[float, Array]:
        """Return the final loss and its exact gradient with respect to the N steps."""
        steps = check_vector(steps, "steps")
        value, gradient = _gradient(steps, *self._constants)
        return float(value), gradient
