r"""Momentum at any length: rank one in the middle of the run, two small cone programs at its ends.

In the averaging form let m_t = 1 / c_t - 1 and e_s = eta_s (1 - (1 - c_{s+1}) ... (1 - c_N)), the last row of the step
matrix. A symmetric Y, a vector a and tau prove

    f(x_N) - f*  <=  1/2 ( tau D^2 + sum_t G_t^2 Y_tt )

if [[tau, a], [a, Y]] is positive semidefinite, sum a >= 1, a >= 0, the column sums sum_{t>s} Y_ts are e_s for every
s < N, and the multipliers b_ts of f_s >= f_t + <g_t, x_s - x_t> are nonnegative, where with u_ts = Y_ts / eta_s

    q_ts = u_ts + m_{s+1} (u_ts - u_t,s+1)  (s <= t-2),   q_t,t-1 = (1 + m_t) u_t,t-1,
    b_ts = q_ts - q_t,s-1  (s >= 1),   b_t0 = q_t0 - a_t.

Row t has p_t = q_t,t-1 = a_t + sum_s b_ts in all. Where at least (1 - free_t) p_t of it must belong to the point just
before (`lastiterate.theory.rates.averages.transfer`), b_t,t-1 >= 0 becomes free_t q_t,t-1 >= q_t,t-2.

All pairs go from later to earlier points, so the bound survives noise. About 1 / (1 - beta) steps from both ends Y has
rank one, Y_ts = w_t w_s, and the column sums are the recursion of SGD on e: w_t = e_t / V_{t+1}, V_t = V_{t+1} + w_t.
Seen from the first rows, all later ones act as one unit vector of weight V; seen from the last rows, the middle does.
Given the one number V at the start of the last rows, the ends are two cone programs that do not know of each other, of
a size set by 1 / (1 - beta) and not by N; V is found by a search in one dimension.
"""

import math

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.result import Result, result
from lastiterate.theory.pep.entries import EntryProgram, Term, lifted, times
from lastiterate.theory.rates.sgd import exact_rate

from .last_row import averaging_last_row

__all__ = ["BlockBound", "block_bound"]

Array = npt.NDArray[np.float64]
FIRST, LAST, LONGER = 1.7, 1.4, 2.6  # rows in the first and the last block in units of 1 / (1 - beta)
LEAST, LARGEST = 8, 30
ROUNDING = 1e-11
EVALUATIONS = 26


@result
class BlockBound(Result):
    """The bound, and what proves it: the blocks of Y at both ends, the weights w in between.

    Attributes
    ----------
    value : float
        The bound, infinite where no valid blocks were found.
    """

    value: float
    _eta: Array
    _c: Array
    _unit: float
    _parts: "tuple[_First, Array, _Last] | None" = None

    @property
    def n_steps(self) -> int:
        """N."""
        return self._eta.size

    def __float__(self) -> float:
        """Return the bound."""
        return self.value

    def multipliers(self) -> tuple[Array, float, Array, Array]:
        """Return ``pairs[r, t]``, tau, the multipliers of the norms and those of f_t >= f*; O(N^2) numbers."""
        assert self._parts is not None, "an infinite bound has no multipliers"
        first, w, last = self._parts
        size, n0, n1 = w.size, first.y.size, last.w.size
        along = np.concatenate([first.y, w[n0 : size - n1], last.w])  # along the unit vector of the middle
        Y = np.outer(along, along)
        Y[:n0, :n0], Y[size - n1 :, size - n1 :] = first.Y, last.Y
        a = np.append(first.a, along[n0:] * first.a_hat)
        pairs = pair_multipliers(Y, a, self._eta / self._unit, self._c)
        spare = np.zeros(size)
        spare[0] = max(float(a.sum()) - 1.0, 0.0)
        return np.maximum(pairs, 0.0).T, first.tau / self._unit, np.diag(Y) * self._unit, spare


@result
class _First(Result):
    """The first rows: tau, their a and Y, the profile y and the a-hat that later rows see."""

    tau: float
    a: Array
    a_hat: float
    Y: Array
    y: Array


@result
class _Last(Result):
    """The last rows: their weights along the middle, and Y."""

    w: Array
    Y: Array


