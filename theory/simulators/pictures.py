"""The picture of a simulation: gaps over steps, with the bound as a line."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .result import Simulation


def draw_gaps(run: "Simulation", ax: Any = None) -> Any:
    """Draw the median gap over seeds of each schedule at its best base learning rate, and its bound; return ``ax``.

    Without ``ax`` a new figure is made that no window shows, so that scripts need no display.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").subplots()
    bound = run.bound
    final = np.median(np.where(np.isfinite(run.final), run.final, np.inf), axis=2)
    curves = np.median(run.gaps, axis=2)
    for s, name in enumerate(run.schedules):
        i = int(np.argmin(final[s]))
        gaps = np.where(curves[s, i] > 0.0, curves[s, i], np.nan)
        label = f"{name}, base_lr {run.base_lrs[i]:.3g}" if len(run.base_lrs) > 1 else name
        bounded = bound is not None and np.isfinite(bound[s, i]).any()
        value = float(np.nanmean(bound[s, i])) if bound is not None and bounded else np.nan
        spoken = f", bound {value:.3g}" + (
            "" if run.bound_iterate == "last" else f" of the {run.bound_iterate} iterate"
        )
        (line,) = ax.plot(run.recorded, gaps, label=label + spoken if bounded else label)
        if bounded:
            ax.axhline(value, color=line.get_color(), linestyle="--", linewidth=0.9)
    ax.set(xlabel="step k", ylabel=r"$f(x_k) - f_*$", yscale="log", title=f"{run.method} on {run.problem.name}")
    ax.legend(frameon=False, fontsize="small")
    return ax
