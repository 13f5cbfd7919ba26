"""Near-optimal schedule search (2603.10301): best shapes, distributions, the free-form optimum, weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.solvers.search.free_form import free_form_descent, starts_of
from lastiterate.solvers.search.objectives import LinearRegression
from lastiterate.solvers.search.search import Candidate, search
from lastiterate.solvers.search.weight_decay import linear_regression_with_decay, weight_decay_study
from lastiterate.theory.base.intervals import Interval, median_interval
from lastiterate.theory.base.validation import Array

__all__ = ["FIGURES"]

SOURCE = "arXiv 2603.10301, abstract, p. 1"

PAPER = "Schedule search (2603.10301)"
EARLIER = {  # best of 400 shapes in an earlier run of this toolkit's
    "two_point_spline": 0.2870,
    "smooth_nonmonotonic": 0.2877,
    "two_point_linear": 0.2896,
    "generalised_rex": 0.2903,
    "circular": 0.2935,
    "generalised_cosine": 0.2959,
    "cosine": 0.3305,
    "constant": 0.3518,
}
FREE_FORM = 0.2596  # of the same run
FLEXIBLE = ("two_point_spline", "two_point_linear", "generalised_rex", "circular")
DECAYS = (0.0, 0.05, 0.1, 0.2, 0.4)
INSTANCES = 20


def _on_untouched(objective: LinearRegression, candidates: Sequence[Candidate]) -> Array:
    """Return the losses of candidates, at their own base learning rates, on instances that chose nothing.

    An instance has the spectrum of the search and a solution drawn from the Gaussian whose second moments the search
    has in expectation; losses are relative to the mean initial loss. Float64[candidate, instance].
    """
    known = objective.recursion
    columns: list[Array] = []
    for seed in range(1, INSTANCES + 1):
        factors = np.random.default_rng(seed).standard_normal(known.spectrum.size) ** 2
        start = np.asarray(known.start) * factors
        drawn = replace(objective, recursion=replace(known, start=start))
        rates = np.array([[candidate.base_lr] for candidate in candidates])
        found = drawn.evaluate([candidate.shape for candidate in candidates], (0,), rates)
        columns.append(found.scores / np.mean(factors))
    return np.stack(columns, axis=1)


def _median(values: Any) -> list[float]:
    """Return median and ends of the order-statistic interval, and its level."""
    found: Interval = median_interval(values)
    return [found.value, found.low, found.high, found.level]


def _shown(interval: list[float], digits: int = 4) -> str:
    return f"{interval[0]:.{digits}f} [{interval[1]:.{digits}f}, {interval[2]:.{digits}f}]"


def _compute(settings: Settings) -> Data:
    shapes = 400 if settings.quick else 4000
    result = settings.cache.get(f"search-families-{shapes}", lambda: _families(shapes))
    return {**result, "caption": f"{shapes} shapes a family."}


def _families(n_shapes: int) -> Data:
    objective = LinearRegression()
    study = search(objective, list(EARLIER), n_shapes=n_shapes)
    free = free_form_descent(objective, starts_of(study, objective.n_steps))
    best = {name: found.best for name, found in study.families.items()}
    fresh = dict(zip((*best, "free"), _on_untouched(objective, [*best.values(), free.candidate]), strict=True))
    rows: Data = {}
    for name, found in study.families.items():
        scores = np.sort(found.scores)
        picked = np.unique(np.linspace(0, scores.size - 1, 200).round().astype(int))
        lrs, losses = found.response
        rows[name] = {
            "best": found.best.score,
            "untouched": _median(fresh[name]),
            "over_cosine": _median(fresh[name] / fresh["cosine"]),
            "over_constant": _median(fresh[name] / fresh["constant"]),
            "median": float(np.median(scores)),
            "steps": found.best.shape.steps(objective.n_steps) * found.best.base_lr,
            "scores": scores[picked],
            "share": (picked + 1) / scores.size,
            "response": {"base_lr": lrs, "loss": [float(loss) if np.isfinite(loss) else None for loss in losses]},
        }
    over = fresh["free"] / fresh["two_point_spline"]
    lower = {"value": free.value, "steps": free.steps, "untouched": _median(fresh["free"]), "over": _median(over)}
    return {"rows": rows, "free": lower}


def _draw(data: Data) -> Any:
    figure, (top, middle, bottom, last) = panels(4, height=2.2)
    for name, row in data["rows"].items():
        style = look(name)
        top.plot(row["steps"], **style, label=f"{name.replace('_', ' ')} {row['best']:.4f}")
        middle.plot(row["scores"], row["share"], **style)
        bottom.semilogx(row["response"]["base_lr"], np.array(row["response"]["loss"], dtype=float), **style)
    free = np.array(data["free"]["steps"])
    label = f"free form {data['free']['value']:.4f} (to {free.max():.2g})"
    top.plot(free, color="#BBBBBB", linewidth=0.6, label=label, zorder=0)
    highest = max(max(row["steps"]) for row in data["rows"].values())
    top.set(xlabel="step", ylabel="learning rate", title="best shape of each family", ylim=(0.0, 1.2 * highest))
    middle.axvline(data["free"]["value"], color="#BBBBBB")
    middle.set(xlabel="loss at the best base learning rate", ylabel="share of shapes", xlim=(0.25, 0.45))
    bottom.set(xlabel="base learning rate", ylabel="loss", ylim=(0.25, 0.6), title="response of the best shapes")
    names = sorted((name for name in data["rows"] if name != "cosine"), key=lambda name: -data["rows"][name]["best"])
    ratios = {name: data["rows"][name]["over_cosine"] for name in names}
    for height, (name, (value, low, high, _)) in enumerate(ratios.items()):
        last.plot([low, high], [height, height], color=look(name)["color"])
        last.plot(value, height, "o", color=look(name)["color"], ms=3)
    last.axvline(1.0, color="black", linestyle=":", linewidth=0.8)
    last.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    last.set(xlabel="loss / loss of cosine", title=f"on {INSTANCES} untouched instances")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.set_size_inches(3.4, 9.6)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    best = {name: row["best"] for name, row in data["rows"].items()}
    checks = [
        holds(
            f"{name}: best loss at most 2% above {value:.4f}",
            best[name] <= 1.02 * value,
            f"{best[name]:.4f}",
            kind="regression",
        )
        for name, value in EARLIER.items()
    ]
    free = data["free"]["value"]
    spline = data["rows"]["two_point_spline"]["steps"]
    flexible = {name: data["rows"][name]["over_cosine"] for name in FLEXIBLE}
    others = {name: row["over_constant"] for name, row in data["rows"].items() if name != "constant"}
    lower = data["free"]["over"]
    return [
        *checks,
        holds(f"free form: about {FREE_FORM}, no worse than 0.2600", free <= 0.2600, f"{free:.4f}", kind="regression"),
        holds(
            f"flexible families beat cosine on {INSTANCES} untouched instances (interval of the ratio below 1)",
            all(interval[2] < 1.0 for interval in flexible.values()),
            ", ".join(f"{name} {_shown(interval, 3)}" for name, interval in flexible.items()),
            kind="published",
            source=SOURCE,
        ),
        holds(
            "every family beats a constant rate there (interval of the ratio below 1)",
            all(interval[2] < 1.0 for interval in others.values()),
            f"largest {max(interval[2] for interval in others.values()):.3f}",
            kind="published",
            source=SOURCE,
        ),
        holds(
            "the free form, fitted to the expectation, is below the best spline there, too",
            lower[2] < 1.0,
            _shown(lower, 3),
            kind="regression",
        ),
        holds(
            "the best spline decays to nearly zero",
            spline[-1] < 0.1 * max(spline),
            f"{spline[-1] / max(spline):.3f} of the peak",
            kind="published",
            source=SOURCE,
        ),
    ]


def _compute_decay(settings: Settings) -> Data:
    shapes = 400 if settings.quick else 4000
    result = settings.cache.get(f"search-weight-decay-{shapes}", lambda: _decay(shapes))
    return {**result, "caption": f"{shapes} shapes for each decay."}


def _decay(n_shapes: int) -> Data:
    study = weight_decay_study(DECAYS, n_shapes=n_shapes, descent=200)
    n = LinearRegression().n_steps
    return {
        "decays": DECAYS,
        "steps": [best.shape.steps(n) for best in study.best],
        "losses": [best.score for best in study.best],
        "undecayed": study.losses_of_undecayed,
        "untouched": _cost_of_undecayed([*study.best]),
        "mean": [features.mean for features in study.features],
    }


def _cost_of_undecayed(best: list[Candidate]) -> list[list[float]]:
    """Return, for each decay, the loss of the shape found without it over that of the shape found with it.

    The base learning rate of either is chosen on the instance of the search, the losses are of untouched ones.
    """
    found: list[list[float]] = []
    for decay, own in zip(DECAYS, best, strict=True):
        objective = linear_regression_with_decay(decay)
        rate = float(objective.evaluate([best[0].shape], (0,)).best_base_lrs[0])
        other = Candidate(best[0].shape, own.score, rate)
        with_decay, without = _on_untouched(objective, [own, other])
        found.append(_median(without / with_decay))
    return found


def _draw_decay(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    colors = ("#000000", "#0072B2", "#56B4E9", "#E69F00", "#D55E00")
    for decay, steps, color in zip(data["decays"], data["steps"], colors, strict=True):
        top.plot(steps, color=color, label=f"decay {decay:g}")
    top.set(xlabel="step", ylabel="learning rate, maximum 1", title="best smooth non-monotonic shape")
    top.set_ylim(0.0, 1.45)  # room for the legend
    top.legend(ncols=2, loc="upper center")
    for decay, (value, low, high, _), color in zip(data["decays"], data["untouched"], colors, strict=True):
        bottom.plot([decay, decay], [100.0 * (low - 1.0), 100.0 * (high - 1.0)], color=color)
        bottom.plot(decay, 100.0 * (value - 1.0), "o", color=color)
    bottom.axhline(0.0, color="black", linestyle=":", linewidth=0.8)
    bottom.set(xlabel="weight decay", ylabel="loss of the shape of no decay, % above")
    bottom.set_title(f"what not adapting costs, {INSTANCES} untouched instances")
    return figure


def _check_decay(data: Data) -> list[FigureCheck]:
    steps = np.array(data["steps"])
    moved = float(np.max(np.abs(steps[-1] - steps[0])))
    return [
        holds(
            "the best shape changes with weight decay: by over 0.2 of the peak somewhere",
            moved > 0.2,
            f"{moved:.2f}",
            kind="published",
            source=SOURCE,
        ),
        holds(
            f"on {INSTANCES} untouched instances the shape of no decay costs something at every decay, under 2%",
            all(low > 1.0 and high < 1.02 for _, low, high, _ in data["untouched"][1:]),
            ", ".join(f"{decay:g}: {_shown(found)}" for decay, found in zip(DECAYS, data["untouched"], strict=True)),
            kind="regression",
        ),
    ]


FIGURES = [
    Figure(
        name="search-families",
        paper=PAPER,
        shows="Best shapes per family, distributions of their losses, responses to the base learning rate, and the "
        "losses of the chosen ones on untouched instances.",
        must_see="Families with a warm-up and a free decay beat the common ones; free-form descent goes lower still.",
        caption="Exact expected loss of linear regression (128 dimensions, batch 8, eigenvalues i^-1.5, 100 steps), 32 "
        "base learning rates, random search, seed 0. Shapes and rates are chosen on the expectation over solutions; "
        "the comparisons are medians over 20 instances with drawn solutions, which chose nothing, with order-statistic "
        "intervals (level 0.96). The free form's steps alternate and leave the axis; its largest stands in the legend.",
        cost="15 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    ),
    Figure(
        name="search-weight-decay",
        paper=PAPER,
        shows="How the best shape moves with weight decay.",
        must_see="Weight decay changes the best shape strongly; not adapting the shape costs less than a percent.",
        caption="The linear regression of search-families with a decay of `weight decay x step` a step. Shapes and "
        "base learning rates are chosen on the expectation; costs are medians over 20 instances with drawn solutions, "
        "which chose nothing, with order-statistic intervals (level 0.96).",
        cost="15 s",
        compute=_compute_decay,
        draw=_draw_decay,
        check=_check_decay,
    ),
]
