r"""The bound on momentum (SPA form) at any length, in O(N): multipliers that ramp the averaging up.

Let m_k = 1 / c_k - 1, so that z_k = x_k + m_k (x_k - x_{k-1}), and choose 0 = mu_0 <= mu_k <= m_k, sigma > 0. Row t of
the certificate compares the point x_t + mu_t (x_t - x_{t-1}) with x* and with x_r + mu_r (x_r - x_{r-1}), r < t, at
weights w_t v_{-1} and w_t alpha_r, alpha_r = v_r - v_{r-1}; A_k = w_k + ... + w_N, w_N = sigma, v_{N-1} = 1 / sigma.
The function values cancel if

    (1 + mu_k) (v_{k-1} A_k - v_k A_{k+1}) = mu_{k+1} (v_k A_{k+1} - v_{k+1} A_{k+2}),

which gives v_{k-1} from w_k backwards; the multipliers are nonnegative if (1 + mu_k) alpha_k >= mu_{k+1} alpha_{k+1}
and alpha_k >= 0. The inner product <g_t, g_s> is left with the coefficient -K_ts,

    K_ts = w_t (w_s - h_s v_s - h_s E_st) + w_t v_{t-1} lag_t h_s P_{t-1} / P_s,
    E_st = sum_{s<r<t} alpha_r lag_r P_{r-1} / P_s,   lag_r = (m_r - mu_r) c_r,   P_r = (1 - c_1) ... (1 - c_r),

nonnegative once w_s >= h_s (v_s + E_sN). Then -2 K <g_t, g_s> <= K (|g_t|^2 G_s / G_t + |g_s|^2 G_t / G_s) and, with
Q = 1 + mu_N,

    f(x_N) - f*  <=  (v_{-1}^2 D^2 + sum_k w_k^2 G_k^2 + 2 sum_{s<t} K_ts G_s G_t) / (2 Q).

With mu = m and all K = 0 this is the exact closed form. It fails in the first 1 / c steps, where m jumps from 0 to its
value, and in the last ones; there mu ramps up as fast as the signs allow (by fixed-point iteration) and w_k is raised.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.result import Result, result

__all__ = ["RampBound", "ramp_bound"]

Array = npt.NDArray[np.float64]


@result
class RampBound(Result):
    """Multipliers of the form of the ramp, and the bound on f(x_N) - f* that they prove."""

    value: float
    mu: Array
    v: Array
    w: Array
    unit: float = 1.0

    def __float__(self) -> float:
        """Return the bound."""
        return self.value

    def multipliers(self) -> tuple[Array, float, None, None]:
        """Return ``pairs[r, t]`` and tau; the multipliers of the norms follow by diagonal dominance."""
        pairs, tau = pair_multipliers(self.mu, self.v, self.w)
        return pairs, tau / self.unit, None, None


def ramp_bound(eta: Array, c: Array, D: float, caps: Array) -> RampBound:
    """Bound f(x_N) - f* for momentum in averaging form (checked arguments) at the best sigma of a refined grid.

    Parameters
    ----------
    eta, c : ndarray, shape (N,)
        Step sizes of the z sequence and averaging weights.
    D : float
        Bound on the distance from x_0 to a minimiser.
    caps : ndarray, shape (N+1,)
        Bounds on the subgradient norms.
    """
    top = float(caps.max())
    unit = D / top
    h, G = eta / unit, caps / top
    # the fixed-point iteration is chaotic where the ramp is loose: searched on rounded numbers, mu and sigma do not
    # depend on the last bits, that is, on the units of D, G and the steps
    largest = float(_rounded(np.array([G[-1] * (1.0 + last_reach(h, c, G))]))[0])
    mu, sigma = _best_ramp(_rounded(h), _rounded(c), _rounded(G), largest)
    full = np.divide(1.0 - c, c, out=np.full_like(c, np.inf), where=c > 0.0)
    mu[1:] = np.minimum(mu[1:], full)
    v, w = np.zeros(h.size + 1), np.zeros(h.size + 1)
    value = backward_pass(h, c, G, 1.0, sigma, mu, v, w, np.zeros(h.size + 1))
    return RampBound(value * D * top, mu, v, w, unit)


def last_reach(eta: Array, c: Array, caps: Array) -> float:
    """Return the longest way from x_0 to x_N, sum_j H[N, j] G_j."""
    longest = 0.0
    for reach, share in zip(np.cumsum(eta * caps[:-1]), c, strict=True):
        longest += float(share * (reach - longest))
    return longest


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


@njit(**JIT)
def backward_pass(
    h: Array, c: Array, G: Array, D: float, sigma: float, mu: Array, v: Array, w: Array, growth: Array
) -> float:
    """Fill v (v[k] is v_{k-1}) and w for a given mu; return the bound, infinite where the signs cannot be kept.

    ``growth[k]`` becomes alpha_k / alpha_{k+1} as it would be without raising w_k.
    """
    n = h.size
    moves = np.zeros(n + 1)  # |x_t - x_{t-1}| <= c_t moves[t]
    for t in range(1, n + 1):
        moves[t] = h[t - 1] * G[t - 1] + ((1.0 - c[t - 2]) * moves[t - 1] if t > 1 else 0.0)
    w[n], v[n] = sigma, 1.0 / sigma
    squares = (sigma * G[n]) ** 2
    mass, loaded = sigma, sigma * G[n]  # sums of w and of w G over later points
    later_mass, alpha, missing, spread, cross = 0.0, 0.0, 0.0, 0.0, 0.0
    if n > 0:
        cross = loaded * v[n] * ((1.0 - c[n - 1]) - mu[n] * c[n - 1]) * moves[n]
    previous_loaded = 0.0
    for k in range(n - 1, -1, -1):
        flow = (1.0 + mu[k]) * v[k + 1] * mass + w[k + 1] * mu[k + 1] * v[k + 1]
        need = 0.0
        if k < n - 1:
            lag = alpha * ((1.0 - c[k]) - mu[k + 1] * c[k])
            missing = lag + (1.0 - c[k]) * missing
            spread = lag * previous_loaded + (1.0 - c[k]) * spread
            flow -= mu[k + 1] * alpha * later_mass
            need = mu[k + 1] * alpha / (1.0 + mu[k])
        if not v[k + 1] > need:
            return np.inf
        least = h[k] * (v[k + 1] + missing)
        free = v[k + 1] - flow / ((1.0 + mu[k]) * (least + mass))
        growth[k] = free / alpha if alpha > 0.0 else 1.0
        w[k] = max(least, flow / ((v[k + 1] - need) * (1.0 + mu[k])) - mass)
        cross += G[k] * (h[k] * (missing * loaded - spread) + (w[k] - least) * loaded)
        squares += (w[k] * G[k]) ** 2
        later_mass, previous_loaded = mass, loaded
        mass += w[k]
        loaded += w[k] * G[k]
        v[k] = flow / ((1.0 + mu[k]) * mass)
        if k > 0:
            cross += w[k] * G[k] * v[k] * ((1.0 - c[k - 1]) - mu[k] * c[k - 1]) * moves[k]
        alpha = max(v[k + 1] - v[k], 0.0)
    return ((v[0] * D) ** 2 + squares + 2.0 * cross) / (2.0 * (1.0 + mu[n]))


@njit(**JIT)
def ramp(growth: Array, c: Array, mu: Array) -> None:
    """Let mu rise as fast as the signs allow until it reaches m for the first time, and follow m from there."""
    arrived = False
    for k in range(c.size):
        full = (1.0 - c[k]) / c[k] if c[k] > 0.0 else np.inf
        if not arrived:
            mu[k + 1] = min(full, (1.0 + mu[k]) * min(max(growth[k], 0.0), 1.5))
            arrived = mu[k + 1] >= full
        else:
            mu[k + 1] = min(full, (1.0 + mu[k]) * 1.5)


@njit(**JIT)
def ramped_bound(h: Array, c: Array, G: Array, D: float, sigma: float, rounds: int, best_mu: Array) -> float:
    """Return the least bound over the rounds of the fixed-point iteration, and its mu."""
    n = h.size
    growth = np.full(n + 1, 0.95)
    mu, v, w = np.zeros(n + 1), np.empty(n + 1), np.empty(n + 1)
    best = np.inf
    for _ in range(rounds):
        ramp(growth, c, mu)
        value = backward_pass(h, c, G, D, sigma, mu, v, w, growth)
        if value == np.inf:
            growth *= 0.9
        if value < best:
            gain = 1.0 - value / best
            best = value
            best_mu[:] = mu
            if gain < 1e-6:
                break
    return best


def pair_multipliers(mu: Array, v: Array, w: Array) -> tuple[Array, float]:
    """Return the multipliers of f_r >= f_t + <g_t, x_r - x_t> as ``pairs[r, t]``, and that of the distance."""
    n = w.size - 1
    scale = 1.0 + mu[n]
    alpha = np.maximum(np.diff(v), 0.0)
    shares = (1.0 + mu[:n]) * alpha
    shares[: n - 1] -= mu[1:n] * alpha[1:]
    pairs = np.triu(np.outer(np.append(np.maximum(shares, 0.0), 0.0), w / scale), 2)
    for t in range(1, n + 1):
        pairs[t - 1, t] = w[t] / scale * ((1.0 + mu[t - 1]) * alpha[t - 1] + mu[t] * v[t])
    return pairs, float(v[0]) ** 2 / scale
