"""Optimal schedules in closed form: from scratch, after a given prefix, and for the Theorem 10 bound.

All three are O(N). Gradient bounds enter as their inverse squares, relative to the smallest, so that nothing overflows.
"""

import math

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.jit import compiled
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, Scheduled, result
from lastiterate.theory.base.validation import Array, check_count, check_gradient_bounds, check_positive, check_steps
from lastiterate.theory.rates.sgd import exact_rate

__all__ = ["Continuation", "OptimalSchedule", "optimal_continuation", "optimal_schedule", "theorem10_optimum"]


@result
class OptimalSchedule(Bounding, Scheduled, Tabular):
    """Steps that minimise a bound, and the bound.

    Attributes
    ----------
    steps : ndarray, shape (n_steps,)
        The step sizes themselves, not only their shape.
    value : float
        The bound on f(x_N) - f* with them.
    kind : str
        ``"exact"``: no schedule and no function can do better against each other; or ``"theorem10"``.
    last_value : float
        The fictitious step h_N of the Theorem 10 optimum; zero for the exact one.
    """

    _columns = ("steps",)
    _plot = "schedule"

    steps: Array
    value: float
    kind: Kind
    last_value: float = 0.0


@result
class Continuation(Bounding, Scheduled, Tabular):
    """The best steps after a prefix that is already taken.

    Attributes
    ----------
    steps : ndarray, shape (n_steps,)
        The new steps.
    value : float
        The exact rate of the prefix followed by them.
    prefix_value : float
        The exact rate of the prefix alone, had the run stopped there.
    scratch_value : float
        The rate of the optimal schedule of the whole length, had it been known from the start.
    kind : str
        That of the exact rate: ``"exact"``, ``"attained"`` or ``"upper"``.
    """

    _columns = ("steps",)
    _plot = "schedule"

    steps: Array
    value: float
    prefix_value: float
    scratch_value: float
    kind: Kind


@within_float64
def optimal_schedule(n_steps: int, D: float = 1.0, G: float | npt.ArrayLike = 1.0) -> OptimalSchedule:
    r"""Return the schedule with the smallest worst case of the last iterate.

    With w_k = G_k^{-2}, h_k = D w_k w_{k+1:N} / w_{0:N}^{3/2} has the rate D / sqrt(sum_{k=0}^{N} G_k^{-2}). For
    constant G that is linear decay, h_k = D (1 - (k+1)/(N+1)) / (G sqrt(N+1)), with the rate DG / sqrt(N+1): *exact*,
    the minimax optimum over all first-order methods (Drori and Teboulle; the schedule: Zamani and Glineur, arXiv
    2307.11134). For varying G it is the refined schedule of Defazio, Cutkosky, Mehta and Mishchenko (arXiv 2310.07831),
    *exact* too: attained by f(x) = max_k G_k x_k with a resisting oracle.

    Parameters
    ----------
    n_steps : int
        N, at least 1.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N.

    Returns
    -------
    OptimalSchedule
        ``.steps`` and ``.value``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> best = optimal_schedule(3)
    >>> best.steps, best.value
    (array([0.375, 0.25 , 0.125]), 0.5)
    >>> optimal_schedule(3, G=[4.0, 2.0, 1.0, 1.0]).value < optimal_schedule(3, G=4.0).value
    True
    """
    count = check_count(n_steps, "n_steps")
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, count)
    low, weights, tails = _inverse_squares(caps)
    steps = (distance / low / math.sqrt(tails[0])) * (weights[:-1] * (tails[1:] / tails[0]))
    return OptimalSchedule(steps, distance * (low / math.sqrt(tails[0])), "exact")


