"""Brackets of the free parameter that provably contain the global minimiser of a rate.

The inequalities are in the notes of `lastiterate.theory.rates.sgd.exact_rate` and `tune_base_lr`.
"""

import math

import numpy as np

from lastiterate.theory.base.scalar_search import Objective

from .kernels import ScaledSteps

__all__ = ["exact_bracket", "theorem10_bracket", "tuned_exact_bracket", "tuned_theorem10_bracket"]

_UNDERFLOWS = 1e-290  # sigma or h_N would have few digits left, or none, and add nothing to a rate


def exact_bracket(run: ScaledSteps, objective: Objective) -> tuple[float, float]:
    """Bracket of log sigma for the exact rate."""
    largest = math.sqrt(run.distance / run.last_cap + run.total)
    bound = 0.5 * math.log(objective(np.log(np.geomspace(math.sqrt(run.last_step), largest, 8))).min())
    low = math.log(run.last_step) + math.log(run.last_step_cap) - bound
    return _folded(run, low, bound - math.log(run.last_cap), low + 0.5 * math.log(run.unit))


def theorem10_bracket(run: ScaledSteps, objective: Objective) -> tuple[float, float]:
    """Bracket of log h_N for Theorem 10."""
    largest = run.distance / run.last_cap + run.total
    bound = math.log(objective(np.log(np.geomspace(run.last_step, largest, 8))).min())
    low = 2.0 * (math.log(run.last_step) + math.log(run.last_step_cap)) - bound
    return max(low, math.log(_UNDERFLOWS)), bound - 2.0 * math.log(run.last_cap)


def tuned_exact_bracket(run: ScaledSteps, objective: Objective) -> tuple[float, float]:
    """Bracket of log sigma for the tuned exact rate; the inequalities are in the notes of `tune_base_lr`."""
    h, cap, last_cap = run.last_step, run.last_step_cap, run.last_cap
    before = max(run.total - h, 0.0)
    squares_before = max(run.squares - (h * cap) ** 2, 0.0)
    large = run.squares / (run.total * last_cap**2)
    log_small = (
        2.0 * math.log(cap)
        + math.log(run.total)
        - float(np.logaddexp(2.0 * math.log(last_cap), _log(squares_before) - 2.0 * math.log(h)))
    )
    guesses = np.append(np.linspace(math.log(h), math.log(run.total), 6), [_log(large), log_small]) / 2.0
    best = math.sqrt(np.nanmin(objective(guesses[np.isfinite(guesses)])))
    # the two guesses beat the limits sigma -> infinity and sigma -> 0 by these factors, free of cancellation
    below_last = math.expm1(0.5 * math.log1p(run.total / (large + run.total)))
    spread = (h * (h * last_cap**2) + squares_before) / (cap**2 * run.total)
    share = run.total / (spread + 2.0 * run.total + math.exp(log_small))
    below_cap = math.expm1(-0.5 * math.log1p(-share))
    high = math.log(run.total) - math.log(max(last_cap / best - 1.0, below_last))
    low = math.log(max(cap / best - 1.0, below_cap)) + math.log(h) - math.log1p(before / h)
    return _folded(run, low / 2.0, high / 2.0, low / 2.0)


def _folded(run: ScaledSteps, low: float, high: float, log_least: float) -> tuple[float, float]:
    """Halve a bracket of log sigma: sigma and h_m / sigma lead to the same s_m, so the cheaper one suffices.

    Where h_m or the least sigma, whose logarithm is ``log_least``, would underflow the larger one is kept, as if h_m
    were zero: a bound like every other sigma's.
    """
    middle = 0.5 * math.log(max(run.last_step, _UNDERFLOWS))
    tiny = run.last_step < _UNDERFLOWS or log_least < math.log(_UNDERFLOWS)
    if run.last_cap <= run.last_step_cap or tiny:
        return max(low, min(middle, high)), high
    return low, min(high, max(middle, low))


def tuned_theorem10_bracket(run: ScaledSteps, objective: Objective) -> tuple[float, float]:
    """Bracket of log h_N for the tuned Theorem 10 rate; the inequalities are in the notes of `tune_base_lr`."""
    total, square = run.total, run.last_cap**2
    large = 2.0 * run.squares / (total * square)
    guesses = np.append(np.linspace(math.log(run.last_step), math.log(total), 7), _log(large))
    best = float(np.nanmin(objective(guesses[np.isfinite(guesses)])))
    below_last = 0.5 * total / (large + 0.5 * total)
    high = math.log(total) - math.log(max(square / best - 1.0, below_last))
    product = 2.0 * (math.log(run.last_step) + math.log(run.last_step_cap)) - math.log(best)
    low = product - float(np.logaddexp(math.log(total), high))
    return min(max(low, math.log(_UNDERFLOWS)), high), high


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf
