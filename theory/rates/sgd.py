r"""The exact worst case of SGD's last iterate for any schedule, and the base learning rate that minimises it.

N steps ``h_0..h_{N-1}`` lead from x_0 to x_N; f is convex, ||x_0 - x*|| <= D and ||g_k|| <= G_k for k = 0..N. Constant
G: one pass over the steps. Nonincreasing G: one bracketed root. Other G: a global search over one parameter.
"""

import math
import warnings
from typing import Literal, cast, overload

import numpy.typing as npt

from lastiterate.theory.base.jit import Array, run
from lastiterate.theory.base.result import Kind
from lastiterate.theory.base.validation import InputError, check_choice
from lastiterate.theory.schedules.families import as_steps

from .closed_form import OnePass, one_pass, power_of_four
from .falling import least_falling
from .inputs import check_base_lr, check_constants, check_rate, check_schedules
from .kernels import ScaledSteps, one_chain
from .result import BaseRate, Rate
from .rising import least_rising
from .stack import stacked_rate
from .theorem10 import theorem10_rate, tuned_average_rate, tuned_theorem10_rate

__all__ = ["exact_rate", "tune_base_lr", "theorem10_rate", "Rate", "BOUNDS"]

BOUNDS = ("exact", "theorem10", "average")


def exact_rate(
    steps: npt.ArrayLike | str,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    *,
    momentum: float | None = None,
    n_steps: int | None = None,
) -> Rate:
    r"""Return the worst case of f(x_N) - f* for SGD with the given steps, in O(N).

    For sigma > 0 let s_N = sigma, w_k = h_k / s_{k+1}, s_k = s_{k+1} + w_k, backwards. Then f(x_N) - f* <= R(sigma) =
    (D^2 / s_0^2 + sigma^2 G_N^2 + sum_k w_k^2 G_k^2) / 2 for every sigma (weights: Zamani and Glineur, arXiv
    2307.11134; the inequality: Theorem 1 of Defazio, Cutkosky, Mehta and Mishchenko, arXiv 2310.07831, read backwards),
    and the rate is the minimum over sigma.

    *Exact* for constant and nonincreasing G, by the proof of ``docs/exact_rate.md``: an explicit function attains it in
    N + 1 or more dimensions (`Rate.worst_case`). For constant G there is nothing to minimise: with M_N = 0,
    z = max(M_{k+1}, sqrt(h_k)), M_k = z + h_k / z and u = max(M_0^2, D / G) the rate is (D^2 / u + G^2 u) / 2 - G^2 S,
    S the sum of the steps. For other G it is the *attained* worst case where the optimality condition (C) holds, else
    an *upper bound*, which `lastiterate.theory.rates.varying.tightened_rate` lowers.

    Parameters
    ----------
    steps : array_like, shape (N,) or (m, N), or str
        Step sizes, at least zero; m rows are m schedules. A float64 array of length zero is a run of no steps.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N; with N values the last one holds for x_N too.
    momentum : float, optional
        Deprecated: use `lastiterate.theory.rates.methods.momentum.momentum_rate`.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    Rate
        ``.value``, ``.kind``, ``.lower``, ``.gradient``, ``.binding``, ``.worst_case()``, ``.certificate()``. For m
        rows one result whose ``value``, ``gradient``, ``lower``, ``base_lr``, ``sigma`` and ``binding`` have m rows.

    Raises
    ------
    InputError
        For arguments outside the ranges above, and where D G or the rate is no normal floating point number.

    Examples
    --------
    >>> import numpy as np
    >>> linear = (1 - np.arange(1, 100) / 100) / np.sqrt(100)
    >>> round(exact_rate(linear).value, 9)
    0.1
    >>> exact_rate(np.empty(0), D=2.0, G=3.0).value
    6.0
    >>> exact_rate([[1.0, 0.5], [0.5, 0.5]]).value.round(4)
    array([0.8611, 0.7225])
    """
    steps = as_steps(steps, n_steps)
    if momentum is not None:
        from lastiterate.theory.rates.methods.momentum import momentum_rate

        warnings.warn("exact_rate(momentum=...) is now momentum_rate(...)", DeprecationWarning, stacklevel=2)
        return cast(Rate, momentum_rate(steps, momentum, D, G))
    checked = check_schedules(steps)
    distance, caps = check_constants(D, G, checked.shape[-1])
    return (
        rate_of(checked, distance, caps)
        if checked.ndim == 1
        else stacked_rate(rate_of, checked, distance, caps, tuned=False)
    )


