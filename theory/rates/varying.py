r"""The exact worst case for gradient bounds that increase somewhere, with its certificate.

The recursion of `lastiterate.theory.rates.sgd.exact_rate` ties every weight to its step, w_k = h_k / w_{k+1:N}. Untied,
the weights give a bound that some function attains whatever the order of the G_k:

**Theorem** (docs/design.md). The worst case of f(x_N) - f* is the least value of
1/2 (D^2 / u_0 + sum_{k<N} G_k^2 z_k + G_N^2 u_N) with z_k = u_k - u_{k+1} - 2 h_k, z_k u_{k+1} >= h_k^2.

An index with a strict inequality is a *pivot*, a point with a small gradient bound before larger ones: f(x_k) - f* is
small because the slope there is, and the last iterate is compared with x_k. The multipliers are those of the recursion
with s_0 = sqrt(u_0) and s_{k+1} = s_k (u_{k+1} + h_k) / u_k: w_t / s_0 on f* >= f_t + <g_t, x* - x_t> and
w_t (1 / s_{r+1} - 1 / s_r) on f_r >= f_t + <g_t, x_r - x_t>, r < t; z_k and u_N multiply the squares of the G_k.
"""

import math

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import Array, check_gradient_bounds, check_positive, check_steps
from lastiterate.theory.certificates.certificate import Certificate
from lastiterate.theory.methods.step_matrix import sgd
from lastiterate.theory.schedules.families import as_steps

from .pivots import least_tails
from .sgd import exact_rate

__all__ = ["TightenedRate", "tightened_rate"]


@result
class TightenedRate(Bounding):
    """The worst case for varying gradient bounds.

    Attributes
    ----------
    value : float
        The worst case of f(x_N) - f*, never above ``recursion_value``.
    recursion_value : float
        What `exact_rate` gives.
    weights : ndarray, shape (N+1,)
        The weights w_0..w_N of the theorem.
    kind : str
        ``"exact"``; ``"attained"`` where the recursion is that already; ``"upper"`` if steps underflow.
    steps, D, G
        The instance.
    """

    value: float
    recursion_value: float
    weights: Array
    kind: Kind
    steps: Array
    D: float
    G: Array
    _norms: Array

    def certificate(self) -> Certificate:
        """Return the multipliers of the proof, one for each pair of points: O(N^2) numbers."""
        v = 1.0 / np.cumsum(self.weights[::-1])[::-1]
        pairs = np.triu(np.outer(np.append(np.diff(v), 0.0), self.weights), 1)
        return Certificate.step_matrix(sgd(self.steps), pairs, float(v[0] ** 2), self._norms, D=self.D, G=self.G)


@within_float64
def tightened_rate(
    steps: npt.ArrayLike | str, D: float = 1.0, G: float | npt.ArrayLike = 1.0, *, n_steps: int | None = None
) -> TightenedRate:
    r"""Return the worst case of f(x_N) - f* for SGD where G increases: *exact*, in whatever order the G_k are.

    The theorem of this module (`lastiterate.theory.rates.varying`). One pass where the recursion of `exact_rate` is
    attained; where G rises smoothly over many steps up to O(N^2), 1 s for 1,000 steps.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        Step sizes, at least zero.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    TightenedRate
        ``.value``, ``.recursion_value``, ``.weights`` and ``.certificate()``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> rate = tightened_rate([0.0107, 0.1245], G=[0.1436, 2.0194, 0.3529])
    >>> round(rate.recursion_value, 4), round(rate.value, 4)
    (0.3478, 0.2217)
    """
    steps = as_steps(steps, n_steps)
    checked = check_steps(steps, allow_empty=True)
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, checked.size)
    recursion = exact_rate(checked, distance, caps)
    value, weights, kind = recursion.value, recursion.weights, recursion.kind
    norms = weights**2
    # without a step the least gradient bound counts, which weights that are all on the last point do not show
    improvable = not recursion.exact or (not checked.any() and float(caps.min()) < float(caps[-1]))
    if improvable and recursion.sigma > 0.0:  # the least steps underflow
        top = float(caps.max())
        unit = math.sqrt(distance) / math.sqrt(top)  # of the weights: the problem has D = max G = 1 in these units
        guess = (float(weights.sum()) / unit) ** 2
        h: Array = checked / unit / unit
        tails, extra, least = least_tails(h, 1.0, caps / top, guess)
        with np.errstate(all="ignore"):  # where the least steps underflow the recursion's value stands
            sums = math.sqrt(tails[0]) * np.cumprod(np.append(1.0, (tails[1:] + h) / tails[:-1])).astype(np.float64)
        if sums.min() > 1e-300:  # the multipliers are their inverses
            value, kind = min(value, distance * top * least), "exact"
            weights = -np.diff(sums, append=0.0) * unit
            norms = np.append(extra, tails[-1]) * unit**2
    return TightenedRate(value, recursion.value, weights, kind, checked, distance, caps, norms)
