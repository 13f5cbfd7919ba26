"""Tables as text: CSV in its dialects, read by pandas in pieces."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError

from .table import Column, LogTable, Text
from .text_files import check_text, open_text

__all__ = ["read_csv"]

CHUNK_ROWS = 2**18
SAMPLE_LINES = 200
_DELIMITERS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)


def read_csv(file: Path, *, salvage: bool = False) -> LogTable:
    """Read a table of text: commas, semicolons, tabs, bars or spaces, with or without a header, packed or not.

    Parameters
    ----------
    file : Path
    salvage : bool
        Leave out rows with too few or too many cells, and cells that are no numbers, instead of raising an error.

    Raises
    ------
    InputError
        With the line of what cannot be read.
    """
    check_text(file)
    dialect = _dialect(file)
    bad_lines, whole = _lines_of_other_width(file, dialect)
    notes: list[str] = list(dialect.notes)
    if bad_lines and not salvage:
        line, width = next(iter(bad_lines.items()))
        where = f"{file}, line {line + 1}: {width} cells"
        raise InputError(
            "path", where, f"{len(dialect.header)} cells in every row (salvage=True, --salvage skips others)"
        )
    if bad_lines:
        notes.append(
            f"{len(bad_lines)} lines with missing or surplus cells left out, the first is line {min(bad_lines) + 1}"
        )
    if not whole:
        notes.append("the last line has no line end: the file may be cut")
    builders = [_Builder(name) for name in dialect.header]
    n_rows = 0
    line_of_row: list[npt.NDArray[np.int64]] = []
    with open_text(file) as stream:
        for frame, lines in _frames(stream, file, dialect, bad_lines):
            cells = [frame.iloc[:, i] for i in range(len(builders))]
            keep = ~frame.isna().all(axis=1).to_numpy()
            header_again = _repeats_header(cells, dialect.header)
            if header_again.any():
                notes.append(
                    f"the header stands again on line {lines[header_again][0] + 1}: a log that was appended to"
                )
                keep &= ~header_again
            rows = np.cumsum(keep) - 1 + n_rows
            for builder, column in zip(builders, cells, strict=True):
                builder.add(column[keep], rows[keep], lines[keep], dialect.decimal)
            n_rows += int(keep.sum())
            line_of_row.append(lines[keep])
    if n_rows == 0:
        raise InputError("path", f"{file} (empty)", "a CSV file with a header and rows")
    places = np.concatenate(line_of_row)
    columns = {builder.name: builder.column(n_rows, salvage, notes) for builder in builders}
    exported = any(name.endswith("__MIN") for name in columns)
    kind = "W&B export" if exported else "CSV"
    return LogTable(kind, str(file), columns, n_rows, lambda row: f"line {places[row] + 1}", notes=tuple(notes))


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    decimal: str
    header: list[str]
    first: int
    notes: tuple[str, ...] = ()


def _dialect(file: Path) -> _Dialect:
    """Find out how the first lines are written."""
    with open_text(file) as stream:
        lines = [line.decode("utf-8").rstrip("\r\n") for line in islice(stream, SAMPLE_LINES)]
    skipped = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    sample = [line for line in lines[skipped:] if line.strip()]
    if not sample:
        raise InputError("path", f"{file} (empty)", "a CSV file with a header and rows")
    sample[0] = sample[0].removeprefix("# ")  # as numpy.savetxt writes a header
    delimiter = max((*_DELIMITERS, " "), key=lambda mark: _fitness(sample, mark))
    decimal = "," if delimiter != "," and _has_decimal_commas(sample, delimiter) else "."
    first = _cells(sample[0], delimiter)
    if all(_is_number(cell, decimal) for cell in first):
        width = len(first)
        header = {1: ["norm"], 2: ["step", "norm"]}.get(width, ["step", *(f"column {i}" for i in range(2, width + 1))])
        notes = (f"no header: columns taken as {', '.join(header)}",)
        return _Dialect(delimiter, decimal, header, skipped, notes)
    if len(set(first)) != len(first):
        raise InputError("path", f"{file} with the columns {first}", "a header without repeated names")
    return _Dialect(delimiter, decimal, first, skipped + 1)


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _fitness(sample: Sequence[str], delimiter: str) -> tuple[bool, float, int]:
    """How well a delimiter explains the lines: equal widths, then numbers, then many cells."""
    rows = [_cells(line, delimiter) for line in sample]
    width = len(rows[0])
    cells = [cell for row in rows[1:] or rows for cell in row]
    share = sum(_is_number(cell, ",") or _is_number(cell, ".") or not cell for cell in cells) / len(cells)
    numbers_of_one_column = width == 1 and share == 1.0
    equal = sum(len(row) == width for row in rows) / len(rows) > 0.5
    return equal and (width > 1 or numbers_of_one_column), share if width > 1 or numbers_of_one_column else 0.0, width


def _has_decimal_commas(sample: Sequence[str], delimiter: str) -> bool:
    cells = [cell for line in sample for cell in _cells(line, delimiter)]
    return any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)


def _is_number(cell: str, decimal: str = ".") -> bool:
    if decimal == "," and _DECIMAL_COMMA.fullmatch(cell):
        return True
    return _NUMBER.fullmatch(cell) is not None


def _lines_of_other_width(file: Path, dialect: _Dialect) -> tuple[dict[int, int], bool]:
    """Lines (from 0) with another number of cells than the header, and whether the last line has its end."""
    expected = len(dialect.header)
    bad: dict[int, int] = {}
    line = width = 0
    quoted, blank, last = False, True, b"\n"
    with open_text(file) as stream:
        if dialect.delimiter == " ":
            for line, text in enumerate(stream):
                last = text[-1:]
                width = len(text.removeprefix(b"# ").split() if line < dialect.first else text.split())
                if width not in (0, expected):
                    bad[line] = width
            return bad, last in (b"\n", b'"')
        mark = ord(dialect.delimiter)
        while block := stream.read(2**22):
            last = block[-1:]
            codes = np.frombuffer(block, dtype=np.uint8)
            quotes = codes == 34
            inside = np.zeros(codes.size, dtype=bool)
            if quoted or quotes.any():
                inside = (np.cumsum(quotes) + quoted) % 2 == 1
                quoted = bool(inside[-1])
            ends = np.flatnonzero((codes == 10) & ~inside)
            marks = np.flatnonzero((codes == mark) & ~inside)
            before = np.searchsorted(marks, ends)
            widths = np.diff(before, prepend=0)
            widths[:1] += width
            # a line without a delimiter is blank if it holds nothing but white space
            starts = np.append(-1, ends[:-1])[: ends.size] + 1
            for k in np.flatnonzero(widths + 1 != expected):
                content = block[starts[k] : ends[k]]
                if widths[k] or content.strip() or (k == 0 and not blank):
                    bad[line + int(k)] = int(widths[k]) + 1
            rest = block[int(ends[-1]) + 1 :] if ends.size else block
            width = marks.size - int(before[-1]) if ends.size else width + marks.size
            blank = not rest.strip() and (bool(ends.size) or blank)
            line += ends.size
    if quoted:
        raise InputError("path", f"{file}, line {line + 1}: a quotation that does not end", "a CSV file that is whole")
    if not blank and width + 1 != expected:
        bad[line] = width + 1
    return bad, last in (b"\n", b'"')


def _frames(stream: IO[bytes], file: Path, dialect: _Dialect, bad_lines: dict[int, int]) -> Any:
    """Yield pieces of the table and the line (from 0) of each of their rows."""
    pd: Any = import_module("pandas")
    from pandas.errors import EmptyDataError, ParserError

    skipped: Any = dialect.first
    if bad_lines:
        skipped = sorted({*range(dialect.first), *bad_lines})
    gone = np.array([line for line in bad_lines if line >= dialect.first], dtype=np.int64)
    try:
        reader = pd.read_csv(
            stream,
            sep=r"\s+" if dialect.delimiter == " " else dialect.delimiter,
            decimal=dialect.decimal,
            header=None,
            names=range(len(dialect.header)),
            index_col=False,
            skiprows=skipped,
            skip_blank_lines=False,
            skipinitialspace=True,
            na_values=[""],
            keep_default_na=False,
            float_precision="round_trip",
            chunksize=CHUNK_ROWS,
            low_memory=False,
        )
        start = dialect.first
        for frame in filter(len, reader):
            lines = np.arange(start, start + len(frame) + gone.size)
            lines = lines[~np.isin(lines, gone)][: len(frame)]
            start = int(lines[-1]) + 1
            yield frame, lines
    except EmptyDataError:
        return
    except (ParserError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise InputError("path", f"{file} ({' '.join(str(error).split())})", "a CSV file") from error


def _repeats_header(cells: Sequence[Any], header: Sequence[str]) -> npt.NDArray[np.bool_]:
    again = np.ones(len(cells[0]), dtype=bool)
    for column, name in zip(cells, header, strict=True):
        if column.dtype != object:
            return np.zeros(len(column), dtype=bool)
        again &= (column == name).to_numpy(dtype=bool)
        if not again.any():
            break
    return again


@dataclass
class _Builder:
    """Collects one column over the pieces."""

    name: str
    values: list[Array] = field(default_factory=list["Array"])
    rows: list[npt.NDArray[np.int64]] = field(default_factory=list["npt.NDArray[np.int64]"])
    text: Text | None = None
    n_texts: int = 0

    def add(self, cells: Any, rows: npt.NDArray[np.int64], lines: npt.NDArray[np.int64], decimal: str) -> None:
        filled = cells.notna().to_numpy()
        if cells.dtype.kind in "fiu":
            self.values.append(cells.to_numpy(dtype=np.float64)[filled])
            self.rows.append(rows[filled])
            return
        texts = [str(cell).strip() for cell in cells[filled]]
        where, lines = rows[filled], lines[filled]
        kept = [k for k, text in enumerate(texts) if _is_number(text, decimal)]
        if len(kept) < len(texts):
            wrong = [k for k, text in enumerate(texts) if text and not _is_number(text, decimal)]
            self.n_texts += len(wrong)
            if wrong and self.text is None:
                self.text = Text(f"line {lines[wrong[0]] + 1}", repr(texts[wrong[0]]))
        self.values.append(np.array([float(texts[k].replace(",", ".")) for k in kept], dtype=np.float64))
        self.rows.append(where[kept])

    def column(self, n_rows: int, salvage: bool, notes: list[str]) -> Column:
        values, rows = np.concatenate(self.values), np.concatenate(self.rows)
        text = self.text
        if salvage and text is not None and values.size:
            notes.append(
                f"{self.n_texts} cells of {self.name!r} that are no numbers left out, the first on {text.place}"
            )
            text = None
        return Column(values, rows, text, blanks=n_rows - values.size - self.n_texts)
