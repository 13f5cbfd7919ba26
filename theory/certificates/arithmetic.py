"""The arithmetic of certificates in floating point: conditions, residuals and the repair of approximate multipliers."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import InputError

Array = npt.NDArray[np.float64]
EPS = 2.0**-52


def sgd_conditions(steps: Array, v: Array, s_N: float, D: float, G: Array) -> tuple[float, float]:
    """Return the largest relative violation of 0 < v_{k-1} <= v_k, v_k s_{k+1} <= v_{k-1} s_k, and the bound."""
    weights = steps * v[1:]
    s = np.cumsum(np.append(weights, s_N)[::-1])[::-1]
    products = v * s
    if not (min(v.min(), s_N) > 0.0 and math.isfinite(s[0])):
        return math.inf, math.inf
    violation = max(
        float(np.max(v[:-1] / v[1:], initial=1.0)) - 1.0,
        float(np.max(products[1:] / products[:-1], initial=1.0)) - 1.0,
    )
    scale = math.sqrt(products[-1])
    terms = np.concatenate([[v[0] * D], weights * G[:-1], [s_N * G[-1]]]) / scale
    return violation, 0.5 * math.fsum(terms * terms)


def cancel_values(pairs: Array) -> tuple[Array, Array]:
    """Return the multipliers of f* >= f_j + ... and f_i >= f* that make every function value cancel exactly."""
    target = np.zeros(pairs.shape[0])
    target[-1] = 1.0
    remainder = np.array(
        [math.fsum([target[i], *pairs[i].tolist(), *(-pairs[:, i]).tolist()]) for i in range(target.size)]
    )
    return np.maximum(remainder, 0.0), np.maximum(-remainder, 0.0)


def value_sums(pairs: Array, optimum: Array, minimum: Array) -> list[float]:
    """Return the coefficient left on every f_i, correctly rounded: zero if and only if it is exactly zero."""
    last = pairs.shape[0] - 1
    return [
        math.fsum([float(i == last), minimum[i], -optimum[i], *pairs[i].tolist(), *(-pairs[:, i]).tolist()])
        for i in range(last + 1)
    ]


def round_to_grid(pairs: Array) -> Array:
    """Round to multiples of one power of two so fine and so coarse that sums over a row or column are exact."""
    largest = max(1.0, float(pairs.sum(axis=0).max()), float(pairs.sum(axis=1).max()))
    grid = 2.0 ** (math.ceil(math.log2(largest)) - 50)
    return np.rint(pairs / grid) * grid


def gradient_form(H: Array, pairs: Array, optimum: Array, tau: float) -> Array:
    """Return the quadratic form in the gradients after x_0 - x* is eliminated, without the multipliers of the norms."""
    cross = pairs.T @ H - (optimum + pairs.sum(axis=0))[:, np.newaxis] * H
    return -(cross + cross.T) - np.outer(optimum, optimum) / tau


def feasible_norms(H: Array, pairs: Array, optimum: Array, tau: float, G: Array, given: Array | None) -> Array:
    """Return multipliers of the norms, at least those given, for which the form is surely semidefinite.

    The margin covers the rounding of the form itself, so that exact arithmetic will agree.
    """
    size = G.size
    form = gradient_form(H, pairs, optimum, tau)
    scale = pairs.T @ np.abs(H) + (optimum + pairs.sum(axis=0))[:, np.newaxis] * np.abs(H)
    rounding = (size + 8) * EPS * (scale + scale.T + np.outer(optimum, optimum) / tau)
    off_diagonal = ~np.eye(size, dtype=bool)
    others = np.where(off_diagonal, np.abs(form) + rounding, 0.0) @ G / G
    dominant = np.maximum(others - np.diag(form) + np.diag(rounding), 0.0) * (1.0 + size * EPS)
    if given is None:
        return dominant
    caps = np.outer(G, G)
    smallest = float(np.linalg.eigvalsh((form + np.diag(given)) * caps)[0])
    margin = 4.0 * float(np.linalg.norm(rounding * caps)) + size * EPS * float(np.max(given * G * G))
    raised = given + max(0.0, margin - smallest) / (G * G)
    return min(dominant, raised, key=lambda norms: float(norms @ (G * G)))


def exact_bound(tau: float, D: float, norms: Array, G: Array) -> Fraction:
    """Return (tau D^2 + sum_i norms_i G_i^2) / 2 exactly."""
    total = Fraction(tau) * Fraction(D) ** 2
    for norm, cap in zip(norms.tolist(), G.tolist(), strict=True):
        total += Fraction(norm) * Fraction(cap) ** 2
    return total / 2


def check_pairs(values: Any, size: int) -> Array:
    """Return the multipliers of all ordered pairs on the grid, a solver's tiny negative ones as zero."""
    try:
        pairs = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("pairs", values, "a matrix of real numbers") from error
    if pairs.shape != (size, size):
        raise InputError("pairs", f"an array of shape {pairs.shape}", f"shape {(size, size)}, as H")
    if not np.isfinite(pairs).all():
        i, j = np.argwhere(~np.isfinite(pairs))[0]
        raise InputError("pairs", f"pairs[{i}, {j}] = {pairs[i, j]}", "finite multipliers")
    if pairs.min() < -1e-6 * max(1.0, float(pairs.max())):
        i, j = np.unravel_index(int(np.argmin(pairs)), pairs.shape)
        raise InputError("pairs", f"pairs[{i}, {j}] = {pairs[i, j]}", "nonnegative multipliers")
    if np.diag(pairs).any():
        raise InputError("pairs", "a diagonal that is not zero", "no multiplier of a point with itself")
    return round_to_grid(np.maximum(pairs, 0.0))
