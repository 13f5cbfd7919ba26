"""Resumable grids of runs on one machine or a cluster."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

# the names that stood here when this was one module, for one release
__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "run_sweep": "lastiterate.experiments.sweep.sweep",
        "SweepResult": "lastiterate.experiments.sweep.sweep",
        "grid": "lastiterate.experiments.sweep.specs",
        "RunSpec": "lastiterate.experiments.sweep.specs",
        "read_sweep": "lastiterate.experiments.sweep.specs",
        "Store": "lastiterate.experiments.sweep.store",
        "open_engine": "lastiterate.experiments.sweep.engines",
    },
)
