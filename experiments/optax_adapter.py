"""Old name of `lastiterate.integrations.optax`, kept for one release."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "optax_schedule": "lastiterate.experiments.integrations.optax",
        "record_norms": "lastiterate.experiments.integrations.optax",
        "NormState": "lastiterate.experiments.integrations.optax",
    },
)