@within_float64
def optimal_continuation(
    prefix: npt.ArrayLike, n_steps: int, D: float = 1.0, G: float | npt.ArrayLike = 1.0
) -> Continuation:
    r"""Return the best n_steps further steps after the steps of the prefix, which are already taken.

    Let m be the length of the prefix, N = m + n_steps and W = sum_{k=m}^{N} G_k^{-2}. A tail of weight s_m = w_{m:N}
    costs at least s_m^2 / W in the bound of `exact_rate`, attained by w_k = s_m G_k^{-2} / W for k >= m. So the best
    total is the exact rate of the prefix alone with its last point's gradient bound replaced by W^{-1/2}: for constant
    and nonincreasing G one bracketed root. For constant G the new steps decay linearly from the height that the prefix
    calls for.

    Parameters
    ----------
    prefix : array_like, shape (m,)
        The steps taken so far, possibly none.
    n_steps : int
        The number of new steps, at least 1.
    D : float
        Bound on the distance from x_0, the start of the *prefix*, to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N, prefix included.

    Returns
    -------
    Continuation
        ``.steps``, ``.value``, and for comparison ``.prefix_value`` and ``.scratch_value``. The value is *exact* for
        constant and nonincreasing G, an *upper bound* otherwise, as in `exact_rate`.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> rest = optimal_continuation(np.full(100, 0.1), 100)
    >>> round(rest.prefix_value, 4), round(rest.value, 4), round(rest.scratch_value, 4)
    (0.2262, 0.0852, 0.0705)
    >>> np.array_equal(optimal_continuation(np.empty(0), 3).steps, optimal_schedule(3).steps)
    True
    """
    taken = check_steps(np.empty(0) if isinstance(prefix, list) and not prefix else prefix, "prefix", allow_empty=True)
    count = check_count(n_steps, "n_steps")
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, taken.size + count)
    best = optimal_schedule(taken.size + count, distance, caps)
    if taken.size == 0:
        return Continuation(best.steps, best.value, distance * float(caps[0]), best.value, best.kind)
    low, weights, tails = _inverse_squares(caps[taken.size :])
    rate = exact_rate(taken, distance, np.append(caps[: taken.size], low / math.sqrt(tails[0])))
    steps = rate.sigma * (rate.sigma / tails[0]) * (weights[:-1] * (tails[1:] / tails[0]))
    alone = exact_rate(taken, distance, caps[: taken.size + 1])
    return Continuation(steps, rate.value, alone.value, best.value, rate.kind)


@within_float64
def theorem10_optimum(n_steps: int, D: float = 1.0, G: float | npt.ArrayLike = 1.0) -> OptimalSchedule:
    r"""Return the schedule with the smallest Theorem 10 bound of arXiv 2310.07831, for any G, in closed form.

    Backwards from c_N = G_N^2, c_k = 2 G_k (sqrt(G_k^2 + c_{k+1}) - G_k); then t_{-1} = D / sqrt(c_0) and
    t_k = t_{k-1} G_k / sqrt(G_k^2 + c_{k+1}), h_k = t_{k-1} - t_k, h_N = t_{N-1}. The bound is D sqrt(c_0): an *upper
    bound* on the worst case, about twice that of `optimal_schedule`; the schedules hardly differ.

    Parameters
    ----------
    n_steps, D, G
        As in `optimal_schedule`.

    Returns
    -------
    OptimalSchedule
        ``.steps``, ``.value`` and the fictitious ``.last_value``.

    Raises
    ------
    InputError
        As in `optimal_schedule`.

    Examples
    --------
    >>> from lastiterate.theory.rates.sgd import theorem10_rate
    >>> best = theorem10_optimum(100)
    >>> abs(theorem10_rate(best.steps).value / best.value - 1) < 1e-13
    True
    """
    count = check_count(n_steps, "n_steps")
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, count)
    steps, root_c = compiled(_theorem10_shape)(caps)
    steps *= distance / root_c
    return OptimalSchedule(steps[:-1], distance * root_c, "theorem10", float(steps[-1]))


def _inverse_squares(caps: Array) -> tuple[float, Array, Array]:
    """The smallest bound, the weights G_k^-2 in units of it, and their sums from k to the end."""
    low = float(caps.min())
    weights = (low / caps) ** 2
    return low, weights, np.cumsum(weights[::-1])[::-1]


def _theorem10_shape(caps: Array) -> tuple[Array, float]:
    """Steps h_0..h_N for t_{-1} = 1, and sqrt(c_0)."""
    steps = np.empty(caps.size)
    r = caps[-1]  # sqrt(c)
    for k in range(caps.size - 2, -1, -1):
        root = math.hypot(caps[k], r)
        drop = r * (r / (root + caps[k]))  # root - G_k without cancellation
        steps[k] = drop / root
        r = math.sqrt(2.0 * caps[k]) * math.sqrt(drop)
    tail = 1.0
    for k in range(caps.size - 1):
        share = steps[k]
        steps[k] = tail * share
        tail *= 1.0 - share
    steps[-1] = tail
    return steps, r
