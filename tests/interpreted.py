"""Compiled loops as plain Python: what is written in LLVM's own words gets a form that Python can run."""

import sys
from collections.abc import Callable
from typing import Any

from lastiterate.theory.simulators import simulate
from lastiterate.theory.simulators.kernels import loop, oracles


def replace_what_has_no_python_form() -> None:
    """Let addresses be places in a list, views slices, and losses their scalar forms."""
    functions: list[Callable[..., Any]] = []

    def address(function: Callable[..., Any], _: object) -> int:
        functions.append(function)
        return len(functions) - 1

    def call(place: int, *arguments: Any) -> Any:
        return functions[place](*arguments)

    for name in vars(loop):
        if name.startswith("call_"):
            setattr(loop, name, call)
    forms = {
        "part": lambda array, start, stop: array[start:stop],
        "rows_of": lambda array, start, stop: array[start:stop],
        "entry": lambda array, i: array[min(i, len(array) - 1)],
        "copy_to": _copy,
        "clear": lambda array: array.fill(0),
    }
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("lastiterate.theory.simulators"):
            for name in forms.keys() & vars(module).keys():
                setattr(module, name, forms[name])
    simulate.address, simulate.from_python = address, lambda function, _: function
    oracles.VECTORISED = ()


def _copy(destination: Any, source: Any) -> None:
    """Copy numbers."""
    destination[:] = source
