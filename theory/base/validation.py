"""One check per kind of argument; every message names the argument, the value and what is expected."""

import math
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import LastIterateError

__all__ = [
    "InputError",
    "MAX_COUNT",
    "check_array",
    "check_choice",
    "check_count",
    "check_flag",
    "check_fraction",
    "check_gradient_bounds",
    "check_positive",
    "check_real",
    "check_step_matrix",
    "check_steps",
    "check_vector",
    "is_number",
]

Array = npt.NDArray[np.float64]
MAX_COUNT = 10**9
"""More steps, points or repetitions than any run holds in memory."""
MAX_SEED = 2**64 - 1


class InputError(LastIterateError, ValueError):
    """A bad argument: its name, the value that was given and what is expected instead.

    >>> raise InputError("D", -1.0, "a positive finite number")
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: D: expected a positive finite number, got -1.0
    """

    def __init__(self, argument: str, value: object, expected: str) -> None:
        super().__init__(argument, value, expected)
        self.argument = argument
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        """Return the message in one line, long values shortened in the middle: a place in a file stands at the end."""
        shown = " ".join(_shown(self.value).split())
        if len(shown) > 160:
            shown = f"{shown[:77]}...{shown[-80:]}"
        return f"{' '.join(_shown(self.argument).split())}: expected {self.expected}, got {shown}"


def _shown(value: object) -> str:
    """Return a text for any value: a repr may be endless, and it may fail."""
    if isinstance(value, str):
        return value if len(value) <= 1000 else f"{value[:500]} {value[-500:]}"
    if isinstance(value, (list, tuple)) and len(value) > 50:
        return f"a {type(value).__name__} of {len(value)} values"
    try:
        return repr(value)
    except Exception as error:  # whatever a foreign __repr__ raises
        return f"a {type(value).__name__} ({type(error).__name__} in its repr)"


def check_array(values: Any, name: str, ndim: int, expected: str) -> Array:
    """Return a new C-ordered finite float64 array of ``ndim`` dimensions, or raise `InputError`.

    Always a copy, so that nothing the caller does later changes a result. A masked array is refused, because its hidden
    values would count.
    """
    parts = values if isinstance(values, (list, tuple)) else [values]
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise InputError(name, "a masked array", f"{expected}, without a mask")
    try:
        array = np.asarray(values)
    except Exception as error:  # ragged, a tensor that requires gradients, whatever a foreign __array__ raises
        reason = "a ragged sequence" if isinstance(error, ValueError) else f"{type(values).__name__}: {error}"
        raise InputError(name, reason, expected) from error
    if array.ndim != ndim:
        raise InputError(name, f"an array of shape {array.shape}", expected)
    if array.dtype.kind not in "fiu":
        first = f" ({_shown(array.flat[0])}, ...)" if array.size else ""
        raise InputError(name, f"dtype {array.dtype}{first}", expected)
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite and is refused below
        array = np.array(array, dtype=np.float64, order="C")
    finite = np.isfinite(array)
    if not finite.all():
        index = np.unravel_index(int(np.argmin(finite)), array.shape)
        where = ", ".join(map(str, index))
        raise InputError(name, f"{name}[{where}] = {array[index]}", expected)
    return array


def n_dims(values: Any) -> int:
    """Return the number of dimensions: 0 for one number, 1 for whatever is no array, which a later check refuses."""
    if is_number(values) or isinstance(values, (str, bytes)) or values is None:
        return 0
    try:
        return len(np.shape(values))
    except Exception:  # ragged, or a foreign __array__ that fails
        return 1


def check_path(value: Any, name: str = "path") -> Path:
    """Return the path that a text or a path object names."""
    try:
        path = Path(value)
    except TypeError as error:
        raise InputError(name, value, "a path") from error
    if isinstance(value, bytes) or "\0" in str(path):
        raise InputError(name, value, "a path")
    return path


def check_vector(values: Any, name: str) -> Array:
    """Return ``values`` as a new one-dimensional finite float64 array, or raise `InputError`."""
    return check_array(values, name, 1, "a one-dimensional array of finite real numbers")


def check_integers(values: Any, name: str, low: int, high: int) -> npt.NDArray[np.int64]:
    """Return a new one-dimensional, nonempty array of integers from ``low`` to ``high``."""
    expected = f"integers from {low} to {high}"
    array = check_array(values, name, 1, expected)
    whole = np.asarray(values).dtype.kind in "iu"
    if not whole or array.size == 0 or array.min() < low or array.max() > high:
        raise InputError(name, values, expected)
    return array.astype(np.int64)


