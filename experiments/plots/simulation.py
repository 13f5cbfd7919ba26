"""The picture of a simulation: gaps over steps, with the bound as a line."""

from typing import Any

import numpy as np

from lastiterate.theory.simulators.result import Simulation, gap_floor

from .style import axes_or_current, literal

__all__ = ["gaps"]

_FAR = 1e3  # a bound that many times above every curve stands in the legend only, or it would flatten the curves
_LABELS = {"last": r"$f(x_k) - f_*$", "average": r"$f(\bar x_k) - f_*$ of the average", "best": r"lowest $f - f_*$"}


def gaps(run: Simulation, ax: Any = None) -> Any:
    """Draw the median gap over seeds of each schedule at its best base learning rate, and its bound; return the axes.

    The curves are of the iterate that the bound speaks of; where it is the average that of f at the averages. The best
    base learning rates are those of `Simulation.sweep`. Without ``ax`` pyplot's current axes are
    used.
    """
    ax = axes_or_current(ax)
    bound, iterate = run.bound, run.bound_iterate
    chosen = [int(np.flatnonzero(run.base_lrs == best.base_lr)[0]) for best in run.sweep(iterate)]
    heights = np.maximum(np.median(run.gaps_of(iterate), axis=2), gap_floor(run.problem))
    shown = [np.where(np.isfinite(heights[s, i]), heights[s, i], np.nan) for s, i in enumerate(chosen)]
    for s, (name, i) in enumerate(zip(run.schedules, chosen, strict=True)):
        label = f"{name}, base_lr {run.base_lrs[i]:.3g}" if len(run.base_lrs) > 1 else name
        label += "" if np.isfinite(heights[s, i, -1]) else ", diverged"
        value = np.nan
        if bound is not None and np.isfinite(bound[s, i]).any():
            value = float(np.nanmean(bound[s, i]))
            label += f", bound {value:.3g}"
        (line,) = ax.plot(run.recorded, shown[s], label=literal(label))
        if value <= _FAR * np.nanmax(shown):
            ax.axhline(value, color=line.get_color(), linestyle="--", linewidth=0.9)
    ax.set(xlabel="step k", ylabel=_LABELS[iterate], yscale="log", title=literal(f"{run.method} on {run.problem.name}"))
    if ax.figure.get_layout_engine() is None:
        ax.legend(fontsize="small", framealpha=0.9, edgecolor="none")
    else:  # the layout makes room below
        ax.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.13))
    return ax
