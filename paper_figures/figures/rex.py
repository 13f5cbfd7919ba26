"""REX (arXiv 2107.04197): the profile and what worst-case theory says of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.theory import schedules
from lastiterate.theory.rates.sgd import tune_base_lr

__all__ = ["FIGURES"]

HORIZON = 1000
CONSTANTS = {  # of Theorem 10 of arXiv 2310.07831, as this toolkit computed them before
    "linear": 2.006,
    "rex": 2.025,
    "cosine": 2.063,
    "one_minus_sqrt": None,
    "polynomial:power=0.5": 2.121,
    "wsd:cooldown=0.2": 2.173,
    "inverse_sqrt": 2.570,
    "constant": 2.913,
}


def profile_at(text: str, n: int) -> Any:
    """Return the schedule in that theorem's convention: T values at z = t/T, t = 0..T-1, all of them in the bound."""
    z = np.arange(n) / n
    values = {
        "linear": 1.0 - z,
        "rex": (1.0 - z) / (1.0 - z / 2.0),
        "cosine": 0.5 * (1.0 + np.cos(np.pi * z)),
        "one_minus_sqrt": 1.0 - np.sqrt(z),
        "polynomial:power=0.5": np.sqrt(1.0 - z),
        "wsd:cooldown=0.2": np.minimum(1.0, (1.0 - z) / 0.2),
        "inverse_sqrt": 1.0 / np.sqrt(np.arange(n) + 1.0),
        "constant": np.ones(n),
    }
    return values[text]


def _compute(settings: Settings) -> Data:
    return settings.cache.get("rex-constants", _constants)


def _constants() -> Data:
    rows: dict[str, Any] = {}
    for text in CONSTANTS:
        steps = profile_at(text, HORIZON)
        theorem10 = tune_base_lr(steps, bound="theorem10", last_value="schedule").value * np.sqrt(HORIZON)
        exact = tune_base_lr(schedules.parse(text, HORIZON - 1), bound="exact").value * np.sqrt(HORIZON)
        rows[text] = {"theorem10": theorem10, "exact": exact}
    return {"rows": rows}


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    for text in ("linear", "rex", "cosine", "wsd:cooldown=0.2", "constant"):
        values = profile_at(text, HORIZON)
        top.plot(np.arange(HORIZON) / HORIZON, values, label=text.split(":")[0], **look(text))
    top.set(xlabel="training progress z", ylabel="learning rate", title="profiles", ylim=(0, 1.05))
    top.legend()
    names = sorted(data["rows"], key=lambda text: data["rows"][text]["theorem10"])
    y = np.arange(len(names))[::-1]
    for offset, key, color, label in ((0.2, "theorem10", "#0072B2", "Theorem 10"), (-0.2, "exact", "#D55E00", "exact")):
        values = [data["rows"][name][key] for name in names]
        bottom.barh(y + offset, values, height=0.38, color=color, label=label)
        for position, value in zip(y + offset, values, strict=True):
            bottom.text(value + 0.03, position, f"{value:.3f}", va="center", fontsize=6)
    bottom.set_yticks(y, [name.replace(":", "\n").replace("polynomial\npower=0.5", "sqrt(1-s)") for name in names])
    bottom.set(xlabel="rate / (DG/√T), tuned, T = 1000", xlim=(0, 3.5))
    bottom.grid(axis="y", visible=False)
    bottom.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    figure.set_size_inches(3.4, 5.4)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    rows = data["rows"]
    checks = [
        close(f"Theorem 10 constant of {text}", rows[text]["theorem10"], value, 0.01, kind="regression")
        for text, value in CONSTANTS.items()
        if value is not None
    ]
    ratio = rows["rex"]["theorem10"] / rows["linear"]["theorem10"]
    checks.append(
        holds("REX within 1% of linear decay, the worst-case optimum", ratio < 1.01, f"{ratio:.4f}", kind="regression")
    )
    return checks


FIGURES = [
    Figure(
        name="rex-constants",
        paper="REX (2107.04197) under Theorem 10 of 2310.07831",
        shows="The REX profile among the common ones, and worst-case constants at the best base learning rate.",
        must_see="Constants that we computed (the paper of 2021 has no theory): linear 2.006, REX 2.025, cosine 2.063, "
        "sqrt(1-s) 2.121, WSD-20% 2.173, 1/sqrt t 2.570, constant 2.913; REX is within 1% of linear decay.",
        caption="T = 1000, D = G = 1. Theorem 10 in its own convention (all T values of the schedule are in "
        "the bound); the exact rate for the T - 1 steps between the T iterates. Deterministic.",
        cost="1 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
