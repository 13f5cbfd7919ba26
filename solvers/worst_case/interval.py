"""Bounds on the worst case at any length, without a semidefinite program; and what that program would cost."""

import math

import numpy as np

from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.rates.methods.last_row import last_row_lower
from lastiterate.theory.rates.sgd import exact_rate

__all__ = ["WorstCaseInterval", "check_cost", "cost", "worst_case_interval"]


@result
class WorstCaseInterval(Result):
    """Two numbers between which the worst case of a method lies.

    Attributes
    ----------
    lower : float
        Attained by an explicit function, or 0 where none is known.
    upper : float
        Of a certificate: the exact rate where the method is SGD, else <g_N, x_N - x*> <= G_N (D + the way to x_N).
    note : str
        What the lower bound rests on, or why there is none.
    """

    _shown = ("lower", "upper")

    lower: float
    upper: float
    note: str


def worst_case_interval(H: Array, D: float, G: Array) -> WorstCaseInterval:
    """Bound the worst case of a checked step matrix; O(N^2) time and memory."""
    below = last_row_lower(H, D, G)
    with np.errstate(over="ignore"):
        upper = float(G[-1]) * (D + float(np.abs(H[-1]) @ G))
    row = H[-1, :-1]
    if (row >= 0.0).all() and np.array_equal(H[1:, :-1], np.tril(np.broadcast_to(row, (row.size, row.size)))):
        upper = min(upper, exact_rate(row, D, G).value)
    return WorstCaseInterval(below.value, upper, below.note)


def cost(n_points: int) -> tuple[float, float]:
    """Return the seconds and GiB that the semidefinite program takes, by its one dense block; both to a factor of two.

    >>> cost(301)[1] > 100
    True
    """
    block = (n_points + 1) * (n_points + 2) / 2
    return 3e-9 * block**3, 64.0 * block**2 / 2**30


def check_cost(n_points: int, limit_gib: float) -> None:
    """Refuse a program that would not fit into memory, and name what serves at this length."""
    seconds, gib = cost(n_points)
    if gib > limit_gib:
        hours = max(1, math.ceil(seconds / 3600.0))
        raise InputError(
            "H",
            f"{n_points} points: about {gib:.3g} GiB and {hours:,} hours",
            f'a program of at most limit_gib = {limit_gib:g} GiB (else method="interval", momentum_rate, '
            "dual_averaging_rate)",
        )
