"""What recorded gradient norms can and cannot tell: where a refinement of them should not be trusted."""

import math
import warnings

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import Array, InputError, check_steps, check_vector

from .refinement import Refinement, RefinementWarning, check_norms, refine, smooth_norms

__all__ = ["NormLimits", "norm_limits"]

VANISHING = 0.5
CLIPPED_SHARE = 0.1
TIE = 1e-4
FEW_NORMS = 50
LARGEST_GAP = 0.1
ARTEFACT_SHARE = 0.5
ENDS = 0.05
LEAST_VARIANCE = 1e-4


@result
class NormLimits(Result):
    """What was found in a record of gradient norms.

    Attributes
    ----------
    findings : tuple of str
        One sentence for each reason to distrust a refinement; empty if there is none.
    start, end : float
        Median norm of the first and the last 5% of training over that of the middle half.
    clipped : float
        Share of the norms that tie at the maximum, which clipping before recording causes.
    largest_gap : float
        Largest distance between two norms, as a share of training.
    artefact : float
        Share of the variance of the logarithm of the smoothed norms that weight decay accounts for; NaN if the learning
        rates were not given.
    corrected : float64[n]
        The norms without that factor; as given where the learning rates were not.
    front_loaded, degenerate : bool
        As `Refinement` says of the schedule made from them.
    """

    _shown = ("findings",)

    findings: tuple[str, ...]
    start: float
    end: float
    clipped: float
    largest_gap: float
    artefact: float
    corrected: Array
    front_loaded: bool
    degenerate: bool


def norm_limits(
    norms: npt.ArrayLike,
    refinement: Refinement | None = None,
    *,
    positions: npt.ArrayLike | None = None,
    lr: npt.ArrayLike | None = None,
    effective_lr: npt.ArrayLike | None = None,
) -> NormLimits:
    r"""Look for what makes a refinement of these norms misleading.

    * *Vanishing norms*: first norms far below the middle (logits near zero, a plateau) put the maximum of the schedule
      at the start, and last norms far below it (data that are fitted) at the end.
    * *Front-loading*: `Refinement.front_loaded`.
    * *Clipping*: norms that were recorded after clipping tie at the maximum and hide the larger ones.
    * *Spacing*: few norms, or a long hole between two.
    * *Weight decay*: the gradient of a weight before a normalisation layer goes like one over the weight's norm, which
      follows the learning rate (in equilibrium gradient norm over weight norm is sqrt(2 lambda / gamma), arXiv
      2506.02285). The recursion of `lastiterate.effective_steps` predicts the norm of the weights, lr / effective lr in
      units of the first, and nothing is fitted.

    Parameters
    ----------
    norms : array_like, shape (n,)
        As `lastiterate.refine` takes them.
    refinement : Refinement, optional
        What was made of them; by default ``refine(norms, rule="sgd")``.
    positions : array_like, shape (n,), optional
        Where in training the norms were recorded, in any unit.
    lr, effective_lr : array_like, shape (n,), optional
        Learning rates of the recorded run, one for every norm, and what `lastiterate.effective_steps` makes of them.

    Returns
    -------
    NormLimits

    Raises
    ------
    InputError
        For norms that are not positive, positions that do not increase, or positions or learning rates that are not
        one for every norm.

    Examples
    --------
    >>> import numpy as np
    >>> norm_limits(np.full(100, 2.0) + 0.1 * np.sin(np.arange(100))).findings
    ()
    >>> norm_limits(np.minimum(np.linspace(3.0, 1.0, 100), 2.0)).findings[0][:47]
    '50% of the norms tie at the maximum: they were '
    """
    values = check_norms(norms)
    positions = getattr(norms, "positions", None) if positions is None else positions
    places = np.arange(values.size) if positions is None else check_vector(positions, "positions")
    if places.size != values.size or np.any(np.diff(places) <= 0.0):
        raise InputError("positions", positions, f"{values.size} increasing numbers, one for every norm")
    if not (refinement is None or isinstance(refinement, Refinement)):
        raise InputError("refinement", refinement, "a Refinement, as refine() returns it")
    places = places / max(float(np.abs(places).max()), 1.0)
    span = float(places[-1] - places[0])
    gap = float(np.diff(places).max()) / span if span > 0.0 else 1.0
    made = _refined(norms) if refinement is None else refinement
    start, end = _ends(values)
    tied = float(np.mean(values >= values.max() * (1.0 - TIE))) if np.ptp(values) > 0.0 else 0.0
    corrected, artefact = values, math.nan
    if lr is not None or effective_lr is not None:
        corrected, artefact = _without_decay(values, lr, effective_lr)
    found: list[str] = []
    if tied > CLIPPED_SHARE:
        found.append(f"{tied:.0%} of the norms tie at the maximum: they were recorded after clipping")
    if start < VANISHING:
        found.append(f"the first norms are {start:.2f} of the middle ones: the schedule starts with its largest steps")
    if end < VANISHING:
        found.append(f"the last norms are {end:.2f} of the middle ones: the schedule falls late or not at all")
    if made.front_loaded:
        found.append(
            f"front-loaded: mean step {made.steps.mean():.2f} of the largest (linear decay 0.5), effective length "
            f"{made.effective_length:.2f} (0.75); start the grid of base learning rates {0.5 / made.steps.mean():.1f} "
            "times above that of linear decay"
        )
    if made.degenerate:
        found.append("the schedule hardly decays: use linear decay")
    if values.size < FEW_NORMS:
        found.append(f"{values.size} norms: a median of a tenth of them is hardly a smoothing")
    if values.size > 1 and gap > LARGEST_GAP:
        found.append(f"a hole of {gap:.0%} of training between two norms")
    if artefact > ARTEFACT_SHARE:
        found.append(f"weight decay accounts for {artefact:.0%} of the course of the norms: refine `corrected` instead")
    return NormLimits(
        findings=tuple(found),
        start=start,
        end=end,
        clipped=tied,
        largest_gap=gap,
        artefact=artefact,
        corrected=corrected,
        front_loaded=made.front_loaded,
        degenerate=made.degenerate,
    )


