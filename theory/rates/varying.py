r"""A tighter bound on the last iterate for gradient bounds that increase somewhere.

The recursion of `lastiterate.theory.rates.sgd.exact_rate` ties every weight to its step, w_k = h_k / w_{k+1:N}. Untie
them:

**Theorem.** For all 1 = c_0 <= c_1 <= ... <= c_N, all e_k >= 0 (zero where c_{k+1} = c_k) and w_N > 0, let
w_k = (h_k / s_{k+1} + e_k) / c_k with s_k = w_{k:N}, backwards. Then

    f(x_N) - f*  <=  1/2 ( D^2 / s_0^2 + sum_{k<=N} c_k w_k^2 G_k^2 + sum_{k<N} e_k^2 G_k^2 / (c_{k+1} - c_k) ).

*Proof.* Let v_k = 1 / s_{k+1} and v_{-1} = 1 / s_0, a nondecreasing sequence. Add w_t v_{-1} times
f* >= f_t + <g_t, x* - x_t> for all t and w_t (v_r - v_{r-1}) times f_r >= f_t + <g_t, x_r - x_t> for all r < t. The
coefficient of f_t is v_{t-1} s_t - v_t s_{t+1} = 0 for t < N and 1 for t = N. With x_r - x_t = sum_{r<=j<t} h_j g_j

    f_N - f*  <=  <sum_t w_t g_t, v_{-1} (x_0 - x*)> - sum_{j<t} w_t h_j v_j <g_t, g_j>

remains. The first term is at most v_{-1}^2 D^2 / 2 + |sum_t w_t g_t|^2 / 2; expanding the square leaves the cross terms
sum_{j<t} w_t (w_j - h_j v_j) <g_t, g_j>, where w_j - h_j v_j = e_j - (c_j - 1) w_j. With m_k = c_{k+1} - c_k, adding
half of sum_k m_k |sum_{t>k} w_t g_t - (e_k / m_k) g_k|^2 >= 0 cancels every one of them and leaves only
sum_k (e_k^2 / m_k) |g_k|^2 / 2 and sum_t (c_t - 1) w_t^2 |g_t|^2 / 2. QED

With e = 0 and c = 1 it is the exact rate's recursion. The squares that are added are those that the dual of the
worst-case semidefinite program shows: each belongs to a *pivot*, a point with a small gradient bound before larger
ones. In words, f(x_k) - f* is small because the slope there is, and the last iterate is compared with x_k.

Minimised over its parameters the bound has equalled the semidefinite program in every instance tried (the table is in
docs/varying_bounds.md): numerically it is the exact worst case for arbitrary bounds G_k. That it is a bound is proven.
"""

import math
from itertools import product
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import minimize

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import Array, check_gradient_bounds, check_positive, check_steps
from lastiterate.theory.certificates.certificate import Certificate
from lastiterate.theory.methods.step_matrix import sgd

from .sgd import exact_rate

_POLISHED = 6
_SCATTERED = 16
_ALL_PIVOTS = 32  # up to this length every point is tried as a pivot


@result
class TightenedRate(Bounding):
    """An upper bound for varying gradient bounds.

    Attributes
    ----------
    value : float
        The bound on f(x_N) - f*, never above ``recursion_value``.
    recursion_value : float
        What `exact_rate` gives.
    weights : ndarray, shape (N+1,)
        The weights w_0..w_N of the theorem.
    kind : str
        ``"upper"``, or ``"exact"`` where G does not increase.
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
def tightened_rate(steps: npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0) -> TightenedRate:
    r"""Return an upper bound on f(x_N) - f* for SGD that is tighter than `exact_rate` where G increases.

    The theorem of this module (`lastiterate.theory.rates.varying`), minimised over its parameters by L-BFGS-B from the
    recursion's weights, from the best starts with a single pivot and, in short runs, from scattered ones. Every
    evaluation costs O(N); any parameters are valid, so the bound holds however far the minimisation got.

    Parameters
    ----------
    steps : array_like, shape (N,)
        Step sizes, at least zero.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N.

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
    checked = check_steps(steps, allow_empty=True)
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, checked.size)
    recursion = exact_rate(checked, distance, caps)
    value, weights = recursion.value, recursion.weights
    norms = weights**2
    if (caps[1:] > caps[:-1]).any() and checked.any() and recursion.sigma > 0.0:  # the least steps underflow
        top = float(caps.max())
        unit = math.sqrt(distance) / math.sqrt(top)  # of the weights: the problem has D = max G = 1 in these units
        h, bounds = checked / unit / unit, caps / top
        for start in _starts(math.log(recursion.sigma) - math.log(unit), h, bounds):
            found = _descend(start, h, bounds)
            reached = distance * top * float(_bound(found, h, bounds)[0])
            if reached < value:
                value, weights = reached, _weights(found, h, bounds) * unit
                norms = _norms(found, weights, bounds, unit)
    kind: Kind = "exact" if recursion.exact else "upper"
    return TightenedRate(value, recursion.value, weights, kind, checked, distance, caps, norms)


def _norms(x: Array, weights: Array, caps: Array, unit: float) -> Array:
    """Multipliers c_k w_k^2 + e_k^2 / m_k of the gradient bounds."""
    n = caps.size - 1
    norms = np.append(1.0, 1.0 + np.cumsum(x[1 : 1 + n])) * weights**2
    norms[:-1] += x[1 : 1 + n] * (np.exp(x[1 + n :]) * unit / caps[:-1]) ** 2
    return norms


