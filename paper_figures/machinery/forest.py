"""Ratios with their intervals, one line each, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import BLACK, BLUE, GREY

__all__ = ["draw_ratios", "ratio_ticks", "shown"]

Ratio = tuple[float, float, float]


def shown(found: Ratio, limit: float | None = None) -> str:
    """Return a ratio and its interval as text; "diverged" where a run of the candidate or of the reference did.

    With a limit, "undecided" is added where the interval holds it: the claim was neither seen nor refuted.

    >>> shown((1.5, 1.25, 2.0)), shown((float("inf"),) * 3)
    ('1.5 [1.25, 2]', 'diverged')
    >>> shown((1.5, 0.9, 2.0), limit=1.0)
    '1.5 [0.9, 2], undecided'
    """
    if not np.isfinite(found[0]):
        return "diverged"
    undecided = limit is not None and found[1] < limit < found[2]
    return f"{found[0]:.3g} [{found[1]:.3g}, {found[2]:.3g}]{', undecided' if undecided else ''}"


def draw_ratios(axis: Any, rows: Mapping[str, Ratio], margin: float | None = None, colors: Any = BLUE) -> None:
    """Draw (mean, low, high) for every name, the first on top, beside the line at 1 and a dashed one at the margin.

    Parameters
    ----------
    axis : matplotlib axes
    rows : mapping of str to (mean, low, high)
        A ratio that is not finite is written out as "diverged".
    margin : float, optional
        Ratio up to which a claim counts as seen.
    colors : color or sequence of color
        One for all rows, or one for each.
    """
    y = np.arange(len(rows))[::-1]
    chosen = [colors] * len(rows) if isinstance(colors, str) else colors
    for place, color, found in zip(y, chosen, rows.values(), strict=True):
        if np.isfinite(found[0]):
            axis.plot(found[1:], [place, place], color=color, linewidth=1.2)
            axis.plot(found[0], place, "o", color=color, ms=3)
        else:
            axis.text(1.0, place, " diverged", va="center", fontsize=6.5, color=color)
    axis.axvline(1.0, color=BLACK, linestyle=":", linewidth=0.8)
    if margin is not None:
        axis.axvline(margin, color=GREY, linestyle="--", linewidth=0.8)
    ends = [end for found in rows.values() if np.isfinite(found[0]) for end in found[1:]] + [1.0, margin or 1.0]
    wide = max(ends) > 100.0 * min(ends)
    axis.set_xscale("log")
    if not wide:
        ratio_ticks(axis.xaxis)
    axis.set_yticks(y, list(rows))
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.grid(axis="y", visible=False)


def ratio_ticks(axis: Any) -> None:
    """Label a logarithmic x or y axis of one or two decades at 1, 2 and 5, in plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
