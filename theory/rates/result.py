"""`BaseRate`, what every worst-case rate offers, and `Rate`, what the rate of SGD's last iterate offers beyond it."""

import math
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lastiterate.theory.base.jit import room, run
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import Array, InputError

from .closed_form import (
    OnePass,
    binding_ratios,
    chain,
    distance_term,
    largest_sigma,
    power_of_four,
    slacks,
    slopes,
    weights,
)
from .kernels import ScaledSteps

if TYPE_CHECKING:
    from lastiterate.theory.certificates.certificate import Certificate
    from lastiterate.theory.problems.problem import Problem

__all__ = ["BaseRate", "Rate", "frozen"]

_PROGRAM = 2_000  # steps up to which the worst case for rising G is found within seconds


def frozen(values: Any) -> Array:
    """Return a read-only array that shares no memory with the caller's."""
    return locked(np.array(values, dtype=np.float64))


def locked(values: Any) -> Array:
    """Return numbers that nobody else holds as a read-only array."""
    array = np.asarray(values, dtype=np.float64)
    array.flags.writeable = False
    return array


@result
class BaseRate(Bounding):
    """A bound on f(x_N) - f* (or on the average iterate).

    Attributes
    ----------
    value : float
        The rate.
    base_lr : float
        Factor on the given steps for which the value holds: 1 unless tuned.
    tolerance : float
        How far below ``value`` the minimum over the free parameter can be, relative.
    kind : str
        ``"exact"``: the worst case, by a theorem (constant and nonincreasing G); ``"attained"``: the worst case to
        1e-9, because a function that attains it was found (other G); ``"upper"``: a bound that need not be attained;
        ``"theorem10"`` or ``"average"``.
    n_steps : int
        N.
    """

    _shown = ("value", "kind", "base_lr", "n_steps")

    value: Any
    base_lr: Any
    tolerance: float
    kind: Kind
    n_steps: int
    _steps: Array = field(repr=False)
    _D: float = field(repr=False)
    _G: Array = field(repr=False)

    @property
    def D(self) -> float:
        """The bound on the distance from x_0 to a minimiser."""
        return self._D

    @property
    def G(self) -> Any:
        """The gradient bounds: a number where they are all the same, else G_0..G_N, read-only."""
        return float(self._G[0]) if self._G.size == 1 else self._G

    @cached_property
    def steps(self) -> Array:
        """The steps the value holds for, ``base_lr`` included, float64[N]."""
        return locked(self._steps * self.base_lr)

    @property
    def lower(self) -> Any:
        """A lower bound on the worst case: the value where it is attained, 0 where nothing better is known."""
        return self.value if self.exact else 0.0

    @property
    def lower_note(self) -> str:
        """Why ``lower`` is not better, in words; empty where it equals the value."""
        return "" if self.exact else "no function of this length is known"


class ScaledChain(NamedTuple):
    """The recursion at the optimum in units of h, G and D without over- or underflow (`ScaledSteps`)."""

    first: float
    sigma: float
    ratios: Array
    slacks: Array
    caps: Array
    unit: float
    top_cap: float


