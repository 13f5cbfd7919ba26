"""Old name of `lastiterate.schedules`, kept for one release."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "read_schedule": "lastiterate.theory.schedules.files",
        "write_schedule": "lastiterate.theory.schedules.files",
        "snippet": "lastiterate.experiments.integrations.snippets",
    },
)
