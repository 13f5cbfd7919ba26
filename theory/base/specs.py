"""Text specifications ``name:key=value,key=value``, and Python files that users name in them."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .validation import InputError

__all__ = ["check_options", "load_file", "parse_spec", "value_of"]

_WORDS = {"true": True, "false": False, "none": None}


def parse_spec(text: Any, argument: str) -> tuple[str, dict[str, Any]]:
    """Split ``name:key=value,...`` into the name and its options; see `value_of` for the values.

    A name that ends in ``.py`` may hold colons and commas of its own, as paths do. Hyphens in other names and in keys
    are underscores.

    Raises
    ------
    InputError
        Naming ``argument``, for a text that is no specification or names an option twice.

    Examples
    --------
    >>> parse_spec("momentum:beta=0.5,nesterov=true", "method")
    ('momentum', {'beta': 0.5, 'nesterov': True})
    >>> parse_spec("two-point/mine.py:width=3", "workload")
    ('two-point/mine.py', {'width': 3})
    """
    expected = "a specification: a name, or name:key=value,key=value"
    if not isinstance(text, str) or not text.strip():
        raise InputError(argument, text, expected)
    name, tail = _split(text.strip())
    options: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in tail.split(","))):
        key, equals, value = item.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key.isidentifier():
            raise InputError(argument, text, expected)
        if key in options:
            raise InputError(argument, text, f"{key} once")
        options[key] = value_of(value.strip())
    return name, options


def _split(text: str) -> tuple[str, str]:
    if ".py" in text:
        cut = text.index(".py") + len(".py")
        if text[cut : cut + 1] in ("", ":"):
            return text[:cut], text[cut + 1 :]
    name, _, tail = text.partition(":")
    return name.strip().replace("-", "_"), tail


def value_of(text: str) -> Any:
    """Return a truth value, None, a number, a list of numbers (``0.5/0.75``) or the text itself.

    >>> [value_of(text) for text in ("true", "3", "0.5", "0.5/0.75", "sqrt")]
    [True, 3, 0.5, [0.5, 0.75], 'sqrt']
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if "/" in text:
        parts = [value_of(part) for part in text.split("/")]
        if all(isinstance(part, int | float) for part in parts):
            return [float(part) for part in parts]
    return text


def check_options(function: Callable[..., Any], options: dict[str, Any], argument: str, *, skip: int = 0) -> None:
    """Refuse options that ``function`` does not take after its first ``skip`` parameters; the message lists its own.

    >>> check_options(lambda n, power=1.0: None, {"pwoer": 2}, "schedule", skip=1)
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: schedule: expected options among power, got pwoer
    """
    known = list(inspect.signature(function).parameters)[skip:]
    for name in options:
        if name not in known:
            raise InputError(argument, name, f"options among {', '.join(known) or '(none)'}")


def load_file(path: str | Path, argument: str) -> ModuleType:
    """Run a Python file that the user named and return it as a module.

    Raises
    ------
    InputError
        If there is no such file, or it raises while it is imported.
    """
    file = Path(path)
    spec = importlib.util.spec_from_file_location(f"lastiterate_user_{file.stem}", file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise InputError(argument, str(path), "the path of an existing Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(spec.name, None)
        raise InputError(argument, f"{path} ({type(error).__name__}: {error})", "a file that imports") from error
    return module
