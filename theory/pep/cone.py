"""The performance-estimation problem as cone data, and the call of the cone solver.

Vectors are measured in their caps: u_0 = (x_0 - x*) / D and u_{i+1} = g_i / G_i, so that the Gram matrix P = <u_k, u_l>
has a diagonal of at most one. The program handed to the solver is the *dual*: its unknowns are the multipliers of the
interpolation inequalities and of the caps,

    minimise  sum nu   subject to   F' multipliers = objective,   sum_m multipliers_m A_m + diag(nu) semidefinite,

because its matrix is sparse outside one dense block and the Gram matrix comes back as the multiplier of the cone.
"""

import signal
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from lastiterate.theory.base.validation import Array

__all__ = [
    "ConeData",
    "ConeSolution",
    "Inequalities",
    "REGULARISATION",
    "Scaled",
    "cone_data",
    "from_svec",
    "installed",
    "order_of",
    "solve",
    "to_svec",
    "upper_triangle",
]

Index = npt.NDArray[np.int64]

TOLERANCE = 1e-10
MARGIN = 1e-9
REGULARISATION = 1e-12
"""Of a tighter solve: the solver's own 1e-8 spoils problems whose steps differ by many orders of magnitude."""
MAX_ITERATIONS = 120


@dataclass(frozen=True)
class Scaled:
    """A method in the units of the cone program: x_k - x* = sum_l points[k, l] u_l, g_i = slopes[i] u_{i+1}.

    Lengths are in units of ``length`` and function values in units of ``unit``; ``equality`` says that the gradient
    norms equal their caps.
    """

    points: Array
    slopes: Array
    equality: bool
    length: float
    unit: float

    @property
    def n_points(self) -> int:
        """Number of points, N+1 (and one more where a combination of the iterates is measured)."""
        return self.slopes.size

    def differences(self, source: Index, target: Index) -> Array:
        """Coefficients of <g_i, x_j - x_i> in u_i; index -1 is x*, where the gradient is zero."""
        ends = np.where((target >= 0)[:, None], self.points[target], 0.0)
        return (ends - self.points[source]) * np.where(source >= 0, self.slopes[source], 0.0)[:, None]

    def allowances(self, gram: Array) -> Array:
        """Matrix of the largest f_i - f_j that the inequalities allow; the last row and column stand for x*."""
        n = self.n_points
        inner = gram[1:, :] @ self.points.T  # <u_{i+1}, x_j - x*>
        own = np.diag(inner)
        allowed = np.zeros((n + 1, n + 1))
        allowed[:n, :n] = (own[:, None] - inner) * self.slopes[:, None]
        allowed[:n, n] = own * self.slopes
        return allowed


@dataclass(frozen=True)
class Inequalities:
    """The inequalities f_target >= f_source + <g_source, x_target - x_source> that are kept; index -1 is x*."""

    source: Index
    target: Index

    @classmethod
    def halved(cls, n_points: int) -> "Inequalities":
        """From later to earlier points, and from every point to x*: half of all, and enough for SGD."""
        later, earlier = np.tril_indices(n_points, -1)
        every = np.arange(n_points)
        return cls(np.concatenate([later, every]), np.concatenate([earlier, np.full(n_points, -1)]))

    @classmethod
    def backward(cls, n_points: int) -> "Inequalities":
        """The halved set and f_i >= f* for every point: all that survive noise in the gradients."""
        half, every = cls.halved(n_points), np.arange(n_points)
        return half.adding(np.full(n_points, -1), every)

    @classmethod
    def full(cls, n_points: int) -> "Inequalities":
        """All ordered pairs of points and x*."""
        first, second = np.nonzero(~np.eye(n_points + 1, dtype=bool))
        return cls(first - 1, second - 1)

    def adding(self, source: Index, target: Index) -> "Inequalities":
        """Return the set with some pairs more."""
        return Inequalities(np.concatenate([self.source, source]), np.concatenate([self.target, target]))


@dataclass(frozen=True)
class ConeSolution:
    """What a solver returned, unchecked: multipliers, caps' multipliers, Gram matrix, values f_i, and how it went."""

    multipliers: Array
    cap_multipliers: Array
    gram: Array
    levels: Array
    status: str
    iterations: int


@dataclass(frozen=True)
class ConeData:
    """Minimise cost.x over equal @ x = right, x[signed] >= 0, unequal @ x >= least, constant + psd @ x semidefinite.

    The last one is the svec of a matrix. The first ``n_inequalities`` unknowns are multipliers of inequalities.
    """

    cost: Array
    equal: Any
    right: Array
    psd: Any
    constant: Array
    signed: Index
    n_inequalities: int
    unequal: Any = None
    least: Array = field(default_factory=lambda: np.zeros(0))


