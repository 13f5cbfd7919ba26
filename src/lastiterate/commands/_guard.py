"""What holds for every command: it overwrites no input, names what it replaces, and prints wide tables if asked."""

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from ._output import WideFlag, tell, wide_tables

OUTPUTS = ("out", "plot", "where", "certificate", "function", "csv")


def guard(app: typer.Typer) -> None:
    """Wrap every command of an application, and those of its groups."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _sparing_inputs(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            guard(group.typer_instance)


def _sparing_inputs(callback: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(callback)
    prints_tables = "as_json" in signature.parameters

    @functools.wraps(callback)
    def guarded(**values: Any) -> Any:
        wide_tables.set(bool(values.pop("wide", False)))
        written = {name: values[name] for name in OUTPUTS if isinstance(values.get(name), Path)}
        read = [path for name, value in values.items() if name not in written for path in _files(value)]
        for name, path in written.items():
            _refuse(name, path, read)
        replaced = [path for path in written.values() if path.is_file()]
        result = callback(**values)
        for path in replaced:
            tell(f"replaced: {path}")
        return result

    if prints_tables:  # typer reads the signature and the annotations
        option = inspect.Parameter("wide", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=WideFlag)
        guarded.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
            parameters=[*signature.parameters.values(), option]
        )
        guarded.__annotations__ = {**callback.__annotations__, "wide": WideFlag}
    return guarded


def _refuse(name: str, path: Path, read: list[Path]) -> None:
    from lastiterate.theory.base.validation import InputError

    if path.exists() and any(path.samefile(other) for other in read):
        raise InputError(f"--{name}", str(path), "a file other than what the command reads, which would be lost")
    if name in ("certificate", "function") and not path.parent.is_dir():  # pictures make their folder
        raise InputError(f"--{name}", str(path), "a file in an existing folder")


def _files(value: Any) -> Iterator[Path]:
    """Existing files that an argument names."""
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, str | Path):
            try:
                path = Path(item)
                if path.is_file():
                    yield path
            except (OSError, ValueError):  # a text that is no path
                continue
