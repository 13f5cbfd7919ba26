"""How sure a search result is: distribution functions with bands, the best of k draws."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_count, check_fraction, check_vector

__all__ = ["Distribution", "best_of", "distribution"]


@dataclass(frozen=True)
class Distribution:
    """An empirical distribution function with its uniform confidence band.

    ``probabilities[i]`` is the share of values at most ``values[i]``; ``low`` and ``high`` hold for all points at once
    with probability ``level``.
    """

    values: Array
    probabilities: Array
    low: Array
    high: Array
    level: float


def distribution(scores: npt.ArrayLike, *, level: float = 0.95) -> Distribution:
    """Return the empirical distribution of the scores of random shapes, with the Dvoretzky-Kiefer-Wolfowitz band.

    >>> found = distribution([3.0, 1.0, 2.0, 2.0])
    >>> found.values, found.probabilities
    (array([1., 2., 3.]), array([0.25, 0.75, 1.  ]))
    """
    from scipy.stats import ecdf

    found = ecdf(_check_scores(scores)).cdf
    half = float(
        np.sqrt(np.log(2.0 / (1.0 - check_fraction(level, "level", high=1.0 - 1e-12))) / (2.0 * np.size(scores)))
    )
    p = np.asarray(found.probabilities, dtype=np.float64)
    return Distribution(
        np.asarray(found.quantiles, dtype=np.float64),
        p,
        np.clip(p - half, 0.0, 1.0),
        np.clip(p + half, 0.0, 1.0),
        level,
    )


def best_of(scores: npt.ArrayLike, k: int) -> float:
    """Return the expected best of ``k`` shapes drawn without replacement from those scored.

    It compares families at equal numbers of shapes, whatever number was drawn of each.

    >>> best_of([1.0, 2.0, 3.0], 1), best_of([1.0, 2.0, 3.0], 2), best_of([1.0, 2.0, 3.0], 3)
    (2.0, 1.3333333333333333, 1.0)
    """
    ordered = np.sort(_check_scores(scores))
    n = ordered.size
    if check_count(k, "k") > n:
        raise InputError("k", k, f"at most the {n} scores")
    # P(the i-th smallest is the minimum) = C(n - 1 - i, k - 1) / C(n, k), by its ratio from one i to the next
    chances = np.empty(n)
    chances[0] = k / n
    for i in range(1, n):
        chances[i] = chances[i - 1] * max(n - i - k + 1, 0) / (n - i)
    return float(ordered[chances > 0.0] @ chances[chances > 0.0])


def _check_scores(scores: npt.ArrayLike) -> Array:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or np.isnan(values).any():
        raise InputError("scores", scores, "a one-dimensional array without NaN, at least one value")
    return values if np.isinf(values).any() else check_vector(values, "scores")
