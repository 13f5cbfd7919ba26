"""Schedules as files: schedule.json and its plain siblings, with what the numbers mean.

Two kinds. Multipliers have no unit: they shape a base learning rate that is found elsewhere. Steps are learning rates
as they are: nothing may scale them.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_path, check_steps

__all__ = ["COLUMNS", "ScheduleFile", "read_schedule", "read_schedule_file", "write_schedule"]

SCHEMA = 1
COLUMNS = {"multiplier": "multiplier", "steps": "step_size"}
"""Kind of a schedule file to the name of its column in csv."""


@result
class ScheduleFile(Result):
    """What a schedule file holds.

    Attributes
    ----------
    values : ndarray, shape (n,)
        One number for every step.
    kind : str
        ``"multiplier"`` of a base learning rate, or ``"steps"``, the learning rates themselves.
    provenance : mapping
        Where the schedule comes from; empty for csv and npy.
    """

    _shown = ("kind", "n_steps")

    values: Array
    kind: str
    provenance: Mapping[str, Any]

    @property
    def n_steps(self) -> int:
        """Number of values."""
        return self.values.size

    @property
    def absolute(self) -> bool:
        """Whether the values are learning rates, which no base learning rate may scale."""
        return self.kind == "steps"


def write_schedule(
    steps: npt.ArrayLike,
    path: str | Path,
    provenance: Mapping[str, Any] | None = None,
    *,
    kind: str = "multiplier",
) -> Path:
    """Write a schedule to ``schedule.json`` (or, by the ending, csv or npy), atomically.

    Parameters
    ----------
    steps : array_like, shape (n,)
        Multipliers of the base learning rate, or learning rates.
    path : str or Path
        Ends in .json, .csv or .npy; npy has no place for the kind and takes multipliers only.
    provenance : mapping, optional
        Where the schedule comes from; kept by the JSON format only.
    kind : {"multiplier", "steps"}
        What the numbers are.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        For bad steps, an unknown kind, an ending that is not known or has no place for the kind.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read_schedule(write_schedule([1.0, 0.5], Path(folder, "schedule.json"))).tolist()
    ...     read_schedule_file(write_schedule([0.1, 0.05], Path(folder, "designed.json"), kind="steps"))
    [1.0, 0.5]
    ScheduleFile(kind='steps', n_steps=2)
    """
    values = check_steps(steps)
    check_choice(kind, "kind", COLUMNS)
    if not isinstance(provenance, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("provenance", provenance, "a mapping of names to facts")
    target = check_path(path)
    endings = (".json", ".csv", ".npy") if kind == "multiplier" else (".json", ".csv")
    check_choice(target.suffix, "path", endings)
    if target.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
    elif target.suffix == ".csv":
        rows = "".join(f"{step},{value!r}\n" for step, value in enumerate(values.tolist()))
        content = f"step,{COLUMNS[kind]}\n{rows}".encode()
    else:
        document = {
            "schema": SCHEMA,
            "kind": kind,
            "horizon": values.size,
            "values": values.tolist(),
            "provenance": dict(provenance or {}),
        }
        content = json.dumps(document, indent=1).encode()
    write_atomically(target, content)
    return target


def read_schedule(path: str | Path) -> Array:
    """Return the multipliers in a schedule file; a file of steps is refused, see `read_schedule_file`.

    Parameters
    ----------
    path : str or Path
        What `write_schedule` wrote: json, csv or npy.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        For a file that `read_schedule_file` refuses, or one of absolute steps.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read_schedule(write_schedule([1.0, 0.5], Path(folder, "schedule.csv")))
    array([1. , 0.5])
    """
    found = read_schedule_file(path)
    if found.absolute:
        raise InputError("path", f"{path} with absolute steps", "a file of multipliers of a base learning rate")
    return found.values.copy()


def read_schedule_file(path: str | Path) -> ScheduleFile:
    """Read what `write_schedule` wrote, whatever its kind.

    Parameters
    ----------
    path : str or Path
        Ends in .json, .csv or .npy.

    Returns
    -------
    ScheduleFile

    Raises
    ------
    InputError
        For a file that is missing, damaged or of another sort, with rows that are missing or out of order.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read_schedule_file(write_schedule([1.0, 0.5], Path(folder, "schedule.npy")))
    ScheduleFile(kind='multiplier', n_steps=2)
    """
    file = check_path(path)
    if not file.is_file():
        raise InputError("path", str(file), "an existing schedule file")
    check_choice(file.suffix, "path", (".json", ".csv", ".npy"))
    try:
        return {".npy": _from_npy, ".csv": _from_csv, ".json": _from_json}[file.suffix](file)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        reason = f"no field {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise InputError("path", f"{file} ({reason})", "a schedule written by write_schedule") from error


def _from_npy(file: Path) -> ScheduleFile:
    return ScheduleFile(check_steps(np.load(file, allow_pickle=False), "values"), "multiplier", {})


def _from_csv(file: Path) -> ScheduleFile:
    with file.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        kinds = [kind for kind, column in COLUMNS.items() if column in (reader.fieldnames or ())]
        if len(kinds) != 1:
            raise InputError("path", f"{file} with columns {reader.fieldnames}", "a column multiplier, or step_size")
        rows = list(reader)
    for index, row in enumerate(rows):
        if "step" in row and row["step"].strip() != str(index):
            raise InputError("path", f"{file}: row {index} has step {row['step']}", "the steps 0, 1, 2, ... in order")
    return ScheduleFile(check_steps([float(row[COLUMNS[kinds[0]]]) for row in rows], "values"), kinds[0], {})


def _from_json(file: Path) -> ScheduleFile:
    document = json.loads(file.read_text(encoding="utf-8"))
    if document["schema"] != SCHEMA or document["kind"] not in COLUMNS:
        found = f"{file} (schema {document['schema']!r}, kind {document['kind']!r})"
        raise InputError("path", found, f"schema {SCHEMA} and a kind among {', '.join(COLUMNS)}")
    values = check_steps(document["values"], "values")
    if values.size != document.get("horizon"):
        found = f"{file}: horizon {document.get('horizon')}"
        raise InputError("path", found, f"a horizon of {values.size}, as 'values'")
    return ScheduleFile(values, document["kind"], document.get("provenance") or {})
