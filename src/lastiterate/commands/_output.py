"""What the commands share: a table for people, JSON for machines."""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ._table import lines, plain, show_table, shown, wrapped

_PICTURES = (".png", ".pdf", ".svg")


def picture(option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Refuse a picture that could not be written, before the work that it would show."""
    if path is not None and path.suffix.lower() not in _PICTURES:
        from lastiterate.theory.base.validation import InputError

        raise InputError(option.opts[0], str(path), f"a file that ends in {', '.join(_PICTURES)}")
    return path


JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", callback=picture, help="Write a picture to this file (png, pdf or svg).")
]


WideFlag = Annotated[bool, typer.Option("--wide", help="Print the whole table, wider than the terminal.")]
wide_tables: ContextVar[bool] = ContextVar("wide_tables", default=False)
"""Whether ``--wide`` was given; `_guard` adds the option to every command that prints tables."""


def emit(rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str = "", extra: Mapping[str, Any] | None = None):
    """Print ``rows`` as a table with the keys as columns, or as JSON with ``extra`` fields beside them.

    What is no finite number is ``null`` in JSON, which has no word for it.
    """
    if as_json:
        document = {key(name): value for name, value in (extra or {}).items()}
        document["rows"] = [{key(name): value for name, value in row.items()} for row in rows]
        json.dump(_finite(document), sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
        return
    console = Console()
    show_table(console, rows, title=title, wide=wide_tables.get())
    for name, value in (extra or {}).items():
        for item in value if isinstance(value, list) else [value]:
            if shown(item):
                lines(console, f"{name}: {shown(item)}")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def key(name: str) -> str:
    """Return the JSON key of a displayed name: lower-case words of letters and digits, joined by underscores.

    >>> key("over DG/sqrt(N+1)"), key("low..high"), key("base_lr"), key("D")
    ('over_DG_sqrt_N_1', 'low_high', 'base_lr', 'D')
    """
    return "_".join(re.findall(r"[A-Za-z0-9]+", name))


def tell(text: str, *, label: str = "") -> None:
    """Print a line on standard error, behind a coloured label if there is one; a terminal breaks it between words."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    said = f"{label}: {text}" if label else text
    shown_text = plain("\n".join(wrapped(said, console.width)) if console.is_terminal else said)
    if label:
        shown_text.stylize("bold red" if label == "error" else "bold yellow", 0, len(label) + 1)
    console.print(shown_text)
