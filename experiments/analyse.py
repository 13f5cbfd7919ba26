"""Theory beside practice for runs of others: logs with loss, learning rate and gradient norm."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..theory.curves import rate_curve
from ..theory.rates import exact_rate, tune_base_lr
from ..theory.refinement import POWERS, smooth_norms, to_horizon
from ..theory.validation import Array, InputError, check_choice, check_count
from .norm_formats import LogTable, numbers, read_table
from .statistics import rank_correlation

CURVE_POINTS = 60


@dataclass(frozen=True, repr=False)
class RunAnalysis:
    """One recorded run and what the convex bound says of it.

    Attributes
    ----------
    source : str
    n_steps : int
    peak_lr : float
        Largest learning rate of the run.
    final_loss : float
    loss_column : str
    tuned_bound : float
        Exact bound over D for the run's schedule and norms, at the best multiple of the schedule.
    implied_D : float
        Distance D for which the run's own learning rate is that best one.
    bound : float
        Exact bound for the learning rates as they were, at a D common to all runs (the median of the implied ones).
    horizons : int64[m]
    losses : float64[m]
        Logged loss at the horizons.
    curve : float64[m]
        Exact bound after so many steps, at the common D.
    curve_correlation : float
        Kendall's tau between ``losses`` and ``curve``.
    """

    source: str
    n_steps: int
    peak_lr: float
    final_loss: float
    loss_column: str
    tuned_bound: float
    implied_D: float
    bound: float
    horizons: npt.NDArray[np.int64]
    losses: Array
    curve: Array
    curve_correlation: float

    def __repr__(self) -> str:
        """Show the numbers that are compared."""
        return (
            f"RunAnalysis({Path(self.source).name!r}, n_steps={self.n_steps}, final_loss={self.final_loss:.5g}, "
            f"tuned_bound={self.tuned_bound:.5g}, bound={self.bound:.5g}, implied_D={self.implied_D:.4g})"
        )


@dataclass(frozen=True)
class Analysis:
    """The runs, and Kendall's tau between final losses and both bounds (NaN for a single run)."""

    runs: tuple[RunAnalysis, ...]
    common_D: float
    tau_bound: float
    tau_tuned: float


@dataclass(frozen=True)
class _Log:
    source: str
    steps: Array
    caps: Array
    loss_steps: Array
    loss: Array
    loss_column: str


def analyse(
    logs: Sequence[str | Path],
    *,
    rule: str = "sgd",
    smoothing: float = 0.1,
    loss: str | None = None,
    lr: str | None = None,
    norm: str | None = None,
    n_steps: int | None = None,
) -> Analysis:
    """Compare the measured losses of recorded runs with the convex bounds of their schedules and gradient norms.

    Parameters
    ----------
    logs : sequence of str or Path
        Logs with the columns loss, learning rate and gradient norm, see `read_norms` for formats.
    rule : {"sgd", "adam"}
        ``"sgd"`` takes the norms as L2 bounds G, ``"adam"`` takes the square root of L1 norms (see `refine`).
    smoothing : float
        Median filter of the norms, see `refine`.
    loss, lr, norm : str, optional
        Column names (or their ends), where the usual ones are not found: the validation loss if there is one.
    n_steps : int, optional
        Horizon, default the last logged step.

    Returns
    -------
    Analysis

    Raises
    ------
    InputError
        For a log that cannot be read or lacks a column; the message lists its columns.
    """
    check_choice(rule, "rule", POWERS)
    if not logs:
        raise InputError("logs", logs, "at least one log")
    read = [_read(path, rule, smoothing, loss, lr, norm, n_steps) for path in logs]
    tuned = [tune_base_lr(log.steps / log.steps.max(), D=1.0, G=log.caps) for log in read]
    implied = [float(log.steps.max() / best.base_lr) for log, best in zip(read, tuned, strict=True)]
    common = float(np.median(implied))
    runs: list[RunAnalysis] = []
    for log, best, distance in zip(read, tuned, implied, strict=True):
        curve = rate_curve(log.steps, D=common, G=log.caps, bound="exact", horizons=CURVE_POINTS)
        losses = np.interp(curve.horizons, log.loss_steps, log.loss)
        seen = (curve.horizons >= log.loss_steps[0]) & (curve.horizons <= log.loss_steps[-1])
        runs.append(
            RunAnalysis(
                source=log.source,
                n_steps=int(log.steps.size),
                peak_lr=float(log.steps.max()),
                final_loss=float(log.loss[-1]),
                loss_column=log.loss_column,
                tuned_bound=float(best.value),
                implied_D=distance,
                bound=float(exact_rate(log.steps, D=common, G=log.caps).value),
                horizons=np.asarray(curve.horizons)[seen],
                losses=losses[seen],
                curve=np.asarray(curve.values)[seen],
                curve_correlation=rank_correlation(losses[seen], np.asarray(curve.values)[seen]),
            )
        )
    finals = [run.final_loss for run in runs]
    return Analysis(
        runs=tuple(runs),
        common_D=common,
        tau_bound=rank_correlation([run.bound for run in runs], finals),
        tau_tuned=rank_correlation([run.tuned_bound for run in runs], finals),
    )


