"""WSM (2507.17634): merging checkpoints in place of decay, what it emulates and what gaps between checkpoints cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import BLACK, BLUE, GREY, ORANGE, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory.rates.averages.rate import average_rate

__all__ = ["FIGURES"]

GAPS = (1, 2, 4, 8, 16)
COLOURS = (BLACK, BLUE, ORANGE)


def _compute(settings: Settings) -> Data:
    n, window, rates = (32, 16, 9) if settings.quick else (64, 32, 15)
    rows = settings.cache.get(f"merge-spacing-{n}-{window}-{rates}", lambda: _rows(n, window, rates))
    return {**rows, "caption": f"N = {n} steps, checkpoints over the last {window}, {rates} learning rates."}


def _rows(n: int, window: int, rates: int) -> Data:
    """For each gap the least worst case over constant steps, its lower bound, and what the merge emulates."""
    rows: Data = {"gap": [], "value": [], "lower": [], "emulated": []}
    for gap in (gap for gap in GAPS if gap < window):
        weights = np.zeros(n + 1)
        weights[n : n - window : -gap] = 1.0
        tried = [
            average_rate(np.full(n, gamma / np.sqrt(n + 1)), weights / weights.sum())
            for gamma in np.geomspace(0.25, 1.0, rates)
        ]
        best = min(tried, key=lambda rate: rate.value)
        rows["gap"].append(gap)
        rows["value"].append(best.value * np.sqrt(n + 1))
        rows["lower"].append(best.lower * np.sqrt(n + 1))
        rows["emulated"].append((best.emulated * np.sqrt(n + 1)).tolist())
    return rows


def _draw(data: Data) -> Any:
    figure, (above, below) = panels(2)
    for gap, steps, colour in zip(data["gap"], data["emulated"], COLOURS, strict=False):
        above.step(
            range(len(steps)), steps, where="post", color=colour, label=f"every {gap}" if gap > 1 else "every step"
        )
    above.set(xlabel="step k", ylabel="emulated step × √(N+1)", ylim=(0.0, None))
    above.legend(title="checkpoints")
    below.fill_between(data["gap"], data["lower"], data["value"], color=BLUE, alpha=0.3, linewidth=0.0)
    below.plot(data["gap"], data["value"], "o-", color=BLUE, label="merge: worst case")
    below.axhline(1.0, color=GREY, linestyle=":", label="linear decay")
    below.set_xscale("log", base=2)
    below.set_xticks(data["gap"], [str(gap) for gap in data["gap"]])
    below.set(xlabel="steps between checkpoints", ylabel="rate / (DG/√(N+1))")
    below.legend()
    return figure


def _check(data: Data) -> list[FigureCheck]:
    value, lower = np.array(data["value"]), np.array(data["lower"])
    shown = ", ".join(
        f"{gap}: {low:.3f} to {high:.3f}" for gap, low, high in zip(data["gap"], lower, value, strict=True)
    )
    return [
        holds("merging every iterate is within 5% of linear decay", value[0] < 1.05, shown, kind="regression"),
        holds(
            "with gaps a merge is at least a fifth worse", lower[1:].min() > 1.2 * value[0], shown, kind="regression"
        ),
    ]


FIGURES = [
    Figure(
        name="merge-spacing",
        paper="WSM (2507.17634)",
        shows="The decay that a uniform merge emulates, and the worst case of merges by the gap between checkpoints.",
        must_see="Merging consecutive iterates replaces a decay; with gaps the emulated decay is the same, the worst "
        "case is not.",
        caption="Constant steps, the best learning rate for each merge; the band is the interval between the upper "
        "bound and a function that attains the lower one.",
        cost="20 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
