"""The learning rates that a recorded run played, as a schedule."""

import re
from pathlib import Path

import numpy as np

from lastiterate.theory.base.validation import Array, InputError, check_count, check_steps

from .formats import read_table
from .table import LogTable

__all__ = ["from_log"]

NAME = re.compile(r"(^|[^a-z])(lr|learning[_ ]rate)([-/_. ]?(group|pg)?[-/_. ]?0)?$", re.IGNORECASE)
MAX_STEPS = 10**8


def from_log(path: str | Path, *, lr: str | None = None, n_steps: int | None = None) -> Array:
    """Return the learning rate of every step of a recorded run.

    Rates logged at every step are returned as they are. Between rows that are further apart they are interpolated, a
    change by more than a half holding until its row; before the first row its rate is held. A zero that follows the
    last step, which many programs log, is left out where no decay leads to it.

    Parameters
    ----------
    path : str or Path
        A log as for `read_norms`: CSV, W&B export, JSONL, trainer_state.json, JSON history, npz, TensorBoard.
    lr : str, optional
        Name of the column, or its end; by default one that ends in ``lr`` or ``learning_rate``.
    n_steps : int, optional
        Number of steps N, by default the last one that has a rate.

    Returns
    -------
    ndarray, shape (N,)
        Learning rates, as they are.

    Raises
    ------
    InputError
        For a log that cannot be read, has no such column, or whose rates are no finite numbers of at least zero.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "run.csv")
    ...     _ = file.write_text("step,lr\\n0,0.4\\n1,0.3\\n2,0.2\\n3,0.1\\n")
    ...     from_log(file)
    array([0.4, 0.3, 0.2, 0.1])
    """
    table = read_table(path)
    series = table.series(_column(table, lr, path))
    good = np.isfinite(series.steps) & np.isfinite(series.values)
    if not good.any():
        raise InputError("lr", f"{path}, {series.name} without a value", "at least one learning rate")
    places, rates = series.steps[good], check_steps(series.values[good], "lr")
    if rates.size > 2 and rates[-1] == 0.0 and rates[-2] > 3.0 * abs(rates[-3] - rates[-2]):
        places, rates = places[:-1], rates[:-1]
    places = places + (places[0] == 0.0)  # a log that starts at 0 counts the steps before, others those done
    last = int(places[-1]) if n_steps is None else check_count(n_steps, "n_steps")
    if last > MAX_STEPS:
        raise InputError("path", f"{path}, {last:,} steps", f"a run of at most {MAX_STEPS:,} steps")
    step = np.arange(1.0, last + 1.0)
    steps = np.interp(step, places, rates)
    for row in np.flatnonzero(np.abs(np.diff(rates)) > 0.5 * np.maximum(rates[1:], rates[:-1])):
        steps[(step > places[row]) & (step < places[row + 1])] = rates[row]
    return steps


def _column(table: LogTable, given: str | None, path: str | Path) -> str:
    names = [
        name for name in table.columns if not name.endswith(("__MIN", "__MAX")) and table.columns[name].values.size
    ]
    if given is None:
        found = [name for name in names if NAME.search(name)][:1]
    else:
        found = [name for name in names if name == given] or [name for name in names if name.endswith(given)]
    if len(found) != 1:
        listed = ", ".join(map(repr, names)) or "none"
        raise InputError("lr", given or f"{path} without a column of learning rates", f"one of its columns: {listed}")
    return found[0]
