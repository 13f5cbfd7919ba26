"""Design under any linear constraints: the convex program, and Newton steps to the last digits."""

import math
import warnings
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.rates.sgd import exact_rate

from .certificate import intercept
from .constraints import Constraints
from .program import exact_rate_program
from .shooting import Shot

__all__ = ["solve_cones"]

NEWTON_STEPS = 12
NEWTON_UNIT = 1e-5  # the size of a Newton step, relative, in which its quadratic program is well scaled
ENOUGH = 1e-13
FAR = 1e6  # a limit so many times the size of what it limits does not bind and spoils the solver's scales


def solve_cones(D: float, G: Array, constraints: Constraints) -> tuple[Shot, float]:
    """Return the best schedule under linear constraints, and its rate.

    Parameters
    ----------
    D : float
        Bound on ||x_0 - x*||.
    G : ndarray, shape (N+1,)
        Bounds on the subgradient norms, in any order.
    constraints : Constraints
        Not empty.

    Returns
    -------
    Shot
        Steps, slopes and the lower bound that the multipliers of the constraints prove.
    float
        The rate of the steps: exact where G never increases, otherwise an upper bound next to it.

    Raises
    ------
    SolverError
        If the solver returns nothing.
    """
    cp: Any = import_module("cvxpy")
    limits = _Limits.of(constraints)
    program = exact_rate_program(constraints.n_steps, D, G)
    rows, prices = limits.around(np.zeros(constraints.n_steps), program.reference, program.steps, program.unit)
    _solve(cp, cp.Problem(cp.Minimize(program.objective), [*program.constraints, *rows]), 1e-13)
    found = limits.proven(constraints.tidy(np.asarray(program.steps.value)), prices(), D, G)
    value, tails = _rated(found.steps, np.asarray(program.tails.value), D, G)
    for _ in range(NEWTON_STEPS):
        gap = value - found.bound
        moved = _newton(cp, found.steps, tails, value, limits, D, G) if abs(gap) > ENOUGH * value else None
        if moved is None:
            break
        steps, new_tails, prices = moved
        proof = limits.proven(found.steps, prices, D, G)
        if proof.bound > found.bound or gap < 0.0:
            found = proof
        for share in (1.0, 0.5, 0.25, 0.125):
            tried = constraints.tidy(found.steps + share * (steps - found.steps))
            tried_value, tried_tails = _rated(tried, tails + share * (new_tails - tails), D, G)
            if tried_value < value or gap < 0.0:
                found, value, tails = replace(found, steps=tried), tried_value, tried_tails
                break
        if abs(value - found.bound) >= abs(gap):
            break
    return found, value


def _rated(steps: Array, tails: Array, D: float, G: Array) -> tuple[float, Array]:
    """Return the rate and its numbers u_k; where G increases, the bound of the given u_k, raised where too small."""
    if np.all(G[1:] <= G[:-1]):
        rate = exact_rate(steps, D, G)
        return rate.value, np.cumsum(rate.weights[::-1])[::-1] ** 2
    raised = np.maximum(tails, np.finfo(float).tiny)
    total = float(raised[-1]) * float(G[-1]) ** 2
    for k in range(steps.size - 1, -1, -1):
        step, u = float(steps[k]), float(raised[k + 1])
        extra = max(float(tails[k]) - u - 2.0 * step, step * (step / u))
        total += extra * float(G[k]) ** 2
        raised[k] = u + 2.0 * step + extra
    return 0.5 * (D * (D / float(raised[0])) + total), raised


