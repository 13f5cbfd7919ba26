r"""Bounds on the last iterate that hold for the run that was recorded, not for the worst one.

All of them assume that f is convex, that g_t is a subgradient of f itself at x_t (not of a minibatch) and that a
minimiser lies within D of x_0. `trajectory_bound` assumes nothing else: the points may come from any method.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import softmax

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

from .sgd import exact_rate
from .varying import tightened_rate


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
    kind : str
        ``"upper"``.
    """

    _shown = ("kind", "value", "source")

    value: float
    weights: Array
    source: str
    kind: Kind = "upper"


def norms_bound(steps: npt.ArrayLike, norms: npt.ArrayLike, D: float = 1.0) -> RecordedBound:
    r"""Return the bound for SGD with the given steps when the subgradient norms ||g_0||..||g_N|| were recorded.

    The bounds of `exact_rate` and `tightened_rate` with G_t = ||g_t||, *exact* over all functions and runs with these
    norms as far as those are. With N norms the last one is repeated, which then is an assumption about g_N.

    Parameters
    ----------
    steps : array_like, shape (N,)
        The steps taken.
    norms : array_like, shape (N+1,) or (N,)
        Recorded Euclidean norms, positive.
    D : float
        Bound on the distance from x_0 to a minimiser.

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
    taken = check_steps(steps, allow_empty=True)
    caps = check_gradient_bounds(check_vector(norms, "norms"), taken.size, "norms")
    rate = tightened_rate(taken, D, caps)
    return RecordedBound(rate.value, rate.weights, "norms")


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
    f* >= sum_t a_t (f_t + <g_t, x_0 - x_t>) - D |sum_t a_t g_t|. The right-hand side is maximised over a by L-BFGS; its
    maximum is the least f* that is consistent with the record, so no better bound exists.

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
    heights = f + np.einsum("td,td->t", g, x[0] - x)
    share = _best_mixture(heights, g, distance, mix / mix.sum())
    minimum = float(share @ heights) - distance * float(np.linalg.norm(share @ g))
    return RecordedBound(float(f[-1]) - minimum, share, "values")


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


def _best_mixture(heights: Array, g: Array, distance: float, start: Array) -> Array:
    """Maximise the lower bound on f* over the simplex, through the logarithms of the weights."""
    best, best_value = start, -np.inf
    for mix in (start, np.full(start.size, 1.0 / start.size), *np.eye(start.size)[[-1, int(np.argmax(heights))]]):
        value = float(mix @ heights) - distance * float(np.linalg.norm(mix @ g))
        if value > best_value:
            best, best_value = mix, value
    scale = max(float(np.ptp(heights)), distance * float(np.linalg.norm(g, axis=1).max()), 1e-300)

    def objective(logits: Array) -> tuple[float, Array]:
        mix = softmax(logits)
        mean = mix @ g
        norm = float(np.linalg.norm(mean))
        direction = mean / norm if norm > 0.0 else mean
        slope = heights - distance * (g @ direction)
        value = float(mix @ heights) - distance * norm
        return -value / scale, -mix * (slope - mix @ slope) / scale

    for logits in (np.log(np.maximum(start, 1e-12)), np.zeros(start.size)):
        found = softmax(
            minimize(objective, logits, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-12}).x
        )
        value = float(found @ heights) - distance * float(np.linalg.norm(found @ g))
        if value > best_value:
            best, best_value = found, value
    return best
