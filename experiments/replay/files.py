"""Results of a replay as a JSON file."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.experiments.statistics import Contrast, Plan
from lastiterate.experiments.training.train import RunResult
from lastiterate.theory.base.files import existing_file, write_atomically
from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.optimal.refinement import Refinement

from .result import RefinementRound, Replay, ScheduleReplay, WorkloadReplay

__all__ = ["block_means", "load", "save"]

SCHEMA = 2
CURVE_POINTS = 200


def save(result: Replay, path: str | Path) -> Path:
    """Write the results as JSON, atomically."""
    document = {"schema": SCHEMA, "provenance": result.provenance, "workloads": [_plain(w) for w in result.workloads]}
    write_atomically(Path(path), json.dumps(_nulls(document), allow_nan=False).encode())
    return Path(path)


def load(path: str | Path) -> Replay:
    """Read what `save` wrote."""
    file = existing_file(path, "path", "an existing file of results")
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            expected = f"schema {SCHEMA}, with results on fresh seeds: replay again"
            raise InputError("path", f"{path} of schema {document['schema']}", expected)
        return Replay(tuple(_workload(entry) for entry in document["workloads"]), document["provenance"])
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as error:
        raise InputError("path", f"{path} ({type(error).__name__}: {error})", "results of a replay") from error


def block_means(values: Array, n_points: int = CURVE_POINTS) -> Array:
    """Average a curve over equal blocks.

    >>> block_means(np.arange(6.0), 3).tolist()
    [0.5, 2.5, 4.5]
    """
    if values.size <= n_points:
        return values
    return np.array([block.mean() for block in np.array_split(values, n_points)])


def _plain(workload: WorkloadReplay) -> dict[str, Any]:
    entry = asdict(workload)
    for schedule, plain in zip(workload.schedules, entry["schedules"], strict=True):
        for key in ("runs", "report_runs"):
            for run, plain_run in zip(getattr(schedule, key), plain[key], strict=True):
                plain_run["losses"] = block_means(run.losses)
                plain_run["l1"] = plain_run["l2"] = np.empty(0)
    return entry


def _nulls(value: Any) -> Any:
    """Arrays as lists and numbers that JSON lacks as null, everywhere inside."""
    if isinstance(value, dict):
        return {key: _nulls(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _nulls(value.tolist())
    if isinstance(value, list | tuple):
        return [_nulls(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _array(values: list[float | None]) -> Array:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _workload(entry: dict[str, Any]) -> WorkloadReplay:
    fields: dict[str, Any] = {**entry}
    fields["schedules"] = tuple(_schedule(schedule) for schedule in entry["schedules"])
    fields["rounds"] = tuple(_round(round_) for round_ in entry["rounds"])
    contrasts = tuple(Contrast(**contrast) for contrast in entry["plan"]["contrasts"])
    fields["plan"] = Plan(contrasts, entry["plan"]["level"])
    return WorkloadReplay(**fields)


def _schedule(entry: dict[str, Any]) -> ScheduleReplay:
    fields: dict[str, Any] = {
        **entry,
        "steps": _array(entry["steps"]),
        **{key: tuple(_run(run) for run in entry[key]) for key in ("runs", "report_runs")},
    }
    for key in ("bound", "bound_own"):
        fields[key] = _number(entry[key])
    return ScheduleReplay(**fields)


def _run(entry: dict[str, Any]) -> RunResult:
    fields: dict[str, Any] = {**entry}
    for key in ("losses", "l1", "l2"):
        fields[key] = _array(entry[key])
    return RunResult(**fields)


def _round(entry: dict[str, Any]) -> RefinementRound:
    fields: dict[str, Any] = {**entry, "norms": _array(entry["norms"]), "notes": tuple(entry["notes"])}
    fields["refinement"] = _refinement(entry["refinement"])
    return RefinementRound(**fields)


def _refinement(entry: dict[str, Any]) -> Refinement:
    fields: dict[str, Any] = {**entry}
    for key in ("steps", "smoothed", "weights"):
        fields[key] = _array(entry[key])
    for key in ("gain", "peak", "end_exponent"):
        fields[key] = _number(entry[key])
    return Refinement(**fields)
