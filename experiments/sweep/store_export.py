"""The runs of a store as CSV, for spreadsheets and data frames."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lastiterate.theory.base.files import write_atomically

from .store import RunRecord, Store

_SPEC_COLUMNS = ("target", "method", "schedule", "base_lr", "seed", "n_steps", "options", "status")


def export_csv(store: Store, path: str | Path) -> int:
    """Write one line a run (specification, status, metrics, cost, error, versions) and return their number.

    Numbers have full precision; a metric named as a column of the specification appears as ``metric.NAME``.
    """
    records = store.records()
    metrics = sorted({name for record in records for name in record.metrics})
    names = [f"metric.{name}" if name in _SPEC_COLUMNS else name for name in metrics]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*_SPEC_COLUMNS, *names, "wall_s", "error", "code_version", "versions", "key"])
    writer.writerows(_row(record, metrics) for record in records)
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.getvalue().encode())
    return len(records)


def _row(record: RunRecord, metrics: Sequence[str]) -> list[Any]:
    spec = record.spec
    fields = [spec.target, spec.method, spec.schedule, repr(spec.base_lr), spec.seed, spec.n_steps]
    values = [repr(record.metrics[name]) if name in record.metrics else "" for name in metrics]
    extra = [record.wall_s, record.error, record.code_version, json.dumps(dict(record.versions)), record.key]
    return [*fields, json.dumps(spec.options, sort_keys=True), record.status, *values, *extra]
