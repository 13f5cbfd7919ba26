"""Computed numbers on disk: one JSON file an entry, with provenance, written atomically."""

import hashlib
import inspect
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.experiments.sweep.code import module_code
from lastiterate.theory.base.files import write_atomically

__all__ = ["Cache"]

SCHEMA = 1


@dataclass(frozen=True)
class Cache:
    """A folder of results keyed by name; an entry counts only for the code that made it.

    Parameters
    ----------
    folder : Path
        Created on the first write.

    Examples
    --------
    >>> import tempfile
    >>> cache = Cache(Path(tempfile.mkdtemp()))
    >>> cache.get("squares", lambda: {"x": np.arange(3) ** 2})
    {'x': [0, 1, 4]}
    """

    folder: Path

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the entry's value, computing and storing it if it is absent, made by other code, or unreadable.

        What decides whether a stored value is still good is the module that holds ``compute``: everything that it
        imports from the package, directly or not, and the versions of the packages below (see `module_code`).
        """
        path = self.folder / f"{name}.json"
        source = _code(compute)
        value = self._read(path, source)
        if value is not None:
            return value
        start = time.perf_counter()
        value = _plain(compute())
        entry = {"schema": SCHEMA, "name": name, "provenance": _provenance(source, start), "value": value}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(entry))
        return value

    def _read(self, path: Path, source: str) -> Any:
        try:
            entry = json.loads(path.read_text())
            if entry["schema"] != SCHEMA or entry["provenance"]["source"] != source:
                return None
            return entry["value"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            warnings.warn(f"{path} is not a readable cache entry ({error}): computed again", stacklevel=3)
            return None


def _code(compute: Callable[[], Any]) -> str:
    """Return what decides the outcome of ``compute``: our modules that its own reaches, or the text of its own."""
    if compute.__module__.startswith(f"{__name__.partition('.')[0]}."):
        return module_code(compute.__module__)
    module = inspect.getmodule(compute)
    text = inspect.getsource(module) if module is not None else ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _provenance(source: str, start: float) -> dict[str, Any]:
    return {
        "source": source,
        "seconds": round(time.perf_counter() - start, 3),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("lastiterate", "numpy", "scipy", "numba")},
    }


def _plain(value: Any) -> Any:
    """Return ``value`` as what JSON can hold; what it cannot is an error here and not at the next run."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a figure's numbers must be JSON, got {type(value).__name__}")
