"""Old name of `lastiterate.theory.base.validation`, kept for one release."""

from collections.abc import Callable
from typing import Any

from lastiterate.theory.base.deprecation import moved

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "InputError": "lastiterate.theory.base.validation",
        "Array": "lastiterate.theory.base.validation",
        "check_vector": "lastiterate.theory.base.validation",
        "check_steps": "lastiterate.theory.base.validation",
        "check_positive": "lastiterate.theory.base.validation",
        "check_fraction": "lastiterate.theory.base.validation",
        "check_count": "lastiterate.theory.base.validation",
        "check_flag": "lastiterate.theory.base.validation",
        "check_gradient_bounds": "lastiterate.theory.base.validation",
        "check_choice": "lastiterate.theory.base.validation",
    },
)
