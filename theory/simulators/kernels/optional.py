# pyright: reportMissingParameterType=false
"""Compiled parts of a step that few runs ask for: diagnostics, and the conversion to a rate of the last iterate.

The loop calls them at their address, so that other runs do not wait for them to compile. Numba does not notice edits of
``vectors.py`` in the cache of the functions here.
"""

from numba import boolean, float64, int64, njit, types

from .protocol import D_ESTIMATE, KERNEL, STEP_SIZE, Vector
from .vectors import add_moved, distance, norm1, product_with_difference
from .views import copy_to

__all__: list[str] = []  # compiled code, for the simulators alone

# places in ``extras``: the learner's weighted regret, largest norm, lowest f seen; then what averages keep
REGRET, LARGEST, BEST = range(3)
CHANNELS = ("f", "f_average", "grad_l2", "grad_l1", "distance", "D_estimate", "step_size", "move")
F, F_AVERAGE, GRAD_L2, GRAD_L1, DISTANCE, D_SEEN, STEP_SEEN, MOVE = range(len(CHANNELS))

Columns = types.UniTuple(int64, len(CHANNELS))
SEE = types.void(Vector, Columns, Vector, Vector, Vector, float64)
SEE_STEP = types.void(Vector, Columns, Vector, Vector, Vector, boolean)
WEIGH = types.void(float64, float64, Vector, Vector, Vector, Vector, Vector)
FOLLOW_LEARNER = types.void(Vector, float64, Vector, Vector)


@njit(**KERNEL)
def see(row, columns, point, x_star, g, size):
    """Record the distance of a point to the minimiser and the norms of the gradient, of which ``size`` is one."""
    if columns[DISTANCE] >= 0:
        row[columns[DISTANCE]] = distance(point, x_star)
    if columns[GRAD_L2] >= 0:
        row[columns[GRAD_L2]] = size
    if columns[GRAD_L1] >= 0:
        row[columns[GRAD_L1]] = norm1(g)


@njit(**KERNEL)
def see_step(row, columns, scalars, x, before, last):
    """Record what the method estimates, and the step unless there was none."""
    if columns[D_SEEN] >= 0:
        row[columns[D_SEEN]] = scalars[D_ESTIMATE]
    if columns[STEP_SEEN] >= 0 and not last:
        row[columns[STEP_SEEN]] = scalars[STEP_SIZE]
    if columns[MOVE] >= 0 and not last:
        row[columns[MOVE]] = distance(x, before)


@njit(**KERNEL)
def weigh(weight, share, g, learner, played, x_star, extras):
    """Hand the gradient to the learner with its weight; ``share`` is that of all weights, for the regret."""
    if x_star.size > 0:
        extras[REGRET] += share * product_with_difference(g, learner, x_star)
    copy_to(played, learner)
    for j in range(g.size):
        g[j] *= weight


@njit(**KERNEL)
def follow_learner(x, ratio, after, before):
    """Move the point as the learner moved."""
    add_moved(x, ratio, after, before)
