"""Reading a recorded run for a forecast: losses, and the learning rate of every step."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.experiments.logs.formats import read_table
from lastiterate.experiments.logs.table import LogTable
from lastiterate.theory.base.validation import Array, InputError, check_steps

from .log import LossLog
from .run_config import DECAY_KEYS, STD_KEYS, configured_steps, number, read_config

__all__ = ["read_losses"]

LATE = 0.5
SWITCH = 10.0
AGREES = 0.05


def read_losses(
    path: str | Path,
    steps: npt.ArrayLike | None = None,
    *,
    loss: str | None = None,
    lr: str | None = None,
    on: str = "curve",
    weight_decay: float | None = None,
    init_std: float | None = None,
    group: str | None = None,
    drop_bad: bool = False,
) -> LossLog:
    """Read the losses and learning rates of one run.

    Parameters
    ----------
    path : str or Path
        A log as for `read_norms`: CSV, W&B export, JSONL, trainer_state.json, JSON history, npz, TensorBoard.
    steps : array_like, shape (N,), optional
        Learning rate of every step. By default the log's own column, interpolated between rows (a jump far larger
        than the changes around it is a switch at the later row); before the first row a linear warm-up from zero is
        assumed, which ``.notes`` says. A JSON log's configuration is used where it agrees with the rows.
    loss, lr : str, optional
        Column names or their ends. By default the validation loss where there is one, else the training loss.
    on : {"curve", "final"}
        ``"final"`` prefers a column of the final evaluation.
    weight_decay, init_std, group : optional
        As in `LossLog`; a JSON log's configuration tells the first two.
    drop_bad : bool
        Leave out losses that are not positive and finite instead of raising an error.

    Returns
    -------
    LossLog

    Raises
    ------
    InputError
        For a log without losses or learning rates, losses that are not finite, learning rates that end before the
        losses do, and a log that starts in the later half of the run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "run.csv")
    ...     _ = file.write_text("step,lr,loss\\n10,0.1,3.0\\n20,0.1,2.5\\n")
    ...     log = read_losses(file)
    >>> log.steps[[0, 9, 19]].round(3), log.notes
    (array([0.01, 0.1 , 0.1 ]), ('before the first row a linear warm-up from zero is assumed',))
    """
    table, config = read_table(path), read_config(path)
    name = _loss_column(table, loss, on, path)
    series = table.series(name)
    places, values, notes = series.steps, series.values, [*series.notes, *table.notes]
    good = np.isfinite(values) & (values > 0.0)
    if drop_bad and not good.all():
        notes.append(f"{int((~good).sum())} losses that are not positive and finite were left out")
        places, values = places[good], values[good]
    if not places.size:
        raise InputError("loss", f"{path}, {name} without a value", "at least one loss")
    last = int(places[-1])
    rates = check_steps(steps) if steps is not None else _rates(table, config, lr, last, path, notes)
    if rates.size < last:
        where = f"learning rates of {rates.size} steps, a loss after {last}"
        raise InputError("steps", where, "a learning rate for every step up to the last loss")
    decay = weight_decay if weight_decay is not None else number(config, DECAY_KEYS)
    std = init_std if init_std is not None else number(config, STD_KEYS)
    if std is None and decay and weight_decay is None:
        decay = None
        notes.append("the configuration states a weight decay without an initial scale; both are taken as unknown")
    return LossLog(rates[:last], places.astype(np.int64), values, decay, std, group, Path(path).stem, tuple(notes))


def _loss_column(table: LogTable, given: str | None, on: str, path: str | Path) -> str:
    names = [
        name for name in table.columns if not name.endswith(("__MIN", "__MAX")) and table.columns[name].values.size
    ]
    if given is not None:
        found = [name for name in names if name == given] or [name for name in names if name.endswith(given)]
    else:
        found = [name for name in names if re.search(r"(^|[^a-z])loss$", name, re.IGNORECASE)]
        final = [name for name in found if "final" in name.lower()]
        curves = [name for name in found if name not in final]
        found = final if on == "final" and final else curves or final
        found = [name for name in found if re.search(r"val|eval|test", name, re.IGNORECASE)] or found
        found = sorted(found, key=lambda name: -table.columns[name].values.size)[:1]
    if len(found) != 1:
        listed = ", ".join(map(repr, names)) or "none"
        raise InputError("loss", given or f"{len(found)} columns of losses in {path}", f"one of its columns: {listed}")
    return found[0]


def _rates(
    table: LogTable, config: dict[str, Any], given: str | None, last: int, path: str | Path, notes: list[str]
) -> Array:
    """Learning rate of every step up to ``last``."""
    planned = configured_steps(config)
    rows = _rate_rows(table, given, path)
    if rows is None:
        if planned is None:
            listed = ", ".join(map(repr, table.columns)) or "none"
            raise InputError("steps", f"{path} with the columns {listed}", "a column of learning rates, or steps=...")
        notes.append("learning rates are those of the log's configuration")
        return planned
    places, values = rows
    if planned is not None and _agree(planned, places, values):
        notes.append("learning rates are those of the log's configuration, which agree with its rows")
        return planned
    values = _without_closing_zero(values)
    if places[0] > LATE * last:
        where = f"{path}, whose first row is step {places[0]:g} of {last}"
        raise InputError("steps", where, "a log from the start of the run, or steps=... for every step")
    if places[-1] < last:
        last_known = values[-1]
        notes.append(f"after the last logged rate, step {places[-1]:g}, it is held at {last_known:.3g}")
    if places[0] > 1.0 and values[0] > 0.0:
        notes.append("before the first row a linear warm-up from zero is assumed")
    return _interpolated(places, values, last)


def _rate_rows(table: LogTable, given: str | None, path: str | Path) -> tuple[Array, Array] | None:
    names = [name for name in table.columns if not name.endswith(("__MIN", "__MAX"))]
    if given is not None:
        found = [name for name in names if name == given] or [name for name in names if name.endswith(given)]
        if len(found) != 1:
            raise InputError("lr", given, f"the name of one of its columns: {', '.join(map(repr, names))}")
    else:
        found = [name for name in names if re.search(r"(^|[^a-z])(lr|learning[_ ]rate)$", name, re.IGNORECASE)][:1]
    if not found:
        return None
    column = table.columns[found[0]]
    if column.steps is None:
        series = table.series(found[0])
        places, values = series.steps, series.values
    else:  # a schedule is a function of the step, whatever order the parts of a resumed run are logged in
        places, first = np.unique(column.steps[::-1], return_index=True)
        values = column.values[::-1][first]
    good = np.isfinite(places) & np.isfinite(values)
    places, values = places[good], check_steps(values[good], "lr")
    return (places, values) if places.size else None


def _agree(planned: Array, places: Array, values: Array) -> bool:
    """Whether the configured rates are the logged ones; the last row may follow the last step."""
    inside = (places >= 1) & (places < planned.size)
    if inside.sum() < 2 or places[-1] > planned.size:
        return False
    expected = planned[places[inside].astype(np.int64) - 1]
    return bool(np.quantile(np.abs(expected - values[inside]), 0.98) <= AGREES * planned.max())


def _without_closing_zero(values: Array) -> Array:
    """Hold the rate where the last row is a zero that no decay leads to: programs log it after the last step."""
    if values.size > 2 and values[-1] == 0.0 and values[-2] > 3.0 * abs(values[-3] - values[-2]):
        return np.append(values[:-1], values[-2])
    return values


def _interpolated(places: Array, values: Array, last: int) -> Array:
    """Rates of the steps 1..last: linear between rows, except across switches; from zero before the first row."""
    if places[0] > 0.0:
        places, values = np.append(0.0, places), np.append(0.0 if places[0] > 1.0 else values[0], values)
    step = np.arange(1.0, last + 1.0)
    rates = np.interp(step, places, values)
    change = np.abs(np.diff(values))
    before, after = np.append(np.inf, change[:-1]), np.append(change[1:], 0.0)
    switches = (change > SWITCH * np.maximum(before, after)) & (change > 0.15 * values[:-1])
    for row in np.flatnonzero(switches):
        rates[(step > places[row]) & (step < places[row + 1])] = values[row]
    return rates
