"""Old name of `lastiterate.experiments.training.optimizers`, kept for one release."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "make_optimizer": "lastiterate.experiments.training.optimizers",
        "OPTIMIZERS": "lastiterate.experiments.training.optimizers",
        "OptimizerInfo": "lastiterate.experiments.training.optimizers",
        "step_arguments": "lastiterate.experiments.training.optimizers",
        "evaluating": "lastiterate.experiments.training.optimizers",
    },
)
