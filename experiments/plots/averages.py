"""Pictures of averages: the decay that a merge emulates, and what gaps between checkpoints cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lastiterate.theory.optimal.merge import OptimalAverage, OptimalMerge
from lastiterate.theory.rates.averages.rate import AverageRate

from .style import BLUE, GREY, RED, axes_or_current

__all__ = ["emulated", "spacing"]


def emulated(result: AverageRate | OptimalMerge | OptimalAverage, ax: Any = None) -> Any:
    """Draw the steps of a run, the decay that its average emulates, and the averaged points; return the axes."""
    rate = result if isinstance(result, AverageRate) else result.rate
    axes = axes_or_current(ax)
    axes.step(range(rate.n_steps), rate.steps, where="post", color=GREY, label="steps taken")
    axes.step(range(rate.n_steps), rate.emulated, where="post", color=BLUE, label="steps emulated")
    points = np.flatnonzero(rate.weights)
    if points.size <= 100:
        axes.plot(points, np.zeros(points.size), "|", color=RED, markersize=8, clip_on=False, label="checkpoints")
    axes.set(xlabel="step k", ylabel="step size $h_k$", ylim=(0.0, None))
    axes.set_title(f"f(average) - f* at most {rate.value:.4g}")
    axes.legend(frameon=False, fontsize="small")
    return axes


def spacing(rates: Mapping[int, AverageRate], ax: Any = None) -> Any:
    """Draw the interval of merges by the gap between their checkpoints, and what they emulate; return the axes."""
    from lastiterate.theory.rates.sgd import exact_rate

    axes = axes_or_current(ax)
    gaps = np.array(sorted(rates))
    chosen = [rates[int(gap)] for gap in gaps]
    lower, upper = np.array([rate.lower for rate in chosen]), np.array([rate.value for rate in chosen])
    axes.fill_between(gaps, lower, upper, color=BLUE, alpha=0.3, linewidth=0.0)
    axes.plot(gaps, upper, "o-", color=BLUE, markersize=3, label="worst case of the merge")
    emulates = [exact_rate(rate.emulated, rate.D, float(rate.G.max())).value for rate in chosen]
    axes.plot(gaps, emulates, "--", color=GREY, label="rate of the emulated schedule")
    axes.set(xlabel="steps between checkpoints", ylabel="bound on f(merge) - f*", ylim=(0.0, None))
    axes.legend(frameon=False, fontsize="small")
    return axes
