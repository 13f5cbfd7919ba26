"""One check per kind of argument; every message names the argument, the value and what is expected."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import LastIterateError

Array = npt.NDArray[np.float64]


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
        """Return the message in one line, with long values shortened."""
        shown = self.value if isinstance(self.value, str) else repr(self.value)
        shown = " ".join(shown.split())
        if len(shown) > 160:
            shown = f"{shown[:157]}..."
        return f"{self.argument}: expected {self.expected}, got {shown}"


def check_vector(values: Any, name: str) -> Array:
    """Return ``values`` as a new or shared one-dimensional finite float64 array, or raise `InputError`."""
    expected = "a one-dimensional array of finite real numbers"
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(name, "a ragged sequence", expected) from error
    if array.ndim != 1:
        raise InputError(name, f"an array of shape {array.shape}", expected)
    if array.dtype.kind not in "fiu" and array.size > 0:
        raise InputError(name, f"dtype {array.dtype} ({array.ravel()[0]!r}, ...)", expected)
    array = np.ascontiguousarray(array, dtype=np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        index = int(np.argmin(finite))
        raise InputError(name, f"{name}[{index}] = {array[index]}", expected)
    return array


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


def check_positive(value: Any, name: str, *, allow_zero: bool = False) -> float:
    """Return a finite positive (or, with ``allow_zero``, nonnegative) float."""
    expected = "a nonnegative finite number" if allow_zero else "a positive finite number"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise InputError(name, value, expected)
    number = float(value)
    if not math.isfinite(number) or number < 0.0 or (number == 0.0 and not allow_zero):
        raise InputError(name, value, expected)
    return number


def check_fraction(value: Any, name: str, *, low: float = 0.0, high: float = 1.0) -> float:
    """Return a float in the closed interval [low, high]."""
    expected = f"a number between {low:g} and {high:g}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise InputError(name, value, expected)
    number = float(value)
    if not low <= number <= high:
        raise InputError(name, value, expected)
    return number


def check_count(value: Any, name: str, *, minimum: int = 1) -> int:
    """Return an int of at least ``minimum``; a bool or a float is an error."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or int(value) < minimum:
        raise InputError(name, value, f"an integer of at least {minimum}")
    return int(value)


def check_flag(value: Any, name: str) -> bool:
    """Return a bool; numbers and texts are an error, because "no" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(name, value, "true or false")
    return bool(value)


def check_gradient_bounds(G: Any, n_steps: int, name: str = "G") -> Array:
    """Return the bounds G_0..G_N as float64[N+1] from a scalar, N+1 values, or N values (the last one repeated)."""
    if isinstance(G, Real) or (isinstance(G, np.ndarray) and G.ndim == 0):
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

    >>> check_step_matrix([[0.0, 1.0], [0.0, 0.0]])
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: H: expected a strictly lower triangular matrix, got H[0, 1] = 1.0
    """
    expected = "a square matrix of finite real numbers, strictly lower triangular"
    try:
        matrix = np.asarray(H)
    except ValueError as error:
        raise InputError(name, "a ragged sequence", expected) from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise InputError(name, f"an array of shape {matrix.shape}", expected)
    if matrix.dtype.kind not in "fiu":
        raise InputError(name, f"dtype {matrix.dtype}", expected)
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    finite = np.isfinite(matrix)
    if not finite.all():
        i, j = np.unravel_index(int(np.argmin(finite)), matrix.shape)
        raise InputError(name, f"{name}[{i}, {j}] = {matrix[i, j]}", expected)
    upper = np.triu(matrix)
    if upper.any():
        i, j = np.unravel_index(int(np.argmax(upper != 0.0)), matrix.shape)
        raise InputError(name, f"{name}[{i}, {j}] = {matrix[i, j]}", "a strictly lower triangular matrix")
    return matrix


def check_choice(value: Any, name: str, known: Any) -> str:
    """Return ``value`` if it is one of the ``known`` names; the message lists them."""
    names = list(known)
    if value not in names:
        raise InputError(name, value, f"one of {', '.join(map(str, names))}")
    return value
