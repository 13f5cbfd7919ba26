"""Schedules as files: schedule.json and its plain siblings."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_steps

__all__ = ["read_schedule", "write_schedule"]

SCHEMA = 1


def write_schedule(steps: npt.ArrayLike, path: str | Path, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write a schedule to ``schedule.json`` (or, by the ending, csv or npy), atomically.

    Parameters
    ----------
    steps : array_like, shape (n,)
        Multipliers of the base learning rate.
    path : str or Path
        Ends in .json, .csv or .npy.
    provenance : mapping, optional
        Where the schedule comes from; kept by the JSON format only.

    Returns
    -------
    Path

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read_schedule(write_schedule([1.0, 0.5], Path(folder, "schedule.json"))).tolist()
    [1.0, 0.5]
    """
    values = check_steps(steps)
    target = Path(path)
    check_choice(target.suffix, "path", (".json", ".csv", ".npy"))
    if target.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
    elif target.suffix == ".csv":
        rows = "".join(f"{step},{value!r}\n" for step, value in enumerate(values.tolist()))
        content = f"step,multiplier\n{rows}".encode()
    else:
        document = {
            "schema": SCHEMA,
            "kind": "multiplier",
            "horizon": values.size,
            "values": values.tolist(),
            "provenance": dict(provenance or {}),
        }
        content = json.dumps(document, indent=1).encode()
    write_atomically(target, content)
    return target


def read_schedule(path: str | Path) -> Array:
    """Read what `write_schedule` wrote, and return float64[n]."""
    file = Path(path)
    if not file.is_file():
        raise InputError("path", str(file), "an existing schedule file")
    try:
        if file.suffix == ".npy":
            return check_steps(np.load(file, allow_pickle=False), "values")
        if file.suffix == ".csv":
            with file.open(newline="", encoding="utf-8") as handle:
                return check_steps([float(row["multiplier"]) for row in csv.DictReader(handle)], "values")
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA or document["kind"] != "multiplier":
            raise InputError("path", f"{file} (schema {document['schema']!r})", f"schema {SCHEMA}, kind 'multiplier'")
        values = check_steps(document["values"], "values")
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, EOFError) as error:
        expected = "a schedule written by write_schedule"
        raise InputError("path", f"{file} ({type(error).__name__}: {error})", expected) from error
    if values.size != document.get("horizon"):
        raise InputError(
            "path", f"{file}: horizon {document.get('horizon')}", f"a horizon of {values.size}, as 'values'"
        )
    return values
