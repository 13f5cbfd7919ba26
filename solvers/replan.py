r"""Replanning: the best remaining steps of a run, given the subgradients that it has met so far.

After the steps h_0..h_{m-1} let y = rho_* x* + sum_r rho_r x_r be a convex combination of the minimiser and the points
seen. The optimal tail with W = sum_{k>=m} G_k^-2 gives f(x_N) - f(y) <= |x_m - y| / W^{1/2} (linear decay, from x_m to
y), so with delta_r = f(x_r) - f* and the best y

    f(x_N) - f* <= max over (X, delta, u) of min_y sum_r rho_r delta_r + <u, x_m - y>,   |u| <= W^{-1/2},

X = x_0 - x* and u, the sum of the subgradients to come, being unknown vectors that agree with everything seen:
|X| <= D, <g_j, x_j - x*> >= delta_j >= 0, and f(x_i) >= f(x_j) + <g_j, x_i - x_j>. All but <u, X> is linear in the
unknowns, since the inner products of seen subgradients are numbers; and

    <u, X> <= ( t D^2 + 1 / (t W) ) / 2 - | t^{1/2} X' - t^{-1/2} u' |^2 / 2    for every t > 0,

X' and u' being the parts in the span of the seen subgradients. For each t that leaves a second-order cone program, of a
size that does not depend on the dimension; its value is quasi-convex in t. This is the plan of Grimmer and Wang's
subgame perfect method (arXiv 2511.13639), restricted to step sizes.

Any other tail with the weights w_k and sums s_k of the exact rate gives f(x_N) - f(y) <= <u, x_m - y> - s_m^2 |u|^2 / 2
+ sum_k w_k^2 G_k^2 / 2, u = sum_k w_k g_k / s_m: a price on |u|^2 in place of the limit. Under a cap the tails searched
are those that are best for some distance; they contain the best one for every s_m.
"""

import itertools
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.errors import SolverError
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.result import Bounding, Kind, Scheduled, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_array,
    check_count,
    check_flag,
    check_integers,
    check_positive,
    check_steps,
)
from lastiterate.theory.optimal.closed_form import optimal_continuation
from lastiterate.theory.optimal.refinement import check_norms
from lastiterate.theory.rates.sgd import exact_rate

__all__ = ["Replan", "replan"]

_ACCURACY = 1e-8  # of the cone solver, in units with D = 1 and largest norm 1
_SPAN = 1e-10  # eigenvalues below this share of the largest are rounding


@result
class Replan(Bounding, Scheduled, Tabular):
    """The rest of a run, planned from what it has met.

    Attributes
    ----------
    value : float
        Bound on f - f* at the end of the new steps.
    steps : float64[n_steps]
        The steps to take.
    start : int
        The iterate to take them from: m, the present one, unless a rollback is better.
    minimax_value : float
        The same for the continuation that ignores what was seen and trusts ``G`` alone.
    stop_value : float
        Bound on f(x_m) - f* if the run stops now.
    kind : str
        ``"exact"`` or ``"upper"``.
    """

    _columns = ("steps",)
    _plot = "schedule"

    value: float
    steps: Array
    start: int
    minimax_value: float
    stop_value: float
    kind: Kind

    def __repr__(self) -> str:
        """Show what going on is worth."""
        return (
            f"Replan({self.kind}, value={self.value:.6g}, minimax={self.minimax_value:.6g}, "
            f"stop={self.stop_value:.6g}, start={self.start}, n_steps={self.steps.size})"
        )


