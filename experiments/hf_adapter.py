"""Old name of `lastiterate.integrations.huggingface`, kept for one release."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "GradNormCallback": "lastiterate.experiments.integrations.huggingface",
        "scheduled_trainer": "lastiterate.experiments.integrations.huggingface",
    },
)
