"""Pictures of schedules for an open horizon: the steps, and what stopping at each time costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lastiterate.theory.optimal.anytime import AnytimeSchedule

from .style import BLACK, BLUE, GREEN, ORANGE, PINK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_anytime"]


def draw_anytime(plans: Mapping[str, AnytimeSchedule]) -> "Figure":
    """Draw the steps of some plans for the same stopping times, and their ratios to the tuned optimum of each stop."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, plan), color in zip(plans.items(), (BLUE, ORANGE, GREEN, PINK) * len(plans), strict=False):
        n0 = int(plan.horizons[0])
        left.plot(np.arange(plan.steps.size), plan.steps * np.sqrt(n0) * plan.G / plan.D, color=color, label=name)
        marker = "o" if plan.horizons.size < 20 else ""
        right.plot(plan.horizons, plan.ratios, color=color, marker=marker, label=f"{name}: {plan.value:.4f}")
        right.axhline(plan.lower, color=color, linestyle=":", linewidth=0.8)
    right.axhline(1.0, color=BLACK, linewidth=0.8)
    left.set(xlabel="step k", ylabel=r"$h_k\,G\sqrt{n_0}/D$", title="the open run", xscale="log")
    right.set(
        xlabel="stopping time n", ylabel="rate / rate of the best schedule for n", title="the price", xscale="log"
    )
    left.legend(frameon=False)
    right.legend(frameon=False, fontsize="small")
    return figure
