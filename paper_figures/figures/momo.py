"""MoMo and MoMo-Adam (2305.07583): the final loss against the base learning rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds

__all__ = ["FIGURES"]

OPTIMIZERS = {
    "SGD with momentum": ("sgd:momentum=0.9,dampening=0.9", "#888888"),
    "MoMo": ("momo", "#D55E00"),
    "Adam": ("adam", "#0072B2"),
    "MoMo-Adam": ("momo_adam", "#009E73"),
}
LRS = (1e-3, 1e-2, 0.1, 1.0, 10.0)


def _compute(settings: Settings) -> Data:
    steps, seeds = (400, 1) if settings.quick else (1500, 3)
    rows: Data = {}
    for name, (spec, _) in OPTIMIZERS.items():
        settings.progress(name)
        key = f"momo-{spec.split(':')[0]}-{steps}-{seeds}"
        rows[name] = settings.cache.get(key, lambda spec=spec: _losses(spec, steps, seeds))
    return {"rows": rows, "caption": f"{steps} steps, {seeds} seed{'s' * (seeds > 1)}."}


def _losses(spec: str, n_steps: int, seeds: int) -> Data:
    from lastiterate.experiments.training.train import train
    from lastiterate.experiments.workloads.protocol import load_workload

    workload = load_workload("digits_mlp")
    ones = np.ones(n_steps)
    losses: list[Any] = []
    for lr in LRS:
        runs = [train(workload, ones, lr, seed, optimizer=spec) for seed in range(seeds)]
        ends = [math.inf if run.diverged_at is not None else float(np.mean(run.losses[-20:])) for run in runs]
        median = float(np.median(ends))
        losses.append(median if math.isfinite(median) else None)
    return {"loss": losses}


def _draw(data: Data) -> Any:
    figure, axis = panels(1, height=2.6)
    ceiling = 1e2
    for name, (_, color) in OPTIMIZERS.items():
        values = [ceiling if loss is None or loss > ceiling else max(loss, 1e-6) for loss in data["rows"][name]["loss"]]
        axis.loglog(LRS, values, "o-", color=color, label=name)
    axis.axhline(math.log(10), color="black", linestyle=":", linewidth=0.8)
    axis.set(xlabel="base learning rate", ylabel="training loss at the end", title="MLP on digits (diverged: top edge)")
    axis.set_ylim(None, ceiling * 1.5)
    axis.legend(loc="upper left")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    def shown(name: str) -> str:
        return ", ".join("diverged" if loss is None else f"{loss:.2g}" for loss in data["rows"][name]["loss"])

    def at(name: str, lr: float) -> float:
        loss = data["rows"][name]["loss"][LRS.index(lr)]
        return math.inf if loss is None else loss

    checks = [
        holds(
            f"{method} stays trained (loss < 0.1) at base learning rates 1 and 10",
            max(at(method, lr) for lr in (1.0, 10.0)) < 0.1,
            shown(method),
            kind="regression",
        )
        for method in ("MoMo", "MoMo-Adam")
    ]
    lost = "SGD with momentum fails (loss above 1 or diverged) at base learning rate 10, Adam at 1 and 10"
    failed = at("SGD with momentum", 10.0) > 1.0 and min(at("Adam", 1.0), at("Adam", 10.0)) > 1.0
    return [
        *checks,
        holds(lost, failed, f"SGD: {shown('SGD with momentum')}; Adam: {shown('Adam')}", kind="regression"),
    ]


FIGURES = [
    Figure(
        name="momo-base-lr",
        paper="MoMo (2305.07583)",
        shows="The training loss at the end of constant-rate runs against the base learning rate.",
        must_see="MoMo and MoMo-Adam stay trained at base learning rates where SGD with momentum and Adam fail.",
        caption="MLP on scikit-learn's digits, constant learning rate, mean loss of the last 20 batches. "
        "MoMo's check leaves out base learning rate 0.1, where these few steps end at 0.2.",
        cost="20 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