def check_steps(steps: Any, name: str = "steps", *, allow_empty: bool = False) -> Array:
    """Return step sizes as float64[N], each finite and at least zero.

    With ``allow_empty`` a float64 *array* of length zero is a run of no steps; an empty list or tuple has no
    type and is nearly always a selection that matched nothing, so it stays an error.
    """
    array = check_vector(steps, name)
    if array.size == 0 and not (allow_empty and isinstance(steps, np.ndarray)):
        raise InputError(name, "an empty sequence", "at least one step size")
    if array.size and array.min() < 0.0:
        index = int(np.argmin(array))
        raise InputError(name, f"{name}[{index}] = {array[index]}", "step sizes that are at least zero")
    return array


def check_real(value: Any, name: str, expected: str) -> float:
    """Return a number as float, be it infinite; bools, durations and numbers beyond float64 are an error."""
    if type(value) is np.ndarray and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(value, Real):
        raise InputError(name, value, expected)
    try:
        return float(value)
    except Exception as error:  # an integer of 400 digits, or whatever a foreign __float__ raises
        raise InputError(name, value, expected) from error


def is_number(value: Any) -> bool:
    """Return whether the argument is one number rather than a sequence of them."""
    return isinstance(value, Real) or (isinstance(value, np.ndarray) and value.ndim == 0)


def check_positive(value: Any, name: str, *, allow_zero: bool = False) -> float:
    """Return a finite positive (or, with ``allow_zero``, nonnegative) float."""
    expected = "a nonnegative finite number" if allow_zero else "a positive finite number"
    number = check_real(value, name, expected)
    if not math.isfinite(number) or number < 0.0 or (number == 0.0 and not allow_zero):
        raise InputError(name, value, expected)
    return number


def check_fraction(value: Any, name: str, *, low: float = 0.0, high: float = 1.0) -> float:
    """Return a float in the closed interval [low, high]."""
    expected = f"a number between {low:g} and {high:g}"
    number = check_real(value, name, expected)
    if not low <= number <= high:
        raise InputError(name, value, expected)
    return number


def check_count(value: Any, name: str, *, minimum: int = 1, maximum: int = MAX_COUNT) -> int:
    """Return an int from ``minimum`` to ``maximum``; a bool or a float is an error."""
    no_count = isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(value, Integral)
    if no_count or not minimum <= int(value) <= maximum:
        beyond = not no_count and int(value) > maximum
        raise InputError(name, value, f"an integer of at {f'most {maximum:,}' if beyond else f'least {minimum}'}")
    return int(value)


def check_flag(value: Any, name: str) -> bool:
    """Return a bool; numbers and texts are an error, because "no" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(name, value, "true or false")
    return bool(value)


def check_gradient_bounds(G: Any, n_steps: int, name: str = "G") -> Array:
    """Return the bounds G_0..G_N as float64[N+1] from a scalar, N+1 values, or N values (the last one repeated)."""
    if is_number(G):
        return np.full(n_steps + 1, check_positive(G, name))
    bounds = check_vector(G, name)
    if bounds.size not in (n_steps, n_steps + 1) or bounds.size == 0:
        expected = f"a number, or an array of length {n_steps + 1} or {n_steps} for {n_steps} steps"
        raise InputError(name, f"an array of length {bounds.size}", expected)
    if bounds.min() <= 0.0:
        index = int(np.argmin(bounds))
        raise InputError(name, f"{name}[{index}] = {bounds[index]}", "gradient bounds that are positive")
    if bounds.size == n_steps:
        bounds = np.append(bounds, bounds[-1])
    return bounds


def check_step_matrix(H: Any, name: str = "H") -> Array:
    """Return ``H`` as a float64 square, finite, strictly lower triangular matrix, or raise `InputError`.

    Parameters
    ----------
    H : array_like, shape (N+1, N+1)
        The matrix.
    name : str
        The argument that the message names.

    Returns
    -------
    ndarray, shape (N+1, N+1)
        A copy.

    Raises
    ------
    InputError
        For anything but a square, finite, strictly lower triangular matrix.

    Examples
    --------
    >>> check_step_matrix([[0.0, 1.0], [0.0, 0.0]])
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: H: expected a strictly lower triangular matrix, got H[0, 1] = 1.0
    """
    expected = "a square matrix of finite real numbers, strictly lower triangular"
    matrix = check_array(H, name, 2, expected)
    if matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise InputError(name, f"an array of shape {matrix.shape}", expected)
    upper = np.triu(matrix)
    if upper.any():
        i, j = np.unravel_index(int(np.argmax(upper != 0.0)), matrix.shape)
        raise InputError(name, f"{name}[{i}, {j}] = {matrix[i, j]}", "a strictly lower triangular matrix")
    return matrix


def check_choice(value: Any, name: str, known: Any) -> str:
    """Return ``value`` if it is one of the ``known`` names; the message lists them."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise InputError(name, value, f"one of {', '.join(map(str, names))}")
    return value
