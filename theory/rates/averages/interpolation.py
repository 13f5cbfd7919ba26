r"""Schedule-Free, primal averaging and generalised primal averaging: an interval for the worst case at any length.

With weights w_k (sum 1) of z_0..z_N in x_N, W_k = w_0 + ... + w_k, the last row of the step matrix is e_k = h_k (1 -
W_k), and the gradients are taken at rows h_k (1 - beta_j W_k / W_j).

* *Lower bound*: R*(e) where the sign condition of an average with these weights holds (Theorem M in
  `emulated`): then the rows divided by w_k of the exact rate are nonincreasing for every beta,
  and the function of SGD with steps e is met by the whole method. Where it fails, every pair of points is checked.
* *Upper bound*: sum_k w_k <g_k, z_k - x*> bounds f(x_N) - f* for every beta in [0, 1] (arXiv 2405.15682, Theorem 2).
  If w_k / h_k never rises it is at most ((w_0 / h_0) D^2 + sum_k w_k h_k G^2) / 2, h_N = w_N h_{N-1} / w_{N-1}; where
  it rises, the distance of z_k enters. Up to 60 steps multipliers from later to earlier points are searched as well.

With w_k = h_k, h_N = h_{N-1}, the two bounds meet if every step is at most the sum of the later ones and all sum to at
least D / G: the worst case is (D^2 + G^2 sum_k h_k^2) / (2 sum_k h_k) for every beta (``docs/averages.md``).
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import Array, check_fraction, check_positive, check_steps
from lastiterate.theory.methods.interpolation import following_weights, interpolated, shares_of
from lastiterate.theory.methods.step_matrix import check_averaging

from .bounds import searched
from .emulated import MergedRun, closing_sigma, in_units

__all__ = ["InterpolationRate", "generalised_primal_averaging_rate", "schedule_free_rate"]

_CHECKED = 20_000  # steps up to which every pair of points is checked for the lower bound: a second
_SEARCHED = 60  # steps up to which all multipliers are searched: seconds


@result
class InterpolationRate(Bounding):
    """An interval for f(x_N) - f*.

    Attributes
    ----------
    value, kind
        The upper bound and what it claims.
    lower : float
        What some function attains; zero where none is known.
    method : str
        The bound behind ``value``: ``"regret"``, ``"search"`` or ``"lipschitz"``.
    emulated : ndarray, shape (N,)
        The last row e of the step matrix: SGD with these steps is the best method that ends where this one does.
    """

    _shown = ("kind", "value", "lower", "n_steps", "method")

    value: float
    kind: Kind
    lower: float
    method: str
    emulated: Array

    @property
    def n_steps(self) -> int:
        """N."""
        return self.emulated.size


def schedule_free_rate(
    steps: npt.ArrayLike,
    beta: float | npt.ArrayLike = 0.9,
    weights: npt.ArrayLike | None = None,
    D: float = 1.0,
    G: float = 1.0,
) -> InterpolationRate:
    r"""Bound the last average of Schedule-Free SGD with any learning rates.

    Parameters
    ----------
    steps, beta, weights
        As in `lastiterate.theory.methods.interpolation.schedule_free`.
    D, G : float
        Bounds on the distance and the subgradient norms.

    Returns
    -------
    InterpolationRate
        ``.value``, ``.lower``, ``.kind``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    Constant steps reach the minimax rate of all methods, for every beta:

    >>> import numpy as np
    >>> schedule_free_rate(np.full(99, 0.1), beta=0.9)
    InterpolationRate(kind='attained', value=0.1, lower=0.1, n_steps=99, method='regret')
    """
    h = check_steps(steps)
    w = following_weights(h, weights)
    return _rate(h, w / w.sum(), check_averaging(beta, h.size, "beta"), check_positive(D, "D"), check_positive(G, "G"))


def generalised_primal_averaging_rate(
    steps: npt.ArrayLike, mu_x: float, mu_y: float, D: float = 1.0, G: float = 1.0
) -> InterpolationRate:
    r"""Bound the last average of generalised primal averaging with SGD inside.

    Parameters
    ----------
    steps, mu_x, mu_y
        As in `lastiterate.theory.methods.interpolation.generalised_primal_averaging`.
    D, G : float
        Bounds on the distance and the subgradient norms.

    Returns
    -------
    InterpolationRate
        ``.value``, ``.lower``, ``.kind``. From 61 steps on the upper bound is loose for a constant mu_x.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> rate = generalised_primal_averaging_rate(np.full(20, 0.2), mu_x=0.9, mu_y=0.7)
    >>> round(rate.lower, 3), round(rate.value, 3)
    (0.223, 0.253)
    """
    h = check_steps(steps)
    mu = check_fraction(mu_x, "mu_x")
    w = (1.0 - mu) * mu ** np.arange(h.size, -1.0, -1.0)
    w[0] = mu**h.size
    beta = np.full(h.size, check_fraction(mu_y, "mu_y"))
    return _rate(h, w / w.sum(), beta, check_positive(D, "D"), check_positive(G, "G"))


def _rate(h: Array, w: Array, beta: Array, D: float, G: float) -> InterpolationRate:
    steps = in_units(h, D, G)
    tails = np.cumsum(w[:0:-1])[::-1]
    e = steps * tails
    upper, method = _upper(steps, w, beta, e)
    lower = min(_lower(MergedRun.of(steps, w, np.ones(1)), steps, w, beta), upper)
    kind: Kind = "attained" if upper <= lower * (1.0 + 1e-9) else "upper"
    return InterpolationRate(upper * D * G, kind, lower * D * G, method, h * tails)


def _lower(run: MergedRun, steps: Array, w: Array, beta: Array) -> float:
    """Return R*(e) where its function is met by the whole method, else zero (D = G = 1)."""
    if run.steps.size == 0:
        return 1.0
    sigma, rate = closing_sigma(run)
    if sigma > 0.0 or (steps.size <= _CHECKED and _met(steps, w, beta)):
        return rate
    return 0.0


@njit(**JIT)
def _met(steps: Array, w: Array, beta: Array) -> bool:
    """Whether the slopes of the worst function for SGD with steps e are subgradients at every y_j.

    With <g_k, g_t> = 1 - q_k for all later t and rows H[j, k] = h_k (1 - beta_j W_k / W_j) this needs f(y_j) >= 0 and
    H[j, i] q_i + sum_{i<k<j} H[j, k] (q_k - q_i) >= 0 for i < j.
    """
    n = steps.size
    sums = np.cumsum(w)
    turns, q = np.zeros(n), np.empty(n)
    gain, tail = 0.0, w[n]
    for k in range(n - 1, -1, -1):
        e = steps[k] * tail
        tail += w[k]
        if e > 0.0:
            turns[k] = 1.0 if gain < 0.5 * e else e / (2.0 * gain)
            gain = 2.0 * e if gain < 0.5 * e else gain + e + 0.5 * e * turns[k]
    share = 1.0 - 1.0 / (4.0 * gain * gain) if 2.0 * gain > 1.0 else 0.0
    first, left = math.sqrt(1.0 - share), share
    for k in range(n):
        q[k] = left * (1.0 + turns[k])
        left *= (1.0 - turns[k]) * (1.0 + turns[k])
    slack = 1e-12 * steps.sum()
    moved, moved_back = 0.0, 0.0  # sums of h rho and of h W rho
    for j in range(n):
        mix = beta[j] / sums[j] if sums[j] > 0.0 else 0.0
        if first - moved + mix * moved_back < -slack:
            return False
        moved += steps[j] * (1.0 - q[j])
        moved_back += steps[j] * sums[j] * (1.0 - q[j])
    for i in range(n):
        here = steps[i] * q[i]
        back = here * sums[i]
        for j in range(i + 1, n):
            mix = beta[j] / sums[j] if sums[j] > 0.0 else 0.0
            if here - mix * back < -slack:
                return False
            here += steps[j] * (q[j] - q[i])
            back += steps[j] * sums[j] * (q[j] - q[i])
    return True


def _upper(steps: Array, w: Array, beta: Array, e: Array) -> tuple[float, str]:
    """Return the least of the bounds that apply, and its name (D = G = 1)."""
    bounds = [(1.0 + float(e.sum()), "lipschitz")]
    moved = steps > 0.0
    if moved.any() and not w[:-1][~moved].any():
        taken, weights = steps[moved], w[:-1][moved]
        ratios = weights / taken
        rises = np.maximum(np.diff(ratios), 0.0)
        reach = 1.0 + np.cumsum(taken)[:-1]  # ||z_k - x*||
        rising = float(rises @ reach**2) if rises.max(initial=0.0) > 1e-12 * ratios.max() else 0.0
        fictitious = w[-1] / ratios[-1] if ratios[-1] > 0.0 else np.inf
        squares = float(weights @ taken) + float(w[-1]) * fictitious
        bounds.append((0.5 * (float(ratios[0]) + rising + squares), "regret"))
    if steps.size <= _SEARCHED:
        bounds.append((searched(interpolated(steps, shares_of(w), beta))[0], "search"))
    return min(bounds)
