"""The runs of a store as CSV, for spreadsheets and data frames."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lastiterate.theory.base.files import replacing

from .store import Store

__all__ = ["export_csv"]

_SPEC_COLUMNS = ("target", "method", "schedule", "base_lr", "seed", "n_steps", "options", "status")
_LAST_COLUMNS = ("wall_s", "error", "code_version", "versions", "key")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export_csv(store: Store, path: str | Path) -> int:
    """Write one line a run (specification, status, metrics, cost, error, versions) and return their number.

    Numbers have full precision; a metric named as another column appears as ``metric.NAME``. A text that a spreadsheet
    would take for a formula is preceded by an apostrophe.
    """
    metrics = sorted({name for row in store.rows() for name in json.loads(row["metrics"])})
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(harmless(name) for name in _header(metrics))
        writer.writerows(_lines(store, metrics))
    return sum(store.progress().counts.values())


def harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers stay as they are.

    >>> harmless("=1+1"), harmless(-1.5), harmless("linear")
    ("'=1+1", -1.5, 'linear')
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _header(metrics: Sequence[str]) -> list[str]:
    taken = {*_SPEC_COLUMNS, *_LAST_COLUMNS}
    names: list[str] = []
    for metric in metrics:
        name = metric
        while name in taken:
            name = f"metric.{name}"
        taken.add(name)
        names.append(name)
    return [*_SPEC_COLUMNS, *names, *_LAST_COLUMNS]


def _lines(store: Store, metrics: Sequence[str]) -> Iterator[list[Any]]:
    for row in store.rows():
        spec, found = json.loads(row["spec"]), json.loads(row["metrics"])
        fields = [harmless(spec["target"]), harmless(spec["method"]), harmless(spec["schedule"]), repr(spec["base_lr"])]
        options = json.dumps(spec["options"], sort_keys=True)
        values = [repr(found[name]) if name in found else "" for name in metrics]
        last = [row["wall_s"], harmless(row["error"]), row["code_version"], row["versions"] or "{}", row["key"]]
        yield [*fields, spec["seed"], spec["n_steps"], options, row["status"], *values, *last]
