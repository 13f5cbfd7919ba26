"""Last-iterate theory for learning-rate schedules: bounds, optimal and refined schedules, replays.

The names below load on first use, so that ``import lastiterate`` costs milliseconds.

>>> import lastiterate as li
>>> steps = li.schedules.linear(99)
>>> round(li.tune_base_lr(steps, D=1.0, G=1.0).value, 6)
0.1
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("lastiterate")

_MODULES = {
    "schedules": "lastiterate.theory.schedules",
    "step_matrix": "lastiterate.theory.step_matrices",
    "momentum": "lastiterate.theory.momentum",
    "dual_averaging": "lastiterate.theory.dual_averaging",
    "problems": "lastiterate.theory.problems",
    "torch": "lastiterate.experiments.torch_schedule",
}

_NAMES = {
    "exact_rate": "lastiterate.theory.rates",
    "theorem10_rate": "lastiterate.theory.rates",
    "average_iterate_rate": "lastiterate.theory.rates",
    "tune_base_lr": "lastiterate.theory.rates",
    "rate_curve": "lastiterate.theory.curves",
    "tightened_rate": "lastiterate.theory.varying_bounds",
    "Rate": "lastiterate.theory.rates",
    "optimal_schedule": "lastiterate.theory.optimal",
    "optimal_continuation": "lastiterate.theory.optimal",
    "theorem10_optimum": "lastiterate.theory.optimal",
    "norms_bound": "lastiterate.theory.posteriori",
    "trajectory_bound": "lastiterate.theory.posteriori",
    "refine": "lastiterate.theory.refinement",
    "Certificate": "lastiterate.theory.certificates",
    "simulate": "lastiterate.theory.simulators.engine",
    "worst_case": "lastiterate.solvers.worst_case",
    "WorstCaseFunction": "lastiterate.solvers.worst_case",
    "design_schedule": "lastiterate.solvers.design",
    "optimise_momentum": "lastiterate.solvers.joint_momentum",
    "search": "lastiterate.solvers.search",
    "read_norms": "lastiterate.experiments.norms",
    "replay": "lastiterate.experiments.replay",
    "run_sweep": "lastiterate.experiments.sweep",
}

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name in _MODULES:
        value: Any = import_module(_MODULES[name])
    elif name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    else:
        raise AttributeError(f"module 'lastiterate' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
