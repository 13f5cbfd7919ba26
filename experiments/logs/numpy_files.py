"""NumPy files: the declared size is checked before memory is taken, and arrays are read when they are asked for."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import InputError

from .table import Column, LogTable

__all__ = ["read_numpy"]

MAX_VALUES = 10**8


def read_numpy(file: Path) -> LogTable:
    """Read a vector of norms (npy), or named vectors (npz).

    Raises
    ------
    InputError
        If the file is damaged or cut, declares more than 100 million values, or holds no vector of real numbers.
    """
    if file.suffix.lower() == ".npy":
        with file.open("rb") as handle:
            shape, _ = _declared(handle, file, "norm", file.stat().st_size)
        columns: Mapping[str, Column] = _Arrays(file, {"norm": shape})
    else:
        columns = _Arrays(file, _members(file))
    shapes = {name: shape for name, shape in columns.shapes.items() if len(shape) == 1}
    if not shapes:
        raise InputError("path", f"{file} with the shapes {columns.shapes}", "a one-dimensional array of norms")
    n_rows = max(shape[0] for shape in shapes.values())
    return LogTable("NumPy", str(file), columns, n_rows, lambda row: f"index {row}")


class _Arrays(Mapping[str, Column]):
    """The vectors of a file by name, each read when it is asked for."""

    def __init__(self, file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self._file = file
        self._names = [name for name, shape in shapes.items() if len(shape) == 1]
        self._read: dict[str, Column] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Column:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            try:
                loaded: Any = np.load(self._file, allow_pickle=False)
                array = loaded if isinstance(loaded, np.ndarray) else loaded[name]
                values = array.astype(np.float64)
            except Exception as error:  # zipfile, zlib and NumPy's parser of headers raise whatever comes
                raise _damaged(self._file, name, error) from error
            self._read[name] = Column(values, np.arange(values.size))
        return self._read[name]


def _members(file: Path) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as handle:
                    shapes[name] = _declared(handle, file, name, member.file_size)[0]
    except InputError:
        raise
    except Exception as error:  # as above
        raise _damaged(file, "its list of arrays", error) from error
    return shapes


def _declared(handle: Any, file: Path, name: str, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that the header of an array declares, if the file can hold so much."""
    try:
        version = np.lib.format.read_magic(handle)
        readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = readers[min(version[0], 2)](handle)
    except Exception as error:  # as above
        raise _damaged(file, name, error) from error
    if dtype.hasobject:
        raise InputError("path", f"{file}, array {name!r}", "a NumPy file of numbers, without pickled objects")
    if dtype.kind not in "fiu":
        hint = "; bfloat16 has to be widened to float32 before it is saved" if dtype.kind == "V" else ""
        raise InputError("path", f"{file}, array {name!r} of {dtype}", f"arrays of real numbers{hint}")
    count = 1
    for length in shape:
        count *= int(length)
    if len(shape) == 1 and (count > MAX_VALUES or count * dtype.itemsize > size):
        expected = f"as many values as it declares, and at most {MAX_VALUES:,}"
        raise InputError("path", f"{file}, array {name!r}: {count:,} values in {size:,} bytes", expected)
    return tuple(int(length) for length in shape), dtype


def _damaged(file: Path, what: str, error: Exception) -> InputError:
    where = f"{file}, {what} ({type(error).__name__}: {' '.join(str(error).split())})"
    return InputError("path", where, "a NumPy file that is whole, of numbers, without pickled objects")
