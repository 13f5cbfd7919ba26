"""Parquet tables, as W&B keeps the history of a run; needs pyarrow."""

from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.theory.base.extras import require
from lastiterate.theory.base.validation import InputError

from .table import Column, LogTable, Text

__all__ = ["read_parquet"]

MAX_VALUES = 10**9


def read_parquet(file: Path) -> LogTable:
    """Read the columns of numbers of a parquet file.

    Raises
    ------
    InputError
        If the file is damaged, or declares more than a billion values.
    MissingExtraError
        If pyarrow is not installed.
    """
    pq: Any = require("pyarrow.parquet", "parquet", purpose="reading parquet")
    try:
        source: Any = pq.ParquetFile(file)
        declared = source.metadata.num_rows * source.metadata.num_columns
        if declared > MAX_VALUES:
            raise InputError("path", f"{file}: {declared:,} values", f"at most {MAX_VALUES:,}")
        table = source.read()
        columns = {name: _column(table[name]) for name in table.column_names}
    except InputError:
        raise
    except Exception as error:  # pyarrow has a dozen kinds of its own
        raise InputError("path", f"{file} ({' '.join(str(error).split())})", "a parquet file that is whole") from error
    return LogTable("parquet", str(file), columns, table.num_rows)


def _column(cells: Any) -> Column:
    filled = np.flatnonzero(cells.is_valid().to_numpy())
    kind = str(cells.type)
    if kind.startswith(("int", "uint", "float", "double", "halffloat")):
        return Column(cells.drop_null().to_numpy().astype(np.float64), filled, blanks=len(cells) - filled.size)
    text = Text(f"record {int(filled[0]) + 1}", f"{cells[int(filled[0])].as_py()!r:.80}") if filled.size else None
    return Column(np.empty(0), np.empty(0, dtype=np.int64), text)
