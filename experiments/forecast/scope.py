"""What the fitted runs have shown, and how far a wanted schedule lies outside of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lastiterate.experiments.statistics.rounding import rounded
from lastiterate.theory.base.validation import Array

from .fit_law import FittedLaw, error_of_move, tail_error
from .log import LossLog
from .samples import truncate

__all__ = ["Moves", "Scope", "allowance", "depth", "observed_moves", "outside", "rewarms", "scope_of"]

NEAR = 1.15
DEEPER = 2.0
PEAK_ERROR = 1e-3
HORIZON_ERROR = 8e-4
DEPTH_ERROR = 0.015
COOLED = 0.7


@dataclass(frozen=True)
class Scope:
    """Peaks, horizons and depths of the fitted runs; a depth is the last rate over the peak."""

    low_peak: float
    high_peak: float
    horizon: int
    low_depth: float
    high_depth: float
    rewarmed: bool

    @property
    def cooled(self) -> bool:
        """Whether any run's rate fell clearly below its peak."""
        return self.low_depth < COOLED


@dataclass(frozen=True)
class Moves:
    """Errors, in nats, of predicting a left-out peak, and longer runs from shorter ones; NaN where not to be tried."""

    peak: float
    horizon: float


def scope_of(logs: Sequence[LossLog]) -> Scope:
    """Return what the logs have shown up to their last losses."""
    seen = [log.steps[: int(log.at[-1])] for log in logs]
    peaks, depths = [float(steps.max()) for steps in seen], [depth(steps) for steps in seen]
    horizon = max(steps.size for steps in seen)
    return Scope(min(peaks), max(peaks), horizon, min(depths), max(depths), any(rewarms(steps) for steps in seen))


def outside(scope: Scope, steps: Array, moves: Callable[[], Moves]) -> tuple[str, ...]:
    """Return a sentence for every way in which the schedule leaves the scope; ``moves`` is asked only if it does."""
    said: list[str] = []
    peak, ending = float(steps.max()), depth(steps)
    if _beyond(scope, peak) > NEAR:
        fitted = f"{scope.low_peak:.3g}" + (f" to {scope.high_peak:.3g}" if scope.high_peak > scope.low_peak else "")
        tried = _observed(moves().peak, "a peak left out of the fit")
        said.append(f"peak {peak:.3g} is outside the fitted {fitted} ({tried})")
    if steps.size > NEAR * scope.horizon:
        tried = _observed(moves().horizon, "longer training predicted from shorter")
        said.append(
            f"{steps.size} steps are {rounded(steps.size / scope.horizon)} times the longest fitted run ({tried})"
        )
    if ending * DEEPER < scope.low_depth:
        said.append(f"the rate ends at {ending:.2g} of its peak, no fitted run below {scope.low_depth:.2g}")
    if ending > DEEPER * scope.high_depth:
        said.append(f"the rate ends at {ending:.2g} of its peak, no fitted run above {scope.high_depth:.2g}")
    if rewarms(steps) and not scope.rewarmed:
        said.append("the rate rises again after a fall, in no fitted run it does")
    return tuple(said)


def allowance(scope: Scope, steps: Array) -> float:
    """Return the relative error to allow for a peak or a horizon outside the scope, which grows with the distance.

    Runs that all cool down hardly tell the noise of one that does not: its loss is allowed a fixed error.
    """
    peak = PEAK_ERROR * math.log2(_beyond(scope, float(steps.max()))) ** 2
    horizon = HORIZON_ERROR * math.log2(max(steps.size / scope.horizon, 1.0))
    return math.hypot(peak, horizon, DEPTH_ERROR * (depth(steps) > DEEPER * scope.high_depth))


def _beyond(scope: Scope, peak: float) -> float:
    """The factor by which a peak lies outside the fitted ones, at least one."""
    return max(peak / scope.high_peak, scope.low_peak / max(peak, 1e-300), 1.0)


def observed_moves(fitted: FittedLaw, on: str) -> Moves:
    """Return the errors of such moves within the fitted runs, by refitting."""
    samples = fitted.problem.samples
    peaks = np.array([part.run.steps.max() for part in samples])
    distinct = sorted({round(math.log(peak) / math.log(NEAR)) for peak in peaks.tolist()})
    errors: list[float] = []
    for level in distinct if len(distinct) > 1 else ():
        inside = [round(math.log(peak) / math.log(NEAR)) == level for peak in peaks.tolist()]
        kept = [part for part, left_out in zip(samples, inside, strict=True) if not left_out]
        out = [part for part, left_out in zip(samples, inside, strict=True) if left_out]
        errors.append(error_of_move(fitted, kept, out))
    return Moves(float(np.mean(errors)) if errors else float("nan"), _horizon_error(fitted, on))


def depth(steps: Array) -> float:
    """Return the last learning rate over the largest one."""
    return float(steps[-1] / steps.max()) if steps.max() > 0.0 else 1.0


def rewarms(steps: Array) -> bool:
    """Return whether the rate rises by a tenth of its peak after a fall of as much."""
    fallen = np.maximum.accumulate(steps) - steps
    recovered = np.maximum.accumulate(fallen) - fallen
    return bool((recovered > 0.1 * steps.max()).any())


def _horizon_error(fitted: FittedLaw, on: str) -> float:
    if on == "curve":
        return tail_error(fitted)
    samples = fitted.problem.samples
    limit = int(max(int(part.at[-1]) for part in samples) / NEAR)
    return error_of_move(fitted, truncate(samples, limit, later=False), truncate(samples, limit, later=True))


def _observed(error: float, what: str) -> str:
    if math.isnan(error):
        return "the fitted runs do not allow to try such a move"
    return f"{what} erred by {error:.2g} nats on the fitted runs"