def _read(
    path: str | Path, rule: str, smoothing: float, loss: str | None, lr: str | None, norm: str | None, n: int | None
) -> _Log:
    table = read_table(path)
    loss_column = _find(table, loss, ("loss",), "loss", path, prefer="val")
    lr_column = _find(table, lr, ("lr", "learning_rate", "learning rate"), "lr", path)
    norm_column = _find(table, norm, ("norm",), "norm", path)
    lr_steps, lrs = _column(table, lr_column, path)
    loss_steps, losses = _column(table, loss_column, path)
    norm_steps, logged = _column(table, norm_column, path)
    last = max(int(lr_steps[-1]), lrs.size)
    horizon = check_count(n, "n_steps") if n is not None else last
    steps = np.interp(np.linspace(lr_steps[0], lr_steps[-1], horizon), lr_steps, lrs)
    if steps.min() < 0.0 or steps.max() == 0.0:
        raise InputError("logs", f"{path}, {lr_column} from {steps.min():g} to {steps.max():g}", "learning rates >= 0")
    norms = to_horizon(smooth_norms(logged, smoothing), horizon, norm_steps)
    caps = np.sqrt(norms) if rule == "adam" else norms
    return _Log(str(path), steps, caps, loss_steps, losses, loss_column)


def _column(table: LogTable, name: str, path: str | Path) -> tuple[Array, Array]:
    """Steps and finite values of a column; of several values at one step the last counts."""
    steps, values = table.steps[name], numbers(table, name, path)
    if not np.isfinite(values).all():
        index = int(np.argmin(np.isfinite(values)))
        where = f"{path}, {name} = {values[index]} at step {steps[index]:g}"
        raise InputError("logs", where, "finite numbers: a run that did not diverge")
    spacings = np.diff(steps)
    if spacings.size and spacings.min() < 0.0:
        raise InputError("logs", f"{path}, {name} with steps that go back", "steps that increase")
    last = np.append(spacings > 0.0, True)
    return steps[last], values[last]


def _find(
    table: LogTable, given: str | None, words: tuple[str, ...], argument: str, path: str | Path, prefer: str = ""
) -> str:
    """The column that ``given`` names, or the longest whose name ends in one of the words; ``prefer`` wins."""
    names = [
        name for name, column in table.columns.items() if column.size > 1 and not name.endswith(("__MIN", "__MAX"))
    ]
    if given is not None:
        found = [name for name in names if name == given] or [name for name in names if name.endswith(given)]
    else:
        ends = re.compile(rf"(^|[^a-z])({'|'.join(words)})$", re.IGNORECASE)
        found = [name for name in names if ends.search(name)]
        found = [name for name in found if prefer and prefer in name.lower()] or found
        found = sorted(found, key=lambda name: -table.columns[name].size)[: 1 if argument != "norm" else None]
    if len(found) != 1:
        listed = ", ".join(map(repr, names)) or "none"
        shown = given if given is not None else f"{len(found)} such columns in {path}"
        raise InputError(argument, shown, f"the name of one of its columns: {listed}")
    return found[0]