def replan(
    steps: npt.ArrayLike,
    norms: npt.ArrayLike,
    n_steps: int,
    inner_products: npt.ArrayLike | None = None,
    cap: float | None = None,
    *,
    D: float = 1.0,
    G: float | None = None,
    checkpoints: npt.ArrayLike | None = None,
    progress: bool | None = None,
) -> Replan:
    r"""Return the best remaining steps, given the norms (and inner products) of the subgradients seen.

    With norms alone this *is* ``optimal_continuation(steps, n_steps, D, G=[*norms, G, ..., G])``: nothing better can be
    had from them. With inner products the bound is the one above (arXiv 2511.13639, restricted to step sizes), an
    *upper bound* for exact subgradients, never above the former. Stochastic gradients have no use for inner products:
    they bound nothing.

    Parameters
    ----------
    steps : array_like, shape (m,)
        The steps taken.
    norms : array_like, shape (m,) or (m+1,)
        Norms of the subgradients at x_0..x_{m-1}, or x_m too, positive.
    n_steps : int
        Steps that remain, at least 1.
    inner_products : array_like, shape (m, m) or (m+1, m+1), optional
        <g_i, g_j>, as many as there are norms; for up to a few hundred steps.
    cap : float, optional
        Upper limit on the new steps; the tail is then the best one under the limit.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float, optional
        Bound on the norms to come. Default: the largest norm seen.
    checkpoints : array_like of int, shape (r,), optional
        Iterates to which the run may roll back, 0..m; the best start is chosen, the present iterate included. After a
        spike in the norms give ``G`` as well, or the spike counts as what is to come.
    progress : bool, optional
        Whether to count the cone programs of inner products on standard error; by default only on a terminal.

    Returns
    -------
    Replan
        ``.steps``, ``.value``, ``.start``, and for comparison ``.minimax_value`` and ``.stop_value``.

    Raises
    ------
    InputError
        For arguments outside the ranges above, and for inner products that no convex function has along these steps.
    SolverError
        When the cone program fails.

    Examples
    --------
    >>> import numpy as np
    >>> replan(np.full(50, 0.1), np.linspace(1.0, 0.2, 50), 50, G=0.2)
    Replan(exact, value=0.0270889, minimax=0.104765, stop=0.070512, start=50, n_steps=50)
    """
    taken = check_steps(steps)
    count = check_count(n_steps, "n_steps")
    distance = check_positive(D, "D")
    seen = check_norms(norms)
    if seen.size not in (taken.size, taken.size + 1):
        raise InputError(
            "norms", f"{seen.size} norms", f"{taken.size} or {taken.size + 1} norms for {taken.size} steps"
        )
    limit = float(seen.max()) if G is None else check_positive(G, "G")
    top = None if cap is None else check_positive(cap, "cap")
    gram = None if inner_products is None else _check_gram(inner_products, seen)
    starts = _check_checkpoints(checkpoints, taken.size)
    if progress is not None:
        check_flag(progress, "progress")

    plans = [_from(taken[:k], seen[: k + 1], count, top, distance, limit) for k in starts]
    best = min(range(len(starts)), key=lambda index: plans[index][0])
    value, rest, kind = plans[best]
    if gram is not None:
        with progress_bar("cone programs", shown=progress) as update:
            solved = itertools.count(1)

            def count_one() -> None:
                update(description=f"cone program {next(solved)}")

            for k in starts:
                seen_then = gram[: k + 1, : k + 1]
                better, tail = _with_products(taken[:k], seen_then, count, top, distance, limit, count_one)
                if better < value:
                    value, rest, kind, best = better, tail, "upper", starts.index(k)
    ignorant = max(limit, float(seen.max()))
    minimax = optimal_continuation(taken, count, distance, ignorant).value
    stop = exact_rate(taken, distance, _bounds(seen, taken.size, 0, limit)).value
    return Replan(value, rest, starts[best], minimax, stop, kind)


def _bounds(seen: Array, n_taken: int, count: int, limit: float) -> Array:
    """Bounds at x_0..x_N: the norms seen, then the limit."""
    return np.append(seen, np.full(n_taken + count + 1 - seen.size, limit))


def _from(
    taken: Array, seen: Array, count: int, cap: float | None, distance: float, limit: float
) -> tuple[float, Array, Kind]:
    """Value, steps and kind of the continuation that knows norms only."""
    bounds = _bounds(seen, taken.size, count, limit)
    kind: Kind = "exact" if (np.diff(bounds) <= 0.0).all() else "upper"
    plan = optimal_continuation(taken, count, distance, bounds)
    if cap is None or plan.steps.max() <= cap:
        return plan.value, plan.steps, kind
    from lastiterate.solvers.design.design import design_schedule

    limits = np.append(np.maximum(taken, cap), np.full(count, cap))
    capped = design_schedule(taken.size + count, distance, bounds, prefix=taken, max_step=limits)
    return capped.value, capped.steps[taken.size :], kind


