"""The arguments of problems as arrays: matrices, targets, labels, starts."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_array, check_positive, check_vector

__all__ = [
    "read_coefficient",
    "read_dense",
    "read_folder",
    "read_matrix",
    "read_signs",
    "read_start",
    "read_targets",
]


def read_dense(values: Any, name: str) -> Array:
    """Return a nonempty matrix of finite numbers whose rows begin with cache lines."""
    array = check_array(values, name, 2, "a nonempty matrix of finite real numbers")
    if array.size == 0:
        raise InputError(name, f"shape {array.shape}", "a nonempty matrix of finite real numbers")
    return _aligned(array)


def _aligned(array: npt.NDArray[Any]) -> Array:
    """Return a float64 copy whose rows begin with cache lines: a vector instruction then touches one line, not two.

    From 16 columns on rows are kept apart for it, so that the copy is a view of something up to half as wide again.
    """
    n, width = array.shape
    stride = width if width < 16 else -(-width // 8) * 8
    buffer = np.empty(n * stride + 8)
    first = -(buffer.ctypes.data // 8) % 8
    copy = buffer[first : first + n * stride].reshape(n, stride)[:, :width]
    copy[...] = array
    return copy


def read_matrix(values: Any, name: str = "matrix") -> Any:
    """Return the rows as float64, C-contiguous or CSR with sorted, unique column numbers."""
    if not hasattr(values, "tocsr"):
        return read_dense(values, name)
    from scipy import sparse

    if values.dtype.kind not in "fiu":
        raise InputError(name, f"dtype {values.dtype}", "a nonempty matrix of real numbers")
    rows: Any = sparse.csr_array(values.tocsr().astype(np.float64), copy=True)
    rows.sum_duplicates()
    if 0 in rows.shape:
        raise InputError(name, f"shape {rows.shape}", "a nonempty matrix of real numbers")
    check_vector(rows.data, f"{name}.data")
    return rows


def read_targets(values: Any, rows: Any, name: str = "targets") -> Array:
    """Return a copy of one number for each row."""
    targets = check_vector(values, name)
    if targets.size != rows.shape[0]:
        raise InputError(name, f"an array of length {targets.size}", f"one number for each of {rows.shape[0]} rows")
    return targets.copy()


def read_signs(labels: Any, rows: Any) -> Array:
    """Labels as -1 and +1, from any two numbers in ascending order."""
    targets = read_targets(labels, rows, "labels")
    kinds = np.unique(targets)
    if set(kinds) <= {-1.0, 1.0}:
        return targets
    if kinds.size != 2:
        raise InputError("labels", f"{kinds.size} distinct values", "two distinct values")
    return np.where(targets == kinds[1], 1.0, -1.0)


def read_start(x0: Any, dim: int, name: str = "x0") -> Array:
    """Return a copy of the start, zeros by default."""
    if x0 is None:
        return np.zeros(dim)
    start = check_vector(x0, name)
    if start.size != dim:
        raise InputError(name, f"an array of length {start.size}", f"length {dim}")
    return start.copy()


def read_coefficient(l2: Any) -> float:
    """Return the coefficient of the l2 term, at least zero."""
    return check_positive(l2, "l2", allow_zero=True)


def read_folder(cache: Any) -> Path | None:
    """Return the folder of solved minima, if one is given."""
    if cache is not None and not isinstance(cache, (str, PathLike)):
        raise InputError("cache", cache, "the path of a folder")
    return None if cache is None else Path(cache)
