"""Near-optimal schedule search (2603.10301): best shapes, distributions, the free-form optimum, weight decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.solvers.search.free_form import free_form_descent, starts_of
from lastiterate.solvers.search.objectives import LinearRegression
from lastiterate.solvers.search.search import search
from lastiterate.solvers.search.weight_decay import weight_decay_study

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
DECAYS = (0.0, 0.05, 0.1, 0.2, 0.4)


def _compute(settings: Settings) -> Data:
    shapes = 400 if settings.quick else 4000
    result = settings.cache.get(f"search-families-{shapes}", lambda: _families(shapes))
    return {**result, "caption": f"{shapes} shapes a family."}


def _families(n_shapes: int) -> Data:
    objective = LinearRegression()
    study = search(objective, list(EARLIER), n_shapes=n_shapes)
    free = free_form_descent(objective, starts_of(study, objective.n_steps))
    rows: Data = {}
    for name, found in study.families.items():
        scores = np.sort(found.scores)
        picked = np.unique(np.linspace(0, scores.size - 1, 200).round().astype(int))
        lrs, losses = found.response
        rows[name] = {
            "best": found.best.score,
            "median": float(np.median(scores)),
            "steps": found.best.shape.steps(objective.n_steps) * found.best.base_lr,
            "scores": scores[picked],
            "share": (picked + 1) / scores.size,
            "response": {"base_lr": lrs, "loss": [float(loss) if np.isfinite(loss) else None for loss in losses]},
        }
    return {"rows": rows, "free": {"value": free.value, "steps": free.steps}}


def _draw(data: Data) -> Any:
    figure, (top, middle, bottom) = panels(3, height=2.2)
    for name, row in data["rows"].items():
        style = look(name)
        label = name.replace("_", " ")
        top.plot(row["steps"], **style, label=f"{label} {row['best']:.4f}")
        middle.plot(row["scores"], row["share"], **style)
        bottom.semilogx(row["response"]["base_lr"], np.array(row["response"]["loss"], dtype=float), **style)
    free = np.array(data["free"]["steps"])
    top.plot(
        np.minimum(free, 1.15 * max(max(row["steps"]) for row in data["rows"].values())),
        color="#BBBBBB",
        linewidth=0.6,
        label=f"free form {data['free']['value']:.4f}",
        zorder=0,
    )
    top.set(xlabel="step", ylabel="learning rate", title="best shape of each family")
    middle.axvline(data["free"]["value"], color="#BBBBBB")
    middle.set(xlabel="loss at the best base learning rate", ylabel="share of shapes", xlim=(0.25, 0.45))
    bottom.set(xlabel="base learning rate", ylabel="loss", ylim=(0.25, 0.6), title="response of the best shapes")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.set_size_inches(3.4, 7.4)
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
    flexible = max(best[name] for name in ("two_point_spline", "two_point_linear", "generalised_rex", "circular"))
    order = sorted(best, key=best.__getitem__)
    return [
        *checks,
        holds(f"free form: about {FREE_FORM}, no worse than 0.2600", free <= 0.2600, f"{free:.4f}", kind="regression"),
        holds(
            "flexible families beat standard cosine, constant is last",
            flexible < best["cosine"] and order[-1] == "constant",
            " < ".join(order),
            kind="published",
            source=SOURCE,
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
        "mean": [features.mean for features in study.features],
    }


def _draw_decay(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    colors = ("#000000", "#0072B2", "#56B4E9", "#E69F00", "#D55E00")
    for decay, steps, color in zip(data["decays"], data["steps"], colors, strict=True):
        top.plot(steps, color=color, label=f"decay {decay:g}")
    top.set(xlabel="step", ylabel="learning rate, maximum 1", title="best smooth non-monotonic shape")
    top.legend()
    bottom.plot(data["decays"], data["losses"], "o-", color="#D55E00", label="shape searched for each decay")
    bottom.plot(data["decays"], data["undecayed"], "o--", color="#000000", label="best shape without decay")
    bottom.set(xlabel="weight decay", ylabel="loss")
    bottom.legend()
    return figure


def _check_decay(data: Data) -> list[FigureCheck]:
    steps = np.array(data["steps"])
    moved = float(np.max(np.abs(steps[-1] - steps[0])))
    loss = np.array(data["undecayed"]) / np.array(data["losses"])
    return [
        holds(
            "the best shape changes with weight decay: by over 0.2 of the peak somewhere",
            moved > 0.2,
            f"{moved:.2f}",
            kind="published",
            source=SOURCE,
        ),
        holds(
            "the shape found without decay is never better than the one found with it",
            loss.min() > 1.0 - 1e-9,
            f"{loss.min():.4f} to {loss.max():.4f}",
            kind="theory",
        ),
    ]


FIGURES = [
    Figure(
        name="search-families",
        paper=PAPER,
        shows="Best shapes per family, distributions of their losses, responses to the base learning rate.",
        must_see="Families with a warm-up and a free decay beat the common ones; free-form descent goes lower still.",
        caption="Exact expected loss of linear regression (128 dimensions, batch 8, eigenvalues i^-1.5, 100 steps), 32 "
        "base learning rates, random search, seed 0.",
        cost="15 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    ),
    Figure(
        name="search-weight-decay",
        paper=PAPER,
        shows="How the best shape moves with weight decay.",
        must_see="Weight decay changes the best shape strongly.",
        caption="The linear regression of search-families with a decay of `weight decay x step` a step.",
        cost="15 s",
        compute=_compute_decay,
        draw=_draw_decay,
        check=_check_decay,
    ),
]