def cone_data(problem: Scaled, kept: Inequalities) -> ConeData:
    """Assemble the sparse data of the dual program.

    Every inequality is tightened by `MARGIN`, relative to its coefficients, so that the function found satisfies it
    strictly in spite of the solver's residual; multipliers stay feasible and bounds hold as before.
    """
    n, order = problem.n_points, problem.n_points + 1
    size, count = order * (order + 1) // 2, kept.source.size
    differences = problem.differences(kept.source, kept.target)
    row, column = np.nonzero(differences)
    gradient = kept.source[row] + 1
    low, high = np.minimum(gradient, column), np.maximum(gradient, column)
    entries = differences[row, column] * np.where(low == high, 1.0, np.sqrt(0.5))
    matrix = sparse.csc_matrix((entries, (high * (high + 1) // 2 + low, row)), shape=(size, count))
    diagonal = np.arange(order) * (np.arange(order) + 3) // 2
    caps = sparse.csc_matrix((np.ones(order), (diagonal, np.arange(order))), shape=(size, order))
    leaving, entering = np.flatnonzero(kept.source >= 0), np.flatnonzero(kept.target >= 0)
    flow = sparse.csc_matrix(
        (
            np.concatenate([np.ones(leaving.size), -np.ones(entering.size)]),
            (np.concatenate([kept.source[leaving], kept.target[entering]]), np.concatenate([leaving, entering])),
        ),
        shape=(n, count),
    )
    objective = np.zeros(n)
    objective[-1] = 1.0
    return ConeData(
        cost=np.concatenate([-MARGIN * np.abs(differences).max(axis=1, initial=0.0), np.ones(order)]),
        equal=sparse.hstack([flow, sparse.csc_matrix((n, order))], format="csc"),
        right=objective,
        psd=sparse.hstack([matrix, caps], format="csc"),
        constant=np.zeros(size),
        signed=np.arange(count + (1 if problem.equality else order)),
        n_inequalities=count,
    )


def installed() -> bool:
    """Whether the cone solver, Clarabel, is there."""
    return find_spec("clarabel") is not None


def solve(
    data: ConeData,
    *,
    time_limit: float | None = None,
    tolerance: float = TOLERANCE,
    refine: bool = True,
    report: Callable[[int, float], None] | None = None,
) -> ConeSolution:
    """Solve with Clarabel, called directly.

    Without ``refine`` the linear systems are solved once, not improved by their residuals: at 40 points that takes two
    thirds of the time, and nearly always does.
    """
    clarabel: Any = import_module("clarabel")  # a compiled module that ships no types
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.direct_solve_method = "faer"
    settings.presolve_enable = False
    settings.iterative_refinement_enable = refine
    if tolerance < TOLERANCE:
        settings.static_regularization_constant = REGULARISATION
    settings.max_iter = MAX_ITERATIONS
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
    if time_limit is not None:
        settings.time_limit = max(time_limit, 0.0)
    n, order_size = data.cost.size, data.psd.shape[0]
    signs = sparse.csc_matrix(
        (-np.ones(data.signed.size), (np.arange(data.signed.size), data.signed)), shape=(data.signed.size, n)
    )
    parts, right, count = [data.equal, signs], [data.right, np.zeros(data.signed.size)], data.signed.size
    if data.unequal is not None:
        parts.append(-data.unequal)
        right.append(-data.least)
        count += data.least.size
    matrix = sparse.vstack([*parts, -data.psd], format="csc")
    order = order_of(order_size)
    cones = [
        clarabel.ZeroConeT(data.right.size),
        clarabel.NonnegativeConeT(count),
        clarabel.PSDTriangleConeT(order),
    ]
    solver = clarabel.DefaultSolver(
        sparse.csc_matrix((n, n)), data.cost, matrix, np.concatenate([*right, data.constant]), cones, settings
    )
    with _interrupt_flag() as interrupted:

        def stop(info: Any) -> bool:
            if report is not None:
                report(int(info.iterations), float(info.gap_rel))
            return interrupted.is_set()

        solver.set_termination_callback(stop)
        solution = solver.solve()
        if interrupted.is_set():
            raise KeyboardInterrupt
    unknowns, multipliers = np.asarray(solution.x), np.asarray(solution.z)
    return ConeSolution(
        multipliers=unknowns[: data.n_inequalities],
        cap_multipliers=unknowns[data.n_inequalities :],
        gram=from_svec(multipliers[-order_size:]),
        levels=-multipliers[: data.right.size],
        status=str(solution.status),
        iterations=int(solution.iterations),
    )


@contextmanager
def _interrupt_flag() -> Any:
    """Turn Ctrl-C into an event that is looked at between iterations (Clarabel swallows what its callback raises)."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.signal(signal.SIGINT, lambda *_: flag.set())
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)


def order_of(size: int) -> int:
    """Order of a symmetric matrix from the length of its svec."""
    return (int(np.sqrt(8 * size + 1)) - 1) // 2


def upper_triangle(order: int) -> tuple[Index, Index]:
    """Rows and columns of the upper triangle, column by column, as Clarabel stores it."""
    column, row = np.tril_indices(order)
    return row, column


def from_svec(vector: Array) -> Array:
    """Return the symmetric matrix of an svec."""
    order = order_of(vector.size)
    row, column = upper_triangle(order)
    matrix = np.zeros((order, order))
    matrix[row, column] = np.where(row == column, vector, vector * np.sqrt(0.5))
    return matrix + np.triu(matrix, 1).T


def to_svec(matrix: Array) -> Array:
    """Upper triangle, column by column, with the entries off the diagonal times sqrt 2."""
    row, column = upper_triangle(matrix.shape[0])
    return matrix[row, column] * np.where(row == column, 1.0, np.sqrt(2.0))
