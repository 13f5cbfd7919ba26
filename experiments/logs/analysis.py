"""Theory beside practice for runs of others: logs with loss, learning rate and gradient norm."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lastiterate.experiments.statistics import rank_correlation
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_count
from lastiterate.theory.optimal.refinement import POWERS, smooth_norms
from lastiterate.theory.rates.curve import rate_curve
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr

from .formats import read_table
from .table import LogTable

__all__ = ["Analysis", "RunAnalysis", "analyse"]

CURVE_POINTS = 100
MISSING_START = 0.05
MAX_HORIZON = 10**7
WORDS = {"loss": ("loss",), "lr": ("lr", "learning_rate", "learning rate"), "norm": ("norm",)}


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
    notes : tuple of str
        What was dropped, merged or assumed.
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
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show the numbers that are compared."""
        return (
            f"RunAnalysis({Path(self.source).name!r}, n_steps={self.n_steps}, final_loss={self.final_loss:.5g}, "
            f"tuned_bound={self.tuned_bound:.5g}, bound={self.bound:.5g}, implied_D={self.implied_D:.4g})"
        )


@dataclass(frozen=True)
class Analysis:
    """The runs, and whether the bounds rank them as their losses do.

    Attributes
    ----------
    runs : tuple of RunAnalysis
    common_D : float
        Distance to the solution that the bounds of all runs assume, the median of those that the runs imply.
    tau_bound, tau_tuned : float
        Kendall's tau between the final losses and the bounds, as the learning rates were and tuned; NaN for one run.
    """

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
    notes: tuple[str, ...]


