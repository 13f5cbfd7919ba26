"""Refinement (arXiv 2310.07831): from synthetic gradient norms to schedules, and the optimum they approximate."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory.base.validation import Array
from lastiterate.theory.optimal.closed_form import theorem10_optimum
from lastiterate.theory.optimal.refinement import refine
from lastiterate.theory.rates.sgd import theorem10_rate

__all__ = ["FIGURES"]

PAPER = "Refinement (2310.07831)"
KNOT_PLACES = (0.0, 0.003, 0.02, 0.03, 0.1, 1.0)
KNOT_NORMS = {"level": (15, 6, 4, 2, 1, 1), "rising": (15, 6, 4, 2, 1, 2), "falling": (15, 6, 4, 2, 1, 0.7)}
COLORS = {"level": "#000000", "rising": "#0072B2", "falling": "#D55E00"}


def synthetic_norms(kind: str, n: int) -> Any:
    """Return the norms through the paper's knots, linear in between and smoothed by a Gaussian of 0.5% of training."""
    from scipy.ndimage import gaussian_filter1d

    norms = np.interp((np.arange(n) + 0.5) / n, KNOT_PLACES, KNOT_NORMS[kind])
    return gaussian_filter1d(norms, 0.005 * n, mode="nearest")


def _compute_synthetic(settings: Settings) -> Data:
    return settings.cache.get("refine-synthetic", _synthetic)


def _synthetic() -> Data:
    n = 2000
    rows: dict[str, Any] = {}
    for kind in KNOT_NORMS:
        norms = synthetic_norms(kind, n)
        refined = refine(norms, rule="sgd", smoothing=0.0)
        rows[kind] = {"norms": norms, "steps": refined.steps, "gain": refined.gain, "peak": refined.peak}
    return {"n": n, "rows": rows}


