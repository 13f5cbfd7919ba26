r"""The older upper bounds: Theorem 10 of arXiv 2310.07831 on the last iterate, and the classical one on the average."""

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import result
from lastiterate.theory.base.scalar_search import Objective, ScalarMinimum, global_minimum
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_positive, check_steps
from lastiterate.theory.schedules.families import as_steps

from .brackets import theorem10_bracket, tuned_theorem10_bracket
from .inputs import check_base_lr, check_constants
from .kernels import ScaledSteps, theorem10_terms
from .result import BaseRate, frozen

if TYPE_CHECKING:
    from lastiterate.theory.certificates.certificate import Certificate
    from lastiterate.theory.rates.averages.rate import AverageRate as WorstAverage

    from .sgd import Rate

__all__ = ["theorem10_rate", "classical_average_rate", "tuned_theorem10_rate", "tuned_average_rate"]

LAST_VALUES = ("optimal", "schedule")


@result
class Theorem10Rate(BaseRate):
    """The bound of Theorem 10; ``sigma`` is the fictitious last step h_N."""

    sigma: float = 0.0

    @cached_property
    def weights(self) -> Array:
        """The steps, followed by the fictitious one, float64[N+1]."""
        return frozen(np.append(self.steps, self.sigma))

    @cached_property
    def gradient(self) -> Array:
        """Derivative of the bound in each step at the fictitious step given, float64[N]."""
        caps = np.broadcast_to(self._G, self.n_steps + 1)[:-1]
        tails = np.cumsum(self.weights[::-1])[::-1]
        h, after = self.steps, tails[1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = h * caps**2 / after
            earlier = np.cumsum((h * caps / after) ** 2) - (h * caps / after) ** 2
            return frozen(shares - 0.5 * earlier - 0.5 * (self._D / tails[0]) ** 2)

    @property
    def lower(self) -> float:
        """A lower bound on the worst case: that of the exact rate."""
        return self._exact.lower

    @property
    def lower_note(self) -> str:
        """Why ``lower`` is not the value, in words."""
        return self._exact.lower_note or "the exact rate: Theorem 10 is not attained"

    def certificate(self) -> "Certificate":
        """Return the certificate of the exact rate, which is never larger."""
        return self._exact.certificate()

    @cached_property
    def _exact(self) -> "Rate":
        from .sgd import rate_of

        return rate_of(self.steps, self._D, self._G)


@result
class AverageIterateRate(BaseRate):
    """The classical bound on the step-weighted average of x_0..x_{N-1}."""

    @property
    def sigma(self) -> float:
        """Zero: the bound has no free parameter."""
        return 0.0

    @cached_property
    def weights(self) -> Array:
        """The steps, followed by zero, float64[N+1]."""
        return frozen(np.append(self.steps, 0.0))

    @cached_property
    def gradient(self) -> Array:
        """Derivative of the bound in each step, float64[N]."""
        caps = np.broadcast_to(self._G, self.n_steps + 1)[:-1]
        return frozen((self.steps * caps**2 - self.value) / self.steps.sum())

    @property
    def lower(self) -> float:
        """A lower bound on the worst case of the average: what an explicit function attains."""
        return self._of_average.lower

    @property
    def lower_note(self) -> str:
        """Why ``lower`` is not the value, in words."""
        return f"attained; `average_rate` bounds this average by {self._of_average.value:.6g}"

    @cached_property
    def _of_average(self) -> "WorstAverage":
        from lastiterate.theory.rates.averages.rate import average_rate

        shares = np.append(self.steps, 0.0) / self.steps.sum() if self.steps.any() else np.eye(1, self.n_steps + 1)[0]
        return average_rate(self.steps, shares, self._D, self._G if self._G.size > 1 else float(self._G[0]))

    def certificate(self) -> "Certificate":
        """Refuse: the average iterate has no certificate of the last iterate."""
        raise InputError("kind", self.kind, "a bound on the last iterate")


@within_float64(infinite=True)
def theorem10_rate(
    steps: npt.ArrayLike | str,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    *,
    last_value: str | float = "optimal",
    n_steps: int | None = None,
) -> Theorem10Rate:
    r"""Return the bound of Theorem 10 of arXiv 2310.07831 on the last iterate of SGD, an *upper bound*, in O(N).

    With a fictitious last step h_N > 0, which is not taken, and the tails t_k = sum_{j=k+1}^{N} h_j,
    f(x_N) - f* <= (D^2 / t_{-1} + sum_{k<N} h_k^2 G_k^2 / t_k + h_N G_N^2) / 2. Equal to the published three-term form
    by summation by parts, but free of cancellation. It is never below `exact_rate` and about twice as large.

    Parameters
    ----------
    steps, D, G
        As in `exact_rate`.
    last_value : {"optimal", "schedule"} or float
        The fictitious step h_N: minimised over (the default), a given positive number, or, in the published
        convention, the last of the T given values, of which T - 1 are then taken; infinite when that is zero.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    Theorem10Rate
        ``.sigma`` is h_N.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> linear = (1 - np.arange(1, 100) / 100) / np.sqrt(100)
    >>> round(theorem10_rate(linear).value, 4)
    0.2011
    """
    steps = as_steps(steps, n_steps)
    checked, distance, caps, fictitious = _split_last(steps, D, G, last_value)
    run = ScaledSteps.to_distance(checked, distance, caps)
    if run is None:
        return _standing_still(checked, distance, caps, fictitious)

    def objective(tau: Array) -> Array:
        total, squares = theorem10_terms(run, np.exp(tau))
        with np.errstate(over="ignore"):  # infinite far from the minimum is as good as huge
            return run.distance * (run.distance / total) + squares

    if fictitious is None:
        best = global_minimum(objective, *theorem10_bracket(run, objective), growth=1.0, unimodal=True)
    else:
        best = _at(objective, fictitious / run.unit)
    value = distance * run.top_cap * (best.value / (2.0 * run.distance))
    h_N = math.exp(best.point) * run.unit
    return Theorem10Rate(value, 1.0, best.tolerance, "theorem10", checked.size, checked, distance, caps, h_N)


def tuned_theorem10_rate(
    steps: npt.ArrayLike, D: float, G: float | npt.ArrayLike, last_value: str | float
) -> Theorem10Rate:
    """Return the bound at the base learning rate that minimises it; see `lastiterate.theory.rates.sgd.tune_base_lr`.

    Notes
    -----
    With H = sum_k h_k, h_m the last positive step and b^2 a bound on the least B / A: h_N <= H / (G_N^2 / b^2 - 1) and
    h_N (H + h_N) >= h_m^2 G_m^2 / b^2.
    """
    checked, distance, caps, fictitious = _split_last(steps, D, G, last_value)
    run = _moving(checked, caps)

    def objective(tau: Array) -> Array:
        total, squares = theorem10_terms(run, np.exp(tau))
        return squares / total

    if fictitious is None:
        best = global_minimum(objective, *tuned_theorem10_bracket(run, objective), growth=2.0, unimodal=True)
    else:
        best = _at(objective, fictitious / run.unit)
    free = math.exp(best.point)
    total, squares = theorem10_terms(run, np.array([free]))
    root = float(np.sqrt(total[0]) * np.sqrt(squares[0]))
    bounded = math.isfinite(best.value)
    gamma = check_base_lr(distance / (run.top_cap * root) / run.unit, checked) if bounded else 1.0
    value, h_N = distance * run.top_cap * math.sqrt(best.value), gamma * run.unit * free
    return Theorem10Rate(value, gamma, best.tolerance, "theorem10", checked.size, checked, distance, caps, h_N)


@within_float64
def classical_average_rate(
    steps: npt.ArrayLike | str, D: float = 1.0, G: float | npt.ArrayLike = 1.0, *, n_steps: int | None = None
) -> AverageIterateRate:
    r"""Return the classical bound on the step-weighted average of x_0..x_{N-1}, an *upper bound*; see `average_rate`.

    sum_k h_k (f(x_k) - f*) / sum_k h_k <= (D^2 + sum_k h_k^2 G_k^2) / (2 sum_k h_k); f of the average is not larger.
    Without a positive step the average is x_0, for which the bound is G_0 D.

    Parameters
    ----------
    steps, D, G
        As in `exact_rate`.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    AverageIterateRate
        ``.kind`` is ``"average"``.

    Raises
    ------
    InputError
        As in `exact_rate`.

    Examples
    --------
    >>> import numpy as np
    >>> round(classical_average_rate(np.full(100, 0.1)).value, 9)
    0.1
    """
    steps = as_steps(steps, n_steps)
    checked, distance, caps = _checked(steps, D, G)
    run = ScaledSteps.to_distance(checked, distance, caps)
    if run is None:
        value = distance * float(caps[0])
    else:
        value = distance * run.top_cap * ((run.distance + run.squares / run.distance) / (2.0 * run.total))
    return AverageIterateRate(value, 1.0, 0.0, "average", checked.size, checked, distance, caps)


def tuned_average_rate(steps: npt.ArrayLike, D: float, G: float | npt.ArrayLike) -> AverageIterateRate:
    """Return the bound at the base learning rate that minimises it, D sqrt(sum_k h_k^2 G_k^2) / sum_k h_k."""
    checked, distance, caps = _checked(steps, D, G)
    run = _moving(checked, caps)
    root = math.sqrt(run.squares)
    gamma = check_base_lr(distance / (run.top_cap * root) / run.unit, checked)
    value = distance * run.top_cap * (root / run.total)
    return AverageIterateRate(value, gamma, 0.0, "average", checked.size, checked, distance, caps)


def _checked(steps: npt.ArrayLike, D: float, G: float | npt.ArrayLike) -> tuple[Array, float, Array]:
    checked = frozen(check_steps(steps, allow_empty=True))
    return checked, *check_constants(D, G, checked.size)


def _moving(steps: Array, caps: Array) -> ScaledSteps:
    run = ScaledSteps.to_largest(steps, caps)
    if run is None:
        raise InputError("steps", "only zeros", "at least one positive step to scale")
    return run


def _split_last(
    steps: npt.ArrayLike, D: float, G: float | npt.ArrayLike, last_value: str | float
) -> tuple[Array, float, Array, float | None]:
    """Validate, and tell the steps that are taken from the fictitious one (None: to be minimised over)."""
    if not isinstance(last_value, str):
        return *_checked(steps, D, G), check_positive(last_value, "last_value")
    if check_choice(last_value, "last_value", LAST_VALUES) == "optimal":
        return *_checked(steps, D, G), None
    values = check_steps(steps)
    return *_checked(values[:-1], D, G), float(values[-1])


def _at(objective: Objective, free: float) -> ScalarMinimum:
    """Evaluate where the free parameter is given; zero means an infinite bound."""
    if free == 0.0:
        return ScalarMinimum(-math.inf, math.inf, 0.0)
    point = math.log(free)
    return ScalarMinimum(point, float(objective(np.array([point]))[0]), 0.0)


def _standing_still(steps: Array, D: float, caps: Array, fictitious: float | None) -> Theorem10Rate:
    """Bound without a positive step: G_N D, unless the fictitious last step is prescribed."""
    value, h_N = D * float(caps[-1]), D / float(caps[-1])
    if fictitious is not None:
        h_N = fictitious
        value = 0.5 * (D * (D / h_N) + h_N * float(caps[-1]) ** 2) if h_N > 0.0 else math.inf
    return Theorem10Rate(value, 1.0, 0.0, "theorem10", steps.size, steps, D, caps, h_N)
