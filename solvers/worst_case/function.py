"""From a Gram matrix to a worst-case function that can be run: a maximum of affine pieces with a resisting oracle."""

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.problem import Minimum, Problem

__all__ = ["from_gram"]

TIE = 1e-9


def from_gram(
    gram: Array, levels: Array, points: Array, norms: Array, distance: float, cutoff: float = 1e-13
) -> Problem:
    """Factor a Gram matrix of (x_0 - x*, g_0, ...) in units of their caps; x* is the origin and f* is zero.

    ``points[k]`` holds the coefficients of x_k - x* in the vectors measured in their units. Piece k is the one that
    the method meets at its k-th point; the last piece is the constant f*, which makes x* a minimiser. Where pieces
    tie the oracle answers its k-th query with piece k.
    """
    values, vectors = np.linalg.eigh(gram)
    kept = values > cutoff * values[-1]
    factor = vectors[:, kept][:, ::-1] * np.sqrt(values[kept][::-1])
    slopes = factor[1:] * norms[:, None]
    iterates = points @ (factor * np.concatenate([[distance], norms])[:, None])
    intercepts = levels - np.einsum("ij,ij->i", slopes, iterates)
    start = factor[0] * distance
    highest = float(np.max(intercepts + slopes @ start, initial=0.0))
    tie = TIE * float(norms.max()) * max(distance, float(np.linalg.norm(iterates, axis=1).max()))
    return Problem(
        "worst-case function",
        "max_affine",
        np.ascontiguousarray(np.vstack([slopes, np.zeros(factor.shape[1])])),
        np.append(intercepts, 0.0),
        start,
        tie="step",
        tie_tolerance=tie / (1.0 + abs(highest)),
        known=Minimum(np.zeros(factor.shape[1]), 0.0, 0.0, "semidefinite program"),
    )
