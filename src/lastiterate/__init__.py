"""Last-iterate theory for learning-rate schedules: bounds, optimal and refined schedules, replays.

Names load on first use, so that ``import lastiterate`` costs milliseconds; `__init__.pyi` lists them with their types.

>>> import lastiterate as li
>>> steps = li.schedules.linear(99)
>>> round(li.tune_base_lr(steps, D=1.0, G=1.0).value, 6)
0.1
"""

from collections.abc import Callable
from typing import Any

import lazy_loader as _lazy

_find: Callable[[str], Any]
_find, _, _names = _lazy.attach_stub(__name__, __file__)
__all__ = [*_names, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]

_RENAMED = {
    "optimise_momentum": "lastiterate:design_momentum",
    "PosteriorBound": "lastiterate:RecordedBound",
    "WorstCaseFunction": "lastiterate:Problem",
}


def __getattr__(name: str) -> Any:
    """Find a public name on first use (PEP 562); old names work for one release, with a warning."""
    if name == "__version__":
        from importlib.metadata import version

        return version("lastiterate")
    if name in _RENAMED:
        from lastiterate.theory.base.deprecation import moved

        return moved(__name__, _RENAMED)(name)
    try:
        return _find(name)
    except ModuleNotFoundError as error:
        from lastiterate.theory.base.extras import missing_extra

        raise missing_extra(error) from error


def __dir__() -> list[str]:
    return sorted(__all__)
