"""The frozen `Problem`: value, subgradient, Lipschitz constants, minimum and distance of one convex function.

Its methods are plain NumPy: the slow reference for the compiled simulators, which read `Problem.arrays`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_choice, check_step_matrix

from .chain import piece_gradient, piece_norms, piece_values
from .losses import KINDS, LOSSES, PIECES, Loss

__all__ = ["Minimum", "Problem", "ProblemArrays"]

TIES = {"first": 0, "step": 1}
_RADIUS = 2.0  # where f is not globally Lipschitz, G holds for ||x - x*|| <= 2 D


@dataclass(frozen=True, eq=False)
class Minimum:
    """A point, its value, and a certified bound on value - inf f; ``attained`` is False for an infimum at infinity.

    The bound is computed in double precision: for points of norm 1e6 and more, as nearly collinear columns bring about,
    the rounding of a_i x adds to it.

    Attributes
    ----------
    x : float64[dim]
        The point.
    value : float
        f(x).
    gap : float
        What f(x) exceeds the infimum by, at most.
    method : str
        How it was found.
    attained : bool
        Whether there is a minimiser.
    """

    x: Array = field(repr=False)
    value: float
    gap: float
    method: str
    attained: bool = True


class ProblemArrays(NamedTuple):
    """What a compiled kernel needs, as plain numbers and contiguous arrays; the unused matrix form is empty."""

    kind: int
    sparse: bool
    dense: Array
    data: Array
    indices: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    targets: Array
    n_outputs: int
    l2: float
    tie: int
    tie_tolerance: float


@dataclass(frozen=True, eq=False)
class Problem:
    """A convex function with the constants that its rates need; build it with the functions of `lastiterate.problems`.

    Attributes
    ----------
    name : str
        What to call it.
    kind : str
        One of `KINDS`.
    matrix : float64[n, p] or scipy.sparse.csr_array
        Rows a_i; the two rows alpha and beta of a ``chain``.
    targets : float64[n]
        Right-hand sides, labels +-1, or class numbers 0..K-1.
    x0 : float64[dim]
        The start.
    l2 : float
        Coefficient of ||x||^2 / 2.
    n_outputs : int
        K for ``softmax`` (x holds K blocks of p numbers), else 1.
    tie : str
        Which active piece of ``max_affine`` the oracle returns: the ``first``, or at query k the k-th piece if it is
        active within ``tie_tolerance`` (``step``, the resisting oracle of worst-case functions; after the last piece
        of a ``chain`` that one again).
    tie_tolerance : float
        Slack within which a piece counts as active; relative, for a ``chain`` absolute.
    known : Minimum, optional
        A minimum known in closed form; otherwise it is solved for on first use.
    cache : Path, optional
        Folder in which the solved minimum is kept between runs; by default it stays in memory.
    solver : callable, optional
        What finds the minimum where none is known; the functions that build problems hand it in.
    """

    name: str
    kind: str
    matrix: Any = field(repr=False)
    targets: Array = field(repr=False)
    x0: Array = field(repr=False)
    l2: float = 0.0
    n_outputs: int = 1
    tie: str = "first"
    tie_tolerance: float = 1e-9
    known: Minimum | None = field(default=None, repr=False)
    cache: Path | None = field(default=None, repr=False)
    solver: "Callable[[Problem], Minimum] | None" = field(default=None, repr=False)

    @property
    def n_samples(self) -> int:
        """Number of samples or pieces."""
        return self.targets.size

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    @property
    def dim(self) -> int:
        """Number of variables."""
        return self.n_features * self.n_outputs

    @property
    def sparse(self) -> bool:
        """Whether the matrix is CSR."""
        return not isinstance(self.matrix, np.ndarray)

    @property
    def stochastic(self) -> bool:
        """Whether f is a mean over samples, so that mini-batches make sense."""
        return self.kind not in PIECES

    @cached_property
    def arrays(self) -> ProblemArrays:
        """The problem as plain numbers and contiguous arrays for compiled kernels."""
        no_floats, no_ints = np.zeros(0), np.zeros(0, dtype=np.int64)
        if self.sparse:
            matrix = self.matrix
            dense = np.zeros((0, self.n_features))
            sparse = (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))
        else:
            dense = self.matrix
            sparse = (no_floats, no_ints, no_ints)
        return ProblemArrays(
            KINDS[self.kind],
            self.sparse,
            dense,
            *sparse,
            self.targets,
            self.n_outputs,
            self.l2,
            TIES[self.tie],
            self.tie_tolerance,
        )

    @property
    def _loss(self) -> Loss:
        return LOSSES[self.kind]

    @property
    def _quadratic(self) -> bool:
        """Whether the slopes of the loss are bounded only near a point."""
        return self.kind not in PIECES and np.isinf(self._loss.slope_bound)

    @cached_property
    def minimum(self) -> Minimum:
        """Minimiser, minimum and certified gap, from a solver that shares no code with the simulators."""
        if self.known is not None:
            return self.known
        if self.solver is None:
            raise InputError("problem", self.name, "a problem with a known minimum, or with a solver for it")
        return self.solver(self)

    @property
    def f_star(self) -> float:
        """Minimum value; ``minimum.gap`` bounds its error (at most 1e-10)."""
        return self.minimum.value

    @property
    def x_star(self) -> Array:
        """A point that attains `f_star`; where the infimum is not attained, one within ``minimum.gap`` of it."""
        return self.minimum.x

    @cached_property
    def D(self) -> float:
        """Distance ||x0 - x_star||: rates hold against any comparator, so also against `x_star`."""
        return float(np.linalg.norm(self.x0 - self.x_star))

    @cached_property
    def G(self) -> float:
        """Bound on the norm of every full subgradient within `G_radius` of `x_star`."""
        if self._quadratic:
            return (self._loss_bounds[0] + self.l2) * self.G_radius
        return self._loss_bounds[0] + self._l2_bound

    @cached_property
    def G_stochastic(self) -> float:
        """Bound on sqrt(E ||g||^2) for the mean subgradient of a uniformly drawn mini-batch of any size."""
        if self._quadratic:  # Lipschitz part from x* on, plus the noise at x* itself
            slopes = self._loss.slopes(self._margins(self.x_star), self.targets)
            noise = self._row_norms * np.abs(slopes) + self._l2_bound
            return self._loss_bounds[1] * self.G_radius + float(np.sqrt(np.mean(noise**2)))
        return self._loss_bounds[1] + self._l2_bound

    @property
    def G_radius(self) -> float:
        """Distance from `x_star` up to which `G` holds: infinite unless f has a quadratic part (then 2 D)."""
        return float("inf") if self.l2 == 0.0 and not self._quadratic else _RADIUS * self.D

    @cached_property
    def G_exact(self) -> bool:
        """Whether `G` is attained and not only an upper bound."""
        if self.l2 or self.kind != "absolute":
            return self.kind == "squared"
        # rows with disjoint supports: every sign pattern is attained
        return self.sparse and int(np.bincount(self.matrix.indices, minlength=1).max(initial=0)) <= 1

    @cached_property
    def coordinate_bounds(self) -> Array:
        """Bound on each coordinate of every full subgradient, float64[dim]; the global part and l2 as in `G`."""
        size = abs(self.matrix)
        if self.kind in PIECES:
            bounds = np.asarray(size.max(axis=0).todense() if self.sparse else size.max(axis=0)).ravel()
        elif self._quadratic:
            return np.full(self.dim, self.G)
        else:
            bounds = np.asarray(size.mean(axis=0)).ravel()
        bounds = np.tile(bounds, self.n_outputs)
        if self.l2:
            bounds = bounds + self.l2 * (np.abs(self.x_star) + self.G_radius)
        return bounds

    @property
    def G_inf(self) -> float:
        """Bound on the largest coordinate of every full subgradient within `G_radius` of `x_star`."""
        return float(self.coordinate_bounds.max())

    @cached_property
    def _row_norms(self) -> Array:
        if self.kind == "chain":
            return piece_norms(self.matrix)
        return np.sqrt(np.asarray((self.matrix * self.matrix).sum(axis=1)).ravel())

    @property
    def _l2_bound(self) -> float:
        """Norm of the l2 term's gradient within `G_radius` of `x_star`."""
        return self.l2 * (float(np.linalg.norm(self.x_star)) + self.G_radius) if self.l2 else 0.0

    @cached_property
    def _loss_bounds(self) -> tuple[float, float]:
        """(full, stochastic) gradient bounds of the loss alone; of a quadratic one they multiply ||x - x*||."""
        row = self._row_norms
        if self.kind in PIECES:
            return float(row.max()), float(row.max())
        if self.kind == "absolute" and self.G_exact:
            return float(np.linalg.norm(row) / self.n_samples), float(np.sqrt(np.mean(row**2)))
        spectral = self._spectral_norm()
        if self._quadratic:
            curvature = self._loss.curvature
            return curvature * spectral**2 / self.n_samples, curvature * float(np.sqrt(np.mean(row**4)))
        slope = self._loss.slope_bound
        full = min(float(row.mean()), spectral / np.sqrt(self.n_samples))
        return slope * full, slope * float(np.sqrt(np.mean(row**2)))

    def _spectral_norm(self) -> float:
        """An upper bound on ||A||_2: from the smaller Gram matrix, or the Frobenius norm where that is too large."""
        n, p = self.matrix.shape
        if min(n, p) > 3000:
            return float(np.linalg.norm(self._row_norms))
        gram = self.matrix.T @ self.matrix if p <= n else self.matrix @ self.matrix.T
        gram = np.asarray(gram.todense()) if self.sparse else gram
        return float(np.sqrt(np.linalg.eigvalsh(gram)[-1] * (1.0 + 1e-12)))

    def _margins(self, x: Array, rows: Any = slice(None)) -> Array:
        """a_i x for the chosen rows, float64[n]; for ``softmax`` float64[n, K]."""
        if self.kind == "chain":
            return piece_values(self.matrix, x)[rows]
        if self.kind == "softmax":
            return np.asarray(self.matrix[rows] @ x.reshape(self.n_outputs, self.n_features).T)
        return np.asarray(self.matrix[rows] @ x)

    def losses(self, x: Array, rows: Any = slice(None)) -> Array:
        """Return the value of each sample or piece, l2 term included, float64[n]."""
        margins, targets = self._margins(x, rows), self.targets[rows]
        values = margins + targets if self.kind in PIECES else self._loss.values(margins, targets)
        return values + 0.5 * self.l2 * float(x @ x)

    def value(self, x: Array, rows: Any = slice(None)) -> float:
        """Return f(x), or the mean over the chosen rows."""
        losses = self.losses(x, rows)
        return float(losses.max() if self.kind in PIECES else losses.mean())

    def subgradient(self, x: Array, rows: Any = slice(None), step: int = 0) -> Array:
        """Return a subgradient at x, float64[dim]: full or over a mini-batch; ``step`` is the query number."""
        if self.kind == "chain":
            return piece_gradient(self.matrix, self.piece(x, step))
        if self.kind == "max_affine":
            gradient = self.matrix[[self.piece(x, step)]]
            gradient = np.asarray(gradient.todense() if self.sparse else gradient).ravel()
            return gradient + self.l2 * x
        targets = self.targets[rows]
        slopes = self._loss.slopes(self._margins(x, rows), targets)
        return np.asarray(slopes.T @ self.matrix[rows]).ravel() / len(targets) + self.l2 * x

    def piece(self, x: Array, step: int = 0) -> int:
        """Return the index of the piece that the oracle answers with at query ``step``."""
        values = self._margins(x) + self.targets
        top = int(np.argmax(values))
        if self.kind == "chain":
            step = min(step, self.n_features - 1)
            return step if values[step] >= values[top] - self.tie_tolerance else top
        if self.tie == "step" and step < self.n_samples:
            slack = self.tie_tolerance * (1.0 + abs(values[top]))
            return step if values[step] >= values[top] - slack else top
        return top

    def path(self, H: npt.ArrayLike) -> Array:
        """Return the points x_0, ..., x_N of the method with step matrix ``H``, float64[N+1, dim].

        x_k = x_0 - sum_{j<k} H[k, j] g_j with g_j the oracle's answer to query j (see `lastiterate.step_matrix`).
        """
        matrix = check_step_matrix(H)
        gradients = np.zeros((matrix.shape[0], self.dim))
        points = np.zeros_like(gradients)
        for k in range(matrix.shape[0]):
            points[k] = self.x0 - matrix[k, :k] @ gradients[:k]
            gradients[k] = self.subgradient(points[k], step=k)
        return points

    def run(self, H: npt.ArrayLike) -> Array:
        """Run the method with step matrix ``H`` and return f(x_k) - f* at its points, float64[N+1].

        >>> from lastiterate.theory.problems import absolute_value
        >>> absolute_value(1.0).run([[0.0, 0.0], [0.25, 0.0]])
        array([1.  , 0.75])
        """
        return np.array([self.value(x) for x in self.path(H)]) - self.f_star

    def accuracy(self, x: Array) -> float:
        """Return the share of samples classified correctly (losses of labels)."""
        check_choice(self.kind, "problem kind", [name for name, loss in LOSSES.items() if loss.labels != "numbers"])
        margins = self._margins(x)
        by_class = self._loss.labels == "classes"
        correct = margins.argmax(axis=1) == self.targets if by_class else margins * self.targets > 0.0
        return float(np.mean(correct))

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything that determines the minimum: kind, matrix, targets, l2."""
        digest = hashlib.sha256(f"{self.kind} {self.matrix.shape} {self.n_outputs} {self.l2!r}".encode())
        arrays = self.arrays
        for array in (arrays.dense, arrays.data, arrays.indices, arrays.indptr, arrays.targets):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
