"""Tables that fit: a table, the table without what is the same in every row, or one card a row; no word is broken."""

import math
import re
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]

_INSTALL = re.compile("pip install [^ ]+")


def show_table(console: Console, rows: Sequence[Row], *, title: str = "", wide: bool = False) -> None:
    """Print rows with the keys as columns, as wide as the console at most; ``wide`` prints the whole table as it is."""
    if title:
        lines(console, title, "italic")
    if not rows:
        return
    columns, same = list(rows[0]), []
    width = max(console.width, natural_width(rows, columns)) if wide else console.width
    if natural_width(rows, columns) > width:
        columns, same = varying(rows)
    if natural_width(rows, columns) <= width:
        _print_table(console, _table(rows, columns, width), width)
    else:
        columns, same = (list(rows[0]), []) if len(rows) == 1 else (columns, same)
        for row in rows:
            _card(console, row, columns)
    if same:
        shared = ", ".join(f"{name} {shown(rows[0][name])}" for name in same if shown(rows[0][name]))
        if shared:
            lines(console, f"in every row: {shared}")


def varying(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Return the columns that tell rows apart, at least the first, and those that are the same in every row.

    >>> varying([{"a": 1, "b": "x", "c": 2}, {"a": 2, "b": "x", "c": 1}])
    (['a', 'c'], ['b'])
    """
    first, *rest = rows[0]
    same = [name for name in rows[0] if len(rows) > 1 and len({shown(row[name]) for row in rows}) == 1]
    if len(same) > len(rest):
        same = rest
    return [name for name in (first, *rest) if name not in same], same


def natural_width(rows: Sequence[Row], columns: Sequence[str]) -> int:
    """Return the least width of a table in which no word is broken: headers may break between words."""
    return sum(_least(rows, name) + 3 for name in columns) + 1


def _least(rows: Sequence[Row], name: str) -> int:
    cells = (shown(row[name]) for row in rows)
    return max((plain(text).cell_len for text in (*name.split(), *cells)), default=0)


def _table(rows: Sequence[Row], columns: Sequence[str], width: int) -> RenderableType:
    """Give every column its least width, and what is left to headers of several words, from the left."""
    table = Table()
    spare = width - natural_width(rows, columns)
    for name in columns:
        least = _least(rows, name)
        more = min(max(plain(name).cell_len - least, 0), spare)
        spare -= more
        numeric = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(plain(name), justify="right" if numeric else "left", width=least + more)
    for row in rows:
        table.add_row(*(plain(shown(row[name])) for name in columns))
    return table


def _print_table(console: Console, table: RenderableType, width: int) -> None:
    """Print a table wider than the console, which by itself takes the lesser of its own width and a given one."""
    before, console.width = console.width, width
    console.print(table, crop=False)
    console.width = before


def _card(console: Console, row: Row, columns: Sequence[str]) -> None:
    """One row below its first value: short values side by side, long ones on lines of their own."""
    first, *rest = columns
    lines(console, shown(row[first]), "bold")
    line = ""
    for name in rest:
        if not (text := shown(row[name])):
            continue
        part = f"{name}: {text}"
        if line and len(line) + len(part) + 4 > console.width:
            lines(console, line)
            line = ""
        line = f"{line}{'; ' if line else '  '}{part}"
    if line:
        lines(console, line)


def lines(console: Console, text: str, style: str = "") -> None:
    """Print a text that breaks between words only: what is longer than a line, such as a name to type, stays whole."""
    for line in wrapped(text, console.width):
        console.print(Text(line, style=style), highlight=False, soft_wrap=True)


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, broken between words only, with what hangs over indented; a command stays whole.

    >>> wrapped('error: torch is missing; pip install "lastiterate[torch]"', 32)
    ['error: torch is missing;', '  pip install "lastiterate[torch]"']
    """
    found: list[str] = []
    for line in plain(text).plain.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        whole = _INSTALL.sub(lambda command: command[0].replace(" ", "\0"), line.strip())
        parts = wrap(
            whole,
            max(width, 20),
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        found += [part.replace("\0", " ") for part in parts]
    return found


def shown(value: Any) -> str:
    """Return a cell: six digits of a number, nothing for None and for what is not a number."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else str(value)


def plain(text: str) -> Text:
    """Return text that a terminal shows as it is: no markup, and control characters as escapes.

    >>> plain("[red]a[/] \\x1b]0;title\\x07").plain
    '[red]a[/] \\\\x1b]0;title\\\\x07'
    """
    return Text("".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text))