def _check_gram(inner_products: npt.ArrayLike, seen: Array) -> Array:
    gram = check_array(inner_products, "inner_products", 2, "a real square matrix")
    expected = (
        f"a symmetric positive semidefinite matrix of shape ({seen.size}, {seen.size}), the norms on its diagonal"
    )
    if gram.shape != (seen.size, seen.size) or float(np.abs(gram).max()) > 1e300:
        raise InputError("inner_products", f"shape {gram.shape}", expected)
    scale = float(seen.max()) ** 2
    if np.abs(gram - gram.T).max() > 1e-8 * scale or np.linalg.eigvalsh(gram)[0] < -1e-8 * scale:
        raise InputError("inner_products", "a matrix that is not one of inner products", expected)
    if (np.abs(np.diagonal(gram) - seen**2) > 1e-6 * seen**2).any():
        raise InputError("inner_products", "a diagonal other than the squared norms", expected)
    return (gram + gram.T) / 2.0


def _check_checkpoints(checkpoints: npt.ArrayLike | None, n_taken: int) -> list[int]:
    if checkpoints is None:
        return [n_taken]
    return sorted({*check_integers(checkpoints, "checkpoints", 0, n_taken).tolist(), n_taken})


def _with_products(
    taken: Array,
    gram: Array,
    count: int,
    cap: float | None,
    distance: float,
    limit: float,
    count_one: Callable[[], None],
) -> tuple[float, Array]:
    """Bound and steps when inner products are known; in units D = 1 and largest norm 1."""
    unit = math.sqrt(float(np.diagonal(gram).max()))
    bounds = np.full(count + 1, limit / unit)
    if gram.shape[0] > taken.size:
        bounds[0] = math.sqrt(gram[-1, -1]) / unit
    inverse = bounds**-2.0
    tails = np.cumsum(inverse[::-1])[::-1]
    program = _Program(taken * (unit / distance), gram / unit**2, float(tails[0]), count_one)
    grid = -0.5 * math.log(program.weight) + np.linspace(-3.0, 3.0, 9)
    value, log_t = _least(lambda log: program.limited(math.exp(log))[0], grid, 1e-4)
    if not math.isfinite(value) and program.problem.status == "infeasible":
        expected = f"what some convex function with a minimiser within D = {distance} of x_0 answers to these steps"
        raise InputError("inner_products", "inner products that contradict each other", expected)
    if not math.isfinite(value):
        raise SolverError(f"the cone program of the replan ended as {program.problem.status}")
    square = program.limited(math.exp(log_t))[1]
    steps = (square / tails[0] ** 2) * inverse[:-1] * tails[1:]
    top = math.inf if cap is None else cap * (unit / distance)
    if steps.max() > top:
        log_reach = math.log(square) - 0.5 * math.log(program.weight)  # for which the tail without a cap is best
        value, steps = _capped(program, bounds, top, log_reach, log_t)
    return value * distance * unit, steps * (distance / unit)


def _least(function: Callable[[float], float], grid: Array, tolerance: float) -> tuple[float, float]:
    """Return the least value of a quasi-convex function, and where: on the grid, then between its neighbours."""
    from scipy.optimize import minimize_scalar

    coarse = [function(x) for x in grid.tolist()]
    best = int(np.argmin(coarse))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    found: Any = minimize_scalar(function, bounds=bracket, method="bounded", options={"xatol": tolerance})
    return min((float(found.fun), float(found.x)), (coarse[best], float(grid[best])))


