"""Pictures of forecasts: schedules, predicted curves with bands and the logs they come from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lastiterate.theory.base.validation import Array

from .style import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, literal

if TYPE_CHECKING:
    from lastiterate.experiments.forecast.result import LossFit

__all__ = ["plot_cooldowns", "plot_forecast"]

COLORS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK)
SHOWN_FROM = 0.1


def plot_forecast(fit: "LossFit", schedules: Mapping[str, Array], curves: Mapping[str, tuple[Array, Array]]) -> Any:
    """Draw learning rates, and predicted losses with bands over the fitted logs; return a matplotlib figure.

    ``curves`` holds the loss, float64[N+1], and the interval, float64[2, N+1], of every schedule.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for log in fit.logs:
        right.plot(log.at, log.loss, color=GREY, linewidth=0.7)
    lowest, highest = np.inf, 0.0
    for (name, steps), color in zip(schedules.items(), np.resize(COLORS, len(schedules)).tolist(), strict=True):
        loss, (low, high) = curves[name]
        begin = max(int(SHOWN_FROM * steps.size), 1)
        at = np.arange(begin, steps.size + 1)
        left.plot(np.arange(1, steps.size + 1), steps, color=color, label=literal(name))
        right.plot(at, loss[begin:], color=color, label=literal(name))
        right.fill_between(at, low[begin:], high[begin:], color=color, alpha=0.25, linewidth=0.0)
        lowest, highest = min(lowest, float(low[begin:].min())), max(highest, float(loss[begin]))
    margin = 0.05 * (highest - lowest)
    left.set(xlabel="step", ylabel="learning rate", title="schedules", ylim=(0.0, None))
    right.set(xlabel="step", ylabel="loss", title=f"law: {fit.law}", ylim=(lowest - margin, highest + margin))
    right.legend(fontsize="small")
    return figure


def plot_cooldowns(rows: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draw final losses over the cooldown fraction: measured points, predicted lines; one colour a series.

    Each row holds ``fractions, predicted, low, high``, and ``measured_fractions, measured``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axis = figure.subplots()
    for (name, row), color in zip(rows.items(), np.resize(COLORS, len(rows)).tolist(), strict=True):
        axis.plot(row["fractions"], row["predicted"], color=color, label=literal(name))
        axis.fill_between(row["fractions"], row["low"], row["high"], color=color, alpha=0.2, linewidth=0.0)
        axis.plot(row["measured_fractions"], row["measured"], "o", color=color, markersize=4)
    axis.set(xlabel="cooldown fraction", ylabel="final loss")
    axis.legend(fontsize="small")
    return figure
