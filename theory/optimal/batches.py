r"""Batch size and learning rate together: the exact rate when a batch of B samples has the variance s^2 / B.

With E||g_k||^2 = g_k^2 + s_k^2 / B_k =: G_k^2 the best steps reach D / sqrt(sum_k G_k^-2) (`optimal_schedule`), so the
best batches maximise sum_k 1 / (g_k^2 + s_k^2 / B_k), a concave function. No stochastic gradient is taken at x_N, whose
bound is g_N.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, Scheduled, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_flag,
    check_positive,
    check_vector,
    n_dims,
)
from lastiterate.theory.rates.sgd import tune_base_lr
from lastiterate.theory.schedules import linear

from .batch_limits import continuous, in_pieces, information, multiples, powers_of_two
from .closed_form import optimal_schedule
from .refinement import check_norms, to_horizon

__all__ = ["BatchChange", "BatchPlan", "batch_change", "gradient_bounds", "optimal_batches"]


@result
class BatchPlan(Bounding, Scheduled, Tabular):
    """Batches, the steps that go with them, and what they are worth.

    Attributes
    ----------
    value : float
        The rate D / sqrt(sum_k G_k^-2) with these batches and steps.
    batches : int64[N]
        Samples in each step.
    steps : float64[N]
        The step sizes that go with them.
    constant_value : float
        The rate of the best constant batch for the same samples, with its own best steps.
    continuous_value : float
        The rate without the limits to whole multiples, powers or pieces: no batches do better.
    critical : float64[N]
        s_k^2 / g_k^2, the batch at which noise and gradient weigh the same.
    G : float64[N + 1]
        The gradient bounds that result.
    D : float
    kind : str
        ``"exact"`` for the schedule in the model G_k^2 = g_k^2 + s_k^2 / B_k.
    """

    _columns = ("batches", "steps", "critical")
    _plot = "schedule"

    value: float
    batches: npt.NDArray[np.int64]
    steps: Array
    constant_value: float
    continuous_value: float
    critical: Array
    G: Array
    D: float
    kind: Kind = "exact"

    def __repr__(self) -> str:
        """Show the gain and the range of batches."""
        return (
            f"BatchPlan({self.kind}, value={self.value:.4g}, constant={self.constant_value:.4g}, "
            f"n_steps={self.batches.size}, batches={self.batches.min()}..{self.batches.max()}, tokens={self.tokens})"
        )

    @property
    def tokens(self) -> int:
        """Samples used."""
        return int(self.batches.sum())


@result
class BatchChange(Bounding):
    """What a change of the batch size asks of the learning rate, and what it does to the rate.

    Attributes
    ----------
    value : float
        The factor on the base learning rate.
    exponent : float
        log(value) / log(factor): 1 is the linear rule, 1/2 the square-root rule, 0 no change.
    rate_ratio : float
        Rate after the change over rate before, both at their best base learning rates.
    n_steps : int
        Steps after the change.
    kind : str
        ``"exact"``, or ``"upper"`` where the gradient bounds increase.
    """

    value: float
    exponent: float
    rate_ratio: float
    n_steps: int
    kind: Kind

    def __float__(self) -> float:
        """Return the factor on the base learning rate."""
        return self.value


@within_float64
def optimal_batches(
    norms: npt.ArrayLike,
    noise: npt.ArrayLike,
    tokens: float,
    max_batch: int | None = None,
    multiple_of: int = 1,
    *,
    powers: bool = False,
    pieces: int | None = None,
    D: float = 1.0,
) -> BatchPlan:
    r"""Return the batches B_k, with sum_k B_k at most ``tokens``, and the steps that minimise the rate together.

    *Closed form*: the terms B / (g^2 B + s^2) are concave in B, so the optimum equalises the marginal gains,
    B_k = (mu s_k - s_k^2) / g_k^2 clipped to the limits, with one mu for all steps. Whole multiples are shared out by
    their marginal gains (exact); powers of two are optimal up to one doubling; pieces by dynamic
    programming on a grid of 48 batch sizes, then by marginal gains. Constant norms and noise make a constant batch
    optimal. The steps are those of `optimal_schedule` for G_k^2 = g_k^2 + s_k^2 / B_k (arXiv 2310.07831).

    Parameters
    ----------
    norms : array_like, shape (N,) or (N+1,)
        g_k, norms of the full gradient at x_0..x_N, positive; with N values the last one holds for x_N too.
    noise : float or array_like, shape (N,)
        s_k, root of the variance of the gradient of one sample, at least zero.
    tokens : float
        Samples in all, in the unit of the batch: a batch of B units has the variance s^2 / B. At least ``multiple_of``
        a step.
    max_batch : int, optional
        The largest batch, at least ``multiple_of``.
    multiple_of : int
        Batches are multiples of this.
    powers : bool
        Batches are ``multiple_of`` times powers of two.
    pieces : int, optional
        The batch changes at most ``pieces`` - 1 times.
    D : float
        Bound on the distance from x_0 to a minimiser.

    Returns
    -------
    BatchPlan
        ``.batches``, ``.steps``, ``.value``; ``.constant_value`` and ``.continuous_value`` for comparison.

    Raises
    ------
    InputError
        For arguments outside the ranges above, or powers together with pieces.

    Examples
    --------
    >>> optimal_batches([1.0, 0.5, 0.25], 2.0, tokens=12).batches
    array([1, 2, 9])
    >>> optimal_batches([1.0, 1.0, 1.0], 2.0, tokens=12).batches
    array([4, 4, 4])
    """
    g, s = _check_log(norms, noise)
    n_steps = s.size
    unit = check_count(multiple_of, "multiple_of")
    budget = math.floor(check_positive(tokens, "tokens"))
    if budget < unit * n_steps:
        raise InputError("tokens", tokens, f"at least {unit * n_steps}, a batch of {unit} for each of {n_steps} steps")
    high = budget if max_batch is None else check_count(max_batch, "max_batch", minimum=unit)
    if check_flag(powers, "powers") and pieces is not None:
        raise InputError("pieces", pieces, "no number of pieces beside powers")
    a, b = g[:-1] ** 2, s**2
    if pieces is not None:
        batches = in_pieces(a, b, budget, unit, high, check_count(pieces, "pieces"))
    elif powers:
        batches = unit * powers_of_two(a, b / unit, budget // unit, high // unit)
    else:
        batches = multiples(a, b, budget, unit, high)
    distance = check_positive(D, "D")
    last = g[-1] ** -2.0

    def value(chosen: Array) -> float:
        return distance / math.sqrt(float(information(chosen, a, b).sum()) + last)

    alike = np.full(n_steps, float(min(budget // n_steps // unit * unit, high // unit * unit)))
    G = gradient_bounds(g, s, batches)
    best = optimal_schedule(n_steps, distance, G)
    free = continuous(a, b, float(budget), float(unit), float(high))
    return BatchPlan(best.value, batches, best.steps, value(alike), value(free), b / a, G, distance)


def gradient_bounds(norms: npt.ArrayLike, noise: npt.ArrayLike, batches: npt.ArrayLike) -> Array:
    """Return G_0..G_N with G_k^2 = g_k^2 + s_k^2 / B_k for k < N and G_N = g_N, for any rate of the toolkit.

    >>> gradient_bounds([3.0, 3.0], [4.0], [1]).tolist()
    [5.0, 3.0]
    """
    g, s = _check_log(norms, noise)
    sizes = check_vector(batches if np.ndim(batches) else np.full(s.size, batches), "batches")
    if sizes.size != s.size or sizes.min() <= 0.0:
        raise InputError("batches", batches, f"{s.size} positive batch sizes, one a step")
    return np.append(np.hypot(g[:-1], s / np.sqrt(sizes)), g[-1])


@within_float64
def batch_change(
    norms: npt.ArrayLike,
    noise: npt.ArrayLike,
    batch: float,
    factor: float,
    same: Literal["tokens", "steps"] = "tokens",
    shape: npt.ArrayLike | None = None,
) -> BatchChange:
    r"""Return the factor on the base learning rate when the batch changes by a factor.

    Both runs have the base learning rate that minimises the exact rate of their schedule for the bounds
    G_k^2 = g_k^2 + s_k^2 / B. For constant norms the best base learning rate is proportional to 1 / (G sqrt(N + 1)):
    with the same number of steps the factor lies between 1 (the gradient dominates) and sqrt(factor) (the noise
    dominates), with the same number of samples, and so N / factor steps, between sqrt(factor) and factor. Both rules of
    practice are the ends of one formula.

    Parameters
    ----------
    norms, noise
        As in `optimal_batches`, recorded along training.
    batch : float
        Batch size before the change, in the unit of the noise.
    factor : float
        Positive, not 1.
    same : {"tokens", "steps"}
        What stays the same.
    shape : array_like, shape (N,), optional
        The schedule; resampled when the number of steps changes. Default: linear decay.

    Returns
    -------
    BatchChange
        ``.value``, ``.exponent`` and ``.rate_ratio``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> norms = np.ones(20000)
    >>> [round(batch_change(norms, 30.0, b, 4.0).value, 2) for b in (1.0, 900.0, 1e6)]
    [3.99, 2.53, 2.0]
    """
    g, s = _check_log(norms, noise)
    check_choice(same, "same", ("tokens", "steps"))
    ratio = check_positive(factor, "factor")
    size = check_positive(batch, "batch")
    if ratio == 1.0:
        raise InputError("factor", factor, "a positive number other than 1")
    count = check_count(max(1, round(s.size / ratio)), "factor") if same == "tokens" else s.size
    before = linear(s.size) if shape is None else check_vector(shape, "shape")
    if before.size != s.size:
        raise InputError("shape", f"an array of length {before.size}", f"{s.size} steps, one a value of noise")
    place = (np.arange(count) + 0.5) * s.size / count - 0.5
    after = linear(count) if shape is None else np.interp(place, np.arange(s.size), before)
    old = tune_base_lr(before, 1.0, gradient_bounds(g, s, size))
    resampled = np.append(to_horizon(g[:-1], count), g[-1])
    spread = np.interp(np.linspace(0, s.size - 1, count), np.arange(s.size), s)
    new = tune_base_lr(after, 1.0, gradient_bounds(resampled, spread, size * ratio))
    change = new.base_lr / old.base_lr
    kind: Kind = "exact" if old.exact and new.exact else "upper"
    return BatchChange(change, math.log(change) / math.log(ratio), new.value / old.value, count, kind)


def _check_log(norms: npt.ArrayLike, noise: npt.ArrayLike) -> tuple[Array, Array]:
    """g_0..g_N and s_0..s_{N-1}."""
    g = check_norms(norms)
    alone = n_dims(noise) == 0
    s = np.full(g.size, check_positive(noise, "noise", allow_zero=True)) if alone else check_vector(noise, "noise")
    if alone:
        return np.append(g, g[-1]), _nonnegative(s)
    if s.size == 0 or g.size not in (s.size, s.size + 1):
        raise InputError("noise", f"an array of length {s.size}", f"{g.size} values, or one fewer, for {g.size} norms")
    return (g if g.size == s.size + 1 else np.append(g, g[-1])), _nonnegative(s)


def _nonnegative(s: Array) -> Array:
    if s.min() < 0.0:
        index = int(np.argmin(s))
        raise InputError("noise", f"noise[{index}] = {s[index]}", "values that are at least zero")
    return s
