r"""Schedule-Free, primal averaging and generalised primal averaging: an interval for the worst case at any length.

With weights w_k (sum 1) of z_0..z_N in x_N, W_k = w_0 + ... + w_k, the last row of the step matrix is e_k = h_k (1 -
W_k), and the gradients are taken at rows h_k (1 - beta_j W_k / W_j).

* *Lower bound*, O(N): R*(e) where the sign condition of an average with these weights holds (Theorem M in
  `lastiterate.theory.rates.emulated`): then the rows divided by w_k of the exact rate are nonincreasing for every beta,
  and the function of SGD with steps e is met by the whole method.
* *Upper bound*: sum_k w_k <g_k, z_k - x*> bounds f(x_N) - f* for every beta in [0, 1] (arXiv 2405.15682, Theorem 2).
  If w_k / h_k never rises it is at most ((w_0 / h_0) D^2 + sum_k w_k h_k G^2) / 2, h_N = w_N h_{N-1} / w_{N-1}; where
  it rises, the distance of z_k enters. Up to 120 steps multipliers from later to earlier points are searched as well.

With w_k = h_k, h_N = h_{N-1}, the two bounds meet if every step is at most the sum of the later ones and all sum to at
least D / G: the worst case is (D^2 + G^2 sum_k h_k^2) / (2 sum_k h_k) for every beta (``docs/averages.md``).
"""

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import Array, check_fraction, check_positive, check_steps
from lastiterate.theory.methods.interpolation import following_weights, interpolated, shares_of
from lastiterate.theory.methods.step_matrix import averaging_weights

from .chain import best_multipliers
from .emulated import MergedRun, closing_sigma

__all__ = ["InterpolationRate", "generalised_primal_averaging_rate", "schedule_free_rate"]

# steps up to which multipliers are searched: all of them, those of points at most 6 apart, and at most 2 apart
_REACHES = ((24, None), (60, 6), (120, 2))


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
    return _rate(
        h, w / w.sum(), averaging_weights(beta, h.size, "beta"), check_positive(D, "D"), check_positive(G, "G")
    )


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
        ``.value``, ``.lower``, ``.kind``. From about 60 steps on the upper bound is loose for a constant mu_x.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> rate = generalised_primal_averaging_rate(np.full(20, 0.2), mu_x=0.9, mu_y=0.7)
    >>> round(rate.lower, 3), round(rate.value, 3)
    (0.0, 0.253)
    """
    h = check_steps(steps)
    mu = check_fraction(mu_x, "mu_x")
    w = (1.0 - mu) * mu ** np.arange(h.size, -1.0, -1.0)
    w[0] = mu**h.size
    beta = np.full(h.size, check_fraction(mu_y, "mu_y"))
    return _rate(h, w / w.sum(), beta, check_positive(D, "D"), check_positive(G, "G"))


def _rate(h: Array, w: Array, beta: Array, D: float, G: float) -> InterpolationRate:
    steps = h * (G / D)
    tails = np.cumsum(w[:0:-1])[::-1]
    e = steps * tails
    upper, method = _upper(steps, w, beta, e)
    run = MergedRun.of(steps, w, np.ones(1))
    sigma, rate = closing_sigma(run) if run.steps.size else (1.0, 1.0)
    lower = min(rate, upper) if sigma > 0.0 else 0.0
    kind: Kind = "attained" if upper <= lower * (1.0 + 1e-9) else "upper"
    return InterpolationRate(upper * D * G, kind, lower * D * G, method, h * tails)


def _upper(steps: Array, w: Array, beta: Array, e: Array) -> tuple[float, str]:
    """Return the least of the bounds that apply, and its name (D = G = 1)."""
    bounds = [(1.0 + float(e.sum()), "lipschitz")]
    if steps.min() > 0.0:
        ratios = w[:-1] / steps
        rises = np.maximum(np.diff(ratios), 0.0)
        reach = 1.0 + np.cumsum(steps)[:-1]  # ||z_k - x*||
        rising = float(rises @ reach**2) if rises.max(initial=0.0) > 1e-12 * ratios.max() else 0.0
        fictitious = w[-1] / ratios[-1] if ratios[-1] > 0.0 else np.inf
        squares = float(w[:-1] @ steps) + float(w[-1]) * fictitious
        bounds.append((0.5 * (float(ratios[0]) + rising + squares), "regret"))
    for most, band in _REACHES:
        if steps.size <= most:
            H = interpolated(steps, shares_of(w), beta)
            gap = 1e-5 if band is None else 1e-3
            bounds.append((best_multipliers(H, 1.0, np.ones(steps.size + 1), gap, band=band).value, "search"))
            break
    return min(bounds)
