"""The numbers behind a picture as CSV, for whoever wants to draw it in another way."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lastiterate.theory.base.files import write_atomically

__all__ = ["series", "write_numbers"]


def series(data: Any, name: str = "", place: tuple[int, ...] = ()) -> Iterator[tuple[str, str, Any]]:
    """Yield (series, place, value) for every number and text in nested data.

    Keys of mappings name the series, joined by slashes; positions in lists are the place, joined by spaces.

    >>> list(series({"best": {"linear": [0.5, 0.25]}, "n": 3}))
    [('best/linear', '0', 0.5), ('best/linear', '1', 0.25), ('n', '', 3)]
    """
    if isinstance(data, Mapping):
        items: Mapping[Any, Any] = data  # pyright: ignore[reportUnknownVariableType]
        for key, value in items.items():
            yield from series(value, f"{name}/{key}" if name else str(key), place)
    elif isinstance(data, list | tuple) or hasattr(data, "tolist"):
        values: list[Any] = list(data)  # pyright: ignore[reportUnknownArgumentType]
        for index, value in enumerate(values):
            yield from series(value, name, (*place, index))
    elif data is not None:
        yield name, " ".join(map(str, place)), data


def write_numbers(data: Mapping[str, Any], path: Path) -> None:
    """Write every number of a figure, one a line, with all digits.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_numbers({"rate": [1.0, 0.5]}, Path(folder, "f.csv"))
    ...     Path(folder, "f.csv").read_text().splitlines()
    ['series,place,value', 'rate,0,1.0', 'rate,1,0.5']
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["series", "place", "value"])
    writer.writerows(series(data))
    write_atomically(path, text.getvalue().encode())
