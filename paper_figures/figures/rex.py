"""REX (arXiv 2107.04197): the profile and what worst-case theory says of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.theory import schedules
from lastiterate.theory.base.validation import Array
from lastiterate.theory.methods.step_matrix import sgd
from lastiterate.theory.optimal.closed_form import theorem10_optimum
from lastiterate.theory.rates.sgd import tune_base_lr

__all__ = ["FIGURES", "literal_theorem10", "profile_at"]

HORIZON = 1000
SOURCE = "arXiv 2307.11134, abstract, p. 1"
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
SHORT = {
    "polynomial:power=0.5": "sqrt(1-z)",
    "wsd:cooldown=0.2": "wsd 20%",
    "one_minus_sqrt": "1-sqrt(z)",
    "inverse_sqrt": "1/sqrt(t)",
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


def literal_theorem10(values: Array, log_lr: float) -> float:
    """Return Theorem 10 of arXiv 2310.07831 for exp(log_lr) * values, D = G = 1, as the paper writes it: a double sum.

    Returns
    -------
    float
        1 / (2 S_0) + Q_0 / (2 S_0) + sum_k h_k / (2 S_{k+1}) Q_k / S_k, with S_k = h_k + ... + h_{T-1} and Q_k the
        sum of their squares.

    Examples
    --------
    >>> literal_theorem10(np.ones(2), 0.0)
    1.25
    """
    h = np.exp(log_lr) * values
    total = (1.0 + sum(h**2)) / (2.0 * sum(h))
    for k in range(len(h) - 1):
        total += h[k] / (2.0 * h[k + 1 :].sum()) * (h[k:] ** 2).sum() / h[k:].sum()
    return float(total)


def _compute(settings: Settings) -> Data:
    return settings.cache.get("rex-constants", _constants)


def _constants() -> Data:
    """Constants at the best base learning rate, and the same by a second route each."""
    from scipy.optimize import minimize_scalar

    root, rows = np.sqrt(HORIZON), dict[str, Any]()
    for text in CONSTANTS:
        values = profile_at(text, HORIZON)
        theorem10 = tune_base_lr(values, bound="theorem10", last_value="schedule").value
        searched: Any = minimize_scalar(lambda log_lr, h=values: literal_theorem10(h, log_lr), bounds=(-9.0, 3.0))
        exact = tune_base_lr(schedules.parse(text, HORIZON - 1), bound="exact")
        problem = exact.worst_case()
        rows[text] = {
            "theorem10": theorem10 * root,
            "literal": float(searched.fun) * root,
            "exact": exact.value * root,
            "attained": problem.value(problem.path(sgd(exact.steps))[-1]) * root,
        }
    best = theorem10_optimum(HORIZON - 1).value * root
    return {"rows": rows, "optimum": {"theorem10": best, "exact": 1.0}}


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    for text in ("linear", "rex", "cosine", "wsd:cooldown=0.2", "constant"):
        values = profile_at(text, HORIZON)
        top.plot(np.arange(HORIZON) / HORIZON, values, label=SHORT.get(text, text), **look(text))
    top.set(xlabel="training progress z", ylabel="learning rate", title="profiles", ylim=(0, 1.05))
    top.legend()
    names = sorted(data["rows"], key=lambda text: data["rows"][text]["exact"])
    y = np.arange(len(names))[::-1]
    for key, offset, color, label in (
        ("exact", 0.15, "#D55E00", "exact"),
        ("theorem10", -0.15, "#0072B2", "Theorem 10"),
    ):
        excess = [100.0 * (data["rows"][name][key] / data["optimum"][key] - 1.0) for name in names]
        bottom.plot(excess, y + offset, "o", color=color, label=label, ms=4)
        for x, place, name in zip(excess, y + offset, names, strict=True):
            bottom.annotate(
                f"{data['rows'][name][key]:.3f}",
                (x, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=6,
            )
    bottom.set_xscale("symlog", linthresh=0.1)
    bottom.set_xticks([0.0, 0.1, 1.0, 10.0, 100.0], ["0", "0.1", "1", "10", "100"])
    bottom.set_yticks(y, [SHORT.get(name, name) for name in names])
    bottom.set(xlabel="% above the least bound of any schedule", xlim=(-0.02, 250), ylim=(-0.6, len(y) - 0.4))
    bottom.set_title("tuned worst-case rates, labels in DG/√T")
    bottom.grid(axis="y", visible=False)
    bottom.legend(loc="upper right")
    figure.set_size_inches(3.4, 5.6)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    rows = data["rows"]
    literal = max(abs(row["literal"] / row["theorem10"] - 1.0) for row in rows.values())
    attained = max(abs(row["attained"] / row["exact"] - 1.0) for row in rows.values())
    above = min(row["theorem10"] for row in rows.values()) / data["optimum"]["theorem10"] - 1.0
    ratio = rows["rex"]["exact"] / rows["linear"]["exact"]
    return [
        holds(
            "Theorem 10's constants are those of the literal double sum, minimised numerically (to 1e-9)",
            literal < 1e-9,
            f"largest relative difference {literal:.1e}",
            kind="theory",
        ),
        holds(
            "SGD on the function that attains the exact rate ends at it (to 1e-9)",
            attained < 1e-9,
            f"largest relative difference {attained:.1e}",
            kind="theory",
        ),
        close("exact constant of linear decay", rows["linear"]["exact"], 1.0, 1e-9, kind="published", source=SOURCE),
        holds(
            "no profile's bound is below the optimum of Theorem 10",
            above >= -1e-12,
            f"the nearest is {above:.2%} above",
            kind="theory",
        ),
        holds(
            "REX is within 1% of linear decay, the worst-case optimum", ratio < 1.01, f"{ratio:.4f}", kind="regression"
        ),
        *(
            close(f"Theorem 10 constant of {text}", rows[text]["theorem10"], value, 0.001, kind="regression")
            for text, value in CONSTANTS.items()
            if value is not None
        ),
    ]


FIGURES = [
    Figure(
        name="rex-constants",
        paper="REX (2107.04197) under Theorem 10 of 2310.07831",
        shows="The REX profile among the common ones, and how far their worst-case rates are above the least one.",
        must_see="How near REX comes to linear decay, which is optimal. The constants are ours: the paper of 2021 "
        "has no theory.",
        caption=f"T = {HORIZON}, D = G = 1, each profile at its best base learning rate. Theorem 10 in its own "
        "convention (all T values of the schedule are in the bound); the exact rate for the T - 1 steps between the T "
        "iterates. Deterministic.",
        cost="3 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
