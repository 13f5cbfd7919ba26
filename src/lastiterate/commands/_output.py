"""What the commands share: a table for people, JSON for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

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


def emit(rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str = "", extra: Mapping[str, Any] | None = None):
    """Print ``rows`` as a rich table with the keys as columns, or as JSON with ``extra`` fields beside them."""
    if as_json:
        json.dump({**(extra or {}), "rows": [dict(row) for row in rows]}, sys.stdout, indent=2, default=float)
        sys.stdout.write("\n")
        return
    table = Table(title=plain(title) if title else None)
    for column in rows[0] if rows else ():
        numeric = all(isinstance(row[column], int | float) for row in rows)
        table.add_column(plain(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(_shown(value)) for value in row.values()))
    console = Console()
    console.print(table)
    for key, value in (extra or {}).items():
        if value is not None and value != []:
            console.print(plain(f"{key}: {_shown(value)}"), highlight=False)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def plain(text: str) -> Text:
    """Return text that a terminal shows as it is: no markup, and control characters as escapes.

    >>> plain("[red]a[/] \\x1b]0;title\\x07").plain
    '[red]a[/] \\\\x1b]0;title\\\\x07'
    """
    return Text("".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text))


def tell(text: str, *, label: str = "") -> None:
    """Print a line on standard error, behind a coloured label if there is one."""
    colour = "bold red" if label == "error" else "bold yellow"
    head = (f"{label}: ", colour) if label else ""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text.assemble(head, plain(text)))