def block_bound(eta: Array, c: Array, D: float, caps: Array, free: Array | None = None) -> BlockBound:
    """Bound f(x_N) - f* for momentum in averaging form (checked arguments; see `spa_rate`).

    Parameters
    ----------
    eta, c : ndarray, shape (N,)
        Step sizes of the z sequence and averaging weights; all positive, else the bound is infinite.
    D : float
        Bound on the distance from x_0 to a minimiser.
    caps : ndarray, shape (N+1,)
        Bounds on the subgradient norms.
    free : ndarray, shape (N,), optional
        The share free_1..free_N in (0, 1] of a row's multipliers that need not belong to the point just before it; by
        default all of them.

    Returns
    -------
    BlockBound
        ``.value`` and ``.multipliers()``; infinite where the run is too short for two blocks, and where the signs in
        the middle fail.

    Examples
    --------
    >>> bound = block_bound(np.full(60, 1 / 8), np.full(60, 0.1), 1.0, np.ones(61))
    >>> 0.1 < bound.value < 0.3
    True
    """
    top = float(caps.max())
    unit = D / top
    nothing = BlockBound(math.inf, eta, c, unit)
    if eta.min() <= 0.0 or c.min() <= 0.0:
        return nothing
    first = _reach(c, FIRST)
    best = nothing
    for share in (LAST, LONGER):
        last = _reach(c[::-1], share)
        if first + last + 3 > eta.size + 1:
            break
        run = _Run(eta / unit, c, caps / top, first, last, np.ones(eta.size) if free is None else free)
        value, parts = run.best()
        best = min(best, BlockBound(value * D * top, eta, c, unit, parts), key=float)
        if not run.crowded:
            break
    return best


def pair_multipliers(Y: Array, a: Array, eta: Array, c: Array) -> Array:
    """Return b with ``b[t, s]`` on f_s >= f_t + <g_t, x_s - x_t>."""
    size = a.size
    u = np.zeros((size, size))
    u[:, :-1] = np.tril(Y, -1)[:, :-1] / eta
    m = np.append(1.0 / c - 1.0, 0.0)  # m[s] = m_{s+1}
    q = np.tril(u * (1.0 + m), -1)
    q[:, :-1] -= np.tril(m[:-1] * u[:, 1:], -2)
    b = q.copy()
    b[:, 1:] -= np.tril(q, -2)[:, :-1]
    b[1:, 0] -= a[1:]
    return np.tril(b, -1)


def _reach(c: Array, share: float) -> int:
    """Return how many steps it takes until the memory of momentum has fallen by exp(-share), within limits."""
    with np.errstate(divide="ignore"):
        fallen = np.cumsum(-np.log1p(-c))
    return int(np.clip(np.searchsorted(fallen, share) + 1, LEAST, LARGEST))


