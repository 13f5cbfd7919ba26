"""Upper bounds on the average of SGD's iterates, each with the multipliers that prove it (D = 1, largest G = 1).

The points are x_0..x_n of the merged run, then the average; ``pairs[r, t]`` multiplies f_r >= f_t + <g_t, x_r - x_t>.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from lastiterate.theory.base.validation import Array
from lastiterate.theory.methods.step_matrix import sgd
from lastiterate.theory.rates.curve import rate_curve
from lastiterate.theory.rates.sgd import exact_rate

from .emulated import Chain, MergedRun, cheapest_chain, closing_sigma, raised_chain
from .vector_weights import VectorWeights, cheapest_vectors, vector_weights

__all__ = ["AverageProof", "Upper", "least_upper", "matrix_of", "searched"]

_SEARCHED = 24  # steps up to which all multipliers are searched: a third of a second
_REFINED, _GREEDY = 1_000, 20_000  # steps from the first checkpoint on, times checkpoints, for the vectors: a second
_PASSES = 1e7  # steps times checkpoints for the rates of the points themselves where the bounds on the slopes differ


class AverageProof(NamedTuple):
    """The multipliers that `lastiterate.theory.certificates.certificate.Certificate.step_matrix` takes."""

    pairs: Array
    tau: float
    norms: Array | None = None
    monotone: Array | None = None


class Upper(NamedTuple):
    """A bound, where it comes from, and a function that returns its proof."""

    value: float
    method: str
    prove: Callable[[], AverageProof]


def least_upper(run: MergedRun) -> Upper:
    """Return the exact rate where Theorem M gives it, else the least of the bounds that the length allows."""
    if run.steps.size == 0:
        return Upper(float(run.caps[0]), "lipschitz", partial(_of_points, run))
    if run.even:
        sigma, rate = closing_sigma(run)
        if sigma > 0.0:
            return Upper(rate, "closed form", partial(_closed, run, sigma))
    return min(_bounds(run), key=lambda bound: bound.value)


def _bounds(run: MergedRun) -> Iterator[Upper]:
    """Yield the bounds that hold for any weights."""
    chain = cheapest_chain(run)
    yield Upper(chain.value, "chain", partial(_of_chain, run, chain))
    size, checkpoints = run.steps.size, int(np.count_nonzero(run.weights))
    if run.even or size * checkpoints <= _PASSES:
        yield Upper(_mean_of_losses(run), "mean of losses", partial(_of_points, run))
    if run.even and size <= _SEARCHED:
        value, proof = searched(matrix_of(run))
        yield Upper(value, "search", partial(_same, proof))
        return  # the vectors are one choice of these multipliers
    work = (size - int(np.argmax(run.weights > 0.0))) * checkpoints
    if work <= _GREEDY:
        start = math.sqrt(run.steps[-1] * run.weights[-1])
        vectors = cheapest_vectors(run) if work <= _REFINED else vector_weights(run, start)
        if vectors is not None:
            yield Upper(vectors.value, "vectors", partial(_of_vectors, run, vectors))


def searched(H: Array) -> tuple[float, AverageProof]:
    """Return the least bound from later to earlier points, and its multipliers, by a semidefinite program."""
    from lastiterate.theory.pep.program import Program, in_units

    ones = np.ones(H.shape[0])
    program = Program(in_units(H, 1.0, ones))
    program.run_backward()
    pairs, optimum, minimum, tau, norms = program.multipliers(1.0, ones)
    return program.upper.value * program.problem.unit, AverageProof(pairs, tau, norms, np.minimum(optimum, minimum))


def _same(proof: AverageProof) -> AverageProof:
    return proof


def matrix_of(run: MergedRun) -> Array:
    """Return the step matrix of the points x_0..x_n and the average."""
    size = run.steps.size + 1
    H = np.zeros((size + 1, size + 1))
    H[:size, :size] = sgd(run.steps)
    H[size, : size - 1] = run.emulated
    return H


def _mean_of_losses(run: MergedRun) -> float:
    """Return sum_k a_k R_k with the exact rates R_k of the points themselves: Jensen's inequality."""
    points = np.flatnonzero(run.weights[1:]) + 1
    rates = rate_curve(run.steps, 1.0, run.caps, "exact", points).values
    return float(run.weights[0] * run.caps[0] + run.weights[points] @ rates)


def _of_chain(run: MergedRun, chain: Chain) -> AverageProof:
    """Return the multipliers of a chain; the last inequalities are at the average where its slope is bounded."""
    n = run.steps.size
    rises, w = np.maximum(np.diff(chain.v), 0.0), run.steps * chain.v[1:]
    sums = np.cumsum(np.append(w, chain.sigma)[::-1])[::-1]
    pairs, monotone = np.zeros((n + 2, n + 2)), np.zeros(n + 2)
    pairs[:n, :n] = np.triu(np.outer(rises, w), 1)
    excess = np.maximum(sums[:-1] * chain.v[:-1] - sums[1:] * chain.v[1:] - run.weights[:-1], 0.0)
    monotone[:n] = np.minimum(excess, w * chain.v[0])
    if run.even:  # sigma v_{n-1} = a_n, and the move from x_n to the average is inside the others
        pairs[:n, n + 1] = np.maximum(run.weights[:n] + chain.sigma * np.diff(chain.v), 0.0)
    else:
        pairs[:n, n] = chain.sigma * rises
        pairs[: n + 1, n + 1] = run.weights
    return AverageProof(pairs, float(chain.v[0]) ** 2, monotone=monotone)


def _closed(run: MergedRun, sigma: float) -> AverageProof:
    """Return the multipliers of Theorem M."""
    return _of_chain(run, raised_chain(run, sigma))


def _of_vectors(run: MergedRun, found: VectorWeights) -> AverageProof:
    """Return the multipliers that `vector_weights` stands for."""
    n = run.steps.size
    c = np.zeros((n + 1, n + 1))  # c[t, r + 1] = c_{t,r}
    y = found.rows
    c[:, 0] = y @ found.zeta
    c[:, 1:] = np.tril((y @ y[:-1].T) / run.steps, -1)
    pairs = np.zeros((n + 2, n + 2))
    pairs[:n, : n + 1] = np.triu(np.maximum(np.diff(c, axis=1), 0.0).T, 1)
    pairs[: n + 1, n + 1] = run.weights
    beyond = 1.0 - found.distance
    tau = float(found.zeta @ found.zeta) * found.distance**2 + beyond
    norms = np.sum(y**2, axis=1) + beyond * c[:, 0]
    return AverageProof(pairs, tau, np.append(norms, 0.0))


def _of_points(run: MergedRun) -> AverageProof:
    """Return the multipliers of the mean of the losses: those of every point's own rate, times its weight."""
    n = run.steps.size
    pairs, norms, tau = np.zeros((n + 2, n + 2)), np.zeros(n + 2), 0.0
    for k in np.flatnonzero(run.weights).tolist():
        weight = float(run.weights[k])
        w = exact_rate(run.steps[:k], 1.0, run.caps[: k + 1]).weights
        v = 1.0 / np.cumsum(w[::-1])[::-1]  # v_{-1}, v_0, ...
        pairs[:k, : k + 1] += weight * np.triu(np.outer(np.maximum(np.diff(v), 0.0), w), 1)
        norms[: k + 1] += weight * w * w
        tau += weight * float(v[0]) ** 2
        pairs[k, n + 1] = weight
    return AverageProof(pairs, tau, norms)
