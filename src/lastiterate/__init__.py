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
    "step_matrix": "lastiterate.theory.methods.step_matrix",
    "momentum": "lastiterate.theory.rates.momentum",
    "dual_averaging": "lastiterate.theory.rates.dual_averaging",
    "problems": "lastiterate.theory.problems",
    "torch": "lastiterate.experiments.training.schedule",
}

_NAMES = {
    "exact_rate": "lastiterate.theory.rates.sgd",
    "theorem10_rate": "lastiterate.theory.rates.sgd",
    "average_iterate_rate": "lastiterate.theory.rates.sgd",
    "tune_base_lr": "lastiterate.theory.rates.sgd",
    "rate_curve": "lastiterate.theory.rates.curve",
    "tightened_rate": "lastiterate.theory.rates.varying",
    "Rate": "lastiterate.theory.rates.sgd",
    "optimal_schedule": "lastiterate.theory.optimal.closed_form",
    "optimal_continuation": "lastiterate.theory.optimal.closed_form",
    "theorem10_optimum": "lastiterate.theory.optimal.closed_form",
    "norms_bound": "lastiterate.theory.rates.recorded_run",
    "trajectory_bound": "lastiterate.theory.rates.recorded_run",
    "refine": "lastiterate.theory.optimal.refinement",
    "Certificate": "lastiterate.theory.certificates.certificate",
    "simulate": "lastiterate.theory.simulators.simulate",
    "worst_case": "lastiterate.solvers.worst_case.solve",
    "WorstCaseFunction": "lastiterate.solvers.worst_case.solve",
    "design_schedule": "lastiterate.solvers.design.design",
    "optimise_momentum": "lastiterate.solvers.design.momentum",
    "search": "lastiterate.solvers.search.search",
    "read_norms": "lastiterate.experiments.logs.norms",
    "replay": "lastiterate.experiments.replay.replay",
    "run_sweep": "lastiterate.experiments.sweep.sweep",
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
