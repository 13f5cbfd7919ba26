"""Worst-case rates: SGD, momentum, dual averaging, curves over horizons, recorded runs."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

# the names that stood here when this was one module, for one release
__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "exact_rate": "lastiterate.theory.rates.sgd",
        "theorem10_rate": "lastiterate.theory.rates.sgd",
        "average_iterate_rate": "lastiterate.theory.rates.averages.rate",
        "tune_base_lr": "lastiterate.theory.rates.sgd",
        "Rate": "lastiterate.theory.rates.sgd",
    },
)
