"""Logs in JSON: lines of records, Hugging Face's trainer states, histories."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import InputError

from .table import Column, LogTable, Text, is_step_name
from .text_files import read_text

__all__ = ["read_json", "read_jsonl"]

_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def read_jsonl(file: Path, *, salvage: bool = False) -> LogTable:
    """Read one JSON object a line; with ``salvage`` lines that are none are left out.

    Raises
    ------
    InputError
        With the line that is no JSON object.
    """
    records: list[tuple[int, Any]] = []
    bad: list[int] = []
    text = read_text(file)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = _parse_json(line, f"{file}, line {number}")
            _check_record(record, f"{file}, line {number}")
        except InputError:
            if not salvage:
                raise
            bad.append(number)
            continue
        records.append((number, record))
    lost = f"{len(bad)} lines that are no JSON objects left out, the first is line {bad[0]}" if bad else ""
    lines = [number for number, _ in records]
    table = _records(
        "JSONL", file, (record for _, record in records), lambda row: f"record {row + 1} (line {lines[row]})"
    )
    return _noting(table, lost)


def read_json(file: Path) -> LogTable:
    """Read a trainer state, a list of records, a history of lists, or an object of equally long lists."""
    document = _parse_json(read_text(file), str(file))
    if isinstance(document, list):
        return _checked_records("JSON", file, document)
    if isinstance(document, dict) and isinstance(document.get("log_history"), list):
        return _trainer_state(file, document)
    if isinstance(document, dict) and isinstance(document.get("history"), dict):
        return _history(file, document["history"])
    if isinstance(document, dict) and len(document) > 1 and all(isinstance(part, list) for part in document.values()):
        return _history(file, document)
    expected = "a JSON list of records, an object with 'log_history', or one with 'history'"
    raise InputError("path", str(file), expected)


def _noting(table: LogTable, note: str) -> LogTable:
    notes = (*table.notes, note) if note else table.notes
    return LogTable(table.kind, table.source, table.columns, table.n_rows, table.place, table.length, notes)


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError("path", f"{where} ({error})", "valid JSON") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        raise InputError("path", f"{where} ({type(error).__name__}: {error})", "JSON of a log") from error


def _check_record(record: Any, where: str) -> None:
    if not isinstance(record, dict):
        raise InputError("path", f"{where}: {record!r}", "one JSON object a record")


def _checked_records(kind: str, file: Path, records: list[Any]) -> LogTable:
    for number, record in enumerate(records, start=1):
        _check_record(record, f"{file}, record {number}")
    return _records(kind, file, records, lambda row: f"record {row + 1}")


def _records(kind: str, file: Path, records: Iterable[Any], place: Callable[[int], str]) -> LogTable:
    """Columns from records; a key that a record lacks, or sets to null, is a blank cell."""
    values: dict[str, list[float]] = {}
    rows: dict[str, list[int]] = {}
    texts: dict[str, Text] = {}
    n_rows = 0
    for row, record in enumerate(records):
        n_rows = row + 1
        for key, value in _leaves(record):
            number = _number(value)
            if number is None:
                if value is not None and not isinstance(value, bool):
                    texts.setdefault(key, Text(place(row), f"{value!r:.80}"))
                continue
            values.setdefault(key, []).append(number)
            rows.setdefault(key, []).append(row)
    columns = {
        key: Column(
            np.array(values.get(key, []), dtype=np.float64),
            np.array(rows.get(key, []), dtype=np.int64),
            texts.get(key),
        )
        for key in dict.fromkeys([*values, *texts])
    }
    return LogTable(kind, str(file), columns, n_rows, place)


def _leaves(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values; those of an object inside get a path: {"train": {"loss": 1}} has train/loss."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def _number(value: Any) -> float | None:
    """A number, or one of the words that writers use for what JSON cannot hold."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _NOT_FINITE.fullmatch(value.strip()):
        return float(value)
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _trainer_state(file: Path, document: dict[str, Any]) -> LogTable:
    table = _checked_records("HF trainer_state", file, document["log_history"])
    done, planned = (document.get(key) for key in ("global_step", "max_steps"))
    for key, value in (("global_step", done), ("max_steps", planned)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise InputError("path", f"{file}, {key}: {value!r}", "a whole number of steps")
    step = table.columns.get("step")
    logged = int(step.values.max()) if step is not None and step.values.size and np.isfinite(step.values).all() else 0
    length = done or logged or planned
    if done is not None and 0 < done < logged:
        raise InputError("path", f"{file}, global_step: {done}", f"at least {logged}, the last step of its log")
    note = ""
    if planned is not None and 0 < planned != length:
        note = f"the run stopped at step {length} of {planned}; it is read as a run of {length} steps"
    with_length = LogTable(table.kind, table.source, table.columns, table.n_rows, table.place, length or None)
    return _noting(with_length, note)


def _history(file: Path, history: dict[str, Any]) -> LogTable:
    """Groups of equally long lists, each with its own counter."""
    columns: dict[str, Column] = {}
    notes: list[str] = []
    groups = history if history and all(isinstance(group, dict) for group in history.values()) else {"": history}
    n_rows = 0
    for prefix, group in groups.items():
        lists = {key: column for key, column in group.items() if isinstance(column, list) and column}
        counter = next((key for key in lists if is_step_name(key)), None)
        for key, column in lists.items():
            if key == counter:
                continue
            name = f"{prefix}/{key}" if prefix else key
            built = _listed(column)
            if built is None:
                continue
            if counter is not None:
                built = _with_steps(built, group[counter], len(column), f"{prefix}/{counter}")
            columns[name] = built
            n_rows = max(n_rows, len(column))
    return LogTable("JSON history", str(file), columns, n_rows, lambda row: f"entry {row + 1}", notes=tuple(notes))


def _listed(column: list[Any]) -> Column | None:
    numbers = [(row, _number(value), value) for row, value in enumerate(column)]
    good = [(row, number) for row, number, _ in numbers if number is not None]
    wrong = [(row, value) for row, number, value in numbers if number is None and value is not None]
    if not good:
        return None
    text = Text(f"entry {wrong[0][0] + 1}", f"{wrong[0][1]!r:.80}") if wrong else None
    rows, values = zip(*good, strict=True)
    return Column(np.array(values, dtype=np.float64), np.array(rows, dtype=np.int64), text)


def _with_steps(column: Column, counts: list[Any], length: int, name: str) -> Column:
    if len(counts) != length:
        text = Text(f"{length} values", f"{len(counts)} counts in {name}", "one count for every value")
        return replace(column, text=text)
    numbers = [_number(count) for count in counts]
    steps = np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)
    return replace(column, steps=steps[column.rows])
