"""What a set of replayed runs allows one to say: paired differences, response curves, ranks, agreement with theory."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_fraction, check_vector

__all__ = [
    "Difference",
    "Ranking",
    "Response",
    "as_losses",
    "fit_response",
    "paired_differences",
    "rank_correlation",
    "rank_over_workloads",
    "where_is_best",
]

FEW_SEEDS = 8


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with its interval.

    Attributes
    ----------
    mean, low, high : float
        Mean of candidate minus reference, and its confidence interval.
    p_value : float
        Two-sided, paired t-test; NaN for a single pair.
    p_corrected : float
        The same corrected for the number of comparisons (Benjamini-Yekutieli, valid under any dependence).
    method : str
        How the interval was made: ``"bootstrap"`` (BCa) from 8 pairs on, else ``"Student t"``.
    """

    mean: float
    low: float
    high: float
    p_value: float
    p_corrected: float
    method: str


def paired_differences(
    reference: npt.ArrayLike, candidates: Mapping[str, npt.ArrayLike], confidence: float = 0.95
) -> dict[str, Difference]:
    """Compare each candidate with the reference, pair by pair (same seed, same data order).

    Parameters
    ----------
    reference : array_like, shape (n_seeds,)
    candidates : mapping of str to array_like, shape (n_seeds,)
    confidence : float

    Returns
    -------
    dict of str to Difference

    Examples
    --------
    >>> differences = paired_differences([1.0, 2.0, 3.0], {"better": [0.5, 1.4, 2.6]})
    >>> round(differences["better"].mean, 3), differences["better"].high < 0.0
    (-0.5, True)
    """
    from scipy.stats import false_discovery_control, ttest_rel

    check_fraction(confidence, "confidence", low=0.5, high=0.9999)
    base = check_vector(reference, "reference")
    rows: dict[str, Array] = {}
    for name, values in candidates.items():
        rows[name] = check_vector(values, name)
        if rows[name].size != base.size:
            raise InputError(name, f"{rows[name].size} values", f"{base.size} values, one a seed of the reference")
    p_values: dict[str, float] = {}
    for name, values in rows.items():
        differences = values - base
        if base.size < 2:
            p_values[name] = math.nan
        elif np.ptp(differences) == 0.0:
            p_values[name] = 1.0 if differences[0] == 0.0 else 0.0
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # differences that are equal up to rounding
                p_values[name] = float(ttest_rel(values, base).pvalue)
    known = [name for name, p in p_values.items() if not math.isnan(p)]
    corrected = false_discovery_control([p_values[name] for name in known], method="by") if known else []
    p_corrected = dict(zip(known, map(float, corrected), strict=True))
    result: dict[str, Difference] = {}
    for name, values in rows.items():
        low, high, method = _interval(values - base, confidence)
        mean = float(np.mean(values - base))
        result[name] = Difference(mean, low, high, p_values[name], p_corrected.get(name, math.nan), method)
    return result


def _interval(differences: Array, confidence: float) -> tuple[float, float, str]:
    """BCa bootstrap of the mean; Student's t for few pairs, where a bootstrap is far too narrow."""
    from scipy.stats import bootstrap, t

    mean = float(differences.mean())
    if differences.size < 2:
        return -math.inf, math.inf, "none"
    if np.ptp(differences) == 0.0:
        return mean, mean, "constant"
    if differences.size >= FEW_SEEDS:
        interval = bootstrap((differences,), np.mean, confidence_level=confidence, rng=0).confidence_interval
        return float(interval.low), float(interval.high), "bootstrap"
    error = float(differences.std(ddof=1)) / math.sqrt(differences.size)
    half = float(t.ppf(0.5 + confidence / 2.0, differences.size - 1)) * error
    return mean - half, mean + half, "Student t"


@dataclass(frozen=True)
class Response:
    """The fit loss = A / lr + B * lr + C with A, B >= 0, the form of the theory's bound at a fixed schedule.

    Attributes
    ----------
    A, B, C : float
    best_lr : float
        sqrt(A / B), NaN if a coefficient is zero.
    relative_error : float
        Root mean square of the residuals over the spread of the fitted losses.
    lowest, highest : float
        Range of base learning rates in the fit.
    """

    A: float
    B: float
    C: float
    best_lr: float
    relative_error: float
    lowest: float
    highest: float

    def __call__(self, base_lr: npt.ArrayLike) -> Array:
        """Return the fitted loss at ``base_lr``."""
        lr = np.asarray(base_lr, dtype=np.float64)
        return self.A / lr + self.B * lr + self.C