def analyse(
    logs: Sequence[str | Path],
    *,
    rule: str = "sgd",
    smoothing: float = 0.1,
    loss: str | None = None,
    lr: str | None = None,
    norm: str | None = None,
    step_column: str | None = None,
    prefix: str | Path | None = None,
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
    step_column : str, optional
        Column that counts steps, where it is not known by its name.
    prefix : str or Path, optional
        Log that gives the steps before the first one of a log that starts late, as a cooldown from a checkpoint does.
    n_steps : int, optional
        Horizon, default the number of steps that the log counts.

    Returns
    -------
    Analysis

    Raises
    ------
    InputError
        For a log that cannot be read or lacks a column; the message lists its columns.

    Examples
    --------
    >>> import tempfile
    >>> rows = [f"{k},{3 - k / 200},{0.1 * (1 - k / 100)},1.0" for k in range(100)]
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("\\n".join(["step,loss,lr,grad_norm", *rows]))
    ...     file.flush()
    ...     found = analyse([file.name])
    >>> found.runs[0].n_steps, round(found.runs[0].final_loss, 3), round(found.common_D, 3)
    (100, 2.505, 1.015)
    """
    check_choice(rule, "rule", POWERS)
    if not logs:
        raise InputError("logs", logs, "at least one log")
    names = {"loss": loss, "lr": lr, "norm": norm}
    read = [_read(path, rule, smoothing, names, prefix, n_steps, step_column) for path in logs]
    tuned = [tune_base_lr(log.steps / log.steps.max(), D=1.0, G=log.caps) for log in read]
    implied = [float(log.steps.max() / best.base_lr) for log, best in zip(read, tuned, strict=True)]
    common = float(np.median(implied))
    runs: list[RunAnalysis] = []
    for log, best, distance in zip(read, tuned, implied, strict=True):
        wanted = np.unique(np.linspace(1, min(log.steps.size, int(log.loss_steps[-1])), CURVE_POINTS).astype(np.int64))
        curve = rate_curve(log.steps, D=common, G=log.caps, bound="exact", horizons=wanted)
        losses = np.interp(curve.horizons, log.loss_steps, log.loss)
        seen = curve.horizons >= log.loss_steps[0]
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
                notes=log.notes,
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
    path: str | Path,
    rule: str,
    smoothing: float,
    names: Mapping[str, str | None],
    prefix: str | Path | None,
    n_steps: int | None,
    step_column: str | None,
) -> _Log:
    columns, notes = _columns(path, names, step_column)
    first, last = columns["lr"][1][0], columns["lr"][1][-1]
    if prefix is not None and Path(prefix) != Path(path) and first > MISSING_START * last:
        earlier, more = _columns(prefix, names, step_column)
        columns = {key: _joined(earlier[key], columns[key]) for key in columns}
        notes = [*more, *notes, f"steps before {first:g} are those of {Path(prefix).name}"]
    elif first > MISSING_START * last:
        notes.append(
            f"nothing was logged before step {first:g}: first values are held (prefix=... gives an earlier log)"
        )
    columns = _counting_from_one(columns)
    name, lr_steps, lrs = columns["lr"]
    horizon = check_count(n_steps, "n_steps") if n_steps is not None else max(int(lr_steps[-1]), 1)
    if horizon > MAX_HORIZON:
        raise InputError("logs", f"{path}, {horizon:,} steps", f"a run of at most {MAX_HORIZON:,} steps")
    places = np.linspace(1.0, lr_steps[-1], horizon)
    # a rate holds until the next logged one: many programs log zero after the last step, which no step used
    steps = lrs[np.clip(np.searchsorted(lr_steps, places, side="right") - 1, 0, None)]
    if steps.min() < 0.0 or steps.max() == 0.0:
        raise InputError("logs", f"{path}, {name} from {steps.min():g} to {steps.max():g}", "learning rates >= 0")
    _, norm_steps, norms = columns["norm"]
    norms = np.exp(np.interp(places, norm_steps, np.log(smooth_norms(norms, smoothing))))
    caps = np.sqrt(norms) if rule == "adam" else norms
    loss_column, loss_steps, losses = columns["loss"]
    return _Log(str(path), steps, caps, loss_steps, losses, loss_column, tuple(dict.fromkeys(notes)))


def _columns(
    path: str | Path, names: Mapping[str, str | None], step_column: str | None
) -> tuple[dict[str, tuple[str, Array, Array]], list[str]]:
    """Name, steps and finite values of the loss, the learning rate and the norm; and what the reader said."""
    table = read_table(path)
    columns: dict[str, tuple[str, Array, Array]] = {}
    notes = list(table.notes)
    for key, words in WORDS.items():
        name = _find(table, names[key], words, key, path)
        series = table.series(name, step_column=step_column)
        notes.extend(series.notes)
        if series.step_column is None:
            notes.append("no step column: every row is taken as one step")
        if not np.isfinite(series.values).all():
            index = int(np.argmin(np.isfinite(series.values)))
            where = f"{path}, {name} = {series.values[index]} at step {series.steps[index]:g}"
            raise InputError("logs", where, "finite numbers: a run that did not diverge")
        columns[key] = (name, series.steps, series.values)
    return columns, notes


def _counting_from_one(columns: Mapping[str, tuple[str, Array, Array]]) -> dict[str, tuple[str, Array, Array]]:
    """Steps as numbers of steps done: a log whose rates or norms start at step 0 counts from there."""
    shift = float(min(columns["lr"][1][0], columns["norm"][1][0]) == 0.0)
    return {key: (name, steps + shift, values) for key, (name, steps, values) in columns.items()}


def _joined(earlier: tuple[str, Array, Array], later: tuple[str, Array, Array]) -> tuple[str, Array, Array]:
    """The earlier log up to the first step of the later one, then the later one."""
    before = earlier[1] < later[1][0]
    return later[0], np.append(earlier[1][before], later[1]), np.append(earlier[2][before], later[2])


def _find(table: LogTable, given: str | None, words: tuple[str, ...], argument: str, path: str | Path) -> str:
    """The column that ``given`` names, or the one whose name ends in one of the words; a validation loss wins."""
    names = [
        name
        for name, column in table.columns.items()
        if column.values.size > 1 and not name.endswith(("__MIN", "__MAX"))
    ]
    if given is not None:
        found = [name for name in names if name == given] or [name for name in names if name.endswith(given)]
    else:
        ends = re.compile(rf"(^|[^a-z])({'|'.join(words)})$", re.IGNORECASE)
        found = [name for name in names if ends.search(name)]
        found = [name for name in found if argument == "loss" and "val" in name.lower()] or found
        found = sorted(found, key=lambda name: -table.columns[name].values.size)[: 1 if argument != "norm" else None]
    if len(found) != 1:
        listed = ", ".join(map(repr, names)) or "none"
        shown = given if given is not None else f"{len(found)} such columns in {path}"
        raise InputError(argument, shown, f"the name of one of its columns: {listed}")
    return found[0]
