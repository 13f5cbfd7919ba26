r"""Last-iterate rates of SGD with momentum, through its averaging form.

SGD with momentum, m_{k+1} = beta_k m_k + g_k, x_{k+1} = x_k - alpha_k m_{k+1}, is stochastic primal averaging (SPA),
z_{k+1} = z_k - eta_k g_k, x_{k+1} = (1 - c_{k+1}) x_k + c_{k+1} z_{k+1}, with (Defazio, arXiv 2010.00406)

    alpha_k = c_{k+1} eta_k,   eta_{k+1} = (eta_k - alpha_k) / beta_{k+1},   or beta_k = (1 - c_k) eta_{k-1} / eta_k.

The same x belongs to a whole line of eta: one value is free. Forwards the recursion explodes when the learning rate
decays, so it is run backwards here, where every term is positive.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import (
    check_count,
    check_gradient_bounds,
    check_positive,
    check_steps,
)
from lastiterate.theory.certificates.certificate import Certificate, StepMatrixCertificate
from lastiterate.theory.methods import step_matrix as step_matrices
from lastiterate.theory.methods.averaging import spa_from_momentum
from lastiterate.theory.methods.step_matrix import averaging_weights, momentum_factors

from .certified import SEARCH_LIMIT, CertifiedRate, assemble, chain_rate, lipschitz_rate, searched_rate
from .ramp import backward_pass, pair_multipliers, ramped_bound
from .sgd import exact_rate

Array = npt.NDArray[np.float64]
CHAIN_FACTOR = 8


def momentum_rate(
    steps: Any, beta: Any = 0.9, D: Any = 1.0, G: Any = 1.0, *, search_limit: int = SEARCH_LIMIT
) -> CertifiedRate:
    """Bound f(x_N) - f* for SGD with momentum as in ``torch.optim.SGD``; see `spa_rate`.

    Parameters
    ----------
    steps : array_like, shape (N,)
        The learning rates alpha_k, which multiply the whole buffer.
    beta : float or array_like, shape (N,)
        The momentum in [0, 1).
    D, G : float, float or array_like
        The distance bound and the gradient bounds.
    search_limit : int
        Largest N for which the multipliers are searched.

    Returns
    -------
    CertifiedRate
        ``.value``, ``.exact`` (False where the value is only an upper bound), ``.method``, ``.certificate()``.

    Examples
    --------
    >>> rate = momentum_rate([0.1, 0.1, 0.1, 0.1], beta=0.0)
    >>> rate.exact, rate.value == exact_rate([0.1, 0.1, 0.1, 0.1]).value
    (True, True)
    """
    alpha = check_steps(steps, allow_empty=True)
    factors = momentum_factors(beta, alpha.size)
    if not factors[1:].any():
        return _plain(alpha, D, G)
    eta, c = spa_from_momentum(alpha, factors)
    return _rate(eta, c, D, G, search_limit, lambda: step_matrices.momentum(alpha, factors))


def spa_rate(steps: Any, c: Any, D: Any = 1.0, G: Any = 1.0, *, search_limit: int = SEARCH_LIMIT) -> CertifiedRate:
    r"""Bound f(x_N) - f* for stochastic primal averaging with step sizes ``steps`` and averaging weights ``c``.

    In this order, the first that applies:

    * *closed form*, O(N), exact (verified numerically against semidefinite programs): with m_k = 1 / c_k - 1, m_0 = 0,
      (1 + m_k) (q_k - q_{k+1}) = m_{k+1} (q_{k+1} - q_{k+2}), q_N = 1, q_{N+1} = 0, the bound is that of SGD with steps
      h_k q_{k+1} and distance q_0 D, divided by q_0, if alpha_k = v_k - v_{k-1} >= 0 and (1 + m_k) alpha_k >= m_{k+1}
      alpha_{k+1} for k <= N-2, v_k = q_{k+1} / A_{k+1};
    * *search*, up to N = ``search_limit``: the least bound that the interpolation inequalities prove
      (`lastiterate.theory.rates.chain`), up to N = 16 from all of them, which is the worst case to 1e-5, beyond
      from those between later and earlier points: an upper bound, at most 3 per cent above in the cases tried;
    * *ramp*, O(N): the theorem of `lastiterate.theory.rates.ramp`, an upper bound, good where N c >> 1;
    * *chain*, up to N = 8 ``search_limit``, where it is smaller: the search with neighbouring points only, N + 1
      multipliers, an upper bound that is good where N c is at most about 4;
    * *lipschitz*: f(x_N) - f* <= G_N (D + sum_j H[N, j] G_j), where none of these is smaller.

    Parameters
    ----------
    steps : array_like, shape (N,)
        The step sizes eta_k of the z sequence.
    c : float or array_like, shape (N,)
        The averaging weights c_1, ..., c_N in [0, 1].
    D, G : float, float or array_like
        The distance bound and the gradient bounds.
    search_limit : int
        Largest N for which all multipliers are searched: a tenth of a second at N = 20, seconds at N = 40.

    Returns
    -------
    CertifiedRate
        ``.value``, ``.exact``, ``.method``, ``.certificate()``.

    Examples
    --------
    >>> rate = spa_rate([0.3] * 12, c=0.8)
    >>> rate.exact, rate.method
    (True, 'closed form')
    """
    eta = check_steps(steps, allow_empty=True)
    weights = averaging_weights(c, eta.size)
    if (weights == 1.0).all():
        return _plain(eta, D, G)
    return _rate(eta, weights, D, G, search_limit, lambda: step_matrices.spa(eta, weights))


def _plain(steps: Array, D: Any, G: Any) -> CertifiedRate:
    """Rate without momentum: that of SGD."""
    found = exact_rate(steps, D, G)
    caps = check_gradient_bounds(G, steps.size)
    sums = np.cumsum(found.weights[::-1])[::-1]
    v = np.append(1.0 / sums, 0.0)[: steps.size + 1]

    def prove() -> StepMatrixCertificate:
        pairs, tau = pair_multipliers(np.zeros(v.size), v, found.weights)
        return Certificate.step_matrix(step_matrices.sgd(steps), pairs, tau, D=D, G=caps)

    return assemble(found.value, found, "closed form", steps, float(D), caps, prove)


def _rate(eta: Array, c: Array, D: Any, G: Any, search_limit: int, step_matrix: Callable[[], Array]) -> CertifiedRate:
    """Return the best bound that applies; ``step_matrix`` makes H when a certificate asks for it."""
    distance, caps = check_positive(D, "D"), check_gradient_bounds(G, eta.size)
    limit = check_count(search_limit, "search_limit", minimum=0)
    closed = _closed_form(eta, c, distance, caps, step_matrix)
    if closed is not None:
        return closed
    if eta.size <= limit:
        return searched_rate(step_matrix(), eta, distance, caps)
    bound = _ramp(eta, c, distance, caps, step_matrix)
    if eta.size <= CHAIN_FACTOR * limit:
        return min(bound, chain_rate(step_matrix(), eta, distance, caps), key=float)
    return bound


def _closed_form(eta: Array, c: Array, D: float, caps: Array, step_matrix: Callable[[], Array]) -> CertifiedRate | None:
    """Return the exact rate where the sign conditions hold."""
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
    slack = 1e-12 * v[-1]
    if alpha.min() < -slack or (((1.0 + m[:-2]) * alpha[:-1] - m[1:-1] * alpha[1:]) < -slack).any():
        return None

    def prove() -> StepMatrixCertificate:
        pairs, tau = pair_multipliers(m, v, found.weights)
        return Certificate.step_matrix(step_matrix(), pairs, tau, D=D, G=caps)

    return assemble(found.value / q[0], found, "closed form", eta, D, caps, prove)


def _ramp(eta: Array, c: Array, D: float, caps: Array, step_matrix: Callable[[], Array]) -> CertifiedRate:
    """Return the bound of `averaging_bound` at the best sigma of a refined grid, or the Lipschitz bound."""
    top = float(caps.max())
    unit = D / top
    h, G = eta / unit, caps / top
    last_row = 0.0
    for reach, share in zip(np.cumsum(h * G[:-1]), c, strict=True):
        last_row += float(share * (reach - last_row))
    lipschitz = float(G[-1]) * (1.0 + last_row)
    # the fixed-point iteration is chaotic where the ramp is loose: searched on rounded numbers, mu and sigma do not
    # depend on the last bits, that is, on the units of D, G and the steps
    mu, sigma = _best_ramp(_rounded(h), _rounded(c), _rounded(G), float(_rounded(np.array([lipschitz]))[0]))
    full = np.divide(1.0 - c, c, out=np.full_like(c, np.inf), where=c > 0.0)
    mu[1:] = np.minimum(mu[1:], full)
    v, w = np.zeros(h.size + 1), np.zeros(h.size + 1)
    value = backward_pass(h, c, G, 1.0, sigma, mu, v, w, np.zeros(h.size + 1))
    if not value < lipschitz:
        return lipschitz_rate(lipschitz * D * top, step_matrix, eta, D, caps)

    def prove() -> StepMatrixCertificate:
        pairs, tau = pair_multipliers(mu, v, w)
        return Certificate.step_matrix(step_matrix(), pairs, tau / unit, D=D, G=caps)

    return assemble(value * D * top, None, "ramp", eta, D, caps, prove)


def _best_ramp(h: Array, c: Array, G: Array, lipschitz: float) -> tuple[Array, float]:
    """Return mu and sigma of the least bound on a grid of sigma that is refined three times."""
    high = math.sqrt(2.0 * lipschitz * (1.0 + min(h.size, 1.0 / max(c[-1], 1e-9)))) / G[-1]
    low, mu, best_mu = high * 1e-4 / math.sqrt(h.size), np.zeros(h.size + 1), np.zeros(h.size + 1)
    value, sigma, rounds = math.inf, high, 30 if h.size <= 10_000 else 4
    for count in (20, 10, 10, 10):
        grid = np.geomspace(low, high, count)
        values = np.empty(count)
        for index, candidate in enumerate(grid.tolist()):
            values[index] = ramped_bound(h, c, G, 1.0, candidate, rounds, mu)
            if values[index] < value:
                value, sigma, best_mu = float(values[index]), candidate, mu.copy()
        best = int(np.argmin(values))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, count - 1)]
    return best_mu, sigma


def _rounded(values: Array) -> Array:
    """Round to 36 significant bits."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(mantissa, 36)), exponent - 36)
