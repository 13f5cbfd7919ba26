"""The best weights for checkpoints that are already saved, and the best decay of a moving average."""

import math

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_count,
    check_fraction,
    check_integers,
    check_positive,
    check_steps,
)
from lastiterate.theory.rates.averages.bouncing import steepest
from lastiterate.theory.rates.averages.emulated import MergedRun, in_units
from lastiterate.theory.rates.averages.rate import AverageRate, average_rate
from lastiterate.theory.schedules.families import as_steps

__all__ = ["OptimalAverage", "OptimalMerge", "optimal_ema", "optimal_merge", "ema_weights"]

_SMALLEST = 1e-9  # weight kept on every checkpoint while the weights move
_CUTS, _GAP = 60, 1e-4  # rounds of cutting planes, and the relative gap at which they end


@result
class OptimalMerge(Bounding):
    """Weights for checkpoints, and what theory says of the merge.

    Attributes
    ----------
    weights : ndarray, shape (N+1,)
        Weights of x_0..x_N, zero but at the checkpoints.
    value, kind, lower
        The bounds on f at the merge, see `lastiterate.theory.rates.averages.rate.AverageRate`.
    least : float
        No weights on these checkpoints have a worst case below this.
    emulated : ndarray, shape (N,)
        The schedule whose last iterate the merge is.
    uniform, last : float
        The value of equal weights, and of the last checkpoint alone.
    rate : AverageRate
        The whole result, with its certificate and its function.
    """

    _plot = "emulated"
    _shown = ("kind", "value", "lower", "least", "last")

    weights: Array
    value: float
    kind: Kind
    lower: float
    least: float
    emulated: Array
    uniform: float
    last: float
    rate: AverageRate


@result
class OptimalAverage(Bounding):
    """The exponential moving average with the smallest worst case.

    Attributes
    ----------
    decay : float
        The factor beta of xbar_k = beta xbar_{k-1} + (1 - beta) x_k, xbar_0 = x_0; zero is no averaging.
    value, kind
        The bound on f at the average after the last step.
    last : float
        The rate of the last iterate without averaging.
    rate : AverageRate
        The whole result.
    """

    _plot = "emulated"
    _shown = ("decay", "kind", "value", "last")

    decay: float
    value: float
    kind: Kind
    last: float
    rate: AverageRate


@within_float64
def optimal_merge(
    steps: npt.ArrayLike | str,
    checkpoints: npt.ArrayLike,
    D: float = 1.0,
    G: float = 1.0,
    *,
    n_steps: int | None = None,
) -> OptimalMerge:
    r"""Return the weights that make the worst case of a merge of checkpoints smallest.

    The worst case is convex in the weights (for every function f at sum_k a_k x_k is). A smooth solver lowers the
    bound that the functions of `rates.averages.bouncing` attain, which is exact for contiguous windows and
    nearly so for equal spacing, and cutting planes finish it; equal weights and every checkpoint alone are tried beside
    what it finds, and the least upper bound wins. Every function met gives a lower bound that is linear in the weights;
    ``least`` is the smallest value that the largest of them all can have.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        Step sizes of the run.
    checkpoints : array_like of int, shape (m,)
        Indices of the saved iterates among x_0..x_N.
    D, G : float
        Bounds on the distance and the subgradient norms.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    OptimalMerge
        ``.weights``, ``.value``, ``.lower``, ``.least``, ``.emulated``.

    Raises
    ------
    InputError
        For arguments outside the ranges above, among them indices that repeat or that no iterate has.

    Examples
    --------
    Eight consecutive checkpoints after constant steps emulate a decay; eight spaced ones help less:

    >>> import numpy as np
    >>> steps = np.full(64, 0.125)
    >>> round(optimal_merge(steps, range(57, 65)).value, 4), round(optimal_merge(steps, range(8, 65, 8)).value, 4)
    (0.1814, 0.2352)
    """
    steps = as_steps(steps, n_steps)
    taken = check_steps(steps)
    points = _check_checkpoints(checkpoints, taken.size)
    chosen, least = _lowered(in_units(taken, check_positive(D, "D"), check_positive(G, "G")), points)
    tried = [average_rate(taken, _spread(shares, points, taken.size), D, G) for shares in chosen]
    best = min(tried, key=lambda rate: rate.value)
    alone = [average_rate(taken, _spread(np.ones(1), points[i : i + 1], taken.size), D, G) for i in range(points.size)]
    best = min([best, *alone], key=lambda rate: rate.value)
    return OptimalMerge(
        weights=best.weights,
        value=best.value,
        kind=best.kind,
        lower=best.lower,
        least=min(least * D * G, best.value),
        emulated=best.emulated,
        uniform=tried[0].value,
        last=alone[-1].value,
        rate=best,
    )


def _check_checkpoints(checkpoints: npt.ArrayLike, n_steps: int) -> npt.NDArray[np.int64]:
    points = np.sort(check_integers(checkpoints, "checkpoints", 0, n_steps))
    if (np.diff(points) == 0).any():
        raise InputError("checkpoints", checkpoints, "integers that are all different")
    return points


