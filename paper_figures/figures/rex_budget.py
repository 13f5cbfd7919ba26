"""REX (2107.04197): mean rank of schedules against the training budget."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SOURCE = "arXiv 2107.04197, abstract and figure 1, p. 1"

SETS = ("digits", "breast_cancer", "wine", "iris")
METHODS: dict[str, dict[str, Any]] = {"momentum": {"beta": 0.9}, "adam": {}}
BUDGETS = (1, 5, 10, 25, 50, 100)
SCHEDULES = ("linear", "rex", "cosine", "stepwise:milestones=0.5/0.75", "exponential", "constant")
LRS = 10.0 ** np.arange(-4.0, 1.26, 0.25)


def _compute(settings: Settings) -> Data:
    seeds, full = (3, 1000) if settings.quick else (10, 10_000)
    rows: Data = {}
    for name in SETS:
        settings.progress(name)
        key = f"rex-budget-{name}-{full}-{seeds}"
        rows[name] = settings.cache.get(key, lambda name=name: _one_set(name, full, seeds))
    return {"rows": rows, "caption": f"Full budget {full} steps, {seeds} seeds."}


def _one_set(name: str, full: int, seeds: int) -> Data:
    data = dataset(name)
    problem = problems.softmax(data.features, data.targets, l2=1e-4)
    result: Data = {}
    for method, options in METHODS.items():
        for budget in BUDGETS:
            n = max(full * budget // 100, 5)
            run = simulate(
                problem,
                method,
                {text: schedules.parse(text, n) for text in SCHEDULES},
                base_lr=LRS,
                seeds=seeds,
                batch_size=16,
                record=1,
                progress=False,
                **options,
            )
            scores = np.median(np.where(np.isfinite(run.final), run.final, np.inf), axis=2).min(axis=1)
            result[f"{method}, {budget}%"] = scores - problem.f_star
    return result


def _ranks(data: Data) -> Any:
    from scipy.stats import rankdata

    table = np.empty((len(BUDGETS), len(SCHEDULES)))
    for i, budget in enumerate(BUDGETS):
        scores = np.array([row[f"{method}, {budget}%"] for row in data["rows"].values() for method in METHODS])
        table[i] = rankdata(scores, axis=1).mean(axis=0)
    return table


def _draw(data: Data) -> Any:
    figure, axis = panels(1, height=2.8)
    for ranks, text in zip(_ranks(data).T, SCHEDULES, strict=True):
        axis.semilogx(BUDGETS, ranks, marker="o", **look(text), label=text.split(":")[0])
    axis.set_xticks(BUDGETS, [f"{budget}%" for budget in BUDGETS])
    axis.minorticks_off()
    axis.set(xlabel="training budget", ylabel="mean rank (1 is best)")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    ranks = {text.split(":")[0]: row for text, row in zip(SCHEDULES, _ranks(data).T, strict=True)}
    low = slice(0, BUDGETS.index(10) + 1)
    mean = {name: float(row[low].mean()) for name, row in ranks.items()}
    shown = ", ".join(f"{name} {rank:.2f}" for name, rank in sorted(mean.items(), key=lambda item: item[1]))
    full = {name: float(row[-1]) for name, row in ranks.items()}
    at_full = ", ".join(f"{name} {rank:.2f}" for name, rank in sorted(full.items(), key=lambda item: item[1]))
    return [
        holds(
            "at budgets up to 10%, linear and REX rank ahead of stepwise",
            max(mean["linear"], mean["rex"]) < mean["stepwise"],
            shown,
            kind="published",
            source=SOURCE,
        ),
        holds(
            "at the full budget REX is no worse than stepwise",
            full["rex"] <= full["stepwise"],
            at_full,
            kind="published",
            source=SOURCE,
        ),
    ]


FIGURES = [
    Figure(
        name="rex-budget",
        paper="REX (2107.04197)",
        shows="Mean rank of six schedules against the training budget.",
        must_see="REX and linear decay rank ahead of stepwise at low budgets, and REX stays level at the full one.",
        caption="Multinomial logistic regression on digits, breast_cancer, wine and iris, SGD with momentum 0.9 and "
        "Adam, batch 16, the best of 22 base learning rates for each schedule and budget.",
        cost="20 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
