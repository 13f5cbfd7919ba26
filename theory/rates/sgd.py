r"""Worst-case rates of SGD with a given schedule: the last iterate exactly, Theorem 10, and the average iterate.

N steps ``h_0..h_{N-1}`` lead from x_0 to x_N; f is convex, ||x_0 - x*|| <= D and ||g_k|| <= G_k for k = 0..N.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.scalar_search import Minimum, Objective, global_minimum
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_gradient_bounds,
    check_positive,
    check_steps,
)

from .brackets import exact_bracket, theorem10_bracket, tuned_exact_bracket, tuned_theorem10_bracket
from .kernels import Scaled, exact_terms, recursion_weights, terms_for_many, theorem10_terms

if TYPE_CHECKING:
    from lastiterate.theory.certificates.certificate import Certificate

BOUNDS = ("exact", "theorem10", "average")
LAST_VALUES = ("optimal", "schedule")


@dataclass(frozen=True)
class Rate:
    """A bound on f(x_N) - f* (or on the average iterate) and what produced it.

    Attributes
    ----------
    value : float
        The rate.
    base_lr : float
        Factor on the given steps for which the value holds: 1 unless tuned.
    sigma : float
        The free parameter at the optimum: the weight w_N of the last point (exact), the fictitious last step h_N
        (Theorem 10), zero for the average iterate.
    tolerance : float
        How far below ``value`` the global minimum over the free parameter can be, relative.
    bound : str
        ``"exact"``, ``"upper"`` (a valid bound that need not be attained), ``"theorem10"`` or ``"average"``.
    exact : bool
        Whether some function attains the value. For SGD with constant or nonincreasing gradient bounds this is
        numerical evidence (semidefinite programs) beyond the proven cases of constant and linearly decaying steps.
    n_steps : int
        N.
    """

    value: float
    base_lr: float
    sigma: float
    tolerance: float
    bound: str
    exact: bool
    n_steps: int
    _steps: Array = field(repr=False, compare=False)
    _D: float = field(repr=False, compare=False)
    _G: Array = field(repr=False, compare=False)

    def __float__(self) -> float:
        """Return the value."""
        return self.value

    @cached_property
    def steps(self) -> Array:
        """The steps the value holds for, ``base_lr`` included, float64[N]."""
        return self._steps * self.base_lr

    @cached_property
    def weights(self) -> Array:
        """Weights w_0..w_N of the points in the bound, float64[N+1], computed on first use.

        For the exact rate w_k = h_k / w_{k+1:N} and w_N = sigma; for Theorem 10 and the average iterate they are
        the steps themselves, followed by the fictitious step.
        """
        if self.bound in ("theorem10", "average"):
            return np.append(self.steps, self.sigma)
        return recursion_weights(self.steps, self.sigma)

    def certificate(self) -> "Certificate":
        """Return the multipliers that prove a bound of at most this value, in a form that others can check.

        A Theorem 10 rate is proven by the multipliers of the exact rate, which is never larger; the average iterate
        has no last-iterate certificate (`InputError`).
        """
        from lastiterate.theory.certificates.certificate import Certificate

        if self.bound == "average":
            raise InputError("bound", self.bound, "a bound on the last iterate")
        caps = self._G if self._G.size > 1 else float(self._G[0])
        proof = exact_rate(self.steps, self._D, caps) if self.bound == "theorem10" else self
        tails = np.cumsum(proof.weights[::-1])[::-1]
        return Certificate.for_sgd(self.steps, 1.0 / tails[1:], proof.sigma, self._D, caps)


def exact_rate(
    steps: npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0, *, momentum: float | None = None
) -> Rate:
    r"""Return the worst case of f(x_N) - f* for SGD with the given steps, in O(N).

    For sigma > 0 let s_N = sigma, w_k = h_k / s_{k+1}, s_k = s_{k+1} + w_k, backwards. Then f(x_N) - f* <= R(sigma) =
    (D^2 / s_0^2 + sigma^2 G_N^2 + sum_k w_k^2 G_k^2) / 2 and the rate is the global minimum over sigma. The weights are
    those of Zamani and Glineur (arXiv 2307.11134); the inequality is Theorem 1 of Defazio, Cutkosky, Mehta and
    Mishchenko (arXiv 2310.07831) read backwards. *Exact* for constant and nonincreasing G (proven for constant and
    linearly decaying steps, numerical evidence otherwise), an *upper bound* where G increases: there
    `lastiterate.theory.rates.varying.tightened_rate` does better.

    Parameters
    ----------
    steps : array_like, shape (N,)
        Step sizes, at least zero. A float64 array of length zero is a run of no steps.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N; with N values the last one holds for x_N too.
    momentum : float, optional
        Momentum beta of SGD with ``steps`` as learning rates, see `lastiterate.theory.rates.momentum`.

    Returns
    -------
    Rate
        ``.value``, ``.weights``, ``.certificate()``, ``.exact`` and the achieved ``.tolerance``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Notes
    -----
    The bracket: with any upper bound B on the rate, the minimiser has sigma G_N <= sqrt(2 B), and the last nonzero step
    has weight h_m / sigma, so h_m G_m / sigma <= sqrt(2 B). Moreover sigma and h_m / sigma lead to the same s_m and
    differ only in sigma^2 G_N^2 + (h_m / sigma)^2 G_m^2, so one side of sigma^2 = h_m can be left out. On what remains
    the search is global, see `lastiterate.theory.base.scalar_search`.

    Examples
    --------
    >>> import numpy as np
    >>> linear = (1 - np.arange(1, 100) / 100) / np.sqrt(100)
    >>> round(exact_rate(linear).value, 9)
    0.1
    >>> exact_rate(np.empty(0), D=2.0, G=3.0).value
    6.0
    """
    if momentum is not None:
        from .momentum import momentum_rate

        return momentum_rate(steps, momentum, D, G)
    checked, distance, caps = _checked(steps, D, G)
    kind = "exact" if _nonincreasing(caps) else "upper"
    run = Scaled.to_distance(checked, distance, caps)
    if run is None:
        return _standing_still(checked, distance, caps, kind, math.sqrt(distance / caps[-1]))

    def value_of(first: Array, squares: Array) -> Array:
        return (run.distance / first) ** 2 + squares

    best = _least_exact(run, value_of, exact_bracket, growth=2.0)
    value = distance * run.top_cap * (best.value / (2.0 * run.distance))
    sigma = math.exp(best.point) * math.sqrt(run.unit)
    return _rate(value, 1.0, sigma, best, kind, checked, distance, caps)


def theorem10_rate(
    steps: npt.ArrayLike,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    *,
    last_value: str | float = "optimal",
) -> Rate:
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

    Returns
    -------
    Rate
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
    checked, distance, caps, fictitious = _split_last(steps, D, G, last_value)
    run = Scaled.to_distance(checked, distance, caps)
    if run is None:
        return _standing_still(checked, distance, caps, "theorem10", distance / caps[-1], fictitious)

    def objective(tau: Array) -> Array:
        total, squares = theorem10_terms(run, np.exp(tau))
        with np.errstate(over="ignore"):  # infinite far from the minimum is as good as huge
            return run.distance * (run.distance / total) + squares

    if fictitious is None:
        best = global_minimum(objective, *theorem10_bracket(run, objective), growth=1.0, unimodal=True)
    else:
        best = _at(objective, fictitious / run.unit)
    value = distance * run.top_cap * (best.value / (2.0 * run.distance))
    return _rate(value, 1.0, math.exp(best.point) * run.unit, best, "theorem10", checked, distance, caps)


def average_iterate_rate(steps: npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0) -> Rate:
    r"""Return the classical bound on the step-weighted average of x_0..x_{N-1}, an *upper bound*.

    sum_k h_k (f(x_k) - f*) / sum_k h_k <= (D^2 + sum_k h_k^2 G_k^2) / (2 sum_k h_k); f of the average is not larger.
    Without a positive step the average is x_0, for which the bound is G_0 D.

    Parameters
    ----------
    steps, D, G
        As in `exact_rate`.

    Returns
    -------
    Rate
        ``.bound`` is ``"average"``.

    Raises
    ------
    InputError
        As in `exact_rate`.

    Examples
    --------
    >>> import numpy as np
    >>> round(average_iterate_rate(np.full(100, 0.1)).value, 9)
    0.1
    """
    checked, distance, caps = _checked(steps, D, G)
    run = Scaled.to_distance(checked, distance, caps)
    if run is None:
        return Rate(distance * float(caps[0]), 1.0, 0.0, 0.0, "average", False, checked.size, checked, distance, caps)
    value = distance * run.top_cap * ((run.distance + run.squares / run.distance) / (2.0 * run.total))
    return Rate(value, 1.0, 0.0, 0.0, "average", False, checked.size, checked, distance, caps)


def tune_base_lr(
    steps: npt.ArrayLike,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    bound: str = "exact",
    *,
    last_value: str | float = "optimal",
) -> Rate:
    r"""Return the rate of gamma * steps for the base learning rate gamma that minimises it, and that gamma.

    For given weights the best gamma has a closed form: a bound (D^2 / (gamma A) + gamma B) / 2 becomes D sqrt(B / A) at
    gamma = D / sqrt(A B). With A = s_0^2, B = sigma^2 G_N^2 + sum_k w_k^2 G_k^2 for the exact rate (arXiv 2307.11134)
    and A = t_{-1}, B = h_N G_N^2 + sum_k h_k^2 G_k^2 / t_k for Theorem 10 (arXiv 2310.07831), one global search over
    the free parameter remains.

    Parameters
    ----------
    steps : array_like, shape (N,)
        The shape of the schedule; at least one positive value.
    D, G
        As in `exact_rate`.
    bound : {"exact", "theorem10", "average"}
        The rate to minimise.
    last_value : {"optimal", "schedule"} or float
        As in `theorem10_rate`, for that bound only; a number is on the scale of the given ``steps``.

    Returns
    -------
    Rate
        ``.base_lr`` and the ``.value`` reached with it.

    Raises
    ------
    InputError
        As in `exact_rate`, and when every step is zero.

    Notes
    -----
    Brackets, with H = sum_k h_k and h_m the last nonzero step. Exact rate, B / A <= b^2: A >= sigma^2 + 2 H and
    B <= sigma^2 G_N^2 + sum h^2 G^2 / sigma^2 make the minimum less than G_N^2, while s_0 <= sigma + H / sigma gives
    sigma^2 <= H / (G_N / b - 1). On the other side w_m = h_m / sigma gives, with H' the sum of the steps before h_m,
    sigma^2 >= (G_m / b - 1) / (1 / h_m + H' / h_m^2), where again the minimum is less than G_m^2. Theorem 10:
    h_N <= H / (G_N^2 / b^2 - 1) and h_N (H + h_N) >= h_m^2 G_m^2 / b^2.

    Examples
    --------
    >>> import numpy as np
    >>> tuned = tune_base_lr(1 - np.arange(1, 100) / 100)
    >>> round(tuned.base_lr, 9), round(tuned.value, 9)
    (0.1, 0.1)
    """
    check_choice(bound, "bound", BOUNDS)
    if bound == "theorem10":
        checked, distance, caps, fictitious = _split_last(steps, D, G, last_value)
    else:
        checked, distance, caps = _checked(steps, D, G)
        fictitious = None
    run = Scaled.to_largest(checked, caps)
    if run is None:
        raise InputError("steps", "only zeros", "at least one positive step to scale")
    kind = "upper" if bound == "exact" and not _nonincreasing(caps) else bound
    if bound == "average":
        best = Minimum(-math.inf, run.squares / run.total**2, 0.0)
        root, free = math.sqrt(run.squares), 0.0
    elif bound == "exact":
        best = _least_exact(run, lambda first, squares: squares / first / first, tuned_exact_bracket, growth=4.0)
        first, squares = exact_terms(run, np.exp([best.point]))
        root, free = float(first[0] * np.sqrt(squares[0])), math.exp(best.point)
    else:

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
    gamma = distance / (run.top_cap * root) / run.unit
    sigma = math.sqrt(gamma * run.unit) * free if bound == "exact" else gamma * run.unit * free
    return _rate(distance * run.top_cap * math.sqrt(best.value), gamma, sigma, best, kind, checked, distance, caps)


def _checked(steps: npt.ArrayLike, D: float, G: float | npt.ArrayLike) -> tuple[Array, float, Array]:
    """Validate; the gradient bounds come back as one value when they are constant, else as N+1 values."""
    checked = check_steps(steps, allow_empty=True)
    distance = check_positive(D, "D")
    if np.ndim(G) == 0:
        return checked, distance, np.array([check_positive(G, "G")])
    caps = check_gradient_bounds(G, checked.size)
    return checked, distance, caps[:1] if (caps == caps[0]).all() else caps


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


def _nonincreasing(caps: Array) -> bool:
    return bool((caps[1:] <= caps[:-1]).all())


def _least_exact(
    run: Scaled,
    value_of: Callable[[Array, Array], Array],
    bracket: Callable[[Scaled, Objective], tuple[float, float]],
    growth: float,
) -> Minimum:
    """Minimise a function of `exact_terms` over log sigma, and evaluate it there without any shortcut."""
    terms = terms_for_many(run)

    def objective(tau: Array) -> Array:
        with np.errstate(over="ignore"):  # infinite far from the minimum is as good as huge
            return value_of(*terms(np.exp(tau)))

    found = global_minimum(objective, *bracket(run, objective), growth)
    value = float(value_of(*exact_terms(run, np.exp([found.point])))[0])
    return Minimum(found.point, value, found.tolerance + abs(value - found.value) / value)


def _at(objective: Objective, free: float) -> Minimum:
    """Evaluate where the free parameter is given; zero means an infinite bound."""
    if free == 0.0:
        return Minimum(-math.inf, math.inf, 0.0)
    point = math.log(free)
    return Minimum(point, float(objective(np.array([point]))[0]), 0.0)


def _standing_still(
    steps: Array, D: float, caps: Array, bound: str, sigma: float, fictitious: float | None = None
) -> Rate:
    """Rate without a positive step: G_N D, unless a fictitious last step is prescribed."""
    value = D * float(caps[-1])
    if fictitious is not None:
        sigma = fictitious
        value = 0.5 * (D * (D / sigma) + sigma * float(caps[-1]) ** 2) if sigma > 0.0 else math.inf
    return Rate(value, 1.0, sigma, 0.0, bound, bound == "exact", steps.size, steps, D, caps)


def _rate(
    value: float, base_lr: float, sigma: float, best: Minimum, bound: str, steps: Array, D: float, caps: Array
) -> Rate:
    return Rate(value, base_lr, sigma, best.tolerance, bound, bound == "exact", steps.size, steps.copy(), D, caps)