def fit_response(base_lrs: npt.ArrayLike, losses: npt.ArrayLike) -> Response | None:
    """Fit the theory's response to the base learning rate; None if under three finite points remain.

    Points that lie above the best by more than four times the spread of the better half are left out: far from the
    optimum a network's loss saturates or explodes, which no convex bound describes.

    Examples
    --------
    >>> lrs = [0.1, 0.2, 0.4, 0.8]
    >>> fit = fit_response(lrs, [0.04 / lr + 1.0 * lr + 0.5 for lr in lrs])
    >>> round(fit.A, 6), round(fit.B, 6), round(fit.C, 6), round(fit.best_lr, 6)
    (0.04, 1.0, 0.5, 0.2)
    """
    from scipy.optimize import lsq_linear

    lrs, values = np.asarray(base_lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    finite = np.isfinite(values)
    lrs, values = lrs[finite], values[finite]
    if lrs.size < 3:
        return None
    spread = np.median(values) - values.min()
    near = values <= values.min() + 5.0 * spread if spread > 0 else np.ones(values.size, dtype=bool)
    lrs, values = lrs[near], values[near]
    if lrs.size < 3:
        return None
    # the columns are scaled by the middle learning rate, so that the solver sees numbers of one size
    middle = float(np.exp(np.log(lrs).mean()))
    columns = np.stack([middle / lrs, lrs / middle, np.ones(lrs.size)], axis=1)
    # the active-set method puts a coefficient at its bound to zero exactly, up to rounding of the others
    solution = np.asarray(lsq_linear(columns, values, bounds=([0.0, 0.0, -np.inf], np.inf), method="bvls").x)
    solution[:2][solution[:2] <= 1e-12 * np.abs(solution).max()] = 0.0
    falling, rising, offset = map(float, solution)
    residual = float(np.sqrt(np.mean((columns @ solution - values) ** 2)))
    spread = float(np.ptp(values))
    return Response(
        A=falling * middle,
        B=rising / middle,
        C=offset,
        best_lr=middle * math.sqrt(falling / rising) if falling > 0 and rising > 0 else math.nan,
        relative_error=residual / spread if spread > 0 else 0.0,
        lowest=float(lrs.min()),
        highest=float(lrs.max()),
    )


def where_is_best(values: npt.ArrayLike, higher_is_better: bool = False) -> Literal["low", "interior", "high", "none"]:
    """Say whether the best of a grid is at its low end, in its interior, at its high end, or nowhere.

    Values that are not finite stand for runs that diverged. An interior optimum has finite or diverged neighbours on
    both sides.

    >>> where_is_best([3.0, 1.0, 2.0]), where_is_best([1.0, 2.0, 3.0]), where_is_best([3.0, 1.0, float("nan")])
    ('interior', 'low', 'interior')
    """
    losses = as_losses(values, higher_is_better)
    if not np.isfinite(losses).any():
        return "none"
    best = int(np.argmin(losses))
    if losses.size == 1:
        return "high"
    return "low" if best == 0 else "high" if best == losses.size - 1 else "interior"


def as_losses(values: npt.ArrayLike, higher_is_better: bool = False) -> Array:
    """Return values such that lower is better and what is not finite is worst.

    >>> as_losses([0.9, float("nan")], higher_is_better=True).tolist()
    [-0.9, inf]
    """
    array = np.asarray(values, dtype=np.float64)
    signed = -array if higher_is_better else array
    return np.where(np.isfinite(array), signed, np.inf)


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over workloads and Friedman's test that all are alike (NaN under three workloads or schedules)."""

    mean_ranks: dict[str, float]
    p_value: float
    n_workloads: int


def rank_over_workloads(scores: Sequence[Mapping[str, float]]) -> Ranking:
    """Rank the schedules on each workload, 1 for the best (lowest) score, and average.

    Parameters
    ----------
    scores : sequence of mapping of str to float
        One mapping a workload, from schedule to score, lower is better. Schedules missing somewhere are left out.

    Examples
    --------
    >>> rank_over_workloads([{"a": 1.0, "b": 2.0}, {"a": 5.0, "b": 5.0}]).mean_ranks
    {'a': 1.25, 'b': 1.75}
    """
    from scipy.stats import friedmanchisquare, rankdata

    if not scores:
        raise InputError("scores", "an empty sequence", "the scores of at least one workload")
    names = [name for name in scores[0] if all(name in row for row in scores)]
    table = np.array([[as_losses(row[name]) for name in names] for row in scores], dtype=np.float64)
    ranks = rankdata(table, axis=1) if names else table
    p_value = math.nan
    if len(scores) >= 3 and len(names) >= 3 and np.ptp(ranks, axis=1).any():
        p_value = float(friedmanchisquare(*ranks.T).pvalue)
    means = ranks.mean(axis=0) if names else []
    return Ranking(dict(zip(names, map(float, means), strict=True)), p_value, len(scores))


def rank_correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return Kendall's tau-b of two lists of scores; NaN if one of them is constant or there are fewer than two.

    >>> rank_correlation([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    1.0
    """
    from scipy.stats import kendalltau

    a, b = as_losses(first), as_losses(second)
    if a.size < 2 or np.unique(a).size < 2 or np.unique(b).size < 2:
        return math.nan
    outcome: Any = kendalltau(a, b)
    return round(float(outcome.statistic), 12)
