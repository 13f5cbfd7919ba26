"""The ends of float64: a result that it cannot hold is the caller's to know, never infinity, zero or a warning."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar, overload

import numpy as np

from .result import Result
from .validation import InputError

__all__ = ["within_float64"]

P = ParamSpec("P")
R = TypeVar("R")
_EXPECTED = "sizes that float64 can hold"


@overload
@overload
def within_float64(function: Callable[P, R]) -> Callable[P, R]: ...


@overload
def within_float64(*, infinite: bool = False, zero: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def within_float64(function: Callable[P, R] | None = None, *, infinite: bool = False, zero: bool = False) -> Any:
    """Decorate a function so that it refuses arguments whose sizes lead beyond float64, on the way or in the result.

    With ``infinite`` an infinite result has a meaning of its own, that there is no bound; with ``zero`` a value of zero
    can be right.

    Examples
    --------
    >>> @within_float64
    ... def product(a, b):
    ...     return np.float64(a) * b
    >>> float(product(2.0, 3.0))
    6.0
    >>> product(1e200, 1e200)
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: product: expected sizes that float64 can hold, got an overflow
    """
    if function is None:
        return lambda inner: _checked(inner, infinite, zero)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    return _checked(function, infinite, zero)


def _checked(function: Callable[P, R], infinite: bool, zero: bool) -> Callable[P, R]:
    bad = np.isnan if infinite else _not_finite

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            try:
                result = function(*args, **kwargs)
            except (FloatingPointError, OverflowError, ZeroDivisionError) as error:
                raise InputError(function.__name__, "an overflow", _EXPECTED) from error
        if any(bad(part).any() for part in _parts(result)):
            raise InputError(function.__name__, "a result that is not finite", _EXPECTED)
        if not zero and isinstance(result, Result) and np.any(np.asarray(getattr(result, "value", 1.0)) == 0.0):
            raise InputError(function.__name__, "a result of zero by underflow", _EXPECTED)
        return result

    return checked


def _not_finite(part: Any) -> Any:
    return ~np.isfinite(part)


def _parts(result: Any) -> Iterator[Any]:
    """Yield the numbers of a result that must be finite."""
    if isinstance(result, (float, np.ndarray)):
        yield result
    elif isinstance(result, tuple):
        for part in result:  # pyright: ignore[reportUnknownVariableType]
            yield from _parts(part)
    elif isinstance(result, Result):
        for name in ("value", "values", "steps", "base_lr"):
            part = getattr(result, name, None)
            if isinstance(part, (float, np.ndarray)):
                yield part
