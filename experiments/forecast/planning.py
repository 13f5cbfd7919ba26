"""What to do next under a fitted law: the best peak and schedule, when to cool down, which run to make."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from lastiterate.theory.base.validation import Array, InputError, check_fraction
from lastiterate.theory.laws.protocol import Run

from .log import LossLog

if TYPE_CHECKING:
    from .result import LossFit

__all__ = ["Annealed", "annealed_now", "best_base_lr", "next_run", "steps_saved", "stretched"]

PEAK_RANGE = 4.0
POINTS_OF_A_CURVE = 40
CURVE_START = 0.1


@dataclass(frozen=True, eq=False)
class Annealed:
    """Losses of one log if it were cooled down from each logged step.

    Attributes
    ----------
    name : str
    at : ndarray of int64, shape (m,)
        Steps at which the cooldown starts.
    n_cooldown : ndarray of int64, shape (m,)
        Its length.
    loss : ndarray, shape (m,)
        Predicted loss at its end.
    """

    name: str
    at: npt.NDArray[np.int64] = field(repr=False)
    n_cooldown: npt.NDArray[np.int64] = field(repr=False)
    loss: Array = field(repr=False)


def annealed_now(fit: "LossFit", cooldown: float) -> tuple[Annealed, ...]:
    """See `LossFit.annealed_now`."""
    cooldown = check_fraction(cooldown, "cooldown", low=1e-6, high=10.0)
    results: list[Annealed] = []
    for log in fit.logs:
        at = log.at[log.at > 0]
        lengths = np.maximum(np.rint(cooldown * at).astype(np.int64), 1)
        losses: list[float] = []
        for n, length in zip(at.tolist(), lengths.tolist(), strict=True):
            ramp = 1.0 - np.arange(1, length + 1) / (length + 1.0)
            run = fit.run_of(log)
            steps = np.concatenate([run.steps[:n], run.steps[n - 1] * ramp])
            losses.append(fit.final(Run(steps, run.weight_decay, run.init_std)))
        results.append(Annealed(log.name, at, lengths, np.array(losses)))
    return tuple(results)


def best_base_lr(fit: "LossFit", schedule: Array) -> float:
    """See `LossFit.best_base_lr`."""
    if schedule.max() == 0.0:
        raise InputError("schedule", "zeros", "at least one positive step")
    shape = schedule / schedule.max()
    low, high = np.log(fit.scope.low_peak / PEAK_RANGE), np.log(fit.scope.high_peak * PEAK_RANGE)

    def loss(log_peak: float) -> float:
        return fit.final(fit.run_of(np.exp(log_peak) * shape))

    grid = np.linspace(low, high, 17)
    values = [loss(point) for point in grid.tolist()]
    best = int(np.argmin(values))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)])
    found: Any = optimize.minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x) / schedule.max())


def steps_saved(fit: "LossFit", schedule: Array, other: Array) -> float:
    """See `LossFit.steps_saved`."""
    wanted = fit.final(fit.run_of(other))

    def excess(log_length: float) -> float:
        return fit.final(fit.run_of(stretched(schedule, round(float(np.exp(log_length)))))) - wanted

    low, high = np.log(max(other.size / 20.0, 2.0)), np.log(other.size * 20.0)
    if excess(high) > 0.0 or excess(low) < 0.0:
        where = f"a schedule that does so in less than {other.size // 20} or more than {other.size * 20} steps"
        raise InputError("schedule", where, f"one that reaches the loss {wanted:.4g} of the other")
    length: Any = optimize.brentq(excess, low, high, xtol=0.2 / other.size)
    return float(other.size - np.exp(length))


def stretched(schedule: Array, n_steps: int) -> Array:
    """Return the schedule's shape over another number of steps, by interpolation at equal fractions."""
    places = (np.arange(n_steps) + 0.5) / n_steps
    return np.interp(places, (np.arange(schedule.size) + 0.5) / schedule.size, schedule)


def next_run(fit: "LossFit", candidates: Sequence[Any], target: Any) -> int:
    """See `LossFit.next_run`."""
    if not len(candidates):
        raise InputError("candidates", candidates, "at least one schedule")
    runs = [fit.run_of(candidate) for candidate in candidates]
    wanted = runs if target is None else [fit.run_of(steps) for steps in _several(target)]
    jacobian = np.vstack([fit.log_jacobian(run, _last(run)) for run in wanted])
    ends = np.concatenate([_last(run) for run in wanted])
    widths: list[float] = []
    for run in runs:
        at = _last(run) if fit.on == "final" else _curve_points(run)
        covariance = fit.fitted.uncertainty.with_run(fit.log_jacobian(run, at), at)
        widths.append(float(np.mean(np.sqrt(fit.fitted.uncertainty.variance(jacobian, ends, covariance)))))
    return int(np.argmin(widths))


def _several(target: Any) -> list[Any]:
    """One schedule or several as a list."""
    if isinstance(target, LossLog) or (np.ndim(target[0]) == 0 and not isinstance(target[0], LossLog)):
        return [target]
    return list(target)


def _last(run: Run) -> npt.NDArray[np.int64]:
    return np.array([run.steps.size])


def _curve_points(run: Run) -> npt.NDArray[np.int64]:
    points = np.linspace(CURVE_START * run.steps.size, run.steps.size, POINTS_OF_A_CURVE)
    return np.unique(np.maximum(np.rint(points), 1).astype(np.int64))
