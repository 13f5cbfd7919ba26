"""Reading logs of training runs: every format becomes one table of named columns with their steps."""

import csv
import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array, InputError

STEP_NAMES = ("step", "_step", "steps", "global_step", "train/global_step", "iter", "iteration", "t")


@dataclass(frozen=True)
class LogTable:
    """Columns of a log; ``steps[name]`` are the positions of ``columns[name]``, or row numbers.

    ``blanks`` counts cells left out because they were empty; ``horizon`` is what the log itself says about its length.
    """

    kind: str
    columns: dict[str, Array]
    steps: dict[str, Array]
    blanks: dict[str, int] = field(default_factory=dict)
    horizon: int | None = None


def read_table(path: str | Path) -> LogTable:
    """Read a log: CSV (plain or exported by W&B), npy, npz, JSONL, HF trainer_state.json, a JSON history, TensorBoard.

    Raises
    ------
    InputError
        If the file does not exist, has another format, is truncated, or holds text where a number belongs.
    """
    file = Path(path)
    if file.is_dir() or "tfevents" in file.name:
        return _tensorboard(file)
    if not file.is_file():
        raise InputError("path", str(file), "an existing log file")
    readers = {
        ".csv": _csv,
        ".tsv": _csv,
        ".txt": _csv,
        ".npy": _numpy,
        ".npz": _numpy,
        ".jsonl": _jsonl,
        ".json": _json,
    }
    if file.suffix.lower() not in readers:
        raise InputError("path", str(file), f"a log ending in {', '.join(readers)}, or a TensorBoard event file")
    try:
        return readers[file.suffix.lower()](file)
    except UnicodeDecodeError as error:
        raise InputError("path", f"{file} ({error})", "a text file in UTF-8") from error


def is_step_name(name: str) -> bool:
    """Whether a column of this name counts steps."""
    return name.strip().lower() in STEP_NAMES


def _csv(file: Path) -> LogTable:
    with file.open(newline="", encoding="utf-8-sig") as handle:
        lines = list(csv.reader(handle, delimiter="\t" if file.suffix == ".tsv" else ","))
    rows = [(number, row) for number, row in enumerate(lines, start=1) if any(cell.strip() for cell in row)]
    if not rows:
        raise InputError("path", f"{file} (empty)", "a CSV file with a header and rows")
    if all(_is_number(cell) for cell in rows[0][1]):
        width = len(rows[0][1])
        header = ["norm"] if width == 1 else ["step", *(f"column {i}" for i in range(2, width + 1))]
        header = ["step", "norm"] if width == 2 else header
    else:
        header = [cell.strip() for cell in rows.pop(0)[1]]
    if len(set(header)) != len(header):
        raise InputError("path", f"{file} with the columns {header}", "a header without repeated names")
    for number, row in rows:
        if len(row) != len(header):
            raise InputError("path", f"{file}, line {number}: {len(row)} cells", f"{len(header)} cells in every row")
    step_column = next((i for i, name in enumerate(header) if is_step_name(name)), None)
    columns: dict[str, Array] = {}
    steps: dict[str, Array] = {}
    blanks: dict[str, int] = {}
    for i, name in enumerate(header):
        if i == step_column:
            continue
        cells = [(row_index, number, row[i].strip()) for row_index, (number, row) in enumerate(rows) if row[i].strip()]
        try:
            columns[name] = np.array([float(cell) for _, _, cell in cells])
        except ValueError:
            columns[name] = np.array([_TextCell(number, cell) for _, number, cell in cells], dtype=object)
        blanks[name] = len(rows) - len(cells)
        if step_column is None:
            steps[name] = np.array([row_index for row_index, _, _ in cells], dtype=np.float64)
        else:
            numbers = (_float(rows[k][1][step_column], file, line, header[step_column]) for k, line, _ in cells)
            steps[name] = np.array(list(numbers), dtype=np.float64)
    exported = any(name.endswith("__MIN") for name in header)
    return LogTable("W&B export" if exported else "CSV", columns, steps, blanks)


@dataclass(frozen=True)
class _TextCell:
    """A cell of a column that holds text somewhere; whoever uses the column reports the first text in it."""

    line: int
    text: str


def numbers(table: LogTable, name: str, source: str | Path) -> Array:
    """Return a column as float64, or say on which line it holds text."""
    column = table.columns[name]
    if column.dtype != object:
        return column
    bad = next(cell for cell in column.tolist() if not _is_number(cell.text))
    raise InputError("path", f"{source}, line {bad.line}, column {name!r}: {bad.text!r}", "a number in every cell")


def in_order(steps: Array, values: Array) -> tuple[Array, Array, int]:
    """Sort by step; of several values at one step, as a resumed run leaves them, the last counts.

    >>> [part.tolist() for part in in_order(np.array([0.0, 1.0, 2.0, 1.0]), np.array([5.0, 6.0, 7.0, 8.0]))[:2]]
    [[0.0, 1.0, 2.0], [5.0, 8.0, 7.0]]
    """
    order = np.argsort(steps, kind="stable")
    last = np.append(np.diff(steps[order]) > 0.0, True)[: steps.size]
    kept = order[last]
    return steps[kept], values[kept], int(steps.size - kept.size)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _float(cell: str, file: Path, line: int, column: str) -> float:
    if not _is_number(cell):
        raise InputError("path", f"{file}, line {line}, column {column!r}: {cell!r}", "a number in every cell")
    return float(cell)


