r"""Causal Cauchy sums over all horizons in near-linear time: a tree code whose gaps are never differences.

At horizon n Theorem 10 needs the sums P_i = sum_{k<n} q_k / (t_k + u)^i, i = 1, 2, 3, with the tails t_k, the sum of
h_j over k < j < n, and a free u > 0. Sixteen consecutive steps are a leaf, two cells make a parent, and a parent is
summarised by sixteen weighted points that reproduce Chebyshev interpolation of 1 / (y - x) over its span. If y is at
least one span to the right of the cell, every contribution is reproduced to 1 / T_16(3) = 1e-12, relative; all terms
are positive, so the sums are as well. A horizon walks from right to left through O(log N) cells, and its gap to the
next one is the sum of the widths passed so far: nothing is subtracted, steps may span any range, and zero steps need no
care.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array

__all__ = ["CauchyTree", "least_theorem10"]

POINTS = 16
_MOST_ITERATIONS = 60  # three to five are usual; rounding could keep the last digits of u in motion
_SHARED = 20_000  # horizons from which on several threads share the work
_NODES = np.cos((np.arange(POINTS) + 0.5) * (np.pi / POINTS))
_OFFSETS = 0.5 - 0.5 * _NODES  # of the points to the left of a cell's right end, in units of its span
_TRANSFORM = np.cos(np.outer(np.arange(POINTS), np.arccos(_NODES))) * (2.0 / POINTS)  # T_m at the nodes
_TRANSFORM[0] /= 2.0


class CauchyTree:
    """The cells over the steps h and the numerators q, both float64[N]."""

    def __init__(self, steps: Array, numerators: Array) -> None:
        leaves = steps.size // POINTS
        sizes = [leaves]
        while sizes[-1] > 1:
            sizes.append(sizes[-1] // 2)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self.steps, self.numerators, self.starts = steps, numerators, starts
        self.weights = np.empty((int(starts[-1]), POINTS))
        self.leaf_offsets = np.empty((leaves, POINTS))
        self.widths = np.empty(int(starts[-1]))
        self.spans = np.empty(int(starts[-1]))
        _build(steps, numerators, starts, self.weights, self.leaf_offsets, self.widths, self.spans)


def least_theorem10(
    tree: CauchyTree, horizons: np.ndarray, caps: Array, distance: float, fictitious: Array, tuned: bool
) -> tuple[Array, Array, Array]:
    """Minimise the bound over u at every horizon (or take u from ``fictitious`` where that is not NaN).

    Parameters
    ----------
    tree : CauchyTree
        With q_k = h_k^2 G_k^2.
    horizons : ndarray of int64
        Numbers n of steps taken, increasing.
    caps : ndarray, shape (len(horizons),)
        G_n.
    distance : float
        D.
    fictitious : ndarray, shape (len(horizons),)
        Prescribed values of u, or NaN.
    tuned : bool
        Minimise B / A instead of D^2 / A + B, for A = t_{-1} + u and B = P_1 + u G_n^2.

    Returns
    -------
    u, A, B : ndarray, each of shape (len(horizons),)
        B / A and D^2 / A + B are within 1e-11 of their minima, relative.
    """
    pieces = 1 if horizons.size < _SHARED else 8  # a fixed number: results do not depend on the machine

    def solve(piece: np.ndarray) -> Array:
        out = np.empty((3, piece.size))
        cells = tree.starts, tree.weights, tree.leaf_offsets, tree.widths, tree.spans
        chosen = horizons[piece], caps[piece], distance, fictitious[piece], tuned
        _solve(tree.steps, tree.numerators, *cells, *chosen, out)
        return out

    with ThreadPoolExecutor() as pool:
        u, total, squares = np.hstack(list(pool.map(solve, np.array_split(np.arange(horizons.size), pieces))))
    return u, total, squares


@njit(**JIT)
def _build(
    steps: Array,
    numerators: Array,
    starts: np.ndarray,
    weights: Array,
    leaf_offsets: Array,
    widths: Array,
    spans: Array,
) -> None:
    for leaf in range(starts[1] if starts.size > 1 else 0):
        width = 0.0
        for j in range(POINTS - 1, -1, -1):
            weights[leaf, j] = numerators[leaf * POINTS + j]
            leaf_offsets[leaf, j] = width
            spans[leaf] = width
            width += steps[leaf * POINTS + j]
        widths[leaf] = width
    moments = np.empty(POINTS)
    before, current, following = np.empty(POINTS), np.empty(POINTS), np.empty(POINTS)
    position = np.empty(POINTS)
    for level in range(1, starts.size - 1):
        for cell in range(starts[level + 1] - starts[level]):
            parent = starts[level] + cell
            left = starts[level - 1] + 2 * cell
            right = left + 1
            widths[parent] = widths[left] + widths[right]
            spans[parent] = widths[right] + spans[left]
            moments[:] = 0.0
            for child in (left, right):
                shift = widths[right] if child == left else 0.0
                for j in range(POINTS):
                    offset = leaf_offsets[child, j] if level == 1 else spans[child] * _OFFSETS[j]
                    position[j] = 1.0 - 2.0 * ((offset + shift) / spans[parent]) if spans[parent] > 0.0 else 0.0
                    before[j] = 1.0
                    current[j] = position[j]
                for m in range(POINTS):  # T_m at the child's points by the three-term recurrence
                    moment = 0.0
                    for j in range(POINTS):
                        moment += weights[child, j] * before[j]
                    moments[m] += moment
                    for j in range(POINTS):
                        following[j] = 2.0 * position[j] * current[j] - before[j]
                        before[j] = current[j]
                        current[j] = following[j]
            for j in range(POINTS):
                total = 0.0
                for m in range(POINTS):
                    total += _TRANSFORM[m, j] * moments[m]
                weights[parent, j] = total


@njit(**JIT)
def _add_cell(u: float, gap: float, offsets: Array, scale: float, weights: Array, sums: Array) -> None:
    for j in range(POINTS):
        inverse = 1.0 / (gap + scale * offsets[j])
        share = u * inverse
        term = weights[j] * inverse
        sums[0, j] += term
        term *= share
        sums[1, j] += term
        sums[2, j] += term * share


@njit(**JIT)
def _totals(sums: Array) -> tuple[float, float, float]:
    """Return the sum of each row; NumPy's method for it takes a quarter of a second to compile."""
    p1, p2, p3 = 0.0, 0.0, 0.0
    for j in range(POINTS):
        p1 += sums[0, j]
        p2 += sums[1, j]
        p3 += sums[2, j]
    return p1, p2, p3


