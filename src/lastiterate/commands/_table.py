"""Tables that fit: a table, the table without what is the same in every row, or one card a row; no word is broken."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]


def show_table(console: Console, rows: Sequence[Row], *, title: str = "", wide: bool = False) -> None:
    """Print rows with the keys as columns, as wide as the console at most; ``wide`` prints the whole table as it is."""
    if title:
        lines(console, Text(plain(title).plain, style="italic"))
    if not rows:
        return
    columns, same = list(rows[0]), []
    width = max(console.width, natural_width(rows, columns)) if wide else console.width
    if natural_width(rows, columns) > width:
        columns, same = varying(rows)
    if natural_width(rows, columns) <= width:
        console.print(_table(rows, columns), width=width, crop=False, overflow="ignore")
    else:
        columns = list(rows[0]) if len(rows) == 1 else columns
        same = [] if len(rows) == 1 else same
        for row in rows:
            _card(console, row, columns)
    if same:
        shared = ", ".join(f"{name} {shown(rows[0][name])}" for name in same if shown(rows[0][name]))
        if shared:
            lines(console, plain(f"in every row: {shared}"))


def varying(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Return the columns that tell rows apart, the first among them always, and those that are the same in every row.

    >>> varying([{"a": 1, "b": "x", "c": 2}, {"a": 2, "b": "x", "c": 1}])
    (['a', 'c'], ['b'])
    """
    first, *rest = rows[0]
    same = [name for name in rest if len(rows) > 1 and len({shown(row[name]) for row in rows}) == 1]
    return [first, *(name for name in rest if name not in same)], same


def natural_width(rows: Sequence[Row], columns: Sequence[str]) -> int:
    """Return the least width of a table in which no word is broken: headers may break between words."""
    cells = [[*name.split(), *(shown(row[name]) for row in rows)] for name in columns]
    return sum(max((plain(text).cell_len for text in texts), default=0) + 3 for texts in cells) + 1


def _table(rows: Sequence[Row], columns: Sequence[str]) -> RenderableType:
    table = Table()
    for name in columns:
        numeric = all(isinstance(row[name], int | float) for row in rows)
        words = max(plain(word).cell_len for word in name.split() or [""])
        cells = max(plain(shown(row[name])).cell_len for row in rows)
        table.add_column(plain(name), justify="right" if numeric else "left", min_width=max(words, cells))
    for row in rows:
        table.add_row(*(plain(shown(row[name])) for name in columns))
    return table


def _card(console: Console, row: Row, columns: Sequence[str]) -> None:
    """One row below its first value: short values side by side, long ones on lines of their own."""
    first, *rest = columns
    lines(console, Text(plain(shown(row[first])).plain, style="bold"))
    line = ""
    for name in rest:
        if not (text := shown(row[name])):
            continue
        part = f"{name}: {text}"
        if line and len(line) + len(part) + 4 > console.width:
            lines(console, plain(line))
            line = ""
        line = f"{line}{'; ' if line else '  '}{part}"
    if line:
        lines(console, plain(line))


def lines(console: Console, text: Text) -> None:
    """Print a text that breaks between words only: what is longer than a line, such as a name to type, stays whole."""
    console.print(text, highlight=False, crop=False, overflow="ignore")


def shown(value: Any) -> str:
    """Return a cell: six digits of a number, nothing for None."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def plain(text: str) -> Text:
    """Return text that a terminal shows as it is: no markup, and control characters as escapes.

    >>> plain("[red]a[/] \\x1b]0;title\\x07").plain
    '[red]a[/] \\\\x1b]0;title\\\\x07'
    """
    return Text("".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text))
