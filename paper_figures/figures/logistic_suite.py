"""The logistic-regression suite of arXiv 2310.07831: schedules at their best base learning rates on real sets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory import problems, schedules
from lastiterate.theory.optimal.refinement import RefinementWarning, Rule, refine
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SETS = {
    True: ("iris", "wine", "vowel", "vehicle"),
    False: ("iris", "wine", "vowel", "vehicle", "segment", "satimage", "penbased", "letter"),
}
FIXED = {
    "flat": lambda n: schedules.constant(n),
    "1/t": lambda n: schedules.inverse_time(n),
    "1/sqrt t": lambda n: schedules.inverse_sqrt(n),
    "1/t, offset": lambda n: schedules.inverse_time(n, offset=n / 10),
    "1/sqrt t, offset": lambda n: schedules.inverse_sqrt(n, offset=n / 10),
    "stepwise": lambda n: schedules.stepwise(n),
    "cosine": lambda n: schedules.cosine(n),
    "linear": lambda n: schedules.linear(n),
}
NAMES = (*FIXED, "refined L2", "refined L1")
LOOK_OF = {
    "flat": "constant",
    "1/t": "inverse_time",
    "1/sqrt t": "inverse_sqrt",
    "refined L2": "refined-l2",
    "refined L1": "refined-l1",
}
BATCH = 16
ADAM = {"beta1": 0.9, "beta2": 0.95}


def _compute(settings: Settings) -> Data:
    quick = settings.quick
    epochs, seeds = (50, 5) if quick else (100, 10)
    lrs = 2.0 ** np.arange(-10, 5) if quick else 2.0 ** np.arange(-12, 6)
    rows: Data = {}
    for name in SETS[quick]:
        settings.progress(name)
        key = f"logistic-suite-{name}-{epochs}-{seeds}"
        rows[name] = settings.cache.get(key, lambda name=name: _one_set(name, epochs, seeds, lrs))
    caption = (
        f"Multinomial logistic regression on {', '.join(rows)}; Adam with betas (0.9, 0.95), batch {BATCH}, {epochs} "
        f"epochs, {seeds} seeds, base learning rates {lrs[0]:g} to {lrs[-1]:g} by factors of two; median gap to the "
        "minimum of the training loss at the best base learning rate of each schedule, standard errors over seeds. "
        "Refined schedules use the gradient norms of the best linear-decay run of seed 0."
    )
    return {"rows": rows, "caption": caption}


def _one_set(name: str, epochs: int, seeds: int, lrs: Any) -> Data:
    data = dataset(name)
    problem = problems.softmax(data.features, data.targets, l2=1e-4)
    n = epochs * -(-len(data.targets) // BATCH)
    common: dict[str, Any] = {"batch_size": BATCH, "base_lr": lrs, "progress": False, **ADAM}
    linear = simulate(problem, "adam", schedules.linear(n), seeds=seeds, record=1, **common)
    best = lrs[int(np.argmin(np.median(np.where(np.isfinite(linear.final[0]), linear.final[0], np.inf), axis=1)))]
    recorded = simulate(
        problem,
        "adam",
        schedules.linear(n),
        seeds=1,
        record=np.arange(n + 1),
        diagnostics=("grad_l2", "grad_l1"),
        **{**common, "base_lr": best},
    )
    shapes = {key: family(n) for key, family in FIXED.items()}
    facts: Data = {}
    rules: tuple[tuple[str, Rule, str], ...] = (("refined L2", "sgd", "grad_l2"), ("refined L1", "adam", "grad_l1"))
    for label, rule, channel in rules:
        norms = recorded.diagnostics[channel][0, 0, 0, :n]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RefinementWarning)
            refined = refine(norms, rule=rule)
        shapes[label] = refined.steps
        facts[label] = {"gain": refined.gain, "peak": refined.peak, "degenerate": refined.degenerate}
    run = simulate(problem, "adam", shapes, seeds=seeds, record=1, **common)
    gaps = np.where(np.isfinite(run.final), run.final - problem.f_star, np.inf)
    scores = np.median(gaps, axis=2)
    at = np.argmin(scores, axis=1)
    table = {}
    for index, label in enumerate(shapes):
        values = gaps[index, at[index]]
        table[label] = {
            "gap": float(scores[index, at[index]]),
            "error": float(np.std(values, ddof=1) / np.sqrt(values.size)),
            "base_lr": float(lrs[at[index]]),
            "inside": bool(0 < at[index] < len(lrs) - 1),
        }
    return {"n": n, "table": table, "refined": facts}


def _ranks(data: Data) -> dict[str, float]:
    from scipy.stats import rankdata

    scores = np.array([[row["table"][name]["gap"] for name in NAMES] for row in data["rows"].values()])
    return dict(zip(NAMES, rankdata(scores, axis=1).mean(axis=0), strict=True))


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    sets = list(data["rows"])
    width = 0.8 / len(NAMES)
    for index, name in enumerate(NAMES):
        entries = [data["rows"][key]["table"][name] for key in sets]
        ratio = [e["gap"] / data["rows"][key]["table"]["linear"]["gap"] for e, key in zip(entries, sets, strict=True)]
        style = look(
            LOOK_OF.get(name, name.split(",")[0].replace("1/sqrt t", "inverse_sqrt").replace("1/t", "inverse_time"))
        )
        errors = [
            e["error"] / data["rows"][key]["table"]["linear"]["gap"] for e, key in zip(entries, sets, strict=True)
        ]
        top.errorbar(
            np.arange(len(sets)) + (index - len(NAMES) / 2) * width,
            ratio,
            errors,
            fmt="os^Dv"[index % 5],
            color=style["color"],
            label=name,
            ms=2.5,
            linewidth=0.6,
        )
    top.axhline(1.0, color="black", linestyle=":", linewidth=0.8)
    top.set_yscale("log")
    top.set_xticks(range(len(sets)), sets)
    top.set(ylabel="gap / gap of linear decay", title="training loss, best base learning rate")
    top.legend(ncols=3, fontsize=5.5, loc="upper left")
    top.set_ylim(None, top.get_ylim()[1] * 30)
    ranks = _ranks(data)
    order = sorted(ranks, key=ranks.__getitem__)
    bottom.barh(order[::-1], [ranks[name] for name in order][::-1], color="#56B4E9")
    bottom.set(xlabel=f"mean rank over {len(sets)} sets (1 is best)")
    bottom.grid(axis="y", visible=False)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    ranks = _ranks(data)
    shown = ", ".join(f"{name} {rank:.1f}" for name, rank in sorted(ranks.items(), key=lambda item: item[1]))
    decaying = [ranks["linear"], ranks["cosine"]]
    inside = all(entry["inside"] for row in data["rows"].values() for entry in row["table"].values())
    edge = sum(not entry["inside"] for row in data["rows"].values() for entry in row["table"].values())
    return [
        holds(
            "linear decay ranks ahead of flat, 1/t and 1/sqrt t",
            ranks["linear"] < min(ranks["flat"], ranks["1/t"], ranks["1/sqrt t"]),
            shown,
        ),
        holds("linear decay ranks ahead of stepwise", ranks["linear"] < ranks["stepwise"], shown),
        holds(
            "a refined schedule ranks at least level with linear decay",
            min(ranks["refined L2"], ranks["refined L1"]) <= min(decaying) + 0.5,
            shown,
        ),
        holds("every best base learning rate lies inside the grid", inside, f"{edge} at an end"),
    ]


FIGURES = [
    Figure(
        name="logistic-suite",
        paper="Refinement (2310.07831)",
        shows="Ten schedules on multinomial logistic regression, each at its best base learning rate.",
        must_see="Linear decay beats the classical schedules; refined schedules match or beat linear decay mostly.",
        caption="Real sets, features scaled to [-1, 1] with a bias, l2 = 1e-4 so that the minimum is attained.",
        cost="1 min",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
