"""The root of an increasing sign: Chandrupatla's method, which needs no derivative and never leaves the bracket."""

from collections.abc import Callable

__all__ = ["root_above"]

_PRECISION = 4.5e-16


def root_above(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the least point found where the function, below zero at ``low``, is at least zero, as at ``high``.

    Inverse quadratic interpolation where it can be trusted, else bisection (Chandrupatla 1997); the bracket shrinks to
    the spacing of floating point numbers.

    Examples
    --------
    >>> round(root_above(lambda x: x * x - 2.0, 1.0, 2.0), 12)
    1.414213562373
    """
    newest, other = (high, function(high)), (low, function(low))
    oldest = other
    share = 0.5
    while True:
        point = newest[0] + share * (other[0] - newest[0])
        value = function(point)
        same = (value >= 0.0) == (newest[1] >= 0.0)
        oldest, other = (newest, other) if same else (other, newest)
        newest = (point, value)
        width = abs(other[0] - newest[0])
        smallest = _PRECISION * max(1.0, abs(newest[0]))
        if width <= 2.0 * smallest:
            return max(newest[0], other[0])
        across = (newest[0] - other[0]) / (oldest[0] - other[0])
        drop = (newest[1] - other[1]) / (oldest[1] - other[1]) if oldest[1] != other[1] else 2.0
        if drop * drop < across and (1.0 - drop) ** 2 < 1.0 - across:
            a, b, c = newest[1], other[1], oldest[1]
            share = a / (b - a) * c / (b - c) + (oldest[0] - newest[0]) / (other[0] - newest[0]) * a / (c - a) * b / (
                c - b
            )
        else:
            share = 0.5
        share = min(max(share, smallest / width), 1.0 - smallest / width)