def _spread(shares: Array, points: npt.NDArray[np.int64], n_steps: int) -> Array:
    """Return the weights of all points."""
    weights = np.zeros(n_steps + 1)
    weights[points] = shares / shares.sum()
    return weights


def _lowered(steps: Array, points: npt.NDArray[np.int64]) -> tuple[list[Array], float]:
    """Return candidates for the weights, equal ones first, and a bound for all weights (D = G = 1)."""
    from scipy.optimize import minimize

    equal = np.full(points.size, 1.0 / points.size)
    if points.size == 1 or not steps.any():
        return [equal], 0.0
    planes: list[Array] = []
    place = np.count_nonzero(steps[None, :] * (np.arange(steps.size) < points[:, None]), axis=1)

    def bound(shares: Array) -> tuple[float, Array]:
        kept = np.maximum(shares, _SMALLEST)
        plane = steepest(MergedRun.of(steps, _spread(kept, points, steps.size), np.ones(1))).heights[place]
        planes.append(plane)
        return float(plane @ shares), plane

    found = minimize(
        bound,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * points.size,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1.0, "jac": lambda a: np.ones((1, a.size))},
        options={"ftol": 1e-12, "maxiter": 200},
    )
    best, value, least = equal, bound(equal)[0], 0.0
    shares = np.maximum(found.x, 0.0) / np.maximum(found.x, 0.0).sum()
    for _ in range(_CUTS):
        attained = bound(shares)[0]
        if attained < value:
            best, value = shares, attained
        corner, least = _lowest(planes)
        if value <= least * (1.0 + _GAP):
            break
        shares = 0.5 * (best + corner)
    return [equal, *(np.where(a > 1e-7, a, 0.0) for a in (found.x, best))], least


def _lowest(planes: list[Array]) -> tuple[Array, float]:
    """Return the weights at which the largest of the planes is smallest, and that value."""
    from scipy.optimize import linprog

    size = planes[0].size
    program = linprog(
        np.append(np.zeros(size), 1.0),
        A_ub=np.column_stack([np.array(planes), -np.ones(len(planes))]),
        b_ub=np.zeros(len(planes)),
        A_eq=np.append(np.ones(size), 0.0)[None, :],
        b_eq=[1.0],
        bounds=[(0.0, None)] * size + [(None, None)],
    )
    if program.status != 0:
        return np.full(size, 1.0 / size), 0.0
    return np.maximum(program.x[:-1], 0.0), float(program.fun)


def ema_weights(n_steps: int, decay: float) -> Array:
    """Return the weights that xbar_k = decay xbar_{k-1} + (1 - decay) x_k, xbar_0 = x_0, gives to x_0..x_N.

    Parameters
    ----------
    n_steps : int
        N, at least zero.
    decay : float
        The share of the old average, in [0, 1].

    Returns
    -------
    ndarray, shape (N+1,)
        The weights, with sum 1.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> ema_weights(2, 0.5)
    array([0.25, 0.25, 0.5 ])
    """
    count, share = check_count(n_steps, "n_steps", minimum=0), check_fraction(decay, "decay")
    weights = (1.0 - share) * share ** np.arange(count, -1.0, -1.0)
    weights[0] = share**count
    return weights / weights.sum()


@within_float64
def optimal_ema(
    steps: npt.ArrayLike | str, D: float = 1.0, G: float = 1.0, *, n_steps: int | None = None
) -> OptimalAverage:
    r"""Return the decay of an exponential moving average of the iterates with the smallest worst case.

    The emulated schedule is e_k = h_k (1 - beta^(N-k)): a moving average is a decay over the last 1 / (1 - beta) steps.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        Step sizes of the run.
    D, G : float
        Bounds on the distance and the subgradient norms.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    OptimalAverage
        ``.decay``, ``.value``, ``.last``.

    Raises
    ------
    InputError
        As in `lastiterate.theory.rates.averages.rate.average_rate`.

    Examples
    --------
    >>> import numpy as np
    >>> best = optimal_ema(np.full(1000, 1 / np.sqrt(1001)))
    >>> print(f"{best.decay:.3f} {best.value * 1001**0.5:.3f} {best.last * 1001**0.5:.3f}")
    0.993 1.289 2.839
    """
    steps = as_steps(steps, n_steps)
    taken = check_steps(steps)
    check_positive(D, "D")
    check_positive(G, "G")

    def rate(window: float) -> AverageRate:
        return average_rate(taken, ema_weights(taken.size, 1.0 - 1.0 / window), D, G)

    low, high, best = 0.0, math.log(100.0 * taken.size), rate(1.0)
    last, decay = best.value, 0.0
    for _ in range(5):
        grid = np.linspace(low, high, 9)
        for i, log_window in enumerate(grid.tolist()):
            tried = rate(math.exp(log_window))
            if tried.value < best.value:
                best, decay = tried, 1.0 - math.exp(-log_window)
                low, high = grid[max(i - 1, 0)], grid[min(i + 1, 8)]
    return OptimalAverage(decay, best.value, best.kind, last, best)
