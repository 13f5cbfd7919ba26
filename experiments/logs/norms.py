"""Gradient norms of a recorded run, read from the log that the practitioner already has."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_choice, check_count

from .formats import read_table
from .table import LogTable, Series

__all__ = ["NormLog", "NormsWarning", "read_norms"]

POSITIONS = ("rows", "steps")
WANDB_TRIM = 2
TIED_SHARE = 0.1
TIED_WITHIN = 1e-4
MAX_HORIZON = 10**8
GENERIC_NAMES = ("value", "values", "g", "gradient", "grad")


class NormsWarning(UserWarning):
    """The norms can be read, but something about them needs a look."""


@dataclass(frozen=True, repr=False)
class NormLog:
    """Gradient norms as logged; usable wherever an array is.

    Attributes
    ----------
    norms : float64[n]
    horizon : int
        Number of steps of the run, as far as the log tells; `refine` takes it as the default of ``n_steps``.
    positions : float64[n] or None
        Steps of the norms, None if equally spaced; `refine` takes it as the default of ``positions``.
    column : str
        Name of the column they came from.
    source : str
        Path of the log.
    kind : str
        Format of the log.
    notes : tuple of str
        What was dropped, merged or assumed, one line each.
    step_column : str or None
        Name of the column that counts the steps; None if rows were counted.
    span : tuple of float or None
        First and last step of the run, where positions are steps; `refine` holds the norms out to them.
    """

    norms: Array
    horizon: int
    positions: Array | None
    column: str
    source: str
    kind: str
    notes: tuple[str, ...] = ()
    step_column: str | None = None
    span: tuple[float, float] | None = None

    def __repr__(self) -> str:
        """Show the source, and not every number."""
        return f"NormLog({self.source!r}, column={self.column!r}, n={self.norms.size}, kind={self.kind!r})"

    def __len__(self) -> int:
        """Return the number of norms."""
        return int(self.norms.size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the norms, so that `refine` takes the log itself."""
        return np.array(self.norms, dtype=dtype, copy=copy) if copy else np.asarray(self.norms, dtype=dtype)


def read_norms(
    path: str | Path,
    *,
    column: str | None = None,
    step_column: str | None = None,
    positions: Literal["rows", "steps"] | None = None,
    trim: int | None = None,
    drop_bad: bool = False,
    salvage: bool = False,
) -> NormLog:
    """Read the gradient norms of one run.

    Parameters
    ----------
    path : str or Path
        CSV (plain, or exported by Weights & Biases), npy, npz, JSONL, a Hugging Face ``trainer_state.json``, a JSON
        history, each text also packed (.gz, .bz2, .xz); parquet (optional extra ``parquet``); a TensorBoard event file
        or folder (optional extra ``tensorboard``).
    column : str, optional
        Name of the column, or its end; needed if several columns are norms.
    step_column : str, optional
        Name of the column that counts training steps, or its end, where it is not known by its name.
    positions : {"steps", "rows"}, optional
        Whether norms sit where the step column says (the default wherever a log has one), or logged rows are equally
        spaced, the convention of published refinements (arXiv 2310.07831). The two differ for irregular steps only.
    trim : int, optional
        Rows to leave out at both ends. Default: 2 for W&B exports, whose ends are often damaged, as in the
        published procedure of arXiv 2310.07831; 0 for other logs.
    drop_bad : bool
        Leave out norms that are zero, negative or not finite, and bridge holes, instead of raising an error.
    salvage : bool
        Keep the sound part of a damaged table or event file instead of raising an error.

    Returns
    -------
    NormLog
        Its notes say what was dropped, merged or assumed; its horizon counts steps, in both kinds of positions.

    Raises
    ------
    InputError
        If the file or the column cannot be read as norms; the message names what was found.

    Warns
    -----
    NormsWarning
        If over 10% of the norms tie at the maximum, within 1e-4 of it: they were recorded after clipping.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "log.csv")
    ...     _ = file.write_text("step,grad_norm\\n0,4.0\\n10,1.0\\n")
    ...     log = read_norms(file)
    >>> log.norms.tolist(), log.horizon, log.notes
    ([4.0, 1.0], 11, ('logged every 10 steps, 0 to 10: read as a run of 11 steps',))
    """
    if positions is not None:
        check_choice(positions, "positions", POSITIONS)
    table = read_table(path, salvage=salvage)
    name = _choose_column(table, column)
    series = table.series(name, step_column=step_column, by_rows=positions == "rows")
    if positions == "steps" and series.step_column is None:
        raise InputError("positions", f"'steps' for {path}", "a log with a step column (step_column=...), or 'rows'")
    notes = [*series.notes, *table.notes]
    if table.columns[name].blanks:
        notes.append(f"{table.columns[name].blanks} blank cells were skipped")
    values, steps = _drop_or_refuse(series.values, series.steps, name, drop_bad, notes)
    by_steps = _check_holes(steps, positions != "rows" and series.step_column is not None, drop_bad, notes)
    first, last = _span(table, series, notes)
    cut = WANDB_TRIM * (table.kind == "W&B export") if trim is None else check_count(trim, "trim", minimum=0)
    if cut and values.size > 2 * cut:
        values, steps = values[cut:-cut], steps[cut:-cut]
        notes.append(f"{cut} rows at both ends were left out ({table.kind}; trim=0 keeps them)")
    spacings = np.diff(steps)
    if not by_steps and spacings.size and spacings.max() > 1.5 * spacings.min():
        notes.append("the logged steps are irregular; rows are taken as equally spaced")
    _warn_if_clipped(values, name, notes)
    return NormLog(
        norms=values,
        horizon=last - first + 1,
        positions=steps if by_steps else None,
        column=name,
        source=str(path),
        kind=table.kind,
        notes=tuple(notes),
        step_column=series.step_column,
        span=(float(first), float(last)) if by_steps else None,
    )