class _Run:
    """The search over V, in units with D = 1 and max G = 1."""

    def __init__(self, eta: Array, c: Array, caps: Array, first: int, last: int, free: Array) -> None:
        self.eta, self.squares, self.first, self.last = eta, caps**2, first, last
        self.m = np.append(0.0, 1.0 / c - 1.0)
        self.gain = np.append(1.0, free / c)  # free_t (1 + m_t)
        self.e = averaging_last_row(eta, c)
        self.caps = caps
        self.crowded = False  # whether a smaller V would help but for the signs in the middle

    def best(self) -> "tuple[float, tuple[_First, Array, _Last] | None]":
        """Return the least value over V and its parts."""
        from scipy.optimize import minimize_scalar

        guess = float(exact_rate(self.e, 1.0, self.caps).weights[-self.last :].sum())
        best: tuple[float, tuple[_First, Array, _Last] | None] = (math.inf, None)

        def objective(logarithm: float) -> float:
            nonlocal best
            found = self.at(guess * math.exp(logarithm))
            best = min(best, found, key=lambda pair: pair[0])
            return found[0]

        grid = np.linspace(-0.8, 1.2, 11)
        values = [objective(x) for x in grid]
        middle = int(np.argmin(values))
        self.crowded = math.isinf(values[max(middle - 1, 0)])
        if best[1] is not None:
            bounds = grid[max(middle - 1, 0)], grid[min(middle + 1, grid.size - 1)]
            options = {"xatol": 1e-5, "maxiter": EVALUATIONS - grid.size}
            with np.errstate(invalid="ignore"):  # parabolas through infinite values
                minimize_scalar(objective, bounds=bounds, method="bounded", options=options)
        return best

    def at(self, V: float) -> "tuple[float, tuple[_First, Array, _Last] | None]":
        """Return the value for one V, infinite where a sign fails."""
        n0, end = self.first, self.e.size + 1 - self.last  # rows n0, ..., end - 1 are the middle
        w, weight = np.zeros(self.e.size + 1), V
        for t in range(end - 1, n0 - 1, -1):
            w[t] = self.e[t] / weight
            weight += w[t]
        u = w[n0:end] / self.eta[n0:end]
        m = self.m[n0 + 1 : end]
        Q = u[:-1] + m * (u[:-1] - u[1:])
        newest = self.gain[n0 + 2 : end + 1] * u[1:] - Q
        if np.diff(Q).min(initial=0.0) < -ROUNDING * u[-1] or newest.min() < -ROUNDING * u[-1]:
            return math.inf, None
        last = self._last_rows(V, float(u[-1]), float(Q[-1]))
        first = None if last is None else self._first_rows(weight, float(u[0]), float(Q[0]))
        if first is None or last is None:
            return math.inf, None
        value = first.tau + np.diag(first.Y) @ self.squares[:n0] + np.diag(last.Y) @ self.squares[end:]
        return 0.5 * float(value + w[n0:end] ** 2 @ self.squares[n0:end]), (first, w, last)

    def _first_rows(self, V: float, u_next: float, Q_next: float) -> _First | None:
        """Solve for the first rows, with every row in units of e_s / V, q in units of 1 / V."""
        n = self.first
        e, m, gain = self.e[:n], self.m, self.gain
        program = EntryProgram(n + 2)
        share = e / self.eta[:n]
        scale = e / V**2
        q, phi = 0, n + 1
        for s in range(n):
            program.equal([(1.0, (s + 1, phi)), *((scale[t], (s + 1, t + 1)) for t in range(s + 1, n))], 1.0)
        total = [(1.0, (q, phi)), *((scale[s], (q, s + 1)) for s in range(n))]
        program.at_least(total, 1.0)
        for t in range(1, n + 2):
            program.at_least([(1.0, (q, t))], 0.0)
        for t in range(1, n):
            flow = [_flow(s, t, m, gain, [(share[r], (t + 1, r + 1)) for r in range(t)]) for s in range(t)]
            program.rising([[(1.0, (q, t + 1))], *flow])
        profile = [(share[s], (s + 1, phi)) for s in range(n)]
        seen = [_flow(s, n, m, gain, profile) for s in range(n)]  # the flow of row n, whose last entry is q_n,n-1
        program.rising([[(1.0, (q, phi))], *seen])
        passing = [(1.0 + m[n]) * profile[-1][0], -m[n] * u_next * V]  # Q_{n-1} of rows beyond n
        entry = profile[-1][1]
        program.at_least([(passing[0], entry), *times(-1.0, seen[-2])], -passing[1])
        program.at_least([(-passing[0], entry)], -(Q_next * V - passing[1]))
        program.at_least([(-passing[0], entry)], -(gain[n + 1] * u_next * V - passing[1]))
        cost = np.concatenate([[1.0], e**2 * self.squares[:n], [0.0]])
        found = program.solve(cost, fixed=phi)
        if found is None:
            return None
        found[1:-1, -1] = found[-1, 1:-1] = 1.0 - np.tril(found[1:-1, 1:-1], -1).T @ scale
        found[0, -1] = found[-1, 0] = max(found[0, -1], 1.0 - float(found[0, 1:-1] @ scale))
        if not program.holds(found):
            return None
        found = lifted(found, phi)
        unit = e / V
        return _First(
            tau=found[0, 0] / V**2,
            a=found[0, 1:-1] * unit / V,
            a_hat=found[0, -1] / V,
            Y=found[1:-1, 1:-1] * np.outer(unit, unit),
            y=found[1:-1, -1] * unit,
        )

    def _last_rows(self, V: float, u_before: float, Q_before: float) -> _Last | None:
        """Solve for the last rows, in units of V / n; entry 0 is the unit vector of the middle."""
        n = self.last
        begin = self.e.size + 1 - n
        unit = V / n
        program = EntryProgram(n + 1)
        share = unit**2 / self.eta[begin:]
        program.equal([(1.0, (0, t + 1)) for t in range(n)], float(n))
        for s in range(n - 1):
            program.equal([(1.0, (t + 1, s + 1)) for t in range(s + 1, n)], self.e[begin + s] / unit**2)
        for t in range(n):
            program.at_least([(1.0, (0, t + 1))], 0.0)
        m, gain = self.m[begin - 1 :], self.gain[begin - 1 :]  # [s] belongs to row begin - 1 + s; the middle ends at 0
        for t in range(1, n):
            row = [(u_before * unit, (0, t + 1)), *((share[s], (t + 1, s + 1)) for s in range(t))]
            flow = [_flow(s, t + 1, m, gain, row) for s in range(t + 1)]
            program.rising([[(Q_before * unit, (0, t + 1))], *flow])
        found = program.solve(np.append(0.0, self.squares[begin:]), fixed=0)
        if found is None:
            return None
        found[0, 1:] *= n / found[0, 1:].sum()
        found[1:, 0] = found[0, 1:]
        for s in range(n - 1):
            found[n, s + 1] = found[s + 1, n] = self.e[begin + s] / unit**2 - found[s + 2 : n, s + 1].sum()
        if not program.holds(found):
            return None
        found = lifted(found, 0)
        return _Last(w=found[0, 1:] * unit, Y=found[1:, 1:] * unit**2)


def _flow(s: int, t: int, m: Array, gain: Array, u: list[Term]) -> list[Term]:
    """Return q_ts, for s = t - 1 times free_t, as a combination of matrix entries, given u_t0, ..., u_t,t-1."""
    if s == t - 1:
        return times(gain[t], [u[s]])
    return [*times(1.0 + m[s + 1], [u[s]]), *times(-m[s + 1], [u[s + 1]])]
