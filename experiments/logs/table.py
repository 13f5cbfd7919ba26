"""What every reader returns: named columns of numbers, the rows they stand on, and the column that counts steps."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError

from .order import in_run_order

__all__ = ["Column", "LogTable", "Series", "Text", "is_step_name"]

# words that may stand beside "step" or "iteration" in the name of a step counter; "step_size" or "steps_per_second"
# name something else
_BESIDE = re.compile(
    "global|train|trainer|training|optim|optimizer|optimiser|opt|num|n|no|nb|nr|number|idx|index|id|current|cur|update|"
    "gradient|grad|model|log|logged|logging|counter|count|done|completed|elapsed"
)
_STEP_WORDS = ("step", "steps", "nstep", "nsteps", "globalstep", "globalsteps", "trainstep")
_ITERATION_WORDS = (
    "iter",
    "iters",
    "iteration",
    "iterations",
    "it",
    "itr",
    "niter",
    "t",
    "update",
    "updates",
    "nupdates",
)
_TIME_WORDS = ("time", "timestamp", "wall", "runtime", "date", "seconds", "epoch", "epochs")


@dataclass(frozen=True)
class Text:
    """What is wrong with a column, such as a cell that is no number, and where; an error once the column is used."""

    place: str
    shown: str
    expected: str = "a number in every cell"


@dataclass(frozen=True)
class Column:
    """Numbers of a log under one name.

    Attributes
    ----------
    values : float64[n]
        Without blank cells.
    rows : int64[n]
        Numbers of the rows they stand on, from 0.
    text : Text or None
        The first cell that holds text, which ``values`` leaves out.
    steps : float64[n] or None
        Steps of its own, in formats where each series has them.
    blanks : int
        Number of rows without a value.
    """

    values: Array
    rows: npt.NDArray[np.int64]
    text: Text | None = None
    steps: Array | None = None
    blanks: int = 0


@dataclass(frozen=True)
class Series:
    """One column in the order of the run: strictly increasing steps (row numbers where the log has none)."""

    name: str
    values: Array
    steps: Array
    step_column: str | None
    notes: tuple[str, ...]

    def span(self) -> tuple[int, int]:
        """Return the first and the last step of the run: a log that starts within its first stride starts at 1.

        >>> Series("norm", np.ones(3), np.array([10.0, 20.0, 30.0]), "step", ()).span()
        (1, 30)
        >>> Series("norm", np.ones(3), np.array([0.0, 10.0, 20.0]), "step", ()).span()
        (0, 20)
        """
        first, last = int(self.steps[0]), int(self.steps[-1])
        return (1 if 1 <= first <= self.stride() else first), last

    def stride(self) -> float:
        """Return the usual number of steps from one row to the next."""
        return float(np.median(np.diff(self.steps))) if self.steps.size > 1 else 1.0


@dataclass(frozen=True)
class LogTable:
    """A log as a table.

    Attributes
    ----------
    kind : str
        Format, for people.
    source : str
        Path.
    columns : mapping of str to Column
        It may read a column only when it is asked for.
    n_rows : int
    place : callable
        Says where a row stands in the file, such as "line 3".
    length : int or None
        Steps of the run as the log itself states them.
    notes : tuple of str
        What the reader left out or assumed.
    """

    kind: str
    source: str
    columns: Mapping[str, Column]
    n_rows: int
    place: Callable[[int], str] = lambda row: f"record {row + 1}"
    length: int | None = None
    notes: tuple[str, ...] = ()

    def series(self, name: str, *, step_column: str | None = None, by_rows: bool = False) -> Series:
        """Return a column in the order of its steps.

        Parameters
        ----------
        name : str
            A key of ``columns``.
        step_column : str, optional
            Name of the column that counts steps, or the end of it. By default it is known by its name.
        by_rows : bool
            Do without a step column where none is known.

        Raises
        ------
        InputError
            If the column holds text, or the steps cannot be told.
        """
        column = self.columns[name]
        if column.text is not None:
            where = f"{self.source}, {column.text.place}, column {name!r}: {column.text.shown}"
            raise InputError("path", where, column.text.expected)
        counter, steps, notes = self._steps(name, column, step_column, by_rows)
        if counter is None:
            return Series(name, column.values, column.rows.astype(np.float64), None, tuple(notes))
        self._check_steps(counter, steps, column)
        epochs = None if column.steps is not None else self._epochs(name, column)
        ordered, kept, more = in_run_order(
            steps, column.values, epochs, lambda k: self.place(int(column.rows[k])), by_rows=by_rows
        )
        return Series(name, column.values[kept], ordered, counter, (*notes, *more))

    def _steps(
        self, name: str, column: Column, given: str | None, by_rows: bool
    ) -> tuple[str | None, Array, list[str]]:
        """Name and values of the step counter on the rows of ``column``; no name if there is none."""
        if column.steps is not None:
            return "step", column.steps, []
        others = {key: self.columns[key] for key in self._counters(given) if key != name}
        found = {key: self._on_rows(other, column.rows) for key, other in others.items() if other.text is None}
        found = {key: steps for key, steps in found.items() if not np.isnan(steps).all()}
        for key, steps in found.items():
            if not np.isnan(steps).any():
                rivals = [rival for rival in found if rival != key and not np.array_equal(found[rival], steps)]
                return key, steps, [f"steps are those of {key!r}, not of {rivals[0]!r}"] if rivals else []
        if found and not by_rows:
            key, steps = next(iter(found.items()))
            where = self.place(int(column.rows[int(np.argmax(np.isnan(steps)))]))
            expected = "a step wherever there is a value (positions='rows' counts rows)"
            raise InputError("steps", f"{self.source}, {where}, column {key!r}: no step", expected)
        for key, other in others.items():
            if other.text is not None and not by_rows:
                where = f"{self.source}, {other.text.place}, column {key!r}: {other.text.shown}"
                raise InputError(
                    "path", where, "a number in every cell of the step column (positions='rows' counts rows)"
                )
        if not by_rows:
            self._refuse_unknown_counter(name, column)
        return None, np.empty(0), []

    def _counters(self, given: str | None) -> list[str]:
        """Columns that count steps by their names, the best first, or the one that is named."""
        if given is None:
            names = [name for name in self.columns if is_step_name(name)]
            names = [name for name in names if not _is_constant(self.columns[name].values)]
            return sorted(names, key=_rank)
        matching = [name for name in self.columns if name == given]
        matching = matching or [name for name in self.columns if name.endswith(given)]
        if len(matching) != 1:
            listed = ", ".join(map(repr, self.columns)) or "none"
            raise InputError("step_column", given, f"one of the columns of {self.source}: {listed}")
        return matching

    def _on_rows(self, column: Column, rows: npt.NDArray[np.int64]) -> Array:
        by_row = np.full(self.n_rows, np.nan)
        by_row[column.rows] = column.values
        return by_row[rows]

    def _refuse_unknown_counter(self, name: str, column: Column) -> None:
        """Refuse a log in which a column of another name counts on by more than one a row: it may be the steps."""
        for key in self._companions(name) if column.rows.size > 2 else ():
            other = self.columns[key]
            if other.text is not None or _tells_time(key):
                continue
            counts = self._on_rows(other, column.rows)
            jumps = np.diff(counts)
            if not np.isnan(counts).any() and (counts == np.rint(counts)).all() and jumps.min() > 0 and jumps.max() > 1:
                shown = f"{self.source} without a column that is known to count steps"
                raise InputError(
                    "step_column", shown, f"step_column={key!r}, which counts up (or positions='rows', to count rows)"
                )

    def _companions(self, name: str) -> list[str]:
        """Other columns that can have a value wherever ``name`` has one; arrays of a file declare their lengths."""
        shapes = getattr(self.columns, "shapes", {})
        return [key for key in self.columns if key != name and shapes.get(key) == shapes.get(name)]

    def _check_steps(self, counter: str, steps: Array, column: Column) -> None:
        good = np.isfinite(steps) & (steps >= 0.0) & (steps == np.rint(steps)) & (steps < 2.0**53)
        if not good.all():
            k = int(np.argmin(good))
            where = f"{self.source}, {self.place(int(column.rows[k]))}, column {counter!r}: {steps[k]:g}"
            raise InputError("steps", where, "whole step numbers that are at least zero")

    def _epochs(self, name: str, column: Column) -> Array | None:
        names = [name for name in self._companions(name) if _words(name)[-1:] in (["epoch"], ["epochs"])]
        for name in names:
            epochs = self._on_rows(self.columns[name], column.rows)
            if self.columns[name].text is None and not np.isnan(epochs).any():
                return epochs
        return None


def is_step_name(name: str) -> bool:
    """Whether a column of this name counts steps.

    >>> [is_step_name(name) for name in ("trainer/global_step", "Iterations", "step_size", "steps_per_second")]
    [True, True, False, False]
    """
    words = _words(name)
    core = [word for word in words if word in _STEP_WORDS or word in _ITERATION_WORDS]
    return bool(core) and all(_BESIDE.fullmatch(word) for word in words if word not in core)


def _rank(name: str) -> tuple[int, int]:
    """Global steps before steps before iterations; W&B's ``_step`` counts calls of its own logger."""
    words = _words(name)
    if name.strip() == "_step":
        return 3, len(name)
    if "global" in words or "globalstep" in words or "globalsteps" in words:
        return 0, len(name)
    return (1 if any(word in _STEP_WORDS for word in words) else 2), len(name)


def _words(name: str) -> list[str]:
    """Words of a column name: "run one - train/globalStep" gives train, global, step."""
    last = name.rpartition(" - ")[2]
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", last).lower())


def _tells_time(name: str) -> bool:
    return any(word in _TIME_WORDS for word in _words(name))


def _is_constant(values: Array) -> bool:
    return values.size > 1 and bool(np.ptp(values) == 0.0)
