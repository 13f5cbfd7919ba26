"""MADGRAD (2101.11075) and MDA (2010.10502) beside SGD with momentum and Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.testbed import accuracy
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SETS = ("digits", "breast_cancer", "wine", "iris")
STEPS, BATCH = 1500, 16
LRS = 10.0 ** np.arange(-4, 1.01, 0.5)
COLORS = {"momentum": "#888888", "adam": "#0072B2", "madgrad": "#D55E00", "mda": "#009E73"}
LABELS = {"momentum": "SGD with momentum", "adam": "Adam", "madgrad": "MADGRAD", "mda": "MDA"}
LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def _compute(settings: Settings) -> Data:
    seeds = 3 if settings.quick else 10
    rows = settings.cache.get(f"madgrad-mda-{seeds}", lambda: {name: _one_set(name, seeds) for name in SETS})
    pull = settings.cache.get("mda-pull", _pull)
    return {"rows": rows, "pull": pull, "caption": f"{seeds} seeds."}


def _one_set(name: str, seeds: int) -> Data:
    data = dataset(name)
    problem = problems.softmax(data.features, data.targets, l2=1e-6)
    row: Data = {}
    for method in COLORS:
        run = simulate(
            problem,
            method,
            schedules.linear(STEPS),
            base_lr=LRS,
            seeds=seeds,
            batch_size=BATCH,
            record=1,
            progress=False,
        )
        shares = np.where(run.diverged[0], 0.0, accuracy(data.features, data.targets, np.nan_to_num(run.points[0])))
        row[method] = shares.mean(axis=1)
    return row


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
    figure, axes = panels(5, height=1.4)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=False):
        for method, color in COLORS.items():
            axis.semilogx(LRS, row[method], "o-", color=color, label=LABELS[method])
        axis.set(title=name, ylabel="accuracy")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    axes[3].set_xlabel("base learning rate")
    for method in ("momentum", "mda"):
        axes[4].loglog(LENGTHS, data["pull"][method], "o-", color=COLORS[method])
    axes[4].set(xlabel="step", ylabel="$||x_k - x_0||$", title="MDA's decaying pull to the start (digits)")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for name, row in data["rows"].items():
        best = {method: max(values) for method, values in row.items()}
        shown = ", ".join(f"{LABELS[m]} {v:.3f}" for m, v in best.items())
        rival = max(best["momentum"], best["adam"])
        checks.append(
            holds(
                f"{name}: tuned MADGRAD within 1 point of the better of the two",
                best["madgrad"] > rival - 0.01,
                shown,
                kind="regression",
            )
        )
        checks.append(
            holds(
                f"{name}: tuned MDA within 1 point of SGD with momentum",
                best["mda"] > best["momentum"] - 0.01,
                shown,
                kind="regression",
            )
        )
    early = np.array(data["pull"]["mda"][3:6]) / np.array(data["pull"]["momentum"][3:6])
    claim = "MDA stays nearer to the start than SGD with momentum from step 10 to 50"
    checks.append(
        holds(claim, early.max() < 1.0, f"ratios {', '.join(f'{ratio:.2f}' for ratio in early)}", kind="regression")
    )
    return checks


FIGURES = [
    Figure(
        name="madgrad-mda",
        paper="MADGRAD (2101.11075), MDA (2010.10502)",
        shows="Training accuracy against the base learning rate, and the distance from the start.",
        must_see="Tuned MADGRAD matches the better of SGD with momentum and Adam; MDA matches SGD with momentum, "
        "and acts like a decaying pull to the start.",
        caption="Multinomial logistic regression, 1500 steps of batch 16, linear decay, learning rates 1e-4 to 10.",
        cost="10 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