@result
class Rate(BaseRate):
    """The rate of the last iterate of SGD: its sensitivity, what binds, certificate, and the function that attains it.

    ``_pass`` is given for constant G, ``_sigma`` and ``_binds`` for other G.

    Attributes
    ----------
    value, base_lr, tolerance, kind, n_steps
        As in `BaseRate`.
    """

    _plot = "sensitivity"

    _pass: OnePass | None = field(repr=False, default=None)
    _sigma: float = field(repr=False, default=math.nan)
    _binds: int = field(repr=False, default=0)

    @cached_property
    def sigma(self) -> Any:
        """The weight w_N of the last point at the optimum, the largest one where several give the same value."""
        if self._pass is None:
            return self._sigma
        scale = power_of_four(float(self._steps.max(initial=0.0)))
        theta, _ = run(largest_sigma, self._steps if scale == 1.0 else self._steps * scale, self._reach(scale))
        return theta * math.sqrt(self.base_lr) / math.sqrt(scale)

    @cached_property
    def weights(self) -> Array:
        """Weights w_0..w_N of the points in the bound, w_k = h_k / w_{k+1:N} and w_N = sigma, float64[N+1]."""
        out = room(self.n_steps + 1, self.n_steps)
        run(weights, self.steps, self.sigma, out)
        return locked(out)

    @cached_property
    def binding(self) -> Any:
        """How many steps bind; every step after them is free: raising it lowers the rate by G_N^2 times the increase.

        It stays free until the worst function of the first ``binding`` steps no longer stands for the whole run.
        """
        if self._pass is not None:
            scale = power_of_four(float(self._steps.max(initial=0.0)))
            return 0 if self._pass.first < self._reach(scale) else self._pass.binding
        return self._binds

    @cached_property
    def gradient(self) -> Array:
        """Derivative of the rate in each step, float64[N], in O(N).

        It is -rho_k = -<g_k, g_t>, t > k, of the worst function: where it is negative a larger step would lower the
        rate, where it is positive a smaller one; on the free steps it is -G_N^2. The rate is continuously
        differentiable in the positive steps; at a step of zero this is the derivative from the right.
        """
        unit = float(self._G.max())
        if not 1e-300 < unit * unit < math.inf:
            raise InputError("G", unit, "gradient bounds whose squares are floating point numbers")
        if self._pass is None:
            slopes_ = self._chain.slacks[:-1] * (1.0 + self._chain.ratios) - self._chain.caps[:-1] ** 2
        else:
            slopes_ = self._constant_slopes()
        if unit != 1.0:
            slopes_ *= unit * unit
        return locked(slopes_)

    @property
    def lower(self) -> Any:
        """A lower bound on the worst case: the value where it is attained, else, up to 2,000 steps, the worst case.

        The latter is the value of `lastiterate.theory.rates.varying.tightened_rate`; for longer runs it is the exact
        rate of the running minimum of G.
        """
        return self.value if self.exact else self._under_rising_caps

    @property
    def lower_note(self) -> str:
        """Why ``lower`` is not the value, in words."""
        return "" if self.exact else "condition (C) fails: the worst case is less than the value"

    @cached_property
    def _under_rising_caps(self) -> float:
        from .sgd import exact_rate
        from .varying import tightened_rate

        if self.n_steps <= _PROGRAM:
            tight = tightened_rate(self.steps, self._D, self._G)
            if tight.exact:
                return tight.value
        return exact_rate(self.steps, self._D, np.minimum.accumulate(self._G)).value

    def certificate(self) -> "Certificate":
        """Return the multipliers that prove a bound of at most this value, in a form that others can check."""
        from lastiterate.theory.certificates.certificate import Certificate

        caps = self._G if self._G.size > 1 else float(self._G[0])
        tails = np.cumsum(self.weights[::-1])[::-1]
        return Certificate.for_sgd(self.steps, 1.0 / tails[1:], self.sigma, self._D, caps)

    def worst_case(self) -> "Problem":
        """Return the function that attains the rate, as a `Problem` that SGD can be run on.

        f(x) = max(0, max_t <g_t, x>) with x* = 0 and g_t = sum_{r<t} alpha_r e_r + beta_t e_t; its oracle answers query
        t with g_t. ``li.simulate(rate.worst_case(), "sgd", rate.steps)`` ends at the rate.

        Returns
        -------
        Problem
            Of kind ``chain``, O(N) numbers; of ``binding + 1`` dimensions for constant G, N + 1 for other G.

        Raises
        ------
        InputError
            Where the value is only an upper bound: no function is known to attain it.

        Examples
        --------
        >>> import lastiterate as li
        >>> rate = li.exact_rate([0.5, 0.3, 0.1])
        >>> problem = rate.worst_case()
        >>> run = li.simulate(problem, "sgd", rate.steps)
        >>> abs(run.final.item() / rate.value - 1) < 1e-12
        True
        """
        from .attained import attaining_function

        if not self.exact:
            raise InputError("kind", self.kind, "a rate that is exact or attained")
        return attaining_function(self, self._D, np.broadcast_to(self._G, self.n_steps + 1))

    def _reach(self, scale: float) -> float:
        """Return sqrt(D / (base_lr G)) in units of the root of the scaled steps."""
        return math.sqrt(self._D) / math.sqrt(float(self._G[0])) * math.sqrt(scale) / math.sqrt(self.base_lr)

    def _constant_slopes(self) -> Array:
        """Return the gradient in units of G^2."""
        if self._pass is None or not self.binding:
            return np.full(self.n_steps, -1.0)
        scale = power_of_four(float(self._steps.max()))
        ratios = room(self.n_steps, self.n_steps)
        run(binding_ratios, self._steps if scale == 1.0 else self._steps * scale, ratios)
        share = self._reach(scale) / self._pass.first
        run(slopes, ratios, (1.0 - share) * (1.0 + share) * (1.0 + share * share))
        return np.asarray(ratios)

    @cached_property
    def _chain(self) -> ScaledChain:
        """The recursion for given sigma, N + 1 gradient bounds."""
        scaled = ScaledSteps.to_distance(self.steps, self._D, self._G)
        assert scaled is not None, "without a positive step the rate has constant form"
        sigma = self.sigma / math.sqrt(scaled.unit)
        ratios, d = room(self.n_steps, self.n_steps), room(self.n_steps + 1, self.n_steps)
        first, _ = run(chain, scaled.steps, scaled.caps, sigma, ratios)
        run(slacks, ratios, scaled.caps, distance_term(scaled.distance, first), d)
        return ScaledChain(first, sigma, np.asarray(ratios), np.asarray(d), scaled.caps, scaled.unit, scaled.top_cap)
