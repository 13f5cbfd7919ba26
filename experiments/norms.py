"""Old name of `lastiterate.experiments.logs`, kept for one release."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "read_norms": "lastiterate.experiments.logs.norms",
        "NormLog": "lastiterate.experiments.logs.norms",
        "NormsWarning": "lastiterate.experiments.logs.norms",
    },
)
