r"""Bounds on the last iterate that hold for the run that was recorded, not for the worst one.

All of them assume that f is convex, that g_t is a subgradient of f itself at x_t (not of a minibatch) and that a
minimiser lies within D of x_0. `trajectory_bound` assumes nothing else: the points may come from any method.
"""

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_array,
    check_gradient_bounds,
    check_positive,
    check_steps,
    check_vector,
)
from lastiterate.theory.pep.least_value import least_maximum, mixed, top
from lastiterate.theory.schedules.families import as_steps

from .sgd import exact_rate
from .varying import tightened_rate

__all__ = ["RecordedBound", "norms_bound", "trajectory_bound"]


@result
class RecordedBound(Bounding):
    """What a recorded run proves about its last point.

    Attributes
    ----------
    value : float
        The bound on f(x_N) - f*.
    weights : ndarray, shape (N+1,)
        The weights of the points that prove it.
    source : str
        ``"values"``, ``"gradients"`` or ``"norms"``: what the proof uses.
    lower : float
        With values: no bound that the record implies is smaller, so that equal numbers say that ``value`` is the best.
        Else 0.
    kind : str
        ``"upper"``.
    """

    _shown = ("kind", "value", "source", "lower")

    value: float
    weights: Array
    source: str
    lower: float = 0.0
    kind: Kind = "upper"

    @property
    def best(self) -> bool:
        """Whether the record implies no bound that is smaller by more than 1e-6, relative."""
        return self.value - self.lower <= 1e-6 * abs(self.value)


@within_float64
def norms_bound(
    steps: npt.ArrayLike | str, norms: npt.ArrayLike, D: float = 1.0, *, n_steps: int | None = None
) -> RecordedBound:
    r"""Return the bound for SGD with the given steps when the subgradient norms ||g_0||..||g_N|| were recorded.

    The bounds of `exact_rate` and `tightened_rate` with G_t = ||g_t||, *exact* over all functions and runs with these
    norms as far as those are. With N norms the last one is repeated, which then is an assumption about g_N.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The steps taken.
    norms : array_like, shape (N+1,) or (N,)
        Recorded Euclidean norms, positive.
    D : float
        Bound on the distance from x_0 to a minimiser.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    RecordedBound
        ``.value`` and the ``.weights``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> bound = norms_bound(np.full(3, 0.5), [1.0, 0.5, 0.5, 0.25])
    >>> bound.value < exact_rate(np.full(3, 0.5)).value
    True
    """
    steps = as_steps(steps, n_steps)
    taken = check_steps(steps, allow_empty=True)
    caps = check_gradient_bounds(check_vector(norms, "norms"), taken.size, "norms")
    rate = tightened_rate(taken, D, caps)
    return RecordedBound(rate.value, rate.weights, "norms")


