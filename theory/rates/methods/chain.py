"""Near-optimal multipliers between near points for any step matrix.

The multipliers b_tr of f_r >= f_t + <g_t, x_r - x_t>, t - band <= r < t, and a_t of f* >= f_t + <g_t, x* - x_t>
form a unit flow from the last point to the optimum. With k_r = (1, -H[r]), which is x_r - x* in the basis (x_0 - x*,
g_0, ..., g_N), the quadratic form that must be semidefinite is

    Z = diag(tau, nu) - sym(e_N, k_N) + sum_tr b_tr sym(e_t - e_r, k_r),   sym(x, y) = x y^T + y x^T,

so that minimising (tau D^2 + sum nu_t G_t^2) / 2 over b, tau, nu is convex. A log-barrier Newton method needs nothing
but NumPy, starts from an explicit interior point and keeps every iterate strictly feasible: whatever it returns is a
valid bound. One iteration costs O(M^3 + N^3) for M pairs.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT

__all__ = ["ChainMultipliers", "best_multipliers"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


class ChainMultipliers(NamedTuple):
    """Strictly feasible multipliers: ``pairs[r, t]`` is b_tr; ``value`` is the bound they prove."""

    pairs: Array
    tau: float
    norms: Array
    value: float


def best_multipliers(H: Array, D: float, G: Array, gap: float, band: int | None = 1) -> ChainMultipliers:
    """Minimise the bound over the multipliers of points with earlier ones in reach, to a relative gap.

    Parameters
    ----------
    H : ndarray, shape (N+1, N+1)
        The step matrix.
    D : float
        The distance bound.
    G : ndarray, shape (N+1,)
        The gradient bounds.
    gap : float
        How far above the minimum the value may be, relative; an iteration limit may stop earlier.
    band : int, optional
        How many steps apart two points may be: neighbours by default, all earlier points for None.
    """
    top = float(G.max())
    program = _Program(H * (top / D), G / top, band or G.size)
    point = program.interior_point()
    weight = program.barrier_terms / program.objective(point)
    for _ in range(60):
        point = program.centre(point, weight)
        if program.barrier_terms < weight * gap * program.objective(point):
            break
        weight *= 2.5
    b, diagonal = program.split(point)
    return ChainMultipliers(
        b.T * 1.0, diagonal[0] * top / D, diagonal[1:] * D / top, program.objective(point) * D * top
    )


class _Program:
    """The barrier of the problem in units with D = 1 and max G = 1; a point is (b row by row, tau, nu)."""

    def __init__(self, H: Array, G: Array, band: int) -> None:
        size = G.size
        tails, heads = np.tril_indices(size, -1)
        near = tails - heads <= band
        self.tails, self.heads, self.band = tails[near].astype(np.int64), heads[near].astype(np.int64), band
        self.positions = np.hstack([np.ones((size, 1)), -H])
        self.cost = np.append(1.0, G * G) / 2.0
        self.last = np.zeros(size)
        self.last[-1] = 1.0
        self.count = self.tails.size
        self.barrier_terms = self.count + 2 * size + 1

    def split(self, point: Array) -> tuple[Array, Array]:
        """Return b as a matrix, and (tau, nu)."""
        b = np.zeros((self.last.size, self.last.size))
        b[self.tails, self.heads] = point[: self.count]
        return b, point[self.count :]

    def objective(self, point: Array) -> float:
        """Return the bound in scaled units."""
        return float(self.cost @ point[self.count :])

    def form(self, b: Array) -> tuple[Array, Array]:
        """Return a and Z without its diagonal variables."""
        half = np.zeros((self.last.size + 1, self.last.size + 1))
        half[1:] = (b - np.diag(b.sum(axis=0) + self.last)) @ self.positions
        return self.last + b.sum(axis=0) - b.sum(axis=1), half + half.T

    def interior_point(self) -> Array:
        """Spread the flow evenly over the earlier points in reach and make Z diagonally dominant."""
        size = self.last.size
        b = np.zeros((size, size))
        flow = 1.0
        for t in range(size - 1, 0, -1):
            first = max(0, t - self.band)
            b[t, first:t] = flow * (t / (t + 1.0)) / (t - first)
            flow = b[:, t - 1].sum()
        _, form = self.form(b)
        scale = np.sqrt(0.5 / self.cost)
        rows = np.abs(form) @ scale
        diagonal = 2.0 * rows / scale + 1e-3 * rows.max() / scale
        return np.concatenate([b[self.tails, self.heads], diagonal])

    def barrier(self, point: Array, weight: float) -> float:
        """Return the weighted bound plus the barrier, infinite outside the interior."""
        if point[: self.count].min(initial=1.0) <= 0.0:
            return np.inf
        b, diagonal = self.split(point)
        a, form = self.form(b)
        if a.min() <= 0.0:
            return np.inf
        try:
            factor = np.linalg.cholesky(form + np.diag(diagonal))
        except np.linalg.LinAlgError:
            return np.inf
        logs = np.log(point[: self.count]).sum() + np.log(a).sum() + 2.0 * np.log(np.diag(factor)).sum()
        return weight * float(self.cost @ diagonal) - float(logs)

    def centre(self, point: Array, weight: float) -> Array:
        """Minimise the weighted barrier by damped Newton steps until the decrement is below one."""
        value = self.barrier(point, weight)
        for _ in range(40):
            gradient, hessian = self.derivatives(point, weight)
            units = 1.0 / np.sqrt(np.diag(hessian))
            scaled = hessian * np.outer(units, units) + 1e-14 * np.eye(units.size)
            try:
                step = -units * np.linalg.solve(scaled, units * gradient)
            except np.linalg.LinAlgError:
                return point
            decrement = -float(gradient @ step)
            length, lower = 1.0, self.barrier(point + step, weight)
            while length > 1e-9 and not lower <= value - 0.1 * length * decrement:
                length, lower = length / 2.0, self.barrier(point + length / 2.0 * step, weight)
            # short of the first acceptable point there may be a better one, further from the boundary
            while (shorter := self.barrier(point + length / 2.0 * step, weight)) < lower:
                length, lower = length / 2.0, shorter
            if not lower < value:
                return point
            point, value = point + length * step, lower
            if decrement < 1.0:
                return point
        return point

    def derivatives(self, point: Array, weight: float) -> tuple[Array, Array]:
        """Return gradient and Hessian of the weighted barrier."""
        t, r, m = self.tails, self.heads, self.count
        b, diagonal = self.split(point)
        a, form = self.form(b)
        inverse = np.linalg.inv(form + np.diag(diagonal))
        X = (inverse + inverse.T) / 2.0
        XK = X @ self.positions.T
        P, W, Y = X[1:, 1:], self.positions @ XK, XK[1:]
        gradient = np.empty(point.size)
        gradient[:m] = 2.0 * (Y[r, r] - Y[t, r]) - 1.0 / a[r] + 1.0 / a[t] - 1.0 / point[:m]
        gradient[m:] = weight * self.cost - np.diag(X)
        hessian = np.empty((point.size, point.size))
        hessian[:m, :m] = _pair_curvature(P, W, Y, 1.0 / a**2, t, r)
        hessian[np.arange(m), np.arange(m)] += 1.0 / point[:m] ** 2
        hessian[:m, m:] = 2.0 * (X[1:][t] - X[1:][r]) * XK.T[r]
        hessian[m:, :m] = hessian[:m, m:].T
        hessian[m:, m:] = X * X
        return gradient, hessian


@njit(**JIT)
def _pair_curvature(P: Array, W: Array, Y: Array, A: Array, tails: Index, heads: Index) -> Any:
    """Second derivatives of -log det Z - sum log a with respect to all pairs of multipliers b."""
    m = tails.size
    H = np.empty((m, m))
    for i in range(m):
        t, r = tails[i], heads[i]
        for j in range(i + 1):
            s, q = tails[j], heads[j]
            value = (P[t, s] - P[t, q] - P[r, s] + P[r, q]) * W[r, q] + (Y[t, q] - Y[r, q]) * (Y[s, r] - Y[q, r])
            value *= 2.0
            if t == s:
                value += A[t]
            if r == q:
                value += A[r]
            if t == q:
                value -= A[t]
            if r == s:
                value -= A[r]
            H[i, j] = value
            H[j, i] = value
    return H