@dataclass(frozen=True)
class _Limits:
    """All constraints as rows low <= matrix @ steps <= high."""

    matrix: Any
    low: Array
    high: Array

    @classmethod
    def of(cls, constraints: Constraints) -> "_Limits":
        joint = constraints.joint()
        matrix = sparse.vstack([sparse.identity(constraints.n_steps), *(rows.matrix for rows in joint)], format="csr")
        low = np.concatenate([constraints.low, *(rows.low for rows in joint)])
        high = np.concatenate([constraints.high, *(rows.high for rows in joint)])
        return cls(matrix, low, high)

    def around(self, center: Array, scale: Array, moves: Any, unit: float) -> tuple[list[Any], Any]:
        """Return cvxpy constraints that keep center + moves inside, and a function that reads their prices.

        ``scale`` is the size of the moves and ``unit`` that of the objective. The price of a row is minus the
        derivative of the least rate in its limit: positive where the upper one binds, negative at the lower one.
        """
        size = abs(self.matrix @ sparse.diags(scale)).max(axis=1).toarray().ravel()
        rows: Any = (sparse.diags(1.0 / size) @ self.matrix).tocsr()
        shift = self.matrix @ center
        low, high = (self.low - shift) / size, (self.high - shift) / size
        fixed = self.low == self.high
        far = FAR * max(1.0, float(low[np.isfinite(low)].max(initial=0.0)))
        below, above = (low > -far) & ~fixed, (high < far) & ~fixed
        parts = [
            (rows[below] @ moves >= low[below], below, -1.0) if below.any() else None,
            (rows[above] @ moves <= high[above], above, 1.0) if above.any() else None,
            (rows[fixed] @ moves == high[fixed], fixed, 1.0) if fixed.any() else None,
        ]
        used = [part for part in parts if part is not None]

        def prices() -> Array:
            found = np.zeros(size.size)
            for constraint, chosen, sign in used:
                found[chosen] += sign * np.asarray(constraint.dual_value)
            return found * unit / size

        return [constraint for constraint, _, _ in used], prices

    def proven(self, steps: Array, prices: Array, D: float, G: Array) -> Shot:
        """Attach the lower bound that the prices prove: their slopes hold for all steps, their cost for all inside."""
        signed = np.where(np.isinf(self.low), np.maximum(prices, 0.0), prices)
        signed = np.where(np.isinf(self.high), np.minimum(signed, 0.0), signed)
        slopes = np.asarray(self.matrix.T @ signed)
        limit = np.where(signed > 0.0, self.high, self.low)
        cost = math.fsum(np.where(signed == 0.0, 0.0, signed * np.where(np.isinf(limit), 0.0, limit)))
        return Shot(steps, slopes, intercept(slopes, D, G**2) - cost)


def _newton(
    cp: Any, steps: Array, tails: Array, value: float, limits: _Limits, D: float, G: Array
) -> tuple[Array, Array, Array] | None:
    """Minimise the second-order model of the rate: new steps, u_k and prices; None where the solver fails.

    With lambda_k = h_k / u_{k+1} and the multipliers d_k / 2 of u_k >= (u_{k+1} + h_k)^2 / u_{k+1} the second
    derivative of the Lagrangian is D^2 / u_0^3 in u_0 and d_k / u_{k+1} along dh_k - lambda_k du_{k+1}.
    """
    ratio = steps / tails[1:]
    d = np.empty(tails.size)
    d[0] = G[0] ** 2 - (D / tails[0]) ** 2
    for k in range(steps.size):
        d[k + 1] = (1.0 - ratio[k] ** 2) * d[k] - (G[k] - G[k + 1]) * (G[k] + G[k + 1])
    slopes = G[:-1] ** 2 - (1.0 + ratio) * d[:-1]
    scale = np.maximum(steps, 1e-3 * steps.max())
    h, v = cp.Variable(steps.size), cp.Variable(tails.size)
    kept, added = (1.0 - ratio**2) * tails[1:] / tails[:-1], 2.0 * (1.0 + ratio) * scale / tails[:-1]
    slack = (tails[:-1] - tails[1:] * (1.0 + ratio) ** 2) / tails[:-1] / NEWTON_UNIT
    room = slack + v[:-1] - cp.multiply(kept, v[1:]) - cp.multiply(added, h)
    bend = np.sqrt(np.maximum(d[:-1], 0.0) / (tails[1:] * value))
    curvature = cp.sum_squares(cp.multiply(bend * scale, h) - cp.multiply(bend * ratio * tails[1:], v[1:]))
    curvature += D * (D / (tails[0] * value)) * cp.square(v[0])
    slope = (-slopes * scale / value) @ h + 0.5 * d[-1] * tails[-1] / value * v[-1]
    if np.all(G[1:] <= G[:-1]):
        chain = room == 0.0
    else:
        chain = room >= 0.0
        slope += (0.5 * d[:-1] * tails[:-1] / value) @ room
    move = NEWTON_UNIT * cp.multiply(scale, h)
    rows, prices = limits.around(steps, NEWTON_UNIT * scale, move, NEWTON_UNIT**2 * value)
    try:
        _solve(cp, cp.Problem(cp.Minimize(slope / NEWTON_UNIT + 0.5 * curvature), [chain, *rows]), 1e-10)
    except SolverError:
        return None
    return steps + np.asarray(move.value), tails * (1.0 + NEWTON_UNIT * np.asarray(v.value)), prices()


def _solve(cp: Any, model: Any, tolerance: float) -> None:
    """Solve with Clarabel; the status is not asked for, because what counts is certified afterwards."""
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), tolerance)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "solution may be inaccurate"
        try:
            model.solve(solver=cp.CLARABEL, max_iter=300, **options)
        except cp.error.SolverError as error:
            raise SolverError(f"Clarabel failed on the design problem: {error}") from error
    if model.status in ("infeasible", "infeasible_inaccurate"):
        raise InputError("constraints", model.status, "constraints that some schedule satisfies")
    if model.value is None or not np.isfinite(model.value):
        raise SolverError(f"Clarabel returned no design (status {model.status})")
