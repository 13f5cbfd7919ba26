"""The deep-learning comparison of arXiv 2310.07831 on small counterparts of its problems."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import BLACK, look, panels
from lastiterate.experiments.statistics import (
    Comparison,
    Ranking,
    compare,
    default_plan,
    paired_difference,
    rank_over_workloads,
)
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds

__all__ = ["FIGURES"]

SOURCE = "arXiv 2310.07831, abstract, p. 1"

# counterparts of the paper's problems; quick runs are of the tiny sizes, so the picture says their own names
WORKLOADS = (
    "residual_net",
    "image_folder",
    "vision_transformer",
    "language_model:scale=small",
    "masked_language_model",
    "seq2seq",
    "recommendation",
    "mri_reconstruction",
    "detector",
    "lstm_language_model",
)
SERIES = ("language_model:scale=small", "language_model:scale=medium", "language_model:scale=large")
# the four that cost least: 0.9, 3.2, 4.2 and 4.5 ms of one core a step and run, ten side by side; the next 5.1
QUICK = ("recommendation", "residual_net", "detector", "language_model:scale=small")
QUICK_STEPS = 300
QUICK_FACTORS = (0.5, 1.0, 2.0)  # of the middle of a workload's own grid; grids grow from there
SCHEDULES = ("constant", "cosine", "linear", "refined")
RISING = "constant:warmup=1.0"  # to the last step; its exact worst-case rate is twice that of linear decay
LOW = "linear decay, rate too low"
TOO_LOW = 1.0 / 30.0  # of the best base learning rate: it must lose wherever these steps train anything
CONTROLS = {RISING: "rising (control)", LOW: "linear, rate / 30 (control)"}
TUNING_SEEDS, SEEDS = 3, 10
MARGIN = 2.0  # %, fixed before the run: less cannot be told from noise at these sizes


def _compute(settings: Settings) -> Data:
    rows: Data = {}
    for workload in QUICK if settings.quick else dict.fromkeys((*WORKLOADS, *SERIES)):
        settings.progress(workload)
        key = f"deep-learning-{workload.replace(':', '-').replace('=', '-')}-{'quick' if settings.quick else 'full'}"
        rows[workload] = settings.cache.get(key, lambda workload=workload: _one(workload, settings.quick))
    size = (
        f"Tiny sizes at half their batch, {QUICK_STEPS} steps, of the four of ten problems that cost least a step, "
        "chosen by that cost before any result was seen (the three sizes of a language model: full mode)"
        if settings.quick
        else "Full sizes"
    )
    diverged = [f"{name} on {workload}" for workload, row in rows.items() for name in row["diverged"]]
    said = [
        f"{size}; {TUNING_SEEDS} tuning seeds and {SEEDS} fresh seeds",
        f"diverged with some fresh seed: {', '.join(diverged) or 'none'}",
        "linear decay at a thirtieth of its best rate, which must lose, is not found worse on: "
        f"{_insensitive(rows, LOW)}",
        f"a rising rate, tuned like the others, is not found worse on: {_insensitive(rows, RISING)}; where it is not, "
        "the runs can tell a good rate from a bad one, but no shape from its opposite",
    ]
    return {"rows": rows, "caption": f"{'; '.join(said)}."}


def _one(workload: str, quick: bool) -> Data:
    from lastiterate.experiments.replay.replay import replay
    from lastiterate.experiments.workloads.protocol import load_workload

    size = "tiny" if quick else "full"
    problem: Any = load_workload(workload, size=size)
    if quick:
        problem = dataclasses.replace(problem, batch_size=problem.batch_size // 2)
    given: Any = problem if quick else workload  # by name, parallel runs each load the data once
    shared: dict[str, Any] = {
        "size": size,
        "n_steps": QUICK_STEPS if quick else None,
        "n_tuning_seeds": TUNING_SEEDS,
        "n_seeds": SEEDS,
        "n_jobs": 1 if quick else None,
        "vectorise": quick,
        "progress": False,
    }
    grid = _quick_grid(problem.base_lrs) if quick else None
    tuned = (*SCHEDULES, RISING)
    result = replay(given, tuned, base_lrs=grid, bisections=0 if quick else 1, **shared).workloads[0]
    results = result.results()
    names = tuned
    best = result.chosen_lr("linear")
    if best is not None:  # one rate, so nothing is tuned; the fresh seeds are the same
        low = replay(given, (), base_lrs=[best * TOO_LOW], extensions=0, bisections=0, **shared).workloads[0]
        results[LOW] = low.results()["linear"]
        names = (*tuned, LOW)
    return {
        "higher": result.higher_is_better,
        "n_parameters": sum(parameter.numel() for parameter in problem.build_model().parameters()),
        "values": {name: values.tolist() for name, values in results.items() if np.isfinite(values).all()},
        "diverged": [name for name in names if name not in results or not np.isfinite(results[name]).all()],
        "grids": {row.schedule: row.grid for row in result.table()},
        "base_lrs": {row.schedule: row.base_lr for row in result.table()},
        "seeds": {"tuning": result.tuning_seeds, "fresh": result.report_seeds},
    }


def _quick_grid(own: Sequence[float]) -> list[float]:
    """Return three rates by factors of two around the middle of a workload's own grid.

    >>> _quick_grid((0.001, 0.003, 0.01, 0.03, 0.1))
    [0.005, 0.01, 0.02]
    """
    return [factor * own[len(own) // 2] for factor in QUICK_FACTORS]


def _comparisons(row: Data) -> dict[str, Comparison]:
    return {c.contrast.name: c for c in compare(row["values"], default_plan().among(row["values"]))}


def _ranking(data: Data) -> Ranking:
    """Rank on the problems, of which the three sizes of a language model are one."""
    scores: list[dict[str, float]] = []
    for name in _problems(data):
        row = data["rows"][name]
        means = {key: float(np.mean(values)) for key, values in row["values"].items()}
        sign = -1.0 if row["higher"] else 1.0
        scores.append({schedule: sign * means.get(schedule, math.nan) for schedule in SCHEDULES})
    return rank_over_workloads(scores)


def _problems(data: Data) -> list[str]:
    return [name for name in WORKLOADS if name in data["rows"]]


def _worse(row: Data, name: str) -> tuple[float, float, float]:
    """Return by how many percent of linear decay's mean a schedule is worse, paired by seed, with its interval.

    For the planned contrasts the interval that Holm's correction widens, which excludes 0 where a difference was found;
    for a control the 95% t interval. Infinite where the schedule diverged, NaN where linear decay did.
    """
    if "linear" not in row["values"]:
        return math.nan, math.nan, math.nan
    if name not in row["values"]:
        return math.inf, math.inf, math.inf
    linear = row["values"]["linear"]
    found = _comparisons(row).get(f"{name} - linear") or paired_difference(row["values"][name], linear)
    mean = found.difference.mean if isinstance(found, Comparison) else found.mean
    unit = 0.01 * (-1.0 if row["higher"] else 1.0) * abs(float(np.mean(linear)))
    low, high = sorted((found.low / unit, found.high / unit))
    return mean / unit, low, high


def _insensitive(rows: Data, control: str) -> str:
    """Return the workloads on which a control was not found worse."""
    return ", ".join(name for name, row in rows.items() if not _worse(row, control)[1] > 0.0) or "none"


def _draw(data: Data) -> Any:
    labels = list(data["rows"])
    figure, (top, bottom) = panels(2)
    top.get_gridspec().set_height_ratios([0.24 * len(labels), 1.0])
    y = np.arange(len(labels))[::-1]
    others = [*(name for name in SCHEDULES if name != "linear"), *CONTROLS]
    for place, name in enumerate(others):
        color, marker = BLACK if name in CONTROLS else look(name)["color"], "os^Dv"[place]
        at = y + 0.32 - 0.16 * place
        found = [_worse(data["rows"][workload], name) for workload in labels]
        for height, (middle, low, high) in zip(at, found, strict=True):
            fill = "full" if low > 0.0 or high < 0.0 else "none"
            top.plot([low, high], [height, height], color=color, linewidth=0.7)
            top.plot(middle, height, marker, color=color, ms=3, fillstyle=fill)
        top.plot([], [], marker, color=color, ms=3, label=CONTROLS.get(name, name))
    top.axvline(0.0, color="black", linewidth=0.6)
    sizes = [f"{name.replace(':scale=', ' ')}, {data['rows'][name]['n_parameters']:,}" for name in labels]
    top.set_yticks(y, sizes, fontsize=5.5)
    top.set_xscale("symlog", linthresh=1.0)
    top.margins(x=0.04)
    top.set_xticks(
        ticks := [-10.0, -1.0, 0.0, 1.0, 10.0, 100.0, 1000.0], [f"{tick:g}" for tick in ticks]
    )  # linear inside ±1
    top.set(xlabel="% worse than linear decay")
    top.set_title("filled: differs (Holm, 5%; controls 5%)", fontsize=7)
    ranking = _ranking(data)
    order = sorted(ranking.mean_ranks, key=ranking.mean_ranks.__getitem__)
    bottom.barh(order[::-1], [ranking.mean_ranks[name] for name in order][::-1], color="#56B4E9")
    bottom.set(xlabel=f"mean rank ({ranking.critical_difference:.1f} apart to differ)")
    bottom.grid(axis="y", visible=False)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.set_size_inches(3.4, 2.4 + 0.32 * len(labels))
    return figure


def _check(data: Data) -> list[FigureCheck]:
    rows, problems = data["rows"], _problems(data)

    def judged(rival: str, workloads: Sequence[str] = problems) -> tuple[int, int, list[float], str]:
        """Return how often a schedule is better and worse than linear decay, the lower ends, and all in words."""
        found = {name: _worse(rows[name], rival) for name in workloads}
        better = sum(high < 0.0 for _, _, high in found.values())
        worse = sum(low > 0.0 for _, low, _ in found.values())
        told = "; ".join(f"{name} {middle:+.2g} [{low:.2g}, {high:.2g}]" for name, (middle, low, high) in found.items())
        words = f"{rival} better on {better}, worse on {worse}, undecided on {len(found) - better - worse}"
        return better, worse, [low for _, low, _ in found.values()], f"{words}; % worse: {told}"

    constant, cosine, refined = (judged(name) for name in ("constant", "cosine", "refined"))
    rising, low = (judged(name, list(rows)) for name in CONTROLS)
    ends = sum(grid != "interior" for row in rows.values() for grid in row["grids"].values())
    checks = [
        holds("linear decay is better than a constant rate on most problems and worse on none (Holm, 5%)",
              2 * constant[1] > len(problems) and constant[0] == 0, constant[3], kind="published", source=SOURCE),
        holds(f"linear decay is at most {MARGIN:g}% worse than cosine on every problem (intervals by Holm, 5%)",
              all(low > -MARGIN for low in cosine[2]), cosine[3], kind="published", source=SOURCE),
        holds("refinement is better than linear decay on some problem and worse on none (Holm, 5%)",
              refined[0] > 0 and refined[1] == 0, refined[3], kind="published", source=SOURCE),
        holds("control: a rate that rises linearly, tuned alike, is worse than linear decay on every workload (5%)",
              rising[1] == len(rows), rising[3], kind="theory"),
        holds("control: linear decay at a thirtieth of its best rate is worse than at its best on every workload (5%)",
              low[1] == len(rows), low[3], kind="theory"),
        holds("every chosen base learning rate lies inside its grid", ends == 0, f"{ends} at an end",
              kind="regression"),
    ]  # fmt: skip
    if set(SERIES) <= set(rows):
        series = judged("constant", SERIES)
        claim = "linear decay is better than a constant rate on all three language models (Holm, 5%)"
        checks.append(holds(claim, series[1] == len(SERIES), series[3], kind="published", source=SOURCE))
    return checks


FIGURES = [
    Figure(
        name="deep-learning",
        paper="Refinement (2310.07831)",
        shows="Four schedules and two controls on small counterparts of the paper's deep-learning problems, with the "
        "number of parameters: four in quick mode; ten, and three sizes of a language model, in full mode.",
        must_see="Linear decay matches or outperforms the common schedules; refinement gives further improvements.",
        caption="Base learning rates chosen on tuning seeds and a validation split, for each schedule on a grid that "
        "theory centres and that grows until the best has two neighbours; results on fresh seeds and the test split, "
        f"paired; verdicts by planned contrasts (Holm within a workload); a match means within {MARGIN:g}%, fixed "
        "before the run.",
        cost="4 min",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