@overload
def tune_base_lr(
    steps: npt.ArrayLike | str,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    bound: Literal["exact"] = "exact",
    *,
    n_steps: int | None = None,
) -> Rate: ...
@overload
def tune_base_lr(
    steps: npt.ArrayLike | str,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    bound: str = "exact",
    *,
    last_value: str | float = "optimal",
    n_steps: int | None = None,
) -> BaseRate: ...
def tune_base_lr(
    steps: npt.ArrayLike | str,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    bound: str = "exact",
    *,
    last_value: str | float = "optimal",
    n_steps: int | None = None,
) -> BaseRate:
    r"""Return the rate of gamma * steps for the base learning rate gamma that minimises it, and that gamma.

    Constant G: with M_0 and S as in `exact_rate` the least rate is D G sqrt(1 - 2 S / M_0^2), at gamma = D / (G M_0^2
    sqrt(1 - 2 S / M_0^2)); t times that gamma costs the factor (t + 1/t) / 2, whatever the schedule, as long as
    t >= sqrt(1 - 2 S / M_0^2). In general a bound (D^2 / (gamma A) + gamma B) / 2 becomes D sqrt(B / A) at gamma = D /
    sqrt(A B), with A = s_0^2, B = sigma^2 G_N^2 + sum_k w_k^2 G_k^2 for the exact rate (arXiv 2307.11134) and A =
    t_{-1}, B = h_N G_N^2 + sum_k h_k^2 G_k^2 / t_k for Theorem 10 (arXiv 2310.07831).

    Parameters
    ----------
    steps : array_like, shape (N,) or (m, N), or str
        The shape of the schedule, at least one positive value; m rows are m schedules (``bound="exact"`` only).
    D, G
        As in `exact_rate`.
    bound : {"exact", "theorem10", "average"}
        The rate to minimise.
    last_value : {"optimal", "schedule"} or float
        As in `theorem10_rate`, for that bound only; a number is on the scale of the given ``steps``.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    Rate
        ``.base_lr`` and the ``.value`` reached with it.

    Raises
    ------
    InputError
        As in `exact_rate`, and when every step is zero.

    Examples
    --------
    >>> import numpy as np
    >>> tuned = tune_base_lr(1 - np.arange(1, 100) / 100)
    >>> round(tuned.base_lr, 9), round(tuned.value, 9)
    (0.1, 0.1)
    """
    steps = as_steps(steps, n_steps)
    if check_choice(bound, "bound", BOUNDS) != "exact":
        return (
            tuned_theorem10_rate(steps, D, G, last_value) if bound == "theorem10" else tuned_average_rate(steps, D, G)
        )
    checked = check_schedules(steps)
    if not checked.size or not checked.any(axis=-1).all():
        raise InputError("steps", "only zeros", "at least one positive step to scale")
    distance, caps = check_constants(D, G, checked.shape[-1])
    return (
        tuned_rate(checked, distance, caps)
        if checked.ndim == 1
        else stacked_rate(tuned_rate, checked, distance, caps, tuned=True)
    )


def rate_of(steps: Array, D: float, caps: Array) -> Rate:
    """Return the rate of one schedule with checked arguments."""
    if caps.size == 1 or not steps.any():  # without a positive step every query is at x_0: the least bound counts
        least = caps.min(keepdims=True)
        one, reach = first_pass(steps, D, float(least[0]))
        value = D * float(least[0]) * one.rate(reach)
        return Rate(check_rate(value, steps), 1.0, 0.0, "exact", steps.size, steps, D, least, one)
    run_ = ScaledSteps.to_distance(steps, D, caps)
    assert run_ is not None
    sigma, binds, tolerance, kind = _least(run_, tuned=False)
    first, squares = one_chain(run_, sigma)
    value = D * run_.top_cap * (0.5 * ((run_.distance / first) ** 2 + squares) / run_.distance)
    sigma *= math.sqrt(run_.unit)
    return Rate(check_rate(value, steps), 1.0, tolerance, kind, steps.size, steps, D, caps, None, sigma, binds)


def tuned_rate(steps: Array, D: float, caps: Array) -> Rate:
    """Return the rate of one schedule, which has a positive step, at its best base learning rate."""
    if caps.size == 1:
        one, reach = first_pass(steps, D, float(caps[0]))
        base_lr = check_base_lr(reach / one.tuned_reach * (reach / one.tuned_reach), steps)
        value = D * float(caps[0]) * one.tuned_rate
        return Rate(value, base_lr, 0.0, "exact", steps.size, steps, D, caps, one)
    run_ = ScaledSteps.to_largest(steps, caps)
    assert run_ is not None
    sigma, binds, tolerance, kind = _least(run_, tuned=True)
    first, squares = one_chain(run_, sigma)
    root = first * math.sqrt(squares)
    base_lr = check_base_lr(D / (run_.top_cap * root) / run_.unit, steps)
    value = D * run_.top_cap * (math.sqrt(squares) / first)
    sigma *= math.sqrt(base_lr * run_.unit)
    return Rate(value, base_lr, tolerance, kind, steps.size, steps, D, caps, None, sigma, binds)


def first_pass(steps: Array, D: float, G: float) -> tuple[OnePass, float]:
    """Return the pass over the steps and sqrt(D / G), in units in which no square over- or underflows."""
    scale = power_of_four(float(steps.max(initial=0.0)))
    one = OnePass(*run(one_pass, steps if scale == 1.0 else steps * scale))
    return one, math.sqrt(D) / math.sqrt(G) * math.sqrt(scale)


def _least(scaled: ScaledSteps, *, tuned: bool) -> tuple[float, int, float, Kind]:
    """Return the minimising sigma, how many steps bind, the tolerance and the kind, for gradient bounds that differ."""
    if (scaled.caps[1:] <= scaled.caps[:-1]).all():
        return *least_falling(scaled.steps, scaled.caps, scaled.distance, tuned=tuned), 0.0, "exact"
    return least_rising(scaled, tuned=tuned)
