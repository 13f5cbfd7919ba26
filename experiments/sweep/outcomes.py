"""What a run gave back, and how it lies in a store."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .specs import RunSpec

__all__ = ["Outcome", "RunRecord", "pack_curves", "record_of", "unpack_curves"]


@dataclass(frozen=True)
class Outcome:
    """What a run gave back: its status, metrics, curves, cost, and the error text of a failed one."""

    status: str
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    curves: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict[str, npt.NDArray[Any]], repr=False)
    wall_s: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    error: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One row of the store."""

    key: str
    spec: RunSpec
    status: str
    metrics: Mapping[str, float]
    wall_s: float | None
    error: str | None
    code_version: str
    versions: Mapping[str, str] = field(repr=False)


@lru_cache(maxsize=64)
def _versions(text: str) -> dict[str, str]:
    """Versions are the same in nearly all rows."""
    return json.loads(text)


def record_of(row: Any, spec: RunSpec | None = None) -> RunRecord:
    """Return a row of the table of runs as a record; ``spec`` spares reading the specification where it is at hand."""
    return RunRecord(
        key=row["key"],
        spec=RunSpec.from_json(row["spec"]) if spec is None else spec,
        status=row["status"],
        metrics=json.loads(row["metrics"]),
        wall_s=row["wall_s"],
        error=row["error"],
        code_version=row["code_version"],
        versions=dict(_versions(row["versions"] or "{}")),
    )


def pack_curves(curves: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return curves as the bytes of an npz archive."""
    buffer = io.BytesIO()
    # a prefix, because savez has parameters of its own and a curve may have any name
    np.savez_compressed(buffer, allow_pickle=False, **{f"curve.{name}": curve for name, curve in curves.items()})
    return buffer.getvalue()


def unpack_curves(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the curves that `pack_curves` packed."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        # before NumPy 2.1 allow_pickle, which savez does not know there, is stored as an array
        return {name.removeprefix("curve."): arrays[name] for name in arrays.files if name.startswith("curve.")}
