"""The arithmetic of certificates in floating point: conditions, residuals and the repair of approximate multipliers."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import InputError, check_array

__all__ = [
    "binary_units",
    "cancel_values",
    "check_pairs",
    "exact_bound",
    "exact_ldexp",
    "feasible_norms",
    "gradient_form",
    "round_to_grid",
    "scaled_form",
    "sgd_conditions",
    "value_sums",
]

Array = npt.NDArray[np.float64]
EPS = 2.0**-52


def binary_units(D: float, G: Array) -> tuple[int, int]:
    """Return the exponents of the powers of two that serve as units of length and of gradients, of equal parity."""
    length, gradient = math.frexp(D)[1], math.frexp(float(G.max()))[1]
    return length + (length - gradient) % 2, gradient


def sgd_conditions(steps: Array, v: Array, s_N: float, D: float, G: Array) -> tuple[float, float, int] | None:
    """Return the largest relative violation of 0 < v_{k-1} <= v_k, v_k s_{k+1} <= v_{k-1} s_k, and the bound.

    The bound comes as a number and the exponent of a power of two. None says that the numbers leave the range of
    float64 even in the units of the problem, so that only exact arithmetic can tell.
    """
    length, gradient = binary_units(D, G)
    root = (length - gradient) // 2
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        v, s_N = np.ldexp(v, root), float(np.ldexp(s_N, -root))
        weights = np.ldexp(steps, -2 * root) * v[1:]
        s = np.cumsum(np.append(weights, s_N)[::-1])[::-1]
        products = v * s
        ordered = np.array([v.min(), s_N, products.min(), 1.0 / v.max(), 1.0 / s[0], 1.0 / products.max()])
        terms = np.concatenate([[v[0] * np.ldexp(D, -length)], np.append(weights, s_N) * np.ldexp(G, -gradient)])
        terms /= math.sqrt(products[-1])
    if not (ordered > 1e-290).all() or not 1e-140 < terms.max() < 1e140:
        return None
    violation = max(
        float(np.max(v[:-1] / v[1:], initial=1.0)) - 1.0,
        float(np.max(products[1:] / products[:-1], initial=1.0)) - 1.0,
    )
    return violation, 0.5 * math.fsum(terms * terms), length + gradient


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


def feasible_norms(
    H: Array, pairs: Array, optimum: Array, tau: float, D: float, G: Array, given: Array | None
) -> Array:
    """Return multipliers of the norms, at least those given, for which the form is surely semidefinite.

    The margin covers the rounding of the form itself, so that exact arithmetic will agree.
    """
    length, gradient = binary_units(D, G)
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        steps, caps = np.ldexp(H, gradient - length), np.ldexp(G, -gradient)
        weight = float(np.ldexp(tau, length - gradient))
        given = None if given is None else np.ldexp(given, gradient - length)
        form = gradient_form(steps, pairs, optimum, weight)
        scale = pairs.T @ np.abs(steps) + (optimum + pairs.sum(axis=0))[:, np.newaxis] * np.abs(steps)
        rounding = (G.size + 8) * EPS * (scale + scale.T + np.outer(optimum, optimum) / weight)
        found = _dominant_or_raised(form, rounding, caps, given)
        found = np.ldexp(found, length - gradient)
    if not np.isfinite(found).all():
        raise InputError("tau", tau, "multipliers, steps, D and G whose products float64 can hold")
    return found


def _dominant_or_raised(form: Array, rounding: Array, G: Array, given: Array | None) -> Array:
    """Return the cheaper of diagonal dominance and the given multipliers, raised by what the least eigenvalue lacks."""
    size = G.size
    off_diagonal = ~np.eye(size, dtype=bool)
    others = np.where(off_diagonal, np.abs(form) + rounding, 0.0) @ G / G
    dominant = np.maximum(others - np.diag(form) + np.diag(rounding), 0.0) * (1.0 + size * EPS)
    caps = np.outer(G, G)
    if given is None or not np.isfinite((form + np.diag(given)) * caps).all() or G.min() < 1e-140:
        return dominant
    smallest = float(np.linalg.eigvalsh((form + np.diag(given)) * caps)[0])
    margin = 4.0 * float(np.linalg.norm(rounding * caps)) + size * EPS * float(np.max(given * G * G))
    raised = given + max(0.0, margin - smallest) / (G * G)
    return min(dominant, raised, key=lambda norms: float(norms @ (G * G)))


def exact_ldexp(mantissa: float, exponent: int) -> Fraction:
    """Return mantissa 2^exponent, which float64 may not hold."""
    return Fraction(mantissa) * Fraction(2) ** exponent


def exact_bound(tau: float, D: float, norms: Array, G: Array) -> Fraction:
    """Return (tau D^2 + sum_i norms_i G_i^2) / 2 exactly."""
    total = Fraction(tau) * Fraction(D) ** 2
    for norm, cap in zip(norms.tolist(), G.tolist(), strict=True):
        total += Fraction(norm) * Fraction(cap) ** 2
    return total / 2


def scaled_form(
    H: Array, pairs: Array, optimum: Array, norms: Array, tau: float, D: float, G: Array, value: float
) -> Array:
    """Return the quadratic form in units in which |g_i| <= 1 and the value is one; not finite where float64 ends."""
    length, gradient = binary_units(D, G)
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        form = gradient_form(np.ldexp(H, gradient - length), pairs, optimum, float(np.ldexp(tau, length - gradient)))
        form += np.diag(np.ldexp(norms, gradient - length))
        caps = np.ldexp(G, -gradient)
        return form * caps / float(np.ldexp(value, -length - gradient)) * caps[:, np.newaxis]


def check_pairs(values: Any, size: int) -> Array:
    """Return the multipliers of all ordered pairs on the grid, a solver's tiny negative ones as zero."""
    pairs = check_array(values, "pairs", 2, "a matrix of finite multipliers")
    if pairs.shape != (size, size):
        raise InputError("pairs", f"an array of shape {pairs.shape}", f"shape {(size, size)}, as H")
    if pairs.max() > 1e100:
        raise InputError("pairs", f"a multiplier of {pairs.max()}", "multipliers of at most 1e100")
    if pairs.min() < -1e-6 * max(1.0, float(pairs.max())):
        i, j = np.unravel_index(int(np.argmin(pairs)), pairs.shape)
        raise InputError("pairs", f"pairs[{i}, {j}] = {pairs[i, j]}", "nonnegative multipliers")
    if np.diag(pairs).any():
        raise InputError("pairs", "a diagonal that is not zero", "no multiplier of a point with itself")
    return round_to_grid(np.maximum(pairs, 0.0))
