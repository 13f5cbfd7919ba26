r"""The upper bound on an average by vectors in place of weights, for checkpoints with gaps between them.

**Theorem.** Let y_0..y_n and zeta be vectors with sum_{t>j} <y_t, y_j> = h_j A_j for j < n, <sum_t y_t, zeta> = 1, and
c_{t,-1} = <y_t, zeta>, c_{t,j} = <y_t, y_j> / h_j with 0 <= c_{t,-1} <= c_{t,0} <= ... <= c_{t,t-1} for all t. Then

    f(xbar) - f*  <=  sum_k a_k f(x_k) - f*  <=  (||zeta||^2 D^2 + sum_t ||y_t||^2 G_t^2) / 2.

*Proof.* Multiply f* >= f_t + <g_t, x* - x_t> by c_{t,-1} and f_r >= f_t + <g_t, x_r - x_t>, r < t, by c_{t,r} -
c_{t,r-1}. The coefficient of f_t adds up to a_t. What remains is <sum_t c_{t,-1} g_t, x_0 - x*> - sum_{j<t} <y_t, y_j>
<g_t, g_j>. With Y = sum_t y_t (x) g_t the first term is at most (||zeta||^2 D^2 + ||Y||^2) / 2, and the second removes
the mixed terms of ||Y||^2. All inequalities go from later to earlier points: the bound holds for stochastic gradients.

The vectors are chosen backwards: each y_j is as short as the conditions allow, and at a checkpoint with a gap before it
a new direction is added until ||y_j||^2 = h_j a_j. With one direction the bound is that of real weights.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

from .emulated import MergedRun

__all__ = ["VectorWeights", "cheapest_vectors", "vector_weights"]

_ROUNDING = 1e-12


class VectorWeights(NamedTuple):
    """A choice of vectors, for D = 1 and largest G = 1.

    ``y`` has a row a point from the first checkpoint on; the steps before it have ``head[k]`` times one direction, and
    `rows` puts them together. ``distance`` is the D_0 <= 1 for which the quadratic bound is used: a slope of norm 1
    takes the run at most D - D_0 further down, so (||zeta||^2 D_0^2 + sum_t ||y_t||^2 G_t^2) / 2 + D - D_0 is a bound.
    """

    value: float
    head: Array
    direction: Array
    y: Array
    zeta: Array
    distance: float

    @property
    def rows(self) -> Array:
        """The vectors y_0..y_n."""
        return np.vstack([np.outer(self.head, self.direction), self.y])


def vector_weights(run: MergedRun, sigma: float) -> VectorWeights | None:
    """Return the vectors that start from ||y_n|| = sigma, or None where a condition cannot be met."""
    n, h = run.steps.size, run.steps
    first = int(np.argmax(run.weights > 0.0))
    y = np.zeros((n + 1, 2 + int(np.count_nonzero(run.weights))))
    y[n, 0] = sigma
    total, used = y[n].copy(), 1
    limits = np.full(n + 1, np.inf)  # c_{t,j+1}
    for j in range(n - 1, -1, -1):
        later = y[j + 1 :, :used]
        if j < first and _along(total[:used], later, limits[j + 1 :]):
            return _finished(run, y[j + 1 :, : used + 1], limits[j + 1 :])
        shortest = _shortest(total[:used], h[j] * run.tails[j], later, h[j] * limits[j + 1 :])
        if shortest is None:
            return None
        y[j, :used] = shortest
        limits[j + 1 :] = np.maximum(later @ shortest, 0.0) / h[j]
        missing = h[j] * run.weights[j] - shortest @ shortest
        if j > 0 and missing > _ROUNDING * h[j] * run.weights[j]:
            y[j, used] = math.sqrt(missing)
            used += 1
        total += y[j]
    return _finished(run, y[:, : used + 1], limits)


def _along(total: Array, later: Array, limits: Array) -> bool:
    """Whether y_j along the sum of the later ones meets the conditions; before all checkpoints it then always does."""
    inner = later @ total / (total @ total)
    return bool((inner >= 0.0).all() and (inner <= limits).all())


@njit(**JIT)
def _head(steps: Array, length: float) -> Array:
    """Return the lengths of y_k along one direction for steps before all checkpoints, backwards from ||Y|| = length."""
    head = np.empty(steps.size)
    for k in range(steps.size - 1, -1, -1):
        head[k] = steps[k] / length
        length += head[k]
    return head


def _finished(run: MergedRun, y: Array, limits: Array) -> VectorWeights | None:
    """Choose the vectors before ``y``, zeta, and where x_0 has a weight the length of a new direction of y_0."""
    ahead = run.steps.size + 1 - y.shape[0]
    total = y.sum(axis=0)
    direction = total / np.linalg.norm(total)
    head = _head(run.steps[:ahead], float(np.linalg.norm(total)))
    limits = limits if ahead == 0 else y @ direction / (np.linalg.norm(total) + head[1:].sum())

    def at(new: float) -> VectorWeights | None:
        vectors = y.copy()
        vectors[0, -1] += new
        zeta = _shortest(vectors.sum(axis=0) + head.sum() * direction, 1.0, vectors, limits)
        return None if zeta is None else _priced(run.caps, head, direction, vectors, zeta)

    if run.weights[0] == 0.0:
        return at(0.0)
    middle, reach = math.log(np.linalg.norm(total)) - 1.5, 4.5
    best: VectorWeights | None = None
    for _ in range(3):
        tried = [(at(math.exp(x)), x) for x in np.linspace(middle - reach, middle + reach, 10).tolist()]
        found, middle = min(tried, key=lambda pair: math.inf if pair[0] is None else pair[0].value)
        best = min((v for v in (best, found) if v is not None), key=lambda v: v.value, default=None)
        reach /= 4.5
    return best


def _priced(caps: Array, head: Array, direction: Array, y: Array, zeta: Array) -> VectorWeights:
    """Return the vectors with their bound."""
    slope = float(zeta @ zeta)
    distance = min(1.0, 1.0 / slope)
    squares = float(np.append(head * head, np.sum(y * y, axis=1)) @ (caps * caps))
    return VectorWeights(0.5 * (slope * distance**2 + squares) + 1.0 - distance, head, direction, y, zeta, distance)


def _shortest(total: Array, product: float, others: Array, limits: Array) -> Array | None:
    """Return the shortest y with <y, total> = product and 0 <= <y, others_i> <= limits_i.

    The condition that fails most is added until none does; nonnegative least squares solves the least-distance problem
    (Lawson and Hanson, Solving Least Squares Problems, Chapter 23).
    """
    from scipy.optimize import nnls

    lengths = np.sqrt(np.sum(others * others, axis=1))
    y = total * (product / (total @ total))
    length = float(np.linalg.norm(total))
    rows, sides = [total / length], [product / length]
    rows.append(-rows[0])
    sides.append(-sides[0])
    for _ in range(2 * total.size + 4):
        inner = others @ y
        excess = np.maximum(inner - limits, -inner)
        excess = np.divide(excess, lengths, out=np.zeros_like(excess), where=lengths > 0.0)
        worst = int(np.argmax(excess))
        if excess[worst] <= _ROUNDING * np.linalg.norm(y):
            return y
        sign = -1.0 if inner[worst] > limits[worst] else 1.0
        rows.append(sign * others[worst] / lengths[worst])
        sides.append(-limits[worst] / lengths[worst] if sign < 0.0 else 0.0)
        scale = abs(sides[0])
        system = np.vstack([np.array(rows).T, np.array(sides) / scale])
        goal = np.zeros(system.shape[0])
        goal[-1] = 1.0
        try:
            residual = system @ nnls(system, goal)[0] - goal
        except RuntimeError:  # nnls ran out of iterations
            return None
        if residual[-1] > -_ROUNDING:  # the conditions contradict each other
            return None
        y = -scale * residual[:-1] / residual[-1]
    return None


def cheapest_vectors(run: MergedRun, rounds: int = 2) -> VectorWeights | None:
    """Return the least bound of `vector_weights` on a grid of sigma that is refined ``rounds`` times."""
    root = math.sqrt(run.steps[-1] * run.weights[-1])
    best: VectorWeights | None = None
    middle, reach = math.log(root), 1.5
    for turn in range(rounds + 1):
        grid = np.linspace(middle - reach, middle + reach, 7 if turn else 9)
        for log_sigma in grid.tolist():
            found = vector_weights(run, math.exp(log_sigma))
            if found is not None and (best is None or found.value < best.value):
                best, middle = found, log_sigma
        reach /= 4.0
    return best
