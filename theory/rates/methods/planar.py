r"""Dual averaging with growing scaling at any length: a certificate in the plane, O(N).

x_t = x_0 - (1 / beta_t) sum_{j<t} lambda_j g_j with beta_1 <= ... <= beta_N. Choose U_0, ..., U_N and q in the
plane and Delta_0 = ... >= Delta_{N-1} >= Delta_N = 0. With lambda_N = 1, U_N = V_N, d_t = beta_{t+1} - beta_t and

    P_t = 1 / beta_N - sum_{j>=t} lambda_j Delta_j,   V_t = V_{t+1} + lambda_t U_t,   <V_{t+1}, U_t> = P_{t+1},
    Z_1 = beta_1 U_0 - q,   Z_{t+1} = Z_t + d_t U_t,

the multipliers b_tr of f_r >= f_t + <g_t, x_r - x_t> and a_t of f* >= f_t + <g_t, x* - x_t>,

    b_tr = beta_r lambda_t <U_t, U_r - U_{r-1}>  (1 <= r < t),   b_t0 = lambda_t (<U_t, Z_t> + beta_t Delta_t),
    a_t = lambda_t <U_t, q>   (a_0 may be larger than sum_t b_t0: the rest belongs to f_0 >= f*),

prove, wherever they are nonnegative,

    f(x_N) - f*  <=  1/2 ( |q|^2 D^2 + sum_t G_t^2 lambda_t^2 (|U_t|^2 + Delta_t) ).

For H[t, s] = lambda_s / beta_t the numbers Y_ts = p_t H_ts - sum_{s<r<t} b_tr H_rs, p_t = a_t + sum_r b_tr, are
lambda_t lambda_s (<U_t, U_s> + Delta_max(t,s)), and [[|q|^2, a], [a, Y]] is positive semidefinite: a Gram matrix plus
sums of squares of sum_{s<=m} lambda_s g_s. Raising Delta raises b_t0 and leaves the other b_tr alone: it repairs the
sign that fails in the plane. Only inequalities from later to earlier points are used, so the bound survives noise.

The recursion goes backwards. U_t is the shortest vector with the right flow, turned until b_t0 = 0 where it would be
negative, and Delta_t is raised where no turn suffices. Three numbers are left to choose: the length of V_N, the
component of Z_N across it, and the turn of U_0.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import InputError, check_gradient_bounds, check_positive, check_steps
from lastiterate.theory.methods.step_matrix import check_scalings
from lastiterate.theory.rates.sgd import exact_rate

__all__ = ["PlanarBound", "check_growing", "planar_bound"]

Array = npt.NDArray[np.float64]
LONG = 3000  # up to so many steps the three numbers are searched, beyond they come from a shorter run
KNOWN = [(1.01, 0.6, 1.0), (1.03, 0.75, 1.0), (1.05, 0.9, 0.0), (1.15, 0.8, 2.0)]  # for beta between sqrt(k) and k
SCATTERED, POLISHED = 300, 8


@result
class PlanarBound(Result):
    """The bound and the vectors that prove it.

    Attributes
    ----------
    value : float
        The bound, infinite where no valid vectors were found.
    parameters : tuple of float
        |V_N| relative to the minimiser of the last row's rate R*, Z_N across V_N relative to sqrt(2 R*), and the
        turn of U_0 relative to its shortest choice.
    """

    value: float
    parameters: tuple[float, float, float]
    _lam: Array
    _beta: Array
    _U: Array
    _q: Array
    _delta: Array

    @property
    def n_steps(self) -> int:
        """N."""
        return self._lam.size

    def __float__(self) -> float:
        """Return the bound."""
        return self.value

    def multipliers(self) -> tuple[Array, float, Array, Array]:
        """Return ``pairs[r, t]`` = b_tr, tau, the multipliers of the norms and those of f_t >= f*; O(N^2) numbers."""
        lam, U, beta, n = np.append(self._lam, 1.0), self._U, self._beta, self._lam.size
        rises = np.zeros((n + 1, 2))
        rises[1:n] = beta[: n - 1, np.newaxis] * np.diff(U[:n], axis=0)
        pairs = np.tril((lam[:, np.newaxis] * U) @ rises.T, -1)
        Z = beta[0] * U[0] - self._q + np.zeros((n, 2))
        Z[1:] += np.cumsum(np.diff(beta)[:, np.newaxis] * U[1:n], axis=0)
        pairs[1:, 0] = lam[1:] * (np.sum(U[1:] * Z, axis=1) + beta * self._delta[1:])
        norms = np.sum((lam[:, np.newaxis] * U) ** 2, axis=1) + (lam * np.sqrt(self._delta)) ** 2
        spare = np.zeros(n + 1)
        spare[0] = max(float(lam @ (U @ self._q)) - 1.0, 0.0)
        return np.maximum(pairs, 0.0).T, float(self._q @ self._q), norms, spare


def planar_bound(
    weights: npt.ArrayLike, scalings: npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0
) -> PlanarBound:
    """Bound f(x_N) - f* at the last point of dual averaging with nondecreasing scalings.

    Parameters
    ----------
    weights : array_like, shape (N,)
        The weights lambda_0, ..., lambda_{N-1}, positive.
    scalings : array_like, shape (N,)
        The scalings beta_1 <= ... <= beta_N, positive.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.

    Returns
    -------
    PlanarBound
        ``.value`` and ``.multipliers()``.

    Raises
    ------
    InputError
        For weights that are not positive and scalings that decrease.

    Examples
    --------
    >>> import numpy as np
    >>> roots = np.sqrt(np.arange(1.0, 21.0))
    >>> bound = planar_bound(np.full(20, 0.5), roots / 2)
    >>> 0.3 < bound.value < 0.5
    True
    """
    weights = check_steps(weights, "weights")
    scale = check_scalings(scalings, weights.size)
    distance, caps = check_positive(D, "D"), check_gradient_bounds(G, weights.size)
    check_growing(weights, scale)
    # in units with D = 1, max G = 1 and beta_N = 1; x is in units of D, f in units of D max G
    top, last = float(caps.max()), float(scale[-1])
    run = _Run(weights * (top / distance / last), scale / last, caps / top)
    found = run.best()
    U, q, delta = run.vectors(found)
    unit = math.sqrt(top / distance)
    U[:-1] *= unit / last
    U[-1] /= unit
    return PlanarBound(
        value=run.value(found) * distance * top,
        parameters=(float(found[0]), float(found[1]), float(found[2])),
        _lam=weights,
        _beta=scale,
        _U=U,
        _q=q * unit,
        _delta=delta * (unit / last) ** 2,
    )


def check_growing(weights: Array, scale: Array) -> None:
    """Raise `InputError` for weights of zero and for scalings that fall."""
    if weights.size and weights.min() == 0.0:
        raise InputError("weights", f"weights[{int(np.argmin(weights))}] = 0.0", "positive weights")
    falls = np.diff(scale) < 0.0
    if falls.any():
        index = int(np.argmax(falls)) + 1
        found = f"scalings[{index}] = {scale[index]} after {scale[index - 1]}"
        raise InputError("scalings", found, "scalings that do not fall")


class _Run:
    """The search over the three numbers, in units with D = 1, max G = 1 and beta_N = 1."""

    def __init__(self, lam: Array, beta: Array, caps: Array) -> None:
        self.lam, self.beta, self.squares = lam, beta, caps**2
        rate = exact_rate(lam, 1.0, caps)
        self.units = np.array([rate.sigma, math.sqrt(2.0 * rate.value), 1.0])
        self.caps = caps

    def value(self, relative: Array) -> float:
        """Return the bound at the three numbers."""
        return float(_closed(self.lam, self.beta, self.squares, relative * self.units, *self._space())[0])

    def vectors(self, relative: Array) -> tuple[Array, Array, Array]:
        """Return U_0..U_N, q and Delta_0..Delta_N."""
        U, delta = self._space()
        q = _closed(self.lam, self.beta, self.squares, relative * self.units, U, delta)[1:]
        return U, np.array(q), delta

    def best(self) -> Array:
        """Return the best three numbers found."""
        if self.lam.size > LONG:
            return self._polished(self._shorter().best())
        draws = np.random.default_rng(0).random((SCATTERED, 3))
        scattered = np.exp(1.4 * draws[:, :1] - 0.2), 1.8 * draws[:, 1:2], 5.0 * draws[:, 2:] - 2.5
        trials = np.vstack([KNOWN, np.hstack(scattered)])
        values = _many(self.lam, self.beta, self.squares, trials * self.units)
        starts = list(trials[np.argsort(values)[:POLISHED]])
        return min((self._polished(start) for start in starts), key=self.value)

    def _polished(self, start: Array) -> Array:
        """Nelder-Mead from one start."""
        from scipy.optimize import minimize

        space = self._space()

        def objective(relative: Array) -> float:
            return float(_closed(self.lam, self.beta, self.squares, relative * self.units, *space)[0])

        simplex = start + np.vstack([np.zeros(3), np.diag([0.02, 0.05, 0.1])])
        options = {"xatol": 1e-6, "fatol": 1e-9, "maxfev": 600, "initial_simplex": simplex}
        with np.errstate(invalid="ignore"):  # the difference of two infinite values
            return minimize(objective, start, method="Nelder-Mead", options=options).x

    def _shorter(self) -> "_Run":
        """Merge neighbouring steps and keep the base learning rate at the same place relative to the best one."""
        ends = np.linspace(0, self.lam.size, LONG // 2 + 1).round().astype(int)
        merged = np.add.reduceat(self.lam, ends[:-1]) * math.sqrt((ends.size - 1) / self.lam.size)
        return _Run(merged, self.beta[ends[1:] - 1], np.append(self.caps[ends[:-1]], self.caps[-1]))

    def _space(self) -> tuple[Array, Array]:
        return np.empty((self.lam.size + 1, 2)), np.empty(self.lam.size + 1)


@njit(**JIT)
def _many(lam: Array, beta: Array, squares: Array, points: Array) -> Array:
    """Return the bound at each row of ``points``."""
    U, delta = np.empty((lam.size + 1, 2)), np.empty(lam.size + 1)
    values = np.empty(points.shape[0])
    for i in range(values.size):
        values[i] = _closed(lam, beta, squares, points[i], U, delta)[0]
    return values


@njit(**JIT)
def _closed(
    lam: Array, beta: Array, squares: Array, point: Array, U: Array, delta: Array
) -> tuple[float, float, float]:
    """Choose b_N0 so that the multipliers a sum to one, by safeguarded secants; return the bound and q.

    At ``below`` the sum is at least one, which is valid, at ``above`` it is not.
    """
    s, zeta, turn = point
    below, above = 0.0, 1.0
    value, excess, qx, qy = _recursion(lam, beta, squares, s, zeta, turn, below, U, delta)
    if not (value < np.inf and excess >= 0.0):
        return np.inf, 0.0, 0.0
    lack, trial, kept = -np.inf, min(0.1, excess), below
    for _ in range(60):
        if excess <= 1e-13 or above - below <= 1e-15:
            break
        value, rest, _, _ = _recursion(lam, beta, squares, s, zeta, turn, trial, U, delta)
        if value < np.inf and rest >= 0.0:
            gain = (excess - rest) / (trial - below)
            below, excess = trial, rest
            step = rest / gain if gain > 0.0 else np.inf
            trial = below + step * (1.0 + 1e-12)
        else:
            above, lack = trial, rest if value < np.inf else -np.inf
            trial = below + (above - below) * excess / (excess - lack)
        if not below < trial < above:
            trial = 0.5 * (below + above)
    kept = below
    value, excess, qx, qy = _recursion(lam, beta, squares, s, zeta, turn, kept, U, delta)
    return value, qx, qy


@njit(**JIT)
def _recursion(
    lam: Array, beta: Array, squares: Array, s: float, zeta: float, turn: float, start: float, U: Array, delta: Array
) -> tuple[float, float, float, float]:
    """Fill U and Delta backwards; return the bound (infinite where a sign fails), sum a - 1, and q."""
    n = lam.size
    bad = (np.inf, 0.0, 0.0, 0.0)
    if not s > 0.0:
        return bad
    U[n, 0], U[n, 1], delta[n] = s, 0.0, 0.0
    Vx, Vy, Zx, Zy = s, 0.0, start / s, zeta
    flow, floor, total = 1.0 / beta[n - 1], 0.0, squares[n] * s * s
    right, left = n, n  # indices of the extreme directions of the vectors at least two behind the current one
    for j in range(n - 1, 0, -1):
        length = Vx * Vx + Vy * Vy
        px, py = flow * Vx / length, flow * Vy / length
        nx, ny = -Vy / math.sqrt(length), Vx / math.sqrt(length)
        rise = beta[j] - beta[j - 1]
        across = nx * Zx + ny * Zy
        short = rise * (px * px + py * py) - (px * Zx + py * Zy) - beta[j - 1] * floor
        raised, eta = floor, 0.0
        if short > 0.0:
            room = across * across - 4.0 * rise * short
            if room >= 0.0 and across != 0.0:
                eta = 2.0 * short / (across + math.copysign(math.sqrt(room), across))
            else:
                eta = across / (2.0 * rise) if rise > 0.0 else 0.0
                raised = floor + (short - 0.5 * across * eta) / beta[j - 1]
        least, most = -np.inf, np.inf
        if j + 2 <= n:
            least, most = _allowed(U, j + 1, right, left, px, py, nx, ny)
            if least > most:
                return bad
        if not least <= eta <= most:
            eta = min(max(eta, least), most)
            missing = short + eta * (rise * eta - across)
            raised = floor + max(missing, 0.0) / beta[j - 1]
        ux, uy = px + eta * nx, py + eta * ny
        U[j, 0], U[j, 1], delta[j] = ux, uy, raised
        total += squares[j] * lam[j] * lam[j] * (ux * ux + uy * uy + raised)
        right, left = _wider(U, j + 1, right, left)
        if right < 0:
            return bad
        floor = raised
        Zx -= rise * ux
        Zy -= rise * uy
        Vx += lam[j] * ux
        Vy += lam[j] * uy
        flow -= lam[j] * raised
        if not flow > 0.0:
            return bad
    length = Vx * Vx + Vy * Vy
    px, py = flow * Vx / length, flow * Vy / length
    if n > 1:
        least, most = _allowed(U, 1, right, left, px, py, -py, px)
        if least > most:
            return bad
        turn = min(max(turn, least), most)
    ux, uy = px - turn * py, py + turn * px
    U[0, 0], U[0, 1], delta[0] = ux, uy, floor
    total += squares[0] * lam[0] * lam[0] * (ux * ux + uy * uy + floor)
    qx, qy = beta[0] * ux - Zx, beta[0] * uy - Zy
    right, left = _wider(U, 1, right, left)
    if right >= 0:
        right, left = _wider(U, 0, right, left)
    if right < 0 or qx * U[right, 0] + qy * U[right, 1] < 0.0 or qx * U[left, 0] + qy * U[left, 1] < 0.0:
        return bad
    Vx += lam[0] * ux
    Vy += lam[0] * uy
    return 0.5 * (qx * qx + qy * qy + total), qx * Vx + qy * Vy - 1.0, qx, qy


@njit(**JIT)
def _allowed(
    U: Array, k: int, right: int, left: int, px: float, py: float, nx: float, ny: float
) -> tuple[float, float]:
    """Return the least and the largest eta for which U_k - (p + eta n) has no negative product with both extremes."""
    least, most = -np.inf, np.inf
    for extreme in (right, left):
        gx, gy = U[extreme, 0], U[extreme, 1]
        free, rate = (U[k, 0] - px) * gx + (U[k, 1] - py) * gy, nx * gx + ny * gy
        if rate > 0.0:
            most = min(most, free / rate)
        elif rate < 0.0:
            least = max(least, free / rate)
        elif free < 0.0:
            return np.inf, -np.inf
    return least, most


@njit(**JIT)
def _wider(U: Array, k: int, right: int, left: int) -> tuple[int, int]:
    """Return the indices of the extreme directions once U_k joins them; -1 where they no longer fit in a half-plane."""
    beyond_right = U[right, 0] * U[k, 1] - U[right, 1] * U[k, 0] < 0.0
    beyond_left = U[k, 0] * U[left, 1] - U[k, 1] * U[left, 0] < 0.0
    if beyond_right and beyond_left:
        return -1, -1
    return (k if beyond_right else right), (k if beyond_left else left)