@njit(**JIT)
def _solve(
    steps: Array,
    numerators: Array,
    starts: np.ndarray,
    weights: Array,
    leaf_offsets: Array,
    widths: Array,
    spans: Array,
    horizons: np.ndarray,
    caps: Array,
    distance: float,
    fictitious: Array,
    tuned: bool,
    out: Array,
) -> None:
    sums = np.empty((3, POINTS))
    u, last_numerator, seen, moving = 0.0, 0.0, 0, False
    for index in range(horizons.size):
        n = horizons[index]
        cap = float(caps[index])
        square = cap * cap
        for k in range(seen, n):
            if numerators[k] > 0.0:
                last_numerator = float(numerators[k])
        seen = n
        # q / u^2 of the last positive step alone reaches G_n^2 at this u, so the minimiser is not smaller
        least = math.sqrt(last_numerator) / cap
        given = not math.isnan(fictitious[index])
        if given:
            u = float(fictitious[index])
        elif last_numerator == 0.0:
            u = distance / cap
        else:
            u = max(u, least) if moving else least  # a distance in place of u is no start for steps of any size
            moving = True
        gap, p1 = u, 0.0
        for _ in range(_MOST_ITERATIONS):
            sums[:] = 0.0
            gap, travelled = u, 0.0  # travelled = gap - u without the subtraction, which cancels where u is large
            leaf = n // POINTS
            for k in range(n - 1, leaf * POINTS - 1, -1):
                inverse = 1.0 / gap
                part = u * inverse
                term = numerators[k] * inverse
                sums[0, 0] += term
                term *= part
                sums[1, 0] += term
                sums[2, 0] += term * part
                travelled += float(steps[k])
                gap = u + travelled
            level = 0
            while leaf > 0:
                while leaf & ((2 << level) - 1) == 0 and starts.size > level + 2:
                    level += 1
                cell = starts[level] + (leaf >> level) - 1
                while level > 0 and spans[cell] > gap:
                    level -= 1
                    cell = starts[level] + (leaf >> level) - 1
                if level == 0:
                    _add_cell(u, gap, leaf_offsets[cell], 1.0, weights[cell], sums)
                else:
                    _add_cell(u, gap, _OFFSETS, float(spans[cell]), weights[cell], sums)
                travelled += float(widths[cell])
                gap = u + travelled
                leaf -= 1 << level
            p1, p2, p3 = _totals(sums)
            if given or last_numerator == 0.0:
                break
            # Newton's method on K^{-1/2}, which is concave in u, for the decreasing K of the stationarity condition;
            # p2 and p3 carry the factors u and u^2, so that no power of a vanishing u overflows
            if tuned:
                value, slope, target = (gap / u) * p2 + p1, -2.0 * (gap / u) * p3, square * travelled
            else:
                share = distance / gap
                value = (u * share) * share + p2
                slope = -2.0 * ((u * share) * (share * (u / gap)) + p3)
                target = u * square
            change = u * (2.0 * value / slope) * (1.0 - math.sqrt(value / target))
            if abs(change) <= 1e-6 * u:
                break
            u = max(u + change, least)
        out[0, index], out[1, index], out[2, index] = u, gap, p1 + u * square
