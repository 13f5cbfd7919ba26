"""Refined schedules: from the gradient norms of one run to the schedule of the next (arXiv 2310.07831)."""

import math
import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.deprecation import REMOVED_IN
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Scheduled, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_count,
    check_fraction,
    check_positive,
    check_vector,
)

__all__ = ["IMPLAUSIBLE_GAIN", "Refinement", "RefinementWarning", "check_norms", "refine", "smooth_norms", "to_horizon"]

Rule = Literal["sgd", "adam"]

POWERS = {"sgd": 2.0, "adam": 1.0}
NORM_OF_RULE = {"sgd": "l2", "adam": "l1"}

LATE_PEAK = 0.8
SHORT, LOW_MEAN = 0.375, 0.2
FIT_SPAN = 0.3
IMPLAUSIBLE_GAIN = 5.0
"""Recorded gains lie between 1 and 2; beyond this a few norms usually decide."""


class RefinementWarning(UserWarning):
    """The refined schedule should not be used without a look at the gradient norms."""


@result
class Refinement(Scheduled, Tabular):
    """A refined schedule and what it was made of.

    Attributes
    ----------
    steps : float64[n]
        Refined schedule, maximum 1; one step for every norm that was given.
    gain : float
        Predicted ratio of the rates, tuned linear decay over the refined schedule, on the smoothed norms; at least 1.
    peak : float
        Where the schedule has its maximum, as a fraction of training.
    end_exponent : float
        Fitted exponent a of norm ~ (1 - s)^a towards the end of training.
    degenerate : bool
        Whether the schedule fails to decay: the norms vanish too fast at the end for the method.
    smoothed : float64[n]
        Smoothed norms.
    weights : float64[n + 1]
        Weights of the iterates, w_k proportional to norm^-2 (SGD) or norm^-1 (Adam), maximum 1.
    rule : {"sgd", "adam"}
    smoothing : float
    known_within : float
        The factor within which the norms were taken as known; 1 is the published algorithm.
    guaranteed_gain : float
        The least gain over all norms that are allowed by it, at least 1; `gain` where it is 1.
    """

    _columns = ("steps", "smoothed")
    _plot = "refinement"

    _shown = ("rule", "n_steps", "gain", "peak", "end_exponent", "degenerate")

    steps: Array
    gain: float
    peak: float
    end_exponent: float
    degenerate: bool
    smoothed: Array
    weights: Array
    rule: str
    smoothing: float
    known_within: float = 1.0
    guaranteed_gain: float = 1.0

    @property
    def absolute(self) -> bool:
        """False: the steps are multipliers of a base learning rate, which is to be tuned again."""
        return False

    @property
    def n_steps(self) -> int:
        """N."""
        return self.steps.size

    @property
    def gain_inside(self) -> float:
        """The predicted gain without the first and the last 1% of training, where norms are often odd."""
        cut = max(self.weights.size // 100, 1)
        costs = _costs(np.append(self.smoothed, self.smoothed[-1]), POWERS[self.rule])
        inside = slice(cut, -cut)
        return _gain(self.weights[inside], costs[inside]) if self.weights.size > 2 * cut else self.gain

    @property
    def effective_length(self) -> float:
        """(sum h)^2 / (N sum h^2): the share of training that a constant schedule of this sum needs; linear: 3/4."""
        return float(self.steps.sum() ** 2 / (self.n_steps * np.square(self.steps).sum()))

    @property
    def front_loaded(self) -> bool:
        """Whether a few early steps carry the schedule: half of linear decay's effective length, or a mean below 0.2.

        Networks whose first gradients are small (logits near zero, a plateau) do this. The cliff costs little where the
        base learning rate is tuned anew over a wide grid, and much where that of linear decay is kept.
        """
        short = self.effective_length < SHORT or float(self.steps.mean()) < LOW_MEAN
        return bool(self.n_steps >= 10 and self.peak <= 0.5 and short)

    def explain_gain(self) -> str:
        """Say in one line what the predicted gain rests on.

        The squared gain is the mean of norm^p times the mean of norm^-p (p = 2 for SGD, 1 for Adam): the largest norms
        decide the one, the smallest the other.

        >>> import numpy as np
        >>> norms = np.linspace(1.0, 1.001, 200)
        >>> norms[:2] = 100.0
        >>> text = refine(norms, rule="adam", smoothing=0.0).explain_gain()
        >>> text[: text.index(";")]
        'gain 1.4, 1 without the first and last 1% of training'
        """
        power, count = POWERS[self.rule], max(self.weights.size // 100, 1)
        order = np.argsort(self.weights, kind="stable")
        shares: list[tuple[float, float]] = []
        for values, top in ((1.0 / self.weights, order[:count]), (self.weights, order[::-1][:count])):
            shares.append((float(np.median(top)) / self.weights.size, float(values[top].sum() / values.sum())))
        (large_at, large), (small_at, small) = shares
        return (
            f"gain {self.gain:.3g}, {self.gain_inside:.3g} without the first and last 1% of training; "
            f"the largest 1% of the norms, near {large_at:.0%} of training, make {large:.0%} of the mean of "
            f"norm^{power:g}; the smallest 1%, near {small_at:.0%}, make {small:.0%} of the mean of norm^-{power:g}"
        )


@within_float64
def refine(
    norms: npt.ArrayLike,
    rule: Rule | None = None,
    smoothing: float = 0.1,
    *,
    n_steps: int | None = None,
    positions: npt.ArrayLike | None = None,
    known_within: float = 1.0,
) -> Refinement:
    """Compute the refined schedule from the gradient norms of a previous run.

    Algorithms 1 and 2 of Defazio, Cutkosky, Mehta, Mishchenko (arXiv 2310.07831): median filter, weights
    w_k = norm^-2 (SGD, L2 norms) or norm^-1 (Adam, L1 norms), steps h_k = w_k * (w_{k+1} + ... + w_N), divided by
    their maximum. For SGD the steps are optimal for gradient bounds equal to the smoothed norms (*exact* in that
    model); for real training they are a heuristic, since the norms of the next run differ. Tune the base learning
    rate again afterwards.

    Parameters
    ----------
    norms : array_like, shape (n,)
        Gradient norm before each step of the run, before any clipping: finite and positive. The bound at the
        last iterate, which no run records, repeats the last norm. What `lastiterate.read_norms` returns brings its
        horizon and positions along.
    rule : {"sgd", "adam"}
        ``"sgd"`` for L2 norms of SGD-like methods, ``"adam"`` for L1 norms of Adam-like methods. State it: which norms
        they are, no array says. Left out, ``"sgd"`` is assumed with a FutureWarning; from 0.3 on it is an error.
    smoothing : float
        Width of the median filter as a fraction of training, 0 (none) to 1.
    n_steps : int, optional
        Horizon of the schedule, if norms were logged every few steps or the next run has another length: the
        smoothed norms are interpolated, linearly in their logarithm. Default: one step for every norm.
    positions : array_like, shape (n,), optional
        Increasing positions of the norms in training, in any unit. Default: equally spaced.
    known_within : float
        The norms of the next run lie within this factor of the smoothed ones, with the same sum of norm^p (p = 2 for
        SGD, 1 for Adam): the schedule is then the best for the worst of such norms. 1, the default, is the published
        algorithm; large factors lead back to linear decay. See the notes.

    Returns
    -------
    Refinement

    Raises
    ------
    InputError
        If a norm is zero, negative or not finite, or another argument is out of range.

    Warns
    -----
    RefinementWarning
        If the norms vanish so fast that the schedule does not decay, or if the predicted gain is implausible.
    FutureWarning
        If ``rule`` is left out.

    Notes
    -----
    With y_k = G_k^p the rate of weights w, at its best base learning rate, is D sqrt(sum w_k^2 y_k) / sum w_k. If
    the y_k are known to lie in [a_k, b_k] = [y_k / rho^p, y_k rho^p] with their sum S, the weights that minimise
    the worst rate are w_k = 1 / z_k with z_k = min(max(c, a_k), b_k), the level c such that sum z_k = S. Proof:
    let sum w = 1. The worst case max_y sum w_k^2 y_k is convex in w and linear in y over a compact convex set, so
    that minimum and maximum may be exchanged (Sion); for fixed y the minimum over w is 1 / sum(1 / y_k), at w
    proportional to 1 / y. The worst y hence minimises the convex sum(1 / y_k), whose optimality conditions (-1 /
    z_k^2 + multiplier = 0, or z_k at an end of its interval) say that all z_k strictly inside are equal: z is
    clipped at a common level. Without the condition on the sum the worst case is b whatever w is, and the
    published weights are already the answer.

    Examples
    --------
    >>> import numpy as np
    >>> refine(np.full(4, 7.0), rule="sgd").steps.tolist()
    [1.0, 0.75, 0.5, 0.25]
    >>> refine(np.linspace(2.0, 1.0, 1000), rule="adam")
    Refinement(rule='adam', n_steps=1000, gain=1.0196..., peak=0, end_exponent=0.124..., degenerate=False)
    """
    rule = _assumed() if rule is None else rule
    power = POWERS[check_choice(rule, "rule", POWERS)]
    n_steps = getattr(norms, "horizon", None) if n_steps is None else n_steps
    if positions is None:
        positions, span = getattr(norms, "positions", None), getattr(norms, "span", None)
    else:
        span = None
    smoothed = to_horizon(smooth_norms(norms, smoothing), n_steps, positions, span)
    bounds = np.append(smoothed, smoothed[-1])
    rho = check_positive(known_within, "known_within")
    if rho < 1.0:
        raise InputError("known_within", known_within, "a factor of at least 1")
    costs = _costs(bounds, power)
    worst = costs if rho == 1.0 else _least_favourable(costs, rho**power)
    weights = (bounds.min() / bounds) ** power if rho == 1.0 else worst.min() / worst
    tails = np.cumsum(weights[::-1])[::-1]
    steps = weights[:-1] * tails[1:]
    steps /= steps.max()
    # the filter is exact for monotone norms except within half a window of the end
    exponent = _end_exponent(smoothed, 0.5 * smoothing)
    peak = int(np.argmax(steps)) / steps.size
    degenerate = bool(2.0 * power * exponent >= 1.0 or peak > LATE_PEAK)
    if degenerate:
        warnings.warn(
            f"the refined schedule hardly decays (maximum at {peak:.0%} of training): towards the end the gradient "
            f"norms fall like (1-s)^{exponent:.2g}, and the {rule} rule decays for exponents below {0.5 / power:g}; "
            "use linear decay, or norms of a run that does not fit its data",
            RefinementWarning,
            stacklevel=2,
        )
    refinement = Refinement(
        steps=steps,
        gain=_gain(weights, costs),
        peak=peak,
        end_exponent=exponent,
        degenerate=degenerate,
        smoothed=smoothed,
        weights=weights,
        rule=str(rule),
        smoothing=float(smoothing),
        known_within=rho,
        guaranteed_gain=float(np.sqrt(np.mean(costs) * np.mean(1.0 / worst))),
    )
    if refinement.gain > IMPLAUSIBLE_GAIN and not degenerate:
        text = f"a few norms decide the predicted gain: {refinement.explain_gain()}"
        warnings.warn(text, RefinementWarning, stacklevel=2)
    return refinement


def _assumed() -> Rule:
    text = (
        'refine(norms) without rule= assumes "sgd", L2 norms of an SGD-like method; '
        f'from {REMOVED_IN} on the rule must be given, "sgd" or "adam"'
    )
    warnings.warn(text, FutureWarning, stacklevel=4)  # the caller, beyond refine and its decorator
    return "sgd"


def smooth_norms(norms: npt.ArrayLike, smoothing: float = 0.1) -> Array:
    """Return the median-filtered norms, the first step of `refine`.

    The width is 2 floor(smoothing * n / 2) + 1; the right end is padded by reflection, the left by its first value.

    >>> smooth_norms([1.0, 9.0, 1.0, 1.0], smoothing=0.75).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    from scipy.ndimage import median_filter

    values = check_norms(norms)
    width = 2 * math.floor(check_fraction(smoothing, "smoothing") * values.size / 2) + 1
    padded = np.pad(values, (0, 2 * width), mode="reflect")
    return np.asarray(median_filter(padded, size=width, mode="nearest")[: values.size], dtype=np.float64)


def to_horizon(
    norms: npt.ArrayLike,
    n_steps: int | None,
    positions: npt.ArrayLike | None = None,
    span: tuple[float, float] | None = None,
) -> Array:
    """Interpolate norms to ``n_steps`` equally spaced points, linearly in the logarithm.

    ``span`` are the first and the last point, by default the positions of the first and the last norm, which are
    held outside.

    Interpolate after smoothing: averages of neighbours are less noisy than the norms themselves and would shift
    the median.

    >>> to_horizon([1.0, 100.0], 3).round(9).tolist()
    [1.0, 10.0, 100.0]
    """
    values = check_norms(norms)
    horizon = values.size if n_steps is None else check_count(n_steps, "n_steps")
    if horizon == values.size and positions is None:
        return values
    places = np.arange(values.size, dtype=np.float64) if positions is None else check_vector(positions, "positions")
    if places.size != values.size or (places.size > 1 and np.diff(places).min() <= 0.0):
        raise InputError("positions", positions, f"{values.size} increasing numbers, one for every norm")
    first, last = (places[0], places[-1]) if span is None else span
    wanted = np.linspace(first, last, horizon)
    return np.exp(np.interp(wanted, places, np.log(values)))


def check_norms(norms: npt.ArrayLike, name: str = "norms") -> Array:
    """Return the norms as float64[n], positive and finite, or raise `InputError`."""
    values = check_vector(norms, name)
    if values.size == 0:
        raise InputError(name, "an empty sequence", "at least one gradient norm")
    if values.min() <= 0.0:
        index = int(np.argmin(values))
        raise InputError(name, f"{name}[{index}] = {values[index]}", "gradient norms that are positive")
    return values


def _costs(bounds: Array, power: float) -> Array:
    """norm^p over its smallest value."""
    with np.errstate(over="ignore"):
        return (bounds / bounds.min()) ** power


def _gain(weights: Array, costs: Array) -> float:
    """Tuned linear decay over the weighted rate: sqrt(mean(y)) mean(w) / sqrt(mean(w^2 y))."""
    with np.errstate(over="ignore", invalid="ignore"):
        weighted = np.mean(weights * (weights * costs))
        return float(np.sqrt(np.mean(costs) / weighted) * np.mean(weights))


def _least_favourable(costs: Array, factor: float) -> Array:
    """The costs within ``factor`` of the given ones, of the same sum, that leave refinement the least to gain.

    They are clipped at a common level, which is read off the piecewise linear sum as a function of the level.
    """
    low, high = costs / factor, costs * factor
    order = np.argsort(np.concatenate([low, high]), kind="stable")
    levels = np.concatenate([low, high])[order]
    slopes = np.cumsum(np.where(order < costs.size, 1.0, -1.0))
    sums = low.sum() + np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(levels))])
    level = np.interp(costs.sum(), sums, levels)
    return np.clip(level, low, high)


def _end_exponent(smoothed: Array, margin: float) -> float:
    """Least-squares slope of log norm over log(1 - s) in the last part of training, before ``margin``."""
    n = smoothed.size
    if n < 8:
        return 0.0
    nearest = max(margin, 2.0 / (n + 1))  # at most 1/2
    remaining = np.geomspace(nearest + FIT_SPAN, nearest, 64)
    position = 1.0 - np.arange(1, n + 1) / (n + 1)
    logs = np.interp(remaining, position[::-1], np.log(smoothed[::-1]))
    return float(np.polyfit(np.log(remaining), logs, 1)[0])
