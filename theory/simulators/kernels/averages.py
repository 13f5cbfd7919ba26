# pyright: reportMissingParameterType=false
"""Compiled averages of the iterates: one function a kind, which the loop calls after every step.

``follow(mean, before, after, k, scalars, extras, shares, kept)`` moves the mean when the step from x_k = ``before`` to
x_{k+1} = ``after`` has been taken. Numba does not notice edits of ``vectors.py`` in the cache of the functions here.
"""

from numba import int64, njit, types

from .protocol import KERNEL, WEIGHT, Matrix, Vector
from .vectors import move_towards
from .views import copy_to

__all__: list[str] = []  # compiled code, for the simulators alone

FOLLOW = types.void(Vector, Vector, Vector, int64, Vector, Vector, Vector, Matrix)
TOTAL = 3  # place in ``extras``: the sum of the weights


@njit(**KERNEL)
def by_weights(mean, before, after, k, scalars, extras, shares, kept):
    """Average x_0..x_k with the weights that the method sets."""
    if scalars[WEIGHT] > 0.0:
        extras[TOTAL] += scalars[WEIGHT]
        move_towards(mean, before, scalars[WEIGHT] / extras[TOTAL])


@njit(**KERNEL)
def by_shares(mean, before, after, k, scalars, extras, shares, kept):
    """Move by a share of its own to every point."""
    move_towards(mean, after, shares[k + 1])


@njit(**KERNEL)
def of_kept(mean, before, after, k, scalars, extras, shares, kept):
    """Average the last points of those kept, one after every so many steps (the only share)."""
    every = int(shares[0])
    if (k + 1) % every == 0:
        seen = (k + 1) // every
        copy_to(kept[(seen - 1) % kept.shape[0]], after)
        for i in range(min(seen, kept.shape[0])):
            move_towards(mean, kept[i], 1.0 / (i + 1.0))
