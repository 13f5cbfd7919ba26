"""A worst-case function you can run: a maximum of affine pieces, with the oracle that plays against the method."""

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array, InputError, check_count, check_vector
from lastiterate.theory.methods.step_matrix import check_step_matrix
from lastiterate.theory.problems.minimum.coordinates import Minimum
from lastiterate.theory.problems.problem import Problem

TIE = 1e-9


@dataclass(frozen=True, repr=False)
class WorstCaseFunction:
    """The convex function f(x) = max_i (intercepts[i] + <slopes[i], x>), with its minimiser and minimum.

    Piece k is the one that the method meets at its k-th point; the last piece is the constant f*, which makes x* a
    minimiser. Where pieces tie (within ``tie``) a resisting oracle answers its k-th call with piece k;
    without the number of the call the tie goes to the first active piece.

    Parameters
    ----------
    slopes : ndarray, shape (P, d)
        The gradients of the pieces.
    intercepts : ndarray, shape (P,)
        The values of the pieces at the origin.
    x0, x_star : ndarray, shape (d,)
        Starting point and minimiser, at distance at most D.
    f_star : float
        The minimum.
    bound : float
        The rate f(x_N) - f* that the method shows on it.
    tie : float
        The difference of values that counts as a tie.

    Examples
    --------
    >>> import lastiterate as li
    >>> function = li.worst_case(li.step_matrix.sgd([0.5]), D=1.0, G=1.0).function
    >>> round(function.value(function.x_star), 9), function.rank
    (0.0, 3)
    """

    slopes: Array
    intercepts: Array
    x0: Array
    x_star: Array
    f_star: float
    bound: float
    tie: float

    def __repr__(self) -> str:
        """Return the sizes and the attained rate."""
        return f"WorstCaseFunction(rank={self.rank}, pieces={self.intercepts.size}, bound={self.bound:.9g})"

    @property
    def rank(self) -> int:
        """The dimension d of the space it lives in."""
        return int(self.x0.size)

    @property
    def lipschitz(self) -> float:
        """The Lipschitz constant: the largest norm of a slope."""
        return float(np.linalg.norm(self.slopes, axis=1).max())

    def value(self, x: Any) -> float:
        """Return f(x)."""
        return float(np.max(self.intercepts + self.slopes @ self._point(x)))

    def active_piece(self, x: Any, call: int | None = None) -> int:
        """Return the piece that answers at ``x``: number ``call`` if it is active there, else the first active one."""
        pieces = self.intercepts + self.slopes @ self._point(x)
        active = pieces >= pieces.max() - self.tie
        if call is not None and check_count(call, "call", minimum=0) < active.size and active[call]:
            return call
        return int(np.argmax(active))

    def subgradient(self, x: Any, call: int | None = None) -> Array:
        """Return a subgradient at ``x``; ``call`` is the number of the oracle call, from 0 on."""
        return self.slopes[self.active_piece(x, call)].copy()

    def run(self, H: Any) -> Array:
        """Run the method with step matrix ``H`` against the oracle; return f(x_k) - f* at its points.

        Examples
        --------
        >>> import lastiterate as li
        >>> H = li.step_matrix.sgd([0.5, 0.25])
        >>> result = li.worst_case(H)
        >>> bool(abs(result.function.run(H)[-1] / result.value - 1.0) < 1e-7)
        True
        """
        return np.array([self.value(x) for x in self.path(H)]) - self.f_star

    def path(self, H: Any) -> Array:
        """Return the points x_0, ..., x_N of the method with step matrix ``H``."""
        matrix = check_step_matrix(H)
        gradients = np.zeros((matrix.shape[0], self.rank))
        points = np.zeros((matrix.shape[0], self.rank))
        for k in range(matrix.shape[0]):
            points[k] = self.x0 - matrix[k, :k] @ gradients[:k]
            gradients[k] = self.subgradient(points[k], k)
        return points

    def plot(self, H: Any = None) -> Any:
        """Return a matplotlib figure of a function of one or two variables, with the run of ``H`` if given."""
        from lastiterate.experiments.plots.worst_case import plot_function

        return plot_function(self, H)

    def problem(self) -> Problem:
        """Return the function as a problem for ``lastiterate.simulate``, with the same resisting oracle.

        Examples
        --------
        >>> import lastiterate as li
        >>> result = li.worst_case(li.step_matrix.sgd([0.5]))
        >>> result.function.problem().f_star
        0.0
        """
        largest = abs(self.value(self.x0)) + abs(self.f_star)
        return Problem(
            "worst-case function",
            "max_affine",
            np.ascontiguousarray(self.slopes),
            self.intercepts,
            self.x0,
            tie="step",
            tie_tolerance=self.tie / (1.0 + largest),
            known=Minimum(self.x_star, self.f_star, 0.0, "semidefinite program"),
        )

    def save(self, path: str | Path) -> None:
        """Write an npz file (no pickle), all at once or not at all."""
        target = Path(path)
        buffer = io.BytesIO()
        fields = {name: getattr(self, name) for name in _ARRAYS}
        np.savez(buffer, schema=np.int64(1), **{name: np.float64(getattr(self, name)) for name in _SCALARS}, **fields)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(buffer.getvalue())
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path) -> "WorstCaseFunction":
        """Read what `save` wrote; a file of another kind raises `InputError`."""
        expected = "an npz file written by WorstCaseFunction.save"
        try:
            with np.load(path, allow_pickle=False) as data:
                arrays = {name: np.asarray(data[name], dtype=np.float64) for name in _ARRAYS}
                scalars = {name: float(data[name]) for name in _SCALARS}
        except (KeyError, ValueError, EOFError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise InputError("path", str(path), expected) from error
        pieces, rank = arrays["intercepts"].shape, arrays["x0"].shape
        if arrays["slopes"].shape != pieces + rank or arrays["x_star"].shape != rank:
            raise InputError("path", str(path), expected)
        return cls(**arrays, **scalars)  # pyright: ignore[reportArgumentType]

    def _point(self, x: Any) -> Array:
        point = check_vector(x, "x")
        if point.size != self.rank:
            raise InputError("x", f"an array of length {point.size}", f"a point of dimension {self.rank}")
        return point


_ARRAYS = ("slopes", "intercepts", "x0", "x_star")
_SCALARS = ("f_star", "bound", "tie")


def from_gram(
    gram: Array, levels: Array, points: Array, norms: Array, distance: float, cutoff: float = 1e-13
) -> WorstCaseFunction:
    """Factor a Gram matrix of (x_0 - x*, g_0, ...) in units of their caps; x* is the origin and f* is zero.

    ``points[k]`` holds the coefficients of x_k - x* in the vectors measured in their units.
    """
    values, vectors = np.linalg.eigh(gram)
    kept = values > cutoff * values[-1]
    factor = vectors[:, kept][:, ::-1] * np.sqrt(values[kept][::-1])
    slopes = factor[1:] * norms[:, None]
    iterates = points @ (factor * np.concatenate([[distance], norms])[:, None])
    intercepts = levels - np.einsum("ij,ij->i", slopes, iterates)
    return WorstCaseFunction(
        slopes=np.vstack([slopes, np.zeros(factor.shape[1])]),
        intercepts=np.append(intercepts, 0.0),
        x0=factor[0] * distance,
        x_star=np.zeros(factor.shape[1]),
        f_star=0.0,
        bound=float(levels[-1]),
        tie=TIE * float(norms.max()) * max(distance, float(np.linalg.norm(iterates, axis=1).max())),
    )