def _span(table: LogTable, series: Series, notes: list[str]) -> tuple[int, int]:
    """First and last step of the run, and a note on what had to be assumed."""
    first, last = series.span()
    stride = series.stride()
    if series.step_column is None:
        first = 0
        notes.append("no step column: every row is taken as one step")
    elif table.length is not None:
        if first in (0, 1):
            last = max(last, table.length - 1 + first)
    elif stride > 1.0:
        notes.append(
            f"logged every {stride:g} steps, {series.steps[0]:g} to {last}: read as a run of {last - first + 1} steps"
        )
    if first > 1:
        notes.append(f"the log starts at step {first}; the steps before are not part of this run")
    if last - first + 1 > MAX_HORIZON:
        where = f"steps from {first} to {last} in {table.source}"
        raise InputError("steps", where, f"a run of at most {MAX_HORIZON:,} steps")
    return first, last


def _choose_column(table: LogTable, column: str | None) -> str:
    names = [name for name in table.columns if not re.search(r"__(MIN|MAX)$", name)]
    listed = ", ".join(repr(name) for name in names) or "none"
    if column is not None:
        matching = [name for name in table.columns if name == column] or [n for n in names if n.endswith(column)]
        if len(matching) != 1:
            raise InputError("column", column, f"one of the columns of {table.source}: {listed}")
        return matching[0]
    norms = [name for name in names if "norm" in name.lower()] or [n for n in names if n.lower() in GENERIC_NAMES]
    # a column of words, such as norm_type, is no column of norms unless it is the only one
    norms = [name for name in norms if len(norms) == 1 or table.columns[name].values.size] or norms[:1]
    if not norms:
        expected = "a log with a column of gradient norms ('norm' in its name), or column=..."
        raise InputError("path", f"{table.source} with the columns {listed}", expected)
    if len(norms) > 1:
        several = f"{len(norms)} columns of norms: {', '.join(map(repr, norms))}"
        raise InputError("column", several, "the name of one of them")
    return norms[0]


def _drop_or_refuse(values: Array, steps: Array, name: str, drop_bad: bool, notes: list[str]) -> tuple[Array, Array]:
    good = np.isfinite(values) & (values > 0.0)
    if not good.all():
        bad = int(np.argmin(good))
        if not drop_bad:
            where = f"{name} = {values[bad]} at step {steps[bad]:g} ({int((~good).sum())} such values)"
            raise InputError("norms", where, "positive finite norms (drop_bad=True, --drop-bad leaves others out)")
        notes.append(f"{int((~good).sum())} zero, negative or non-finite norms were left out")
        values, steps = values[good], steps[good]
    if values.size == 0:
        raise InputError("norms", f"{name} without a value", "at least one positive finite norm")
    return values, steps


def _check_holes(steps: Array, by_steps: bool, drop_bad: bool, notes: list[str]) -> bool:
    """Refuse holes of over a twentieth of training that the usual spacing does not explain; return ``by_steps``."""
    spacings = np.diff(steps)
    if spacings.size == 0:
        return by_steps
    widest = int(np.argmax(spacings))
    hole = spacings[widest] > 20.0 * np.median(spacings) and spacings[widest] > 0.05 * (steps[-1] - steps[0])
    if not hole:
        return by_steps
    where = f"a gap from step {steps[widest]:g} to {steps[widest + 1]:g}"
    if not drop_bad:
        raise InputError("steps", where, "norms over the whole run (drop_bad=True, --drop-bad bridges gaps)")
    notes.append(f"{where} was bridged in log space")
    return True


def _warn_if_clipped(values: Array, name: str, notes: list[str]) -> None:
    # clipped norms are a quotient times the limit, in single precision: they tie up to rounding
    tied = float(np.mean(values >= values.max() * (1.0 - TIED_WITHIN)))
    if values.size >= 10 and TIED_SHARE < tied < 1.0:
        message = f"{tied:.0%} of {name} tie at the maximum {values.max():g}: record norms before clipping"
        notes.append(message)
        warnings.warn(message, NormsWarning, stacklevel=3)
