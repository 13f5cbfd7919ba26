"""The study: blocks of cells from one TOML file, run through the store of sweeps, their results as small JSON files."""

import json
import math
import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.experiments.statistics import Contrast, Plan
from lastiterate.experiments.sweep.code import code_version
from lastiterate.experiments.sweep.specs import RunSpec
from lastiterate.experiments.sweep.store import Store
from lastiterate.experiments.sweep.sweep import run_sweep
from lastiterate.theory.base.errors import LastIterateError
from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import InputError, check_count

__all__ = ["Block", "StudyError", "read_results", "read_study", "run_block"]

TARGETS = {
    "schedules": "function:lastiterate.experiments.evidence.cells:compare_schedules",
    "averages": "function:lastiterate.experiments.evidence.averages:compare_averages",
    "controls": "function:lastiterate.experiments.evidence.controls:run_controls",
}
SEED_STEP = 10_000
DIGITS = 9


class StudyError(LastIterateError, RuntimeError):
    """A cell of the study failed."""


@dataclass(frozen=True)
class Block:
    """One question of the study.

    Attributes
    ----------
    name, question : str
    plan : Plan
        The contrasts of every cell, and their level.
    metric : str
        What is compared; lower is better.
    cells : tuple of RunSpec
    """

    name: str
    question: str
    plan: Plan
    metric: str
    cells: tuple[RunSpec, ...]


def read_study(path: str | Path | None = None, *, replicate: int = 0) -> dict[str, Block]:
    """Read the plan of the study.

    Parameters
    ----------
    path : str or Path, optional
        A TOML file in the form of ``study.toml`` beside this module, which is the default.
    replicate : int
        0 is the study; every other number repeats it with seeds of its own.

    Returns
    -------
    dict of str to Block

    Examples
    --------
    >>> study = read_study()
    >>> list(study)[:3], study["horizon"].cells[0].n_steps
    (['horizon', 'noise', 'convex'], 100)
    """
    file = files(__package__ or "") / "study.toml" if path is None else Path(path)
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    shift = SEED_STEP * check_count(replicate, "replicate", minimum=0, maximum=1000)
    common = {name: content[name] for name in ("tuning_seeds", "report_seeds")}
    return {block["name"]: _block(block, common, content, shift) for block in content["block"]}


def _block(block: Mapping[str, Any], common: Mapping[str, Any], content: Mapping[str, Any], shift: int) -> Block:
    contrasts = tuple(Contrast(margin=content["margin"], **contrast) for contrast in block["contrast"])
    cells: list[RunSpec] = []
    for cell in block["cells"]:
        options: dict[str, Any] = {**common, **block.get("common", {}), **cell}
        fields = {name: options.pop(name) for name in ("method", "base_lr", "n_steps") if name in options}
        for name in ("tuning_seeds", "report_seeds"):
            options[name] = [seed + shift for seed in _seeds(options[name])]
        if "pool_start" in options:
            options["pool_start"] += shift
        cells.append(RunSpec(TARGETS[block.get("target", "schedules")], options=options, **fields))
    plan = Plan(contrasts, content["level"])
    return Block(block["name"], block["question"], plan, block.get("metric", "test"), tuple(cells))


def _seeds(value: Any) -> Sequence[int]:
    return range(value["start"], value["start"] + value["count"]) if isinstance(value, Mapping) else value


def run_block(block: Block, store: Path, results: Path, *, progress: bool | None = None) -> Path:
    """Run the cells that the store does not have, and write the block's results as JSON.

    Parameters
    ----------
    block : Block
    store : Path
        SQLite file of finished cells; what is in it is not run again.
    results : Path
        Folder of the JSON file ``NAME.json``.
    progress : bool, optional

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StudyError
        If a cell raised.
    """
    (code,) = {code_version(cell) for cell in block.cells}  # one target a block
    sweep = run_sweep(block.cells, store, n_jobs=1, retry_failed=True, progress=progress)
    for record in sweep.failed:
        raise StudyError(f"block {block.name}, {record.spec.options.get('workload')}: {record.error}")
    with Store(store) as opened:
        cells = [
            {
                "spec": json.loads(record.spec.to_json()),
                "metrics": {name: _rounded(value) for name, value in record.metrics.items()},
                "curves": {
                    name: [_rounded(value) for value in curve.tolist()]
                    for name, curve in opened.curves(record.spec.key(code)).items()
                },
            }
            for record in sweep.records
        ]
    head = json.dumps({"block": block.name, "provenance": _provenance(code)})
    lines = ",\n".join(json.dumps(cell, sort_keys=True, allow_nan=False) for cell in cells)  # one line a cell
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{block.name}.json"
    write_atomically(file, f'{head[:-1]}, "cells": [\n{lines}\n]}}\n')
    return file


def _rounded(value: Any) -> Any:
    """Nine digits: below what any statement rests on, and the same text on every machine that reads it."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def _provenance(code: str) -> dict[str, str]:
    names = ("lastiterate", "numpy", "scipy", "numba", "torch")
    return {"code": code, "python": platform.python_version(), **{name: version(name) for name in names}}


def read_results(folder: str | Path, names: Sequence[str]) -> dict[str, Any]:
    """Read the results of the blocks that are there; a value that is null is a run that diverged, NaN."""
    found: dict[str, Any] = {}
    for name in names:
        file = Path(folder) / f"{name}.json"
        if not file.is_file():
            continue
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.get("block") != name:
            raise InputError("results", str(file), f"results of the block {name}")
        for cell in content["cells"]:
            cell["curves"] = {key: np.array(values, dtype=np.float64) for key, values in cell["curves"].items()}
        found[name] = content
    return found