def _refined(norms: npt.ArrayLike) -> Refinement:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)  # what it would say is among the findings
        return refine(norms, rule="sgd")


def _ends(values: Array) -> tuple[float, float]:
    """Median of the first and of the last 5% of training over that of the middle half."""
    n, values = values.size, values / values.max()
    count, quarter = max(round(ENDS * n), 1), n // 4
    middle = float(np.median(values[quarter : n - quarter]))
    return float(np.median(values[:count])) / middle, float(np.median(values[-count:])) / middle


def _without_decay(values: Array, lr: npt.ArrayLike | None, effective_lr: npt.ArrayLike | None) -> tuple[Array, float]:
    """The norms times the predicted norm of the weights, and the share of their log variance that this takes."""
    if lr is None or effective_lr is None:
        raise InputError("effective_lr", "lr alone" if effective_lr is None else "no lr", "both lr and effective_lr")
    rates, effective = check_steps(lr, "lr"), check_steps(effective_lr, "effective_lr")
    for name, given in (("lr", rates), ("effective_lr", effective)):
        if given.size != values.size:
            raise InputError(name, f"{given.size} learning rates", f"{values.size}, one for every norm")
    moving = (rates > 0.0) & (effective > 0.0)
    if not moving.any():
        raise InputError("lr", "only zeros", "a positive learning rate")
    places = np.arange(values.size)
    weights = np.interp(places, places[moving], np.log(rates[moving] / effective[moving]))  # log of |w| over its first
    logs = np.log(smooth_norms(values))
    variance = float(np.var(logs))
    share = 1.0 - float(np.var(logs + weights)) / variance if variance > LEAST_VARIANCE else math.nan
    return values * np.exp(weights), share
