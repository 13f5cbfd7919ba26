"""Pictures of a search: the best shapes, the distribution of scores, the response to the base learning rate."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from lastiterate.solvers.search.free_form import FreeForm
from lastiterate.solvers.search.search import Study
from lastiterate.solvers.search.weight_decay import WeightDecayStudy

from .style import DASHES, PALETTE, axes_or_current, literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_study", "draw_weight_decay", "study", "sweep"]


def draw_study(found_study: Study, n_steps: int, free_form: FreeForm | None = None) -> "Figure":
    """Draw the best shape of each family, the distributions of the scores, and score against base learning rate."""
    figure, (shapes, scores, response) = _panels(3)
    ranked = sorted(found_study.families.values(), key=lambda found: found.best.score)
    best = min(found.best.score for found in ranked)
    if free_form is not None:
        shapes.step(range(n_steps), free_form.steps, where="post", color="0.8", linewidth=0.8, label="free form")
        response.axhline(free_form.value, color="0.6", linewidth=1.0, label="free form")
    for found, (color, style) in zip(ranked, _looks(len(ranked)), strict=True):
        look = {"color": color, "linestyle": style, "linewidth": 1.4}
        candidate = found.polished or found.best
        shapes.step(range(n_steps), candidate.shape.steps(n_steps) * candidate.base_lr, where="post", **look)
        curve = found.distribution
        scores.step(curve.values, curve.probabilities, where="post", label=f"{_words(found.family)}", **look)
        scores.fill_between(curve.values, curve.low, curve.high, step="post", color=color, alpha=0.08, linewidth=0)
        lrs, medians = found.response
        shown = np.isfinite(medians) & (medians < 4.0 * best)
        marker = "o" if shown.sum() < 2 else ""
        response.plot(lrs[shown], medians[shown], marker=marker, **look)
    top = max(found.best.base_lr for found in ranked)
    shapes.set(xlabel="step k", ylabel="step size", title="best of each family", ylim=(0.0, 1.6 * top))
    worst = max(float(np.median(found.scores)) for found in ranked)
    span = max(worst - best, 1e-12)
    scores.set(xlabel="score after tuning the base learning rate", ylabel="share of shapes at most", ylim=(0.0, 1.0))
    scores.set(xlim=(best - 0.1 * span, worst + span), title="distribution of scores, 95% bands")
    scores.legend(fontsize="x-small", loc="lower right")
    lrs = np.concatenate([found.response[0] for found in ranked])
    response.set_xlim(max(lrs.min(), top / 300.0) / 1.2, min(lrs.max(), 10.0 * top) * 1.2)
    response.set(xscale="log", xlabel="base learning rate", ylabel="median loss", title="response of the best shapes")
    if free_form is not None:
        shapes.legend(fontsize="x-small", loc="lower left")
        response.legend(fontsize="x-small")
    figure.suptitle(literal(found_study.objective), fontsize="medium")
    return figure


def draw_weight_decay(study: WeightDecayStudy, n_steps: int) -> "Figure":
    """Draw the best shape for each weight decay, and what it gains over the shape that is best without."""
    from matplotlib import colormaps

    figure, (shapes, gains) = _panels(2)
    colors = colormaps["viridis"](np.linspace(0.0, 0.9, len(study.decays)))
    for decay, best, color, style in zip(study.decays, study.best, colors, cycle(DASHES), strict=False):
        shapes.plot(best.shape.steps(n_steps), color=color, linestyle=style, label=f"{decay:g}")
    shapes.set(xlabel="step k", ylabel="step size, maximum 1", title=f"best {_words(study.family)} shape")
    shapes.legend(title="weight decay", fontsize="x-small")
    ratio = np.array(study.losses_of_undecayed) / np.array([best.score for best in study.best])
    gains.plot(range(len(ratio)), 100.0 * (ratio - 1.0), "o-", color=PALETTE[1])
    gains.set_xticks(range(len(ratio)), [f"{decay:g}" for decay in study.decays])
    gains.set(xlabel="weight decay", ylabel="loss above the best shape, %", title="keeping the shape without decay")
    return figure


def study(result: Study, ax: Any = None) -> Any:
    """Draw the distribution of the scores of each family with 95% bands; return the axes."""
    axes = axes_or_current(ax)
    ranked = sorted(result.families.values(), key=lambda found: found.best.score)
    for found, (color, style) in zip(ranked, _looks(len(ranked)), strict=True):
        curve = found.distribution
        axes.step(
            curve.values, curve.probabilities, where="post", color=color, linestyle=style, label=_words(found.family)
        )
        axes.fill_between(curve.values, curve.low, curve.high, step="post", color=color, alpha=0.08, linewidth=0)
    axes.set(xlabel="score after tuning the base learning rate", ylabel="share of shapes at most", ylim=(0.0, 1.0))
    axes.legend(fontsize="x-small", loc="lower right")
    return axes


def sweep(result: Any, metric: str, ax: Any = None) -> Any:
    """Draw a metric against the base learning rate, medians over seeds of each combination, with its range.

    ``result`` is a `SweepResult` or its ``table()``; returns the axes.
    """
    rows: Sequence[dict[str, Any]] = result if isinstance(result, Sequence) else result.table()
    axes = axes_or_current(ax)
    groups: dict[tuple[str, ...], dict[float, list[float]]] = {}
    varying = [
        name for name in ("target", "method", "schedule", "n_steps") if len({str(row.get(name)) for row in rows}) > 1
    ] or ["schedule"]
    for row in rows:
        if row.get(metric) is not None and np.isfinite(row[metric]):
            key = tuple(str(row[name]) for name in varying)
            groups.setdefault(key, {}).setdefault(row["base_lr"], []).append(row[metric])
    for (key, points), (color, style) in zip(groups.items(), _looks(len(groups)), strict=True):
        lrs = np.array(sorted(points))
        middle, low, high = (np.array([f(points[lr]) for lr in lrs]) for f in (np.median, np.min, np.max))
        axes.plot(lrs, middle, color=color, linestyle=style, marker=".", label=literal(", ".join(key)))
        axes.fill_between(lrs, low, high, color=color, alpha=0.12, linewidth=0)
    axes.set(xscale="log", xlabel="base learning rate", ylabel=literal(metric), title="median over seeds, range shaded")
    shown = [value for points in groups.values() for values in points.values() for value in values]
    if shown and min(shown) > 0.0 and max(shown) > 30.0 * min(shown):
        axes.set_yscale("log")
    if groups:
        axes.legend(fontsize="x-small")
    return axes


def _panels(count: int) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 4.4 * count, 4.0), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _looks(count: int) -> list[tuple[str, str]]:
    pairs = zip(cycle(PALETTE), cycle(DASHES), strict=False)
    return [next(pairs) for _ in range(count)]


def _words(name: str) -> str:
    return {"circular": "square root"}.get(name, name.replace("_", " "))
