r"""Dual averaging, x_{k+1} = x_0 - (1 / beta_{k+1}) sum_{j<=k} lambda_j g_j: last-iterate and averaged rates.

Everything here is an *upper bound* unless it says exact. ``weights[k]`` is lambda_k, ``scalings[k]`` is beta_{k+1}.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.deprecation import renamed_arguments, warn_renamed
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import (
    InputError,
    check_count,
    check_flag,
    check_gradient_bounds,
    check_positive,
    check_steps,
)
from lastiterate.theory.methods import step_matrix as step_matrices
from lastiterate.theory.methods.step_matrix import check_scalings
from lastiterate.theory.pep import cone
from lastiterate.theory.rates.result import BaseRate, Rate
from lastiterate.theory.rates.sgd import exact_rate

from .certified import SEARCH_LIMIT, CertifiedRate, lipschitz_rate, program_rate, proved_rate
from .last_row import dual_averaging_lower
from .planar import check_growing, planar_bound
from .ramp import RampBound

__all__ = [
    "DualAveraging",
    "converted_dual_averaging",
    "converted_dual_averaging_rate",
    "dual_averaging_average_rate",
    "dual_averaging_rate",
    "optimal_dual_averaging",
]

Array = npt.NDArray[np.float64]


class DualAveraging(NamedTuple):
    """Weights lambda_0..lambda_N, scalings beta_1..beta_N and the rate they reach."""

    weights: Array
    scalings: Array
    value: float

    @property
    def lam(self) -> Array:
        """The old name of ``weights``."""
        warn_renamed("DualAveraging.lam", "DualAveraging.weights")
        return self.weights

    @property
    def beta(self) -> Array:
        """The old name of ``scalings``."""
        warn_renamed("DualAveraging.beta", "DualAveraging.scalings")
        return self.scalings


@renamed_arguments(lam="weights", beta="scalings")
@within_float64(infinite=True)
def dual_averaging_rate(
    weights: Any,
    scalings: Any,
    D: Any = 1.0,
    G: Any = 1.0,
    *,
    search_limit: int = SEARCH_LIMIT,
    stochastic: bool = False,
) -> CertifiedRate:
    r"""Bound f(x_N) - f* at the last point of dual averaging.

    * For a constant beta the method is SGD with steps lambda_k / beta: the exact rate.
    * *program*, up to N = ``search_limit``: the semidefinite program of all multipliers, the worst case but for the
      solver's accuracy. Left out where no cone solver (Clarabel) is installed; ``.method`` says so.
    * At any N the least of three:
      *planar*, O(N): `lastiterate.theory.rates.methods.planar`, 0.5 to 2.5 per cent above the worst case for beta like
      sqrt(k) and k; *recursion*, where beta grows little: with the weights w, v, s of SGD with steps h_k = lambda_k /
      beta_{k+1}, the inner products that dual averaging leaves behind have coefficients of one sign and cost

          f(x_N) - f*  <=  R_SGD(sigma) + sum_{0<r<N} v_r (1 / beta_r - 1 / beta_{r+1}) Lambda_r W_r,

      Lambda_r = sum_{k<r} lambda_k G_k, W_r = sum_{k>r} w_k G_k; *lipschitz*, f(x_N) - f* <=
      G_N (D + sum_k lambda_k G_k / beta_N).

    Parameters
    ----------
    weights : array_like, shape (N,)
        The weights lambda_0, ..., lambda_{N-1}, positive.
    scalings : float or array_like, shape (N,)
        The scalings beta_1 <= ... <= beta_N, positive. For others `lastiterate.worst_case` takes the step matrix.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.
    search_limit : int
        Largest N for the program.
    stochastic : bool
        Whether the value must hold in expectation for noisy gradients: then the program uses no inequality from an
        earlier gradient to a later point. All the other bounds hold in expectation anyhow.

    Returns
    -------
    CertifiedRate
        ``.value``, ``.exact``, ``.lower``, ``.method``, ``.certificate()``.

    Raises
    ------
    InputError
        For weights that are not positive, scalings that decrease, or another argument outside the ranges above.

    Examples
    --------
    >>> rate = dual_averaging_rate([1.0, 1.0, 1.0], scalings=2.0)
    >>> rate.exact, rate.value == exact_rate([0.5, 0.5, 0.5]).value
    (True, True)
    """
    weights, scale, distance, caps = _checked(weights, scalings, D, G)
    check_growing(weights, scale)
    limit = check_count(search_limit, "search_limit", minimum=0)
    noisy, solver = check_flag(stochastic, "stochastic"), cone.installed()
    steps = weights / scale
    matrix = partial(step_matrices.dual_averaging, weights, scale)
    lower = partial(dual_averaging_lower, weights, scale, distance, caps)
    run = (matrix, steps, distance, caps, lower)
    if weights.size == 0 or bool((scale == scale[0]).all()):
        found = exact_rate(steps, distance, caps)
        return proved_rate(_as_sgd(found, found.value), found, "closed form", *run)
    if solver and weights.size <= limit:
        return program_rate(matrix(), steps, distance, caps, stochastic=noisy, lower=lower)
    alone = "" if solver else " (no cone solver)"
    planar = planar_bound(weights, scale, distance, caps)
    found = exact_rate(steps, distance, caps)
    w = found.weights
    v = 1.0 / np.cumsum(w[::-1])[::-1]
    loads = np.cumsum(weights * caps[:-1])
    later = np.cumsum((w * caps)[::-1])[::-1]
    shrink = v[2:] * (1.0 / scale[:-1] - 1.0 / scale[1:])
    recursion = _as_sgd(found, found.value + float(shrink @ (loads[:-1] * later[2:])))
    bounds = [
        proved_rate(planar, None, "planar" + alone, *run),
        proved_rate(recursion, None, "recursion" + alone, *run),
        lipschitz_rate(float(loads[-1] / scale[-1]), *run),
    ]
    return min(bounds, key=float)


def _as_sgd(found: Rate, value: float) -> RampBound:
    """Return the multipliers of SGD with the weights of ``found``."""
    v = np.append(1.0 / np.cumsum(found.weights[::-1])[::-1], 0.0)[: found.weights.size]
    return RampBound(value, np.zeros(v.size), v, found.weights)


@renamed_arguments(lam="weights", beta="scalings")
@within_float64
def dual_averaging_average_rate(weights: Any, scalings: Any, D: Any = 1.0, G: Any = 1.0) -> BaseRate:
    r"""Bound the weighted average of f over x_0, ..., x_{N-1}, hence f at their average (Nesterov's classical bound).

    sum_k lambda_k (f(x_k) - f*) / Lambda <= (beta_{N-1} D^2 + sum_k lambda_k^2 G_k^2 / beta_k) / (2 Lambda) with
    Lambda = sum_k lambda_k and beta_0 := beta_1 (Nesterov, Primal-dual subgradient methods, 2009), for nondecreasing
    beta; a decrease at k adds (sum_{j<k} lambda_j G_j)^2 (1 / beta_k - 1 / beta_{k-1}) to the bracket.

    Parameters
    ----------
    weights : array_like, shape (N,)
        The weights lambda_0, ..., lambda_{N-1}, at least zero, one of them positive.
    scalings : float or array_like, shape (N,)
        The scalings beta_1, ..., beta_N, positive.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.

    Returns
    -------
    BaseRate
        ``.kind`` is ``"average"``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> dual_averaging_average_rate([1.0, 1.0, 1.0, 1.0], scalings=2.0).value
    0.5
    """
    weights, scale, distance, caps = _checked(weights, scalings, D, G)
    if not weights.any():
        raise InputError("weights", "only zeros", "at least one positive weight")
    value = _regret(weights, scale[: weights.size - 1] if weights.size > 1 else scale, distance, caps[:-1])
    return BaseRate(
        value=value,
        base_lr=1.0,
        tolerance=0.0,
        kind="average",
        n_steps=weights.size,
        _steps=weights / scale,
        _D=distance,
        _G=caps,
    )


@renamed_arguments(lam="weights", beta="scalings")
@within_float64
def converted_dual_averaging(weights: Any, scalings: Any) -> Array:
    """Return the step matrix of dual averaging under the regret-to-last-iterate conversion.

    z_{k+1} = x_0 - (1 / beta_{k+1}) sum_{j<=k} lambda_j g_j with g_j taken at x_j, and
    x_{k+1} = x_k + (lambda_{k+1:N} / lambda_{0:N}) (z_{k+1} - z_k) (arXiv 2310.07831, Theorem 1).

    Parameters
    ----------
    weights : array_like, shape (N+1,)
        The weights lambda_0, ..., lambda_N, positive.
    scalings : float or array_like, shape (N,)
        The scalings beta_1, ..., beta_N.

    Returns
    -------
    ndarray, shape (N+1, N+1)
        The step matrix, for `lastiterate.worst_case` and certificates.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> converted_dual_averaging([1.0, 1.0, 1.0], scalings=1.0).round(4)   # linear decay
    array([[0.    , 0.    , 0.    ],
           [0.6667, 0.    , 0.    ],
           [0.6667, 0.3333, 0.    ]])
    """
    weights = _all_weights(weights)
    learner = step_matrices.dual_averaging(weights[:-1], scalings)
    return step_matrices.last_iterate_conversion(learner, weights)


@renamed_arguments(lam="weights", beta="scalings")
@within_float64
def converted_dual_averaging_rate(weights: Any, scalings: Any, D: Any = 1.0, G: Any = 1.0) -> BaseRate:
    r"""Bound f(x_N) - f* for `converted_dual_averaging`: the regret of dual averaging becomes a last-iterate rate.

    f(x_N) - f* <= (beta_N D^2 + sum_{k<=N} lambda_k^2 G_k^2 / beta_k) / (2 Lambda), Lambda = sum_{k<=N} lambda_k,
    beta_0 := beta_1, for nondecreasing beta (decreases cost what `dual_averaging_average_rate` says).

    Parameters
    ----------
    weights : array_like, shape (N+1,)
        The weights lambda_0, ..., lambda_N, positive.
    scalings : float or array_like, shape (N,)
        The scalings beta_1, ..., beta_N.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.

    Returns
    -------
    BaseRate
        ``.kind`` is ``"upper"``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> converted_dual_averaging_rate([1.0] * 4, scalings=2.0).value
    0.5
    """
    weights = _all_weights(weights)
    scale = check_scalings(scalings, weights.size - 1)
    distance, caps = check_positive(D, "D"), check_gradient_bounds(G, weights.size - 1)
    value = _regret(weights, scale, distance, caps) if scale.size else distance * float(caps[0])
    return BaseRate(
        value=value,
        base_lr=1.0,
        tolerance=0.0,
        kind="upper",
        n_steps=scale.size,
        _steps=weights[:-1] / scale,
        _D=distance,
        _G=caps,
    )


@within_float64
def optimal_dual_averaging(n_steps: int, D: Any = 1.0, G: Any = 1.0) -> DualAveraging:
    """Return weights and scalings whose conversion reaches the optimum D / sqrt(sum_k G_k^-2).

    lambda_k = G_k^-2 (relative to the largest), beta constant. No first-order method does better for constant G (Drori
    & Teboulle), where this is DG / sqrt(N + 1).

    Parameters
    ----------
    n_steps : int
        N, at least 1.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.

    Returns
    -------
    DualAveraging
        ``.weights`` float64[N+1], ``.scalings`` float64[N] and ``.value``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> optimal_dual_averaging(3, D=1.0, G=1.0)
    DualAveraging(weights=array([1., 1., 1., 1.]), scalings=array([2., 2., 2.]), value=0.5)
    """
    count = check_count(n_steps, "n_steps")
    distance, caps = check_positive(D, "D"), check_gradient_bounds(G, count)
    low = float(caps.min())
    lam = (low / caps) ** 2
    root = math.sqrt(math.fsum(lam))
    return DualAveraging(lam, np.full(count, root * (low / distance)), distance * low / root)


def _checked(weights: Any, scalings: Any, D: Any, G: Any) -> tuple[Array, Array, float, Array]:
    """Return weights, scalings, distance and caps."""
    weights = check_steps(weights, "weights", allow_empty=True)
    scale = check_scalings(scalings, weights.size)
    return weights, scale, check_positive(D, "D"), check_gradient_bounds(G, weights.size)


def _all_weights(weights: Any) -> Array:
    """Return the N+1 positive weights of a conversion."""
    weights = check_steps(weights, "weights")
    if weights.min() <= 0.0:
        index = int(np.argmin(weights))
        found = f"weights[{index}] = {weights[index]}"
        raise InputError("weights", found, "positive weights, one for each of the N+1 points")
    return weights


def _regret(lam: Array, scale: Array, D: float, caps: Array) -> float:
    """Return the averaged regret over points with scalings beta_0 := beta_1, beta_1, ..., the last one on D^2."""
    beta = np.append(scale[:1], scale)[: lam.size]
    sums = np.cumsum(lam * caps)[:-1]
    rises = np.maximum(1.0 / beta[1:] - 1.0 / beta[:-1], 0.0)
    total = float(beta[-1]) * D**2 + float(np.sum((lam * caps) ** 2 / beta)) + float(rises @ sums**2)
    return total / (2.0 * float(lam.sum()))
