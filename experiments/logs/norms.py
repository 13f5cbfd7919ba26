"""Gradient norms of a recorded run, read from the log that the practitioner already has."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_choice, check_count

from .formats import LogTable, in_order, numbers, read_table

POSITIONS = ("rows", "steps")
WANDB_TRIM = 2
TIED_SHARE = 0.1
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
        What was done to the values, for people.
    """

    norms: Array
    horizon: int
    positions: Array | None
    column: str
    source: str
    kind: str
    notes: tuple[str, ...] = ()

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
    positions: Literal["rows", "steps"] = "rows",
    trim: int | None = None,
    drop_bad: bool = False,
) -> NormLog:
    """Read the gradient norms of one run.

    Parameters
    ----------
    path : str or Path
        CSV (plain, or exported by Weights & Biases), npy, npz, JSONL, a Hugging Face ``trainer_state.json``, a JSON
        history, or a TensorBoard event file or folder (optional extra ``tensorboard``).
    column : str, optional
        Name of the column, or its end; needed if several columns are norms.
    positions : {"rows", "steps"}
        Whether logged rows are equally spaced in training (as published refinements take them) or sit where the
        step column says. The two differ only for logs with irregular steps.
    trim : int, optional
        Rows to leave out at both ends. Default: 2 for W&B exports, whose ends are often damaged, as in the
        published procedure of arXiv 2310.07831; 0 for other logs.
    drop_bad : bool
        Leave out norms that are zero, negative or not finite, and bridge holes, instead of raising an error.

    Returns
    -------
    NormLog

    Raises
    ------
    InputError
        If the file or the column cannot be read as norms; the message names what was found.

    Warns
    -----
    NormsWarning
        If over 10% of the norms tie at the maximum: they were recorded after clipping.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "log.csv")
    ...     _ = file.write_text("step,grad_norm\\n0,4.0\\n10,1.0\\n")
    ...     read_norms(file).norms.tolist()
    [4.0, 1.0]
    """
    table = read_table(path)
    name = _choose_column(table, column, path)
    values, steps = numbers(table, name, path), table.steps[name]
    check_choice(positions, "positions", POSITIONS)
    if not np.isfinite(steps).all():
        raise InputError("steps", steps[~np.isfinite(steps)][0], "finite step numbers")
    notes: list[str] = []
    steps, values, repeated = in_order(steps, values)
    if repeated:
        notes.append(f"{repeated} steps were logged again (a resumed run); the last value counts")
    if table.blanks.get(name):
        notes.append(f"{table.blanks[name]} blank cells were skipped")
    n_rows = values.size
    values, steps = _drop_or_refuse(values, steps, name, drop_bad, notes)
    positions = _check_holes(steps, positions, drop_bad, notes)
    cut = WANDB_TRIM * (table.kind == "W&B export") if trim is None else check_count(trim, "trim", minimum=0)
    if cut and values.size > 2 * cut:
        values, steps = values[cut:-cut], steps[cut:-cut]
        notes.append(f"{cut} rows at both ends were left out ({table.kind}; trim=0 keeps them)")
    spacings = np.diff(steps)
    if positions == "rows" and spacings.size and spacings.max() > 1.5 * spacings.min():
        notes.append(
            "the logged steps are irregular; rows are taken as equally spaced (positions='steps' changes that)"
        )
    _warn_if_clipped(values, name, notes)
    span = round(float(steps[-1] - steps[0])) + 1
    return NormLog(
        norms=values,
        horizon=table.horizon or (n_rows if positions == "rows" else span),
        positions=steps if positions == "steps" else None,
        column=name,
        source=str(path),
        kind=table.kind,
        notes=tuple(notes),
    )


def _choose_column(table: LogTable, column: str | None, path: str | Path) -> str:
    names = [name for name in table.columns if not re.search(r"__(MIN|MAX)$", name)]
    listed = ", ".join(repr(name) for name in names) or "none"
    if column is not None:
        matching = [name for name in table.columns if name == column] or [n for n in names if n.endswith(column)]
        if len(matching) != 1:
            raise InputError("column", column, f"one of the columns of {path}: {listed}")
        return matching[0]
    norms = [name for name in names if "norm" in name.lower()]
    norms = norms or [name for name in names if name.lower() in GENERIC_NAMES]
    if not norms:
        expected = "a log with a column of gradient norms ('norm' in its name), or column=..."
        raise InputError("path", f"{path} with the columns {listed}", expected)
    if len(norms) > 1:
        raise InputError("column", f"no choice among {', '.join(map(repr, norms))}", "the name of one column of norms")
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


def _check_holes(
    steps: Array, positions: Literal["rows", "steps"], drop_bad: bool, notes: list[str]
) -> Literal["rows", "steps"]:
    """Refuse holes of over a twentieth of training that the usual spacing does not explain."""
    spacings = np.diff(steps)
    if spacings.size == 0:
        return positions
    widest = int(np.argmax(spacings))
    hole = spacings[widest] > 20.0 * np.median(spacings) and spacings[widest] > 0.05 * (steps[-1] - steps[0])
    if not hole:
        return positions
    where = f"a gap from step {steps[widest]:g} to {steps[widest + 1]:g}"
    if not drop_bad:
        raise InputError("steps", where, "norms over the whole run (drop_bad=True, --drop-bad bridges gaps)")
    notes.append(f"{where} was bridged in log space")
    return "steps"


def _warn_if_clipped(values: Array, name: str, notes: list[str]) -> None:
    tied = float(np.mean(values == values.max()))
    if values.size >= 10 and TIED_SHARE < tied < 1.0:
        message = f"{tied:.0%} of {name} tie at the maximum {values.max():g}: record norms before clipping"
        notes.append(message)
        warnings.warn(message, NormsWarning, stacklevel=3)
