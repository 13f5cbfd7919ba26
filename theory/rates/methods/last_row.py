r"""A lower bound that is attained, at any length: the worst case of SGD with the last row of the method as its steps.

Write a method as x_k = x_0 - sum_{j<k} H[k, j] g_j and let e = H[N] >= 0. For the steps e, SGD with constant or
nonincreasing G meets its exact rate R*(e) on vectors with <g_t, g_r> = rho_{min(t, r)}; they serve the whole method.
With f_t = f_0 - sum_j H[t, j] rho_j, the function max(0, max_t <g_t, x - x*>) has g_j as a subgradient at x_j if

    H[j, i] (G_i^2 - rho_i) + sum_{i<k<j} H[j, k] (rho_i - rho_k) >= 0  (i < j)   and   f_j >= 0,

and the method ends on it at exactly R*(e). Sufficient (summation by parts): H[j, k] / w_k is nonnegative,
nonincreasing in k and at most s_0, for every j < N. Hence no condition is left for averaging (momentum), and
only f_j >= 0 for dual averaging.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import InputError, check_gradient_bounds, check_positive, check_steps
from lastiterate.theory.methods.step_matrix import check_averaging, check_scalings, check_step_matrix
from lastiterate.theory.rates.sgd import exact_rate

__all__ = ["LowerBound", "averaging_lower", "dual_averaging_lower", "last_row_lower"]

Array = npt.NDArray[np.float64]
ROUNDING = 1e-12


@result
class LowerBound(Result):
    """A value that some convex function attains, or zero where the construction fails.

    Attributes
    ----------
    value : float
        No bound on f(x_N) - f* is smaller.
    note : str
        What was proved, or the condition that failed.
    """

    _shown = ("value", "note")

    value: float
    note: str

    def __float__(self) -> float:
        """Return the value."""
        return self.value


def last_row_lower(H: npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0) -> LowerBound:
    """Return R*(e), e the last row of a step matrix, where the function that attains it is one of the class.

    Parameters
    ----------
    H : array_like, shape (N+1, N+1)
        The step matrix, strictly lower triangular; its last row is the point that is measured.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms. Where they rise, their running minimum takes their place.

    Returns
    -------
    LowerBound
        Zero with a note where a condition fails; O(N^2).

    Raises
    ------
    InputError
        For a matrix that is not square, finite and strictly lower triangular, or D or G that are not positive.

    Examples
    --------
    >>> from lastiterate.theory.methods import step_matrix as step_matrices
    >>> float(last_row_lower(step_matrices.sgd([0.5, 0.25]))) == exact_rate([0.5, 0.25]).value
    True
    >>> last_row_lower([[0, 0, 0], [2.0, 0, 0], [0.1, 0.1, 0]]).note
    'no lower bound: the function would fall below its minimum at x_1'
    """
    matrix = check_step_matrix(H)
    distance, caps = _checked(D, G, matrix.shape[0] - 1)
    e = matrix[-1, :-1]
    if e.min(initial=0.0) < 0.0:
        return _failed(f"entry {int(np.argmin(e))} of the last row is negative")
    value, rho, start, weights = _worst_vectors(e, distance, caps)
    rows = matrix[:-1, :-1]
    if not _shrinking(rows, weights):
        reach = np.abs(rows) @ caps[:-1] ** 2
        levels = start - rows @ rho
        if (levels < -ROUNDING * (start + reach)).any():
            return _below(levels)
        later = np.cumsum(rows[:, ::-1], axis=1)[:, ::-1] - rows  # sums over i < k < j
        later_rho = np.cumsum((rows * rho)[:, ::-1], axis=1)[:, ::-1] - rows * rho
        slack = rows * (caps[:-1] ** 2 - rho) + later * rho - later_rho
        if (np.tril(slack, -1) < -ROUNDING * reach[:, np.newaxis]).any():
            j, i = np.unravel_index(int(np.argmin(np.tril(slack, -1))), slack.shape)
            return _failed(f"at x_{j} the piece of g_{i} would be above that of g_{j}")
    elif (start - rows @ rho < -ROUNDING * start).any():
        return _below(start - rows @ rho)
    return _attained(value, caps, G)


def averaging_lower(
    steps: npt.ArrayLike, averaging: float | npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0
) -> LowerBound:
    """Return R*(e) for the averaging form of momentum, which is attained for every c in [0, 1]; O(N).

    The points are convex combinations of those of SGD with steps e_s = h_s (1 - (1 - c_{s+1}) ... (1 - c_N)).

    Parameters
    ----------
    steps : array_like, shape (N,)
        The step sizes of the z sequence.
    averaging : float or array_like, shape (N,)
        The averaging weights in [0, 1].
    D, G
        As in `last_row_lower`.

    Examples
    --------
    >>> averaging_lower([0.3] * 12, averaging=1.0).value == exact_rate([0.3] * 12).value
    True
    """
    h = check_steps(steps, allow_empty=True)
    weights = check_averaging(averaging, h.size)
    distance, caps = _checked(D, G, h.size)
    return _attained(exact_rate(averaging_last_row(h, weights), distance, caps).value, caps, G)


def averaging_last_row(steps: Array, c: Array) -> Array:
    """Return the last row of `step_matrices.spa` without the matrix."""
    with np.errstate(divide="ignore"):
        kept = np.cumsum(np.log1p(-c)[::-1])[::-1]
    return steps * -np.expm1(kept)


def dual_averaging_lower(
    weights: npt.ArrayLike, scalings: float | npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0
) -> LowerBound:
    """Return R*(e), e_k = lambda_k / beta_N, for dual averaging where f_j >= 0 for all j; O(N).

    Parameters
    ----------
    weights : array_like, shape (N,)
        The weights.
    scalings : float or array_like, shape (N,)
        The scalings beta_1, ..., beta_N.
    D, G
        As in `last_row_lower`.

    Examples
    --------
    >>> round(float(dual_averaging_lower([1.0, 1.0], [1.0, 2.0])), 6)
    0.7225
    >>> dual_averaging_lower([2.0, 2.0], [1.0, 20.0]).note
    'no lower bound: the function would fall below its minimum at x_1'
    """
    weights = check_steps(weights, "weights", allow_empty=True)
    scale = check_scalings(scalings, weights.size)
    distance, caps = _checked(D, G, weights.size)
    if weights.size == 0:
        return _attained(distance * float(caps[-1]), caps, G)
    value, rho, start, _ = _worst_vectors(weights / scale[-1], distance, caps)
    fallen = np.cumsum(weights * rho)[:-1] / scale[:-1]
    if (start - fallen < -ROUNDING * start).any():
        return _below(np.append(start, start - fallen))
    return _attained(value, caps, G)


def _checked(D: Any, G: Any, n_steps: int) -> tuple[float, Array]:
    """Return the distance and the running minimum of the caps."""
    return check_positive(D, "D"), np.minimum.accumulate(check_gradient_bounds(G, n_steps))


def _worst_vectors(e: Array, D: float, caps: Array) -> tuple[float, Array, float, Array]:
    """Return R*(e), rho_0..rho_{N-1}, f_0 and the weights w_0..w_{N-1} of SGD's worst case with steps e."""
    rate = exact_rate(e, D, caps)
    s = np.cumsum(rate.weights[::-1])[::-1]
    w, tails, squares = rate.weights[:-1], s[1:], caps**2
    if not np.isfinite(s).all() or s[0] == 0.0:
        raise InputError("H", "a last row out of range", "steps whose rate is a finite number")
    rho = np.empty(e.size)
    lack = squares[0] - (D / s[0] / s[0]) ** 2  # G_t^2 - E_t / s_t, never negative at the minimum
    for t in range(e.size):
        ratio = w[t] / tails[t]
        lack = max(lack, 0.0)
        rho[t] = squares[t] - lack * (1.0 + ratio)
        lack = (1.0 - ratio) * (1.0 + ratio) * lack - (squares[t] - squares[t + 1])
    return rate.value, rho, (D / s[0]) ** 2, w


def _shrinking(rows: Array, weights: Array) -> bool:
    """Whether every row divided by the weights is nonnegative and nonincreasing: then no pair is in the way."""
    if weights.size == 0:
        return True
    if weights.min() <= 0.0 or rows.min() < 0.0:
        return False
    ratios = np.tril(rows / weights, -1)
    return bool((np.diff(ratios, axis=1) <= ROUNDING * ratios[:, :-1]).all())


def _attained(value: float, caps: Array, G: Any) -> LowerBound:
    rising = np.ndim(G) > 0 and bool((np.diff(np.asarray(G, dtype=np.float64)) > 0.0).any())
    return LowerBound(value, "attained" + (" under the running minimum of the caps" if rising else ""))


def _below(levels: Array) -> LowerBound:
    return _failed(f"the function would fall below its minimum at x_{int(np.argmin(levels))}")


def _failed(why: str) -> LowerBound:
    return LowerBound(0.0, f"no lower bound: {why}")
