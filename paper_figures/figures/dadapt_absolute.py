"""D-Adaptation (2301.07733) on |x|: how the estimate of D grows and where it settles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import BLACK, GREY, panels
from lastiterate.paper_figures.machinery.forest import shown
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import ratio
from lastiterate.theory import problems
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES", "GOLDEN", "LEAST", "starts"]

INSTANCES = 10
COLORS = {"1": "#0072B2", "2": "#D55E00"}
OPTIONS = {"1": "Option I", "2": "Option II"}
# where x_k tends to the minimiser, ||s_k|| is D sqrt k, and a level d that equals its own estimate solves
LEAST = (math.sqrt(3.0) - 1.0) / 2.0  # Option I: d = (D - 2 d^2 / D) / 2; a level d cannot be less
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0  # Option II: d = D - d^2 / D


def starts() -> list[tuple[float, float]]:
    """Return (D, d_0 / D) of every instance, drawn log-uniformly from 0.1 to 10 and from 1e-6 to 0.3.

    >>> len(starts()), all(0.1 <= D <= 10.0 and 1e-6 <= share <= 0.32 for D, share in starts())
    (10, True)
    """
    rng = np.random.default_rng(7)
    return [(float(10 ** rng.uniform(-1.0, 1.0)), float(10 ** rng.uniform(-6.0, -0.5))) for _ in range(INSTANCES)]


def _compute(settings: Settings) -> Data:
    n_steps = 10_000 if settings.quick else 100_000
    rows = settings.cache.get(f"dadapt-absolute-{n_steps}", lambda: _runs(n_steps))
    return {"rows": rows, "n_steps": n_steps, "caption": f"{n_steps:,} steps."}


def _runs(n_steps: int) -> Data:
    """Estimates and distances in units of D: by option, one row an instance."""
    picked = np.unique(np.geomspace(1, n_steps, 300).round().astype(int)) - 1
    rows: Data = {}
    for option in OPTIONS:
        found: list[Data] = []
        for D, share in starts():
            options: dict[str, Any] = {"d0": share * D, "option": float(option), "average": True, "progress": False}
            run = simulate(
                problems.absolute_value(D),
                "dadapt_da",
                "constant",
                n_steps=n_steps,
                diagnostics=("D_estimate", "distance"),
                record=n_steps + 1,  # every step
                **options,
            )
            d, x = (run.diagnostics[name][0, 0, 0, :n_steps] / D for name in ("D_estimate", "distance"))
            found.append(
                {
                    "d": d[picked],
                    "x": np.maximum.accumulate(x[::-1])[::-1][picked],  # the largest from there on: no lucky crossing
                    "largest": float(d.max()),
                    "settled": float(d[-1]),
                    "average": float(run.averaged[0, 0, 0] / D),
                }
            )
        rows[option] = found
    return {"steps": picked + 1, "options": rows}


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    steps = np.array(data["rows"]["steps"])
    early = 2 * steps <= data["n_steps"]  # towards the end too few steps are left for a largest one
    for option, color in COLORS.items():
        for index, row in enumerate(data["rows"]["options"][option]):
            top.semilogx(steps, row["d"], color=color, linewidth=0.7, label=None if index else OPTIONS[option])
            bottom.loglog(steps[early], row["x"][: early.sum()], color=color, linewidth=0.7)
    for value, color, style, name in (
        (1.0, BLACK, ":", "D"),
        (GOLDEN, GREY, "--", "$(\\sqrt{5}-1)/2$ D"),
        (LEAST, GREY, ":", "D / $(1+\\sqrt{3})$"),
    ):
        top.axhline(value, color=color, linestyle=style, linewidth=0.9, label=name)
    top.set(ylabel="estimate $d_k$ / D", title="D-Adaptation on |x|, ten starts", ylim=(-0.03, 1.05))
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    bottom.set(xlabel="step", ylabel="largest $|x_j|$ / D, $j \\geq k$")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    rows = data["rows"]["options"]
    settled = {option: [row["settled"] for row in rows[option]] for option in OPTIONS}
    largest = max(row["largest"] for found in rows.values() for row in found)
    least = min(map(min, settled.values()))
    half = int(np.searchsorted(data["rows"]["steps"], data["n_steps"] // 2))
    moved = max(row["x"][half] for found in rows.values() for row in found)
    low = min(settled["2"])
    first, second = (ratio(settled[option], [1.0] * INSTANCES) for option in OPTIONS)
    return [
        holds("d never exceeds D", largest <= 1.0 + 1e-12, f"largest d/D {largest:.4f}", kind="theory"),
        holds(
            "both options settle at D / (1 + sqrt 3) or above", least >= LEAST, f"least d/D {least:.4f}", kind="theory"
        ),
        holds(
            "Option II settles at (sqrt 5 - 1) / 2 D = 0.618 D (to 1%), or above where its first steps overshot",
            low > 0.99 * GOLDEN,
            f"d/D from {low:.4f} to {max(settled['2']):.4f}",
            kind="theory",
        ),
        holds("x tends to the minimiser", moved < 0.03, f"largest |x|/D in the second half {moved:.4f}", kind="theory"),
        holds(
            "Option I settles below Option II",
            first[2] < second[1],
            f"d/D {shown(first)} against {shown(second)}",
            kind="regression",
        ),
    ]


FIGURES = [
    Figure(
        name="dadapt-absolute",
        paper="D-Adaptation (2301.07733)",
        shows="D-Adaptation by dual averaging on |x| from ten starts: the estimate of D and the iterate.",
        must_see="d rises to between D/(1+sqrt 3) and D whatever d_0; Option II to 0.618 D; the iterate tends to "
        "the minimiser.",
        caption="D and d_0 / D drawn log-uniformly from 0.1 to 10 and from 1e-6 to 0.3, no other setting; "
        "deterministic. Once x stays at the minimiser, ||s_k|| is D sqrt k, and a level d no longer grows if it equals "
        "its own estimate: d = (D - 2 d^2/D)/2 for Option I, d = D - d^2/D for Option II; it never falls, and may "
        "settle above.",
        cost="3 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