@within_float64(zero=True)
def trajectory_bound(
    points: npt.ArrayLike,
    gradients: npt.ArrayLike,
    D: float = 1.0,
    values: npt.ArrayLike | None = None,
    *,
    steps: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
) -> RecordedBound:
    r"""Return the bound on f(x_N) - f* that recorded points and subgradients (and function values) imply.

    **With values** f_t: every subgradient gives a lower model of f, so for any a_t >= 0 with sum 1,
    f* >= sum_t a_t (f_t + <g_t, x_0 - x_t>) - D |sum_t a_t g_t|. The largest right-hand side, found by a second-order
    cone program, is the least f* that is consistent with the record, so no better bound exists. ``.lower`` says how far
    the program came: the least f* is at most f_N - ``.lower``, which another point of the ball proves.

    **Without values** the multipliers of `exact_rate` are used: for any weights w_t > 0, with s_t = w_{t:N},
    v_t = 1 / s_{t+1}, v_{-1} = 1 / s_0 and y_t = v_{-1} (x_t - x_0) + sum_{r<t} (v_r - v_{r-1}) (x_t - x_r),

        f_N - f*  <=  v_{-1} D |sum_t w_t g_t| + sum_t w_t <g_t, y_t>,

    the regret-to-last-iterate conversion of arXiv 2310.07831 (Theorem 1) evaluated on the record. For SGD with its own
    weights it is never above `exact_rate` with the recorded norms.

    Parameters
    ----------
    points, gradients : array_like, shape (N+1, d)
        x_0..x_N and a subgradient of f at each.
    D : float
        Bound on the distance from x_0 to a minimiser.
    values : array_like, shape (N+1,), optional
        f(x_0)..f(x_N).
    steps : array_like, shape (N,), optional
        The steps of SGD: the weights are then those of `exact_rate` with the recorded norms.
    weights : array_like, shape (N+1,), optional
        Weights to use, positive, on any scale. Without steps and weights they are all equal.

    Returns
    -------
    RecordedBound
        ``.value`` and the ``.weights``.

    Raises
    ------
    InputError
        For arguments outside the ranges above; when a record contradicts convexity nothing is detected.

    Examples
    --------
    f(x) = |x| from x_0 = 1, with the step 0.75:

    >>> trajectory_bound([[1.0], [0.25]], [[1.0], [1.0]], values=[1.0, 0.25]).value
    0.25
    >>> round(trajectory_bound([[1.0], [0.25]], [[1.0], [1.0]], steps=[0.75]).value, 3)
    0.25
    """
    matrix = "a finite real array of shape (N+1, d)"
    x, g = (check_array(given, name, 2, matrix) for given, name in ((points, "points"), (gradients, "gradients")))
    if x.size == 0:
        raise InputError("points", f"an array of shape {x.shape}", matrix)
    if x.shape != g.shape:
        raise InputError("gradients", f"shape {g.shape}", f"the shape of points, {x.shape}")
    distance = check_positive(D, "D")
    mix = _check_weights(weights, steps, x, g, distance)
    if values is None:
        return RecordedBound(_gradient_bound(x, g, distance, mix), mix, "gradients")
    f = check_vector(values, "values")
    if f.size != x.shape[0]:
        raise InputError("values", f"an array of length {f.size}", f"{x.shape[0]} values, one a point")
    with np.errstate(over="ignore", invalid="ignore"):
        heights = f - f[-1] + np.einsum("td,td->t", g, x[0] - x)
        reach = float(np.abs(heights).max()) + distance * float(np.linalg.norm(g, axis=1).max())
    if not reach < 1e300:
        raise InputError("D", D, "points, subgradients and values whose products float64 can hold")
    step, share = least_maximum(heights, g, distance)
    value, lower = -mixed(heights, g, share, distance), -top(heights, g, step)
    return RecordedBound(value, share, "values", lower=min(lower, value))


def _check_weights(
    weights: npt.ArrayLike | None, steps: npt.ArrayLike | None, x: Array, g: Array, distance: float
) -> Array:
    count = x.shape[0]
    if weights is not None:
        mix = check_vector(weights, "weights")
        if mix.size != count or mix.min() <= 0.0:
            raise InputError("weights", mix, f"{count} positive weights, one a point")
        return mix
    if steps is None:
        return np.ones(count)
    taken = check_steps(steps, allow_empty=True)
    if taken.size != count - 1:
        raise InputError("steps", f"an array of length {taken.size}", f"{count - 1} steps between {count} points")
    norms = np.linalg.norm(g, axis=1)
    if not norms.any():
        return np.ones(count)
    # a zero subgradient has no finite weight in the recursion; a small positive bound is a bound as well
    rate = exact_rate(taken, distance, np.maximum(norms, 1e-6 * norms.max()))
    return np.maximum(rate.weights, 1e-300)


def _gradient_bound(x: Array, g: Array, distance: float, weights: Array) -> float:
    """The formula without values, all sums over r < t as one running sum of points relative to x_0."""
    tails = np.cumsum(weights[::-1])[::-1]
    before = 1.0 / tails  # v_{t-1}
    moved = x - x[0]
    rises = np.append(np.diff(before), 0.0)  # v_r - v_{r-1}
    past = np.cumsum(rises[:, None] * moved, axis=0) - rises[:, None] * moved
    regrets = np.einsum("td,td->t", g, before[:, None] * moved - past)
    return float(before[0] * distance * np.linalg.norm(weights @ g) + weights @ regrets)
