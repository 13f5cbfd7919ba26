"""Bounds beside final losses of recorded runs (arXiv 2501.18965): whether both order the runs alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import PALETTE, panels
from lastiterate.paper_figures.machinery.recorded import PARTS, agreement, read_runs
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, MissingData, Settings, holds

__all__ = ["FIGURES"]

ABSTRACT = "arXiv 2501.18965, abstract, p. 1"
FEWEST = 4  # three runs have six orders: the best of them has p = 1/6


def _compute(settings: Settings) -> Data:
    runs = [vars(run) for part in PARTS if part != "gradient_norms" for run in read_runs(settings.data, part)]
    if not runs:
        raise MissingData("--data", settings.data, f"a folder with some of {', '.join(PARTS[1:])} (logs of losses)")
    rows: Data = {}
    for run in runs:
        rows.setdefault(run["source"], []).append(run)
    return {"rows": rows, "tau": {name: _agreement(own) for name, own in rows.items()}, "caption": _counted(rows)}


def _counted(rows: Data) -> str:
    return ", ".join(f"{name}: {len(own)} runs" for name, own in rows.items()) + "."


def _agreement(own: list[Data]) -> Data:
    """Return tau over all runs of a source, and over pairs of equal horizon and peak."""
    bounds, losses = [run["bound"] for run in own], [run["final_loss"] for run in own]
    strata = [(run["n_steps"], run["peak_lr"]) for run in own]
    keys = ("tau", "p", "pairs")
    row: Data = {"all": dict(zip(keys, agreement(bounds, losses), strict=True))}
    within = agreement(bounds, losses, strata)
    if 1 < len(set(strata)) < len(own) / 2:
        row["within"] = dict(zip(keys, within, strict=True))
    return row


def _draw(data: Data) -> Any:
    figure, axes = panels(len(data["rows"]), height=2.3)
    for axis, (name, own) in zip(np.atleast_1d(axes), data["rows"].items(), strict=True):
        if "within" in data["tau"][name]:
            for place, (n, peak) in enumerate(sorted({(run["n_steps"], run["peak_lr"]) for run in own})):
                shown = [run for run in own if (run["n_steps"], run["peak_lr"]) == (n, peak)]
                _points(axis, shown, place, f"{n:,} steps, {peak:g}")
        else:
            for place, run in enumerate(own):
                _points(axis, [run], place, _short(run["name"]))
            low, high = axis.get_xlim()
            axis.set_xlim(low - 0.4 * (high - low), high)  # room for the legend
        axis.legend(fontsize=5.5, loc="upper left")
        axis.margins(x=0.12, y=0.12)
        axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        axis.set(xlabel="exact bound of the learning rates", ylabel="final loss")
        axis.set_title(f"{name}: {_said(data['tau'][name])}")
    return figure


def _points(axis: Any, runs: list[Data], place: int, label: str | None) -> None:
    bounds, losses = [run["bound"] for run in runs], [run["final_loss"] for run in runs]
    style = {"color": PALETTE[place % len(PALETTE)], "markersize": 3, "label": label}
    axis.plot(bounds, losses, "os^Dv"[place % 5], **style)


def _short(name: str) -> str:
    """Return the schedule's part of a long file name."""
    known = ("cosine", "wsd", "constant")
    return next((part for part in name.split("_") if part.startswith(known)), name) if "_lr" in name else name


def _said(row: Data) -> str:
    parts = [f"τ = {row['all']['tau']:.2f} (p = {row['all']['p']:.2g})"]
    if "within" in row:
        parts.append(f"equal steps and peak {row['within']['tau']:.2f} (p = {row['within']['p']:.2g})")
    return ",\n".join(parts)


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for name, row in data["tau"].items():
        for key, words in (("all", "the bound orders all runs"), ("within", "and runs of equal length and peak")):
            if key not in row:
                continue
            tau, p, pairs = (row[key][what] for what in ("tau", "p", "pairs"))
            n = len(data["rows"][name])
            told = f"tau {tau:.2f} over {pairs} pairs of {n} runs, p = {p:.2g}"
            if n < FEWEST:
                told += f" (with {n} runs nothing could be significant)"
            claim = f"{name}: {words} as their final losses (Kendall's tau above 0, one-sided permutation p below 0.05)"
            checks.append(holds(claim, tau > 0.0 and p < 0.05, told, kind="published", source=ABSTRACT))
    return checks


FIGURES = [
    Figure(
        name="agreement-runs",
        paper="Surprising agreement (2501.18965)",
        shows="Final losses of recorded runs against the exact bound of their learning rates, with Kendall's tau.",
        must_see="A lower bound goes with a lower loss: over all runs, and among runs of equal length and peak.",
        caption="Exact worst case of SGD for each run's learning rates as they were, warm-up included, G = 1; D is "
        "one number for the runs of a folder, the median of the distances for which their own rates would be theory's "
        "best; no loss enters it. One-sided p of 9,999 permutations, for equal length and peak within those groups. "
        "Runs that share a trunk (cooldowns of one constant run) are not independent, as the p values take them to be.",
        cost="10 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="--data with recorded losses",
    )
]
