"""Old names for one release: they work, and a DeprecationWarning says what replaces them."""

import functools
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

__all__ = ["moved", "renamed_arguments", "warn_renamed"]

P = ParamSpec("P")
R = TypeVar("R")

REMOVED_IN = "0.3"


def moved(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that finds names at their new homes and warns.

    Parameters
    ----------
    module : str
        The module that the names have left.
    homes : mapping
        Name to ``"package.module"`` or, where the name changed too, ``"package.module:name"``.

    Returns
    -------
    callable
        To be bound to ``__getattr__`` of the old module.

    Examples
    --------
    >>> look_up = moved("old.place", {"pi": "math", "half_turn": "math:pi"})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     look_up("half_turn")
    3.14...
    >>> print(caught[0].message)
    old.place.half_turn is deprecated and will be removed in 0.3; use math.pi
    """

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = homes[name].partition(":")
        warn_renamed(f"{module}.{name}", f"{home}.{new or name}", stacklevel=3)
        return getattr(import_module(home), new or name)

    return look_up


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take keyword arguments by their old names too, with a warning.

    Parameters
    ----------
    **names : str
        Old name to new name.

    Returns
    -------
    callable
        A decorator that keeps the signature.

    Examples
    --------
    >>> @renamed_arguments(lam="weights")
    ... def total(weights):
    ...     return sum(weights)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     total(lam=[1, 2])
    3
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                if names[old] in kwargs:
                    raise TypeError(f"{function.__name__}() got both {names[old]!r} and its old name {old!r}")
                warn_renamed(f"{function.__name__}({old}=)", f"{function.__name__}({names[old]}=)")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def warn_renamed(old: str, new: str, *, stacklevel: int = 2) -> None:
    """Warn, at the caller's line, that ``old`` is deprecated and ``new`` replaces it."""
    text = f"{old} is deprecated and will be removed in {REMOVED_IN}; use {new}"
    warnings.warn(text, DeprecationWarning, stacklevel=stacklevel + 1)
