r"""Last-iterate rates of SGD with momentum, through its averaging form.

SGD with momentum, m_{k+1} = beta_k m_k + g_k, x_{k+1} = x_k - alpha_k m_{k+1}, is stochastic primal averaging (SPA),
z_{k+1} = z_k - eta_k g_k, x_{k+1} = (1 - c_{k+1}) x_k + c_{k+1} z_{k+1}, with (Defazio, arXiv 2010.00406)

    alpha_k = c_{k+1} eta_k,   eta_{k+1} = (eta_k - alpha_k) / beta_{k+1},   or beta_k = (1 - c_k) eta_{k-1} / eta_k.

The same x belongs to a whole line of eta: one value is free. Forwards the recursion explodes when the learning rate
decays, so it is run backwards here, where every term is positive.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.deprecation import renamed_arguments
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import (
    check_count,
    check_flag,
    check_gradient_bounds,
    check_positive,
    check_steps,
)
from lastiterate.theory.methods import step_matrix as step_matrices
from lastiterate.theory.methods.averaging import spa_from_momentum
from lastiterate.theory.methods.step_matrix import check_averaging, check_momentum
from lastiterate.theory.pep import cone
from lastiterate.theory.rates.sgd import BaseRate, exact_rate
from lastiterate.theory.schedules.families import as_steps

from .blocks import block_bound
from .certified import (
    SEARCH_LIMIT,
    CertifiedRate,
    certified,
    chain_rate,
    lipschitz_rate,
    program_rate,
    proved_rate,
    standing_rate,
)
from .last_row import averaging_lower
from .ramp import RampBound, last_reach, ramp_bound

__all__ = ["momentum_rate", "spa_rate"]

Array = npt.NDArray[np.float64]
CHAIN_FACTOR = 8
ROUNDING, NEARLY = 64.0 * float(np.finfo(np.float64).eps), 1e-12
"""How far below zero a multiplier of the closed form may be, in units of the largest v: by rounding, or at a price."""
PRICED = 1_000
"""Steps up to which that price is paid, which takes all pairs of points; it is a digit beyond the sixth."""


@renamed_arguments(beta="momentum")
@within_float64
def momentum_rate(
    steps: Any,
    momentum: Any = 0.9,
    D: Any = 1.0,
    G: Any = 1.0,
    *,
    search_limit: int = SEARCH_LIMIT,
    stochastic: bool = False,
    blocks: bool = True,
    n_steps: int | None = None,
) -> CertifiedRate:
    """Bound f(x_N) - f* for SGD with momentum as in ``torch.optim.SGD``; see `spa_rate`.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The learning rates alpha_k, which multiply the whole buffer.
    momentum : float or array_like, shape (N,)
        The momentum in [0, 1).
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.
    search_limit, stochastic, blocks
        As in `spa_rate`.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    CertifiedRate
        ``.value``, ``.exact`` (False where the value is only an upper bound), ``.lower``, ``.method``,
        ``.certificate()``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> rate = momentum_rate([0.1, 0.1, 0.1, 0.1], momentum=0.0)
    >>> rate.exact, rate.value == exact_rate([0.1, 0.1, 0.1, 0.1]).value
    (True, True)
    """
    steps = as_steps(steps, n_steps)
    alpha = check_steps(steps, allow_empty=True)
    factors = check_momentum(momentum, alpha.size)
    if not factors[1:].any():
        return _plain(alpha, D, G)
    eta, c = spa_from_momentum(alpha, factors)
    matrix = partial(step_matrices.momentum, alpha, factors)
    return _rate(eta, c, D, G, search_limit, stochastic, blocks, matrix)


@renamed_arguments(c="averaging")
@within_float64
def spa_rate(
    steps: Any,
    averaging: Any,
    D: Any = 1.0,
    G: Any = 1.0,
    *,
    search_limit: int = SEARCH_LIMIT,
    stochastic: bool = False,
    blocks: bool = True,
    n_steps: int | None = None,
) -> CertifiedRate:
    r"""Bound f(x_N) - f* for stochastic primal averaging with step sizes ``steps`` and averaging weights c.

    The closed form where it applies, else the program up to N = ``search_limit``, else the least of the others:

    * *closed form*, O(N), exact (the function of `.lower` attains it): with m_k = 1 / c_k - 1, m_0 = 0,
      (1 + m_k) (q_k - q_{k+1}) = m_{k+1} (q_{k+1} - q_{k+2}), q_N = 1, q_{N+1} = 0, the bound is that of SGD with steps
      h_k q_{k+1} and distance q_0 D, divided by q_0, if alpha_k = v_k - v_{k-1} >= 0 and (1 + m_k) alpha_k >= m_{k+1}
      alpha_{k+1} for k <= N-2, v_k = q_{k+1} / A_{k+1}; where a sign is missed by less than 1e-12 v_N, the value is
      that of the others, and an upper bound;
    * *program*: the semidefinite program of all multipliers, the worst case but for the solver's accuracy;
    * *blocks*, any N, seconds: `lastiterate.theory.rates.methods.blocks`, measured equal to the worst case to 1e-6 for
      momentum 0.9 from N = 40 on;
    * *ramp*, O(N): the theorem of `lastiterate.theory.rates.methods.ramp`, good where N c >> 1;
    * *chain*, up to N = 8 ``search_limit``: neighbouring points only, N + 1 multipliers, good where N c is at most
      about 4;
    * *lipschitz*: f(x_N) - f* <= G_N (D + sum_j H[N, j] G_j), where none of these is smaller.

    Where no cone solver (Clarabel) is installed, program and blocks are left out, and ``.method`` says so.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The step sizes eta_k of the z sequence.
    averaging : float or array_like, shape (N,)
        The averaging weights c_1, ..., c_N in [0, 1].
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.
    search_limit : int
        Largest N for the program: a tenth of a second at N = 20, seconds at N = 40.
    stochastic : bool
        Whether the value must hold in expectation for noisy gradients: then the program uses no inequality from an
        earlier gradient to a later point. All the other bounds hold in expectation anyhow.
    blocks : bool
        Whether to try the blocks, which take seconds.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    CertifiedRate
        ``.value``, ``.exact``, ``.lower``, ``.method``, ``.certificate()``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> rate = spa_rate([0.3] * 12, averaging=0.8)
    >>> rate.exact, rate.method
    (True, 'closed form')
    """
    steps = as_steps(steps, n_steps)
    eta = check_steps(steps, allow_empty=True)
    weights = check_averaging(averaging, eta.size)
    if (weights == 1.0).all():
        return _plain(eta, D, G)
    matrix = partial(step_matrices.spa, eta, weights)
    return _rate(eta, weights, D, G, search_limit, stochastic, blocks, matrix)


def _plain(steps: Array, D: Any, G: Any) -> CertifiedRate:
    """Rate without momentum: that of SGD."""
    found = exact_rate(steps, D, G)
    caps = check_gradient_bounds(G, steps.size)
    if not steps.any():
        return standing_rate(partial(step_matrices.sgd, steps), steps, float(D), caps)
    sums = np.cumsum(found.weights[::-1])[::-1]
    v = np.append(1.0 / sums, 0.0)[: steps.size + 1]
    proof = RampBound(found.value, np.zeros(v.size), v, found.weights)
    lower = partial(averaging_lower, steps, 1.0, float(D), caps)
    return proved_rate(proof, found, "closed form", partial(step_matrices.sgd, steps), steps, float(D), caps, lower)


def _rate(
    eta: Array,
    c: Array,
    D: Any,
    G: Any,
    search_limit: int,
    stochastic: bool,
    blocks: bool,
    step_matrix: Callable[[], Array],
) -> CertifiedRate:
    """Return the best bound that applies; ``step_matrix`` makes H when a certificate asks for it."""
    distance, caps = check_positive(D, "D"), check_gradient_bounds(G, eta.size)
    limit = check_count(search_limit, "search_limit", minimum=0)
    noisy, blocks = check_flag(stochastic, "stochastic"), check_flag(blocks, "blocks")
    lower = partial(averaging_lower, eta, c, distance, caps)
    run = (step_matrix, eta, distance, caps, lower)
    if not eta.any():
        return standing_rate(step_matrix, eta, distance, caps)
    closed = _closed_form(eta, c, distance, caps)
    if closed is not None:
        rate = proved_rate(closed[0], closed[1], "closed form", *run)
        return rate if closed[1] is not None or eta.size > PRICED else certified(rate)
    solver = cone.installed()
    if solver and eta.size <= limit:
        return program_rate(step_matrix(), eta, distance, caps, stochastic=noisy, lower=lower)
    alone = "" if solver else " (no cone solver)"
    bounds = [
        proved_rate(ramp_bound(eta, c, distance, caps), None, "ramp" + alone, *run),
        lipschitz_rate(last_reach(eta, c, caps), *run),
    ]
    if solver and blocks:
        bounds.append(proved_rate(block_bound(eta, c, distance, caps), None, "blocks", *run))
    if eta.size <= CHAIN_FACTOR * limit:
        bounds.append(chain_rate(step_matrix(), eta, distance, caps, lower))
    return min(bounds, key=float)


def _closed_form(eta: Array, c: Array, D: float, caps: Array) -> tuple[RampBound, BaseRate | None] | None:
    """Return the proof, and the rate of SGD behind it, where the sign conditions hold; none where they nearly do."""
    if c.min() <= 0.0:
        return None
    m = np.append(0.0, 1.0 / c - 1.0)
    falls = np.append(np.zeros(c.size), 1.0)
    for k in range(c.size - 1, -1, -1):
        falls[k] = m[k + 1] * falls[k + 1] / (1.0 + m[k])
    q = np.cumsum(falls[::-1])[::-1]
    found = exact_rate(eta * q[1:], q[0] * D, caps)
    A = np.cumsum(found.weights[::-1])[::-1]
    v = q / A
    alpha = np.diff(v)
    worst = min(alpha.min(), ((1.0 + m[:-2]) * alpha[:-1] - m[1:-1] * alpha[1:]).min(initial=0.0)) / v[-1]
    if worst < -NEARLY:
        return None
    return RampBound(found.value / q[0], m, v, found.weights), found if worst >= -ROUNDING else None