def _numpy(file: Path) -> LogTable:
    try:
        loaded: Any = np.load(file, allow_pickle=False)
        arrays = dict(loaded.items()) if file.suffix == ".npz" else {"norm": loaded}
    except (ValueError, OSError, EOFError) as error:
        raise InputError("path", f"{file} ({error})", "a NumPy file of numbers, without pickled objects") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise InputError("path", f"{file}, array {name!r} of {array.dtype}", "arrays of real numbers")
    columns = {name: array.astype(np.float64) for name, array in arrays.items() if array.ndim == 1}
    if not columns:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise InputError("path", f"{file} with the shapes {shapes}", "a one-dimensional array of norms")
    steps_name = next((name for name in columns if is_step_name(name)), None)
    steps_column = None if steps_name is None else columns.pop(steps_name)
    steps: dict[str, Array] = {}
    for name, column in columns.items():
        matching = steps_column is not None and steps_column.size == column.size
        steps[name] = steps_column if matching and steps_column is not None else np.arange(float(column.size))
    return LogTable("NumPy", columns, steps)


def _jsonl(file: Path) -> LogTable:
    records: list[Any] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            records.append(_parse_json(line, f"{file}, line {number}"))
    return _records("JSONL", records, file)


def _json(file: Path) -> LogTable:
    document = _parse_json(file.read_text(encoding="utf-8"), str(file))
    if isinstance(document, list):
        return _records("JSON", document, file)
    if isinstance(document, dict) and isinstance(document.get("log_history"), list):
        table = _records("HF trainer_state", document["log_history"], file)
        horizon = document.get("max_steps")
        return LogTable(table.kind, table.columns, table.steps, table.blanks, horizon if horizon else None)
    if isinstance(document, dict) and isinstance(document.get("history"), dict):
        return _history(document["history"])
    raise InputError("path", str(file), "a JSON list of records, an object with 'log_history', or one with 'history'")


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError("path", f"{where} ({error})", "valid JSON") from error


def _records(kind: str, records: Iterable[Any], file: Path) -> LogTable:
    """Columns from records; a key that a record lacks, or sets to null, is a blank cell."""
    values: dict[str, list[float]] = {}
    steps: dict[str, list[float]] = {}
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError("path", f"{file}, record {position + 1}: {record!r}", "one JSON object a record")
        named = next((record[key] for key in record if is_step_name(key)), position)
        for key, value in record.items():
            if is_step_name(key) or isinstance(value, bool) or not isinstance(value, int | float):
                if "norm" in key.lower() and value is not None:
                    raise InputError("path", f"{file}, record {position + 1}, {key}: {value!r}", "a number")
                continue
            values.setdefault(key, []).append(float(value))
            steps.setdefault(key, []).append(float(named))
    return LogTable(
        kind,
        {key: np.array(column) for key, column in values.items()},
        {key: np.array(column) for key, column in steps.items()},
    )


def _history(history: dict[str, Any]) -> LogTable:
    """Groups of equally long lists, each with its own iteration counter."""
    columns: dict[str, Array] = {}
    steps: dict[str, Array] = {}
    groups = history if all(isinstance(group, dict) for group in history.values()) else {"": history}
    for prefix, group in groups.items():
        counter = next((key for key in group if is_step_name(key)), None)
        for key, column in group.items():
            if key == counter or not isinstance(column, list) or not column:
                continue
            array = np.array([math.nan if value is None else value for value in column])
            if array.dtype.kind not in "fiu" or array.ndim != 1:
                continue
            counts = np.arange(array.size) if counter is None else np.asarray(group[counter])
            counts = counts if counts.size == array.size else np.arange(array.size)
            name = f"{prefix}/{key}" if prefix else key
            columns[name] = array.astype(np.float64)
            steps[name] = counts.astype(np.float64)
    return LogTable("JSON history", columns, steps)


def _tensorboard(path: Path) -> LogTable:
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError as error:
        raise ImportError("reading TensorBoard files needs: pip install 'lastiterate[tensorboard]'") from error
    files = sorted(path.glob("*tfevents*")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InputError("path", str(path), "a TensorBoard event file, or a folder that holds one")
    for file in files:
        _check_event_file(file)
    accumulator = event_accumulator.EventAccumulator(str(path), size_guidance={"scalars": 0})
    accumulator.Reload()
    columns: dict[str, Array] = {}
    steps: dict[str, Array] = {}
    tags: Any = accumulator.Tags()["scalars"]
    for tag in tags:
        events = accumulator.Scalars(tag)
        columns[tag] = np.array([event.value for event in events], dtype=np.float64)
        steps[tag] = np.array([event.step for event in events], dtype=np.float64)
    return LogTable("TensorBoard", columns, steps)


def _check_event_file(file: Path) -> None:
    """Walk over the records (length, its checksum, data, its checksum): TensorBoard stops silently at a cut one."""
    size = file.stat().st_size
    position = 0
    with file.open("rb") as handle:
        while position < size:
            handle.seek(position)
            head = handle.read(8)
            end = position + 16 + struct.unpack("<Q", head)[0] if len(head) == 8 else size + 1
            if end > size:
                raise InputError("path", f"{file}, truncated at byte {position} of {size}", "a complete event file")
            position = end
