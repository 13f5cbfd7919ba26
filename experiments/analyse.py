"""Old name of `lastiterate.experiments.logs`, kept for one release."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "analyse": "lastiterate.experiments.logs.analysis",
        "Analysis": "lastiterate.experiments.logs.analysis",
        "RunAnalysis": "lastiterate.experiments.logs.analysis",
    },
)