def _draw_synthetic(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    s = (np.arange(data["n"]) + 0.5) / data["n"]
    for kind, row in data["rows"].items():
        top.semilogy(s, row["norms"], color=COLORS[kind], label=f"{kind} at the end")
        bottom.plot(s, row["steps"], color=COLORS[kind], label=f"{kind}, gain {row['gain']:.2f}")
    bottom.plot(s, 1.0 - s, color="#888888", linestyle=":", label="linear decay")
    top.set(xlabel="training progress", ylabel="gradient norm", title="synthetic norms")
    bottom.set(xlabel="training progress", ylabel="step size, maximum 1", title="refined schedules (L2 rule)")
    top.legend()
    bottom.legend()
    return figure


def _check_synthetic(data: Data) -> list[FigureCheck]:
    rows = data["rows"]
    late = int(0.7 * data["n"])
    at = {kind: row["steps"][late] for kind, row in rows.items()}
    peaks = ", ".join(f"{kind} {row['peak']:.3f}" for kind, row in rows.items())
    values = ", ".join(f"{kind} {value:.3f}" for kind, value in at.items())
    return [
        holds(
            "falling norms at the start give a warm-up: the peak is after 2% of training",
            all(row["peak"] > 0.02 for row in rows.values()),
            peaks,
            kind="theory",
        ),
        holds(
            "the warm-up ends by 20% of training except where norms fall to the end",
            rows["level"]["peak"] < 0.2,
            peaks,
            kind="regression",
        ),
        holds(
            "norms that rise at the end bring the schedule below level ones at 70%, falling norms above",
            at["rising"] < at["level"] < at["falling"],
            values,
            kind="theory",
        ),
        holds(
            "level norms decay linearly at the end",
            abs(at["level"] / 0.3 - 1.0) < 0.15,
            f"{at['level']:.3f} for 0.300",
            kind="theory",
        ),
    ]


def _compute_optimum(settings: Settings) -> Data:
    n = 200 if settings.quick else 1000
    return {**settings.cache.get(f"theorem10-optimum-{n}", lambda: _optimum(n)), "caption": f"N = {n}."}


def _optimum(n: int) -> Data:
    rows: dict[str, Any] = {}
    for kind in KNOT_NORMS:
        bounds = synthetic_norms(kind, n + 1)
        closed = theorem10_optimum(n, D=1.0, G=bounds)
        solved = _least_theorem10(bounds)
        refined = refine(bounds[:-1], rule="sgd", smoothing=0.0)
        rows[kind] = {
            "closed": closed.steps,
            "solved": solved,
            "refined": refined.steps,
            "closed_value": closed.value,
            "solved_value": theorem10_rate(solved, D=1.0, G=bounds).value,
        }
    return {"n": n, "rows": rows}


def _least_theorem10(bounds: Array) -> Array:
    """Minimise 1/2 (1/t_{-1} + sum_k h_k^2 G_k^2 / t_k + h_N G_N^2) by a cone program, in units of its closed form."""
    import cvxpy as cp

    cvxpy: Any = cp
    best = theorem10_optimum(bounds.size - 1, D=1.0, G=bounds)
    unit = np.append(best.steps, best.last_value)
    tails = np.cumsum(unit[::-1])[::-1]
    steps, sums, costs = cvxpy.Variable(unit.size), cvxpy.Variable(unit.size), cvxpy.Variable(unit.size - 1)
    kept, added = tails[1:] / tails[:-1], unit[:-1] / tails[:-1]
    balance = sums[:-1] == cvxpy.multiply(kept, sums[1:]) + cvxpy.multiply(added, steps[:-1])
    cones = cvxpy.SOC(costs + sums[1:], cvxpy.vstack([2.0 * steps[:-1], costs - sums[1:]]), axis=0)
    weights = (unit * bounds)[:-1] ** 2 / tails[1:] * tails[0]
    last = unit[-1] * bounds[-1] ** 2 * tails[0]
    objective = cvxpy.inv_pos(sums[0]) + weights @ costs + last * sums[-1]
    constraints = [balance, sums[-1] == steps[-1], cones]
    cvxpy.Problem(cvxpy.Minimize(objective), constraints).solve(solver="CLARABEL")
    return unit[:-1] * np.maximum(steps.value[:-1], 0.0)


def _draw_optimum(data: Data) -> Any:
    figure, axes = panels(3, height=1.6)
    s = np.arange(data["n"]) / data["n"]
    for axis, (kind, row) in zip(axes, data["rows"].items(), strict=True):
        axis.plot(s, np.array(row["solved"]) / max(row["solved"]), "o", color="#E69F00", ms=1.5, label="cone program")
        axis.plot(s, np.array(row["closed"]) / max(row["closed"]), color="#000000", label="closed form", linewidth=0.9)
        axis.plot(s, row["refined"], **look("refined"), linestyle="--", label="refined (exact rate)")
        axis.set_title(f"norms {kind} at the end")
        axis.set_ylabel("step, maximum 1")
    axes[0].legend()
    axes[-1].set_xlabel("training progress")
    return figure


def _check_optimum(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for kind, row in data["rows"].items():
        error = abs(row["solved_value"] / row["closed_value"] - 1.0)
        checks.append(
            holds(f"{kind}: closed form equals the cone program to 1e-6", error < 1e-6, f"{error:.1e}", kind="theory")
        )
    return checks


FIGURES = [
    Figure(
        name="refine-synthetic",
        paper=PAPER,
        shows="Synthetic gradient norms through the paper's knots, and the schedules refined from them.",
        must_see="High norms at the start give a warm-up; norms rising at the end a faster decay, falling ones slower.",
        caption="2000 steps, knots of the paper, Gaussian smoothing of 0.5% of training. Deterministic.",
        cost="1 s",
        compute=_compute_synthetic,
        draw=_draw_synthetic,
        check=_check_synthetic,
    ),
    Figure(
        name="theorem10-optimum",
        paper=PAPER,
        shows="The closed-form optimum of Theorem 10 beside its cone program and the refined schedule.",
        must_see="The closed form is the numerical optimum for any gradient norms.",
        caption="The synthetic norms of refine-synthetic. Deterministic.",
        cost="5 s",
        compute=_compute_optimum,
        draw=_draw_optimum,
        check=_check_optimum,
    ),
]
