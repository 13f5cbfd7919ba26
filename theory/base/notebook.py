"""How results look in a notebook, and how they leave it: as HTML, as a pandas frame, as an xarray dataset."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .extras import require

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["Shown", "Tabular"]

ROWS = 10
"""Rows of a table that a notebook shows."""


class Shown:
    """A result that a notebook shows as a small table: what its one line says first, then its other fields."""

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in _lines(self)
        )
        return f"<strong>{escape(type(self).__name__)}</strong><table>{rows}</table>"


class Tabular(Shown):
    """A result that is a table or a few arrays of one length.

    A class has a method ``table`` that returns rows, or names its arrays in ``_columns``.
    """

    _columns: tuple[str, ...] = ()  # fields that are arrays of one length
    _index: str = "step"  # the field that numbers them, or a name for 0, 1, ...

    def to_pandas(self) -> "pd.DataFrame":
        """Return a pandas frame: one row a line of the table, or one row a step.

        >>> import lastiterate as li
        >>> li.optimal_schedule(3).to_pandas().steps.round(3).to_dict()
        {0: 0.375, 1: 0.25, 2: 0.125}
        """
        import pandas as pd

        if not self._columns:
            rows: list[Mapping[str, Any]] = self.table()  # type: ignore[attr-defined]
            return pd.DataFrame(rows)
        columns = {name: np.asarray(getattr(self, name)) for name in self._columns}
        numbers = getattr(self, self._index, None)
        if numbers is None:
            numbers = np.arange(len(next(iter(columns.values()))))
        return pd.DataFrame(columns, index=pd.Index(numbers, name=self._index))

    def to_xarray(self) -> "xr.Dataset":
        """Return an xarray dataset with named axes; needs ``pip install "lastiterate[notebook]"``."""
        require("xarray", "notebook", purpose="to_xarray")
        return self.to_pandas().to_xarray()

    def _repr_html_(self) -> str:
        if self._columns or not hasattr(self, "table"):
            return super()._repr_html_()
        frame = self.to_pandas()
        rest = f"<p>{len(frame) - ROWS} more rows: <code>to_pandas()</code></p>" if len(frame) > ROWS else ""
        return super()._repr_html_() + frame.head(ROWS).to_html(index=False) + rest


def _lines(result: Any) -> Iterator[tuple[str, str]]:
    """Names and short texts of what a result says; never wall time or whole arrays."""
    first = [name for name in getattr(result, "_shown", ()) if hasattr(result, name)]
    own = [item.name for item in fields(result)] if is_dataclass(result) else []
    for name in dict.fromkeys([*first, *own]):
        if name[0] != "_" and name != "seconds":
            yield name, _text(name, getattr(result, name))


def _text(name: str, value: Any) -> str:
    from .result import KINDS

    if name == "kind" and value in KINDS:
        return KINDS[value]
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, Mapping):
        names: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return ", ".join(str(key) for key in names)
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _of_array(array: npt.NDArray[Any]) -> str:
    text = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
    if array.size and array.dtype.kind in "fiu":
        text += f", {array.min():.6g} to {array.max():.6g}"
    return text
