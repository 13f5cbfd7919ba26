"""The deep-learning comparison of arXiv 2310.07831 on small counterparts of its problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
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

# the paper's problems have these counterparts here; the runs are of the tiny sizes, so the picture says their own names
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
QUICK_STEPS = 100
SCHEDULES = ("constant", "cosine", "linear", "wsd", "refined")


def _compute(settings: Settings) -> Data:
    rows: Data = {}
    for workload in dict.fromkeys((*WORKLOADS, *SERIES)):
        settings.progress(workload)
        key = f"deep-learning-{workload.replace(':', '-').replace('=', '-')}-{'quick' if settings.quick else 'full'}"
        rows[workload] = settings.cache.get(key, lambda workload=workload: _one(workload, settings))
    size = (
        f"Tiny sizes, {QUICK_STEPS} steps, 1 tuning seed and 3 fresh seeds, which cannot decide between close schedules"
        if settings.quick
        else "Full sizes, 3 tuning seeds and 10 fresh seeds"
    )
    failed = [name for name, row in rows.items() if not row["values"]]
    return {"rows": rows, "caption": f"{size}; failed: {', '.join(failed) or 'none'}."}


def _one(workload: str, settings: Settings) -> Data:
    from lastiterate.experiments.replay.replay import replay
    from lastiterate.experiments.workloads.protocol import load_workload

    size = "tiny" if settings.quick else "full"
    model = load_workload(workload, size=size).build_model()
    quick = settings.quick
    result = replay(
        workload,
        SCHEDULES,
        size=size,
        n_steps=QUICK_STEPS if quick else None,
        n_tuning_seeds=1 if quick else 3,
        n_seeds=3 if quick else 10,
        bisections=0 if quick else 1,
        progress=False,
    ).workloads[0]
    return {
        "higher": result.higher_is_better,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "values": {
            name: [float(v) for v in values] for name, values in result.results().items() if np.isfinite(values).all()
        },
        "grids": {row.schedule: row.grid for row in result.table()},
    }


def _comparisons(row: Data) -> dict[str, Comparison]:
    return {c.contrast.name: c for c in compare(row["values"], default_plan().among(row["values"]))}


def _ranking(data: Data, workloads: Sequence[str]) -> Ranking:
    scores: list[dict[str, float]] = []
    for name in workloads:
        row = data["rows"][name]
        means = {key: float(np.mean(values)) for key, values in row["values"].items()}
        sign = -1.0 if row["higher"] else 1.0
        scores.append({schedule: sign * means.get(schedule, math.nan) for schedule in SCHEDULES})
    return rank_over_workloads(scores)


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    labels = list(data["rows"])
    y = np.arange(len(labels))[::-1]
    others = [name for name in SCHEDULES if name != "linear"]
    for place, name in enumerate(others):
        for label, height in zip(labels, y, strict=True):
            row = data["rows"][label]
            if not {name, "linear"} <= set(row["values"]):
                continue
            found = paired_difference(row["values"][name], row["values"]["linear"])
            unit = 0.01 * (-1.0 if row["higher"] else 1.0) * abs(float(np.mean(row["values"]["linear"])))
            at = height + 0.24 - 0.16 * place
            color = look(name)["color"]
            top.plot([found.low / unit, found.high / unit], [at, at], color=color, linewidth=0.7)
            top.plot(found.mean / unit, at, "o", color=color, ms=2.5, label=name if height == y[0] else None)
    top.axvline(0.0, color="black", linewidth=0.6)
    sizes = [
        f"{name.replace('language_model:scale=', 'LM ')}, {data['rows'][name]['n_parameters']:,}" for name in labels
    ]
    top.set_yticks(y, sizes, fontsize=5.5)
    top.set_xscale("symlog", linthresh=1.0)
    top.set(xlabel="% worse than linear decay (95% t interval), linear inside ±1%")
    ranking = _ranking(data, WORKLOADS)
    order = sorted(ranking.mean_ranks, key=ranking.mean_ranks.__getitem__)
    bottom.barh(order[::-1], [ranking.mean_ranks[name] for name in order][::-1], color="#56B4E9")
    bottom.set(
        xlabel=f"mean rank over {ranking.n_workloads} workloads; {ranking.critical_difference:.1f} apart to differ"
    )
    bottom.grid(axis="y", visible=False)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.set_size_inches(3.4, 6.0)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    ranking = _ranking(data, WORKLOADS)
    ranks = sorted(ranking.mean_ranks.items(), key=lambda item: item[1])
    shown = (
        f"{', '.join(f'{name} {rank:.1f}' for name, rank in ranks)}; {ranking.critical_difference:.1f} apart to differ"
    )
    ahead = ranking.mean_ranks["constant"] - ranking.mean_ranks["linear"] > ranking.critical_difference
    found = {name: _comparisons(data["rows"][name]) for name in WORKLOADS}

    def counted(contrast: str, workloads: Sequence[str] = WORKLOADS) -> tuple[int, int, str]:
        """Return how often the candidate is better and worse, and that in words."""
        signs: list[float] = []
        for name in workloads:
            comparison = (found.get(name) or _comparisons(data["rows"][name])).get(contrast)
            if comparison is not None and comparison.differs:
                signs.append(comparison.difference.mean * (-1.0 if data["rows"][name]["higher"] else 1.0))
        better, worse = sum(s < 0.0 for s in signs), sum(s > 0.0 for s in signs)
        return better, worse, f"better on {better}, worse on {worse}, undecided on {len(workloads) - better - worse}"

    cosine, refined, series = (
        counted("linear - cosine"),
        counted("refined - linear"),
        counted("linear - constant", SERIES),
    )
    ends = sum(grid != "interior" for row in data["rows"].values() for grid in row["grids"].values())
    return [
        holds("linear decay outranks a constant rate by more than the critical difference", ahead, shown,
              kind="published", source=SOURCE),
        holds("linear decay is worse than cosine on no workload", cosine[1] == 0, cosine[2],
              kind="published", source=SOURCE),
        holds("refinement is better than linear decay on some workload and worse on none",
              refined[0] > 0 and refined[1] == 0, refined[2], kind="published", source=SOURCE),
        holds("linear decay is better than a constant rate on all three language models",
              series[0] == len(SERIES), series[2], kind="published", source=SOURCE),
        holds("every chosen base learning rate lies inside its grid", ends == 0, f"{ends} at an end",
              kind="regression"),
    ]  # fmt: skip


FIGURES = [
    Figure(
        name="deep-learning",
        paper="Refinement (2310.07831)",
        shows="Five schedules on ten small counterparts of the paper's deep-learning problems, with the number of "
        "parameters, and on three sizes of a language model.",
        must_see="Linear decay matches or outperforms the common schedules; refinement gives further improvements.",
        caption="Base learning rates chosen on tuning seeds and a validation split, each grid centred by theory; "
        "results on fresh seeds and the test split, paired; verdicts by planned contrasts (Holm within a workload).",
        cost="6 min",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