def _starts(log_sigma: float, h: Array, caps: Array) -> list[Array]:
    """Parameters (log w_N, m, log z) to descend from: no pivot, the best few of many with one, and scattered ones.

    In long runs the pivots tried are the least bounds of the last 1, 2, 4, ... points.
    """
    n = h.size
    if n <= _ALL_PIVOTS:
        pivots = list(range(n))
        shifts, jumps, ratios = np.linspace(-8.0, 2.0, 11), (0.1, 1.0, 10.0, 100.0), (-1.5, 0.0, 1.5)
    else:
        ends = {max(0, n - 2**power) for power in range(n.bit_length() + 1)} - {n}
        pivots = sorted({end + int(np.argmin(caps[end:n])) for end in ends})
        shifts, jumps, ratios = np.linspace(-4.0, 1.0, 6), (1.0, 10.0), (0.0,)
    best: dict[int, tuple[float, Array]] = {}
    for start in (_with_ratios(log_sigma + shift, h, caps) for shift in shifts):
        for pivot, jump, ratio in product(pivots, jumps, ratios):
            trial = start.copy()
            trial[1 + pivot] = jump
            trial[1 + n + pivot] += ratio
            value = float(_bound(trial, h, caps)[0])
            if math.isfinite(value) and (pivot not in best or value < best[pivot][0]):
                best[pivot] = value, trial
    ranked = sorted(best.values(), key=itemgetter(0))
    starts = [_with_ratios(log_sigma, h, caps), *(start for _, start in ranked[:_POLISHED])]
    if n <= _ALL_PIVOTS:  # optima with several pivots have several basins
        rng = np.random.default_rng(0)
        for shift in rng.uniform(-4.0, 2.0, _SCATTERED):
            start = _with_ratios(log_sigma + shift, h, caps)
            start[1 : 1 + n] = rng.exponential(1.0, n) * rng.integers(0, 2, n)
            starts.append(start)
    return starts


def _with_ratios(log_sigma: float, h: Array, caps: Array) -> Array:
    """Parameters without a pivot; the ratios z balance the two costs of a square at every point."""
    n = h.size
    x = np.zeros(2 * n + 1)
    x[0] = log_sigma
    reach = np.cumsum((_weights(x, h, caps) * caps)[::-1] ** 2)[::-1]
    x[1 + n :] = 0.5 * np.log(np.clip(reach[1:], 1e-250, 1e250))
    return x


def _descend(start: Array, h: Array, caps: Array) -> Array:
    """Minimise the logarithm of the bound; a step that overflows counts as infinitely bad."""

    def logarithm(x: Array) -> tuple[float, Array]:
        value, gradient = _bound(x, h, caps)
        with np.errstate(over="ignore", invalid="ignore"):
            slope = gradient / value
        return (math.log(value), slope) if np.isfinite(slope).all() else (1e9, np.zeros(x.size))

    near, positive = [(value - 25.0, value + 25.0) for value in start.tolist()], [(0.0, None)] * h.size
    limits = [near[0], *positive, *near[1 + h.size :]]
    options = {"maxiter": 500, "maxcor": 20, "ftol": 1e-14, "gtol": 1e-10}
    return minimize(logarithm, start, jac=True, method="L-BFGS-B", bounds=limits, options=options).x


@njit(**JIT)
def _weights(x: Array, steps: Array, caps: Array) -> Array:
    """w_k = (h_k / s_{k+1} + m_k z_k / G_k) / c_k, where c_k = 1 + m_{0:k-1}."""
    n = steps.size
    weights = np.empty(n + 1)
    c = 1.0
    for k in range(n):
        weights[k] = c
        c += x[1 + k]
    s = math.exp(x[0])
    weights[n] = s
    for k in range(n - 1, -1, -1):
        weights[k] = (steps[k] / s + x[1 + k] * math.exp(x[1 + n + k]) / caps[k]) / weights[k]
        s += weights[k]
    return weights


@njit(**JIT)
def _bound(x: Array, steps: Array, caps: Array) -> tuple[float, Array]:
    """The theorem for D = 1 with m_k = c_{k+1} - c_k and e_k = m_k z_k / G_k, and its gradient by reverse mode."""
    n = steps.size
    weights = _weights(x, steps, caps)
    s = np.empty(n + 1)
    tail = 0.0
    for k in range(n, -1, -1):
        tail += weights[k]
        s[k] = tail
    gradient = np.empty(x.size)
    by_c = np.empty(n + 1)
    c, by_s = 1.0, -2.0 / tail**3
    total = 1.0 / tail**2
    for k in range(n):
        m, z, tied = x[1 + k], math.exp(x[1 + n + k]), steps[k] / s[k + 1]
        square = (weights[k] * caps[k]) ** 2
        total += c * square + m * z * z
        by_term = (by_s + 2.0 * c * weights[k] * caps[k] ** 2) / c  # by the bracket that c_k divides
        by_c[k] = square - by_term * weights[k]
        gradient[1 + k] = by_term * z / caps[k] + z * z
        gradient[1 + n + k] = m * z * (by_term / caps[k] + 2.0 * z)
        by_s -= by_term * tied / s[k + 1]
        c += m
    square = (weights[n] * caps[n]) ** 2
    total += c * square
    by_c[n] = square
    gradient[0] = by_s * weights[n] + 2.0 * c * square
    later = 0.0
    for k in range(n - 1, -1, -1):
        later += by_c[k + 1]
        gradient[1 + k] += later
    return 0.5 * total, 0.5 * gradient