def _capped(program: "_Program", bounds: Array, cap: float, log_reach: float, log_t: float) -> tuple[float, Array]:
    """Bound and steps under a cap, from the distance that the tail is best for, and t."""
    from lastiterate.solvers.design.design import design_schedule

    tails: dict[float, tuple[Array, float, float]] = {}

    def tail(log: float) -> tuple[Array, float, float]:
        """Steps, s_m^2 and the sum of w_k^2 G_k^2."""
        if log not in tails:
            reach = math.exp(log)
            steps = design_schedule(bounds.size - 1, reach, bounds, max_step=cap).steps
            weights = exact_rate(steps, reach, bounds).weights
            tails[log] = steps, float(weights.sum()) ** 2, float(np.sum((weights * bounds) ** 2))
        return tails[log]

    def bound(log: float, t: float) -> float:
        _, square, cost = tail(log)
        return program.priced(math.exp(t), square) + 0.5 * cost

    value = math.inf
    for width in (3.0, 0.5):
        near = np.linspace(-width, width, 5)
        value, log_reach = _least(partial(bound, t=log_t), log_reach + near, 1e-3)
        value, log_t = _least(partial(bound, log_reach), log_t + near, 1e-3)
    return value, tail(log_reach)[0]


class _Program:
    """The cone programs for one t; parameters keep their structure from one t to the next."""

    def __init__(self, taken: Array, gram: Array, weight: float, count_one: Callable[[], None]) -> None:
        import cvxpy as cp

        self.count_one = count_one  # called before each solve

        size = gram.shape[0]
        h = np.append(taken, np.zeros(size - taken.size))
        values, vectors = np.linalg.eigh(gram)
        kept = values > _SPAN * values[-1]
        factor = vectors[:, kept] * np.sqrt(values[kept])
        self.weight = weight
        height: Any = cp.Variable()
        excess: Any = cp.Variable(size)
        far, ahead, product = cp.Variable(factor.shape[1]), cp.Variable(factor.shape[1]), cp.Variable()
        length: Any = cp.Variable()  # |u|^2
        self.t, self.root, self.inverse_root = cp.Parameter(), cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
        self.inverse, self.price = cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
        travel = np.triu(np.ones((size, size))) * h  # row r: the steps from x_r to x_m
        walked = gram * h  # <g_j, h_k g_k>
        before = np.concatenate([np.zeros((size, 1)), np.cumsum(walked, axis=1)], axis=1)  # of sums over k < i
        own = before[np.arange(size), np.arange(size)]
        drop = before[:, :size].T - own[None, :]  # <g_j, x_j - x_i> at [i, j]
        i, j = np.nonzero(~np.eye(size, dtype=bool))
        apart = cp.sum_squares(self.root * far - self.inverse_root * ahead)
        known: list[Any] = [
            height <= product - h @ (factor @ ahead),
            height <= excess - travel @ (factor @ ahead),
            factor @ far >= excess + own,
            *([excess[i] >= excess[j] - drop[i, j]] if i.size else []),  # cvxpy 1.5 has no empty expressions
            excess >= 0.0,
            product <= 0.5 * (self.t + self.inverse * length - apart),
            cp.norm(far) <= 1.0,
            length >= cp.sum_squares(ahead),
        ]
        self.most: Any = length <= 1.0 / weight
        self.problem = cp.Problem(cp.Maximize(height), [*known, self.most])
        self.with_price = cp.Problem(cp.Maximize(height - 0.5 * self.price * length), known)

    def limited(self, t: float) -> tuple[float, float]:
        """The bound of the optimal tail for this t, and s_m^2, the price of |u|^2; infinite if the solver is unsure."""
        value = self._solve(self.problem, t)
        return value, 2.0 * float(self.most.dual_value) if math.isfinite(value) else 0.0

    def priced(self, t: float, square: float) -> float:
        """The largest height less s_m^2 |u|^2 / 2 for this t."""
        self.price.value = square
        return self._solve(self.with_price, t)

    def _solve(self, problem: Any, t: float) -> float:
        import cvxpy as cp

        self.count_one()
        self.t.value, self.inverse.value = t, 1.0 / t
        self.root.value, self.inverse_root.value = math.sqrt(t), 1.0 / math.sqrt(t)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")
            try:
                problem.solve(solver=cp.CLARABEL)
            except cp.SolverError:
                return math.inf
        if problem.status != "optimal":
            return math.inf  # a bound for another t will do
        return max(float(problem.value), 0.0) + _ACCURACY
