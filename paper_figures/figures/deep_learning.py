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
RECURRENT = ("seq2seq", "lstm_language_model")  # cannot be trained side by side, and take most of the time: full mode
SERIES = ("language_model:scale=small", "language_model:scale=medium", "language_model:scale=large")
QUICK_STEPS = 50
SCHEDULES = ("constant", "cosine", "linear", "refined")


def _compute(settings: Settings) -> Data:
    rows: Data = {}
    for workload in dict.fromkeys((*WORKLOADS, *SERIES)):
        if settings.quick and workload in RECURRENT:
            continue
        settings.progress(workload)
        key = f"deep-learning-{workload.replace(':', '-').replace('=', '-')}-{'quick' if settings.quick else 'full'}"
        rows[workload] = settings.cache.get(key, lambda workload=workload: _one(workload, settings))
    size = (
        f"Tiny sizes, {QUICK_STEPS} steps, 1 tuning seed and 5 fresh seeds, without {' and '.join(RECURRENT)}: too "
        "short for a decay to pay, and too few to decide between close schedules (see the horizons in docs/evidence.md)"
        if settings.quick
        else "Full sizes, 3 tuning seeds and 10 fresh seeds"
    )
    diverged = [f"{name} on {workload}" for workload, row in rows.items() for name in row["diverged"]]
    return {"rows": rows, "caption": f"{size}; diverged with some fresh seed: {', '.join(diverged) or 'none'}."}


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
        n_seeds=5 if quick else 10,
        bisections=0 if quick else 1,
        n_jobs=1 if quick else None,
        vectorise=quick,
        progress=False,
    ).workloads[0]
    results = result.results()
    return {
        "higher": result.higher_is_better,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "values": {name: values.tolist() for name, values in results.items() if np.isfinite(values).all()},
        "diverged": [name for name in SCHEDULES if name not in results or not np.isfinite(results[name]).all()],
        "grids": {row.schedule: row.grid for row in result.table()},
    }


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


def _differs(row: Data, name: str) -> bool:
    """Whether the planned contrast with linear decay found a difference, after Holm's correction."""
    found = _comparisons(row)
    return any(found[key].differs for key in (f"linear - {name}", f"{name} - linear") if key in found)


def _problems(data: Data) -> list[str]:
    return [name for name in WORKLOADS if name in data["rows"]]


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    top.get_gridspec().set_height_ratios([3.0, 1.0])
    labels = list(data["rows"])
    y = np.arange(len(labels))[::-1]
    others = [name for name in SCHEDULES if name != "linear"]
    for place, name in enumerate(others):
        for workload, height in zip(labels, y, strict=True):
            row = data["rows"][workload]
            if not {name, "linear"} <= set(row["values"]):
                continue
            found = paired_difference(row["values"][name], row["values"]["linear"])
            told = _differs(row, name)
            unit = 0.01 * (-1.0 if row["higher"] else 1.0) * abs(float(np.mean(row["values"]["linear"])))
            at = height + 0.2 - 0.2 * place
            color = look(name)["color"]
            top.plot([found.low / unit, found.high / unit], [at, at], color=color, linewidth=0.7)
            fill = "full" if told else "none"
            label = name if height == y[0] else None
            top.plot(found.mean / unit, at, "os^"[place], color=color, ms=3, fillstyle=fill, label=label)
    top.axvline(0.0, color="black", linewidth=0.6)
    sizes = [f"{name.replace(':scale=', ' ')}, {data['rows'][name]['n_parameters']:,}" for name in labels]
    top.set_yticks(y, sizes, fontsize=5.5)
    top.set_xscale("symlog", linthresh=1.0)
    top.set_xticks(ticks := [-10.0, -1.0, 0.0, 1.0, 10.0], [f"{tick:g}" for tick in ticks])  # linear inside ±1
    top.set(xlabel="% worse than linear decay")
    top.set_title("filled: differs (Holm, 5%)", fontsize=7)
    ranking = _ranking(data)
    order = sorted(ranking.mean_ranks, key=ranking.mean_ranks.__getitem__)
    bottom.barh(order[::-1], [ranking.mean_ranks[name] for name in order][::-1], color="#56B4E9")
    bottom.set(xlabel=f"mean rank ({ranking.critical_difference:.1f} apart to differ)")
    bottom.grid(axis="y", visible=False)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.set_size_inches(3.4, 5.0)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    ranking = _ranking(data)
    ranks = sorted(ranking.mean_ranks.items(), key=lambda item: item[1])
    shown = (
        f"{', '.join(f'{name} {rank:.1f}' for name, rank in ranks)}; {ranking.critical_difference:.1f} apart to differ"
    )
    ahead = ranking.mean_ranks["constant"] - ranking.mean_ranks["linear"] > ranking.critical_difference
    problems = _problems(data)
    found = {name: _comparisons(data["rows"][name]) for name in problems}

    def counted(contrast: str, workloads: Sequence[str] = problems, of: float = 1.0) -> tuple[int, int, str]:
        """Return how often the candidate (``of=-1``: the reference) is better and worse, and that in words."""
        signs: list[float] = []
        for name in workloads:
            comparison = (found.get(name) or _comparisons(data["rows"][name])).get(contrast)
            if comparison is not None and comparison.differs:
                signs.append(of * comparison.difference.mean * (-1.0 if data["rows"][name]["higher"] else 1.0))
        better, worse = sum(s < 0.0 for s in signs), sum(s > 0.0 for s in signs)
        return better, worse, f"better on {better}, worse on {worse}, undecided on {len(workloads) - better - worse}"

    cosine, refined, series = (
        counted("cosine - linear", of=-1.0),
        counted("refined - linear"),
        counted("constant - linear", SERIES, of=-1.0),
    )
    ends = sum(grid != "interior" for row in data["rows"].values() for grid in row["grids"].values())
    return [
        holds("linear decay outranks a constant rate by more than the critical difference", ahead, shown,
              kind="published", source=SOURCE),
        holds("linear decay is worse than cosine on no workload (Holm, 5%)", cosine[1] == 0, cosine[2],
              kind="published", source=SOURCE),
        holds("refinement is better than linear decay on some workload and worse on none (Holm, 5%)",
              refined[0] > 0 and refined[1] == 0, refined[2], kind="published", source=SOURCE),
        holds("linear decay is better than a constant rate on all three language models (Holm, 5%)",
              series[0] == len(SERIES), series[2], kind="published", source=SOURCE),
        holds("every chosen base learning rate lies inside its grid", ends == 0, f"{ends} at an end",
              kind="regression"),
    ]  # fmt: skip


FIGURES = [
    Figure(
        name="deep-learning",
        paper="Refinement (2310.07831)",
        shows="Four schedules on small counterparts of the paper's deep-learning problems, with the number of "
        "parameters, and on three sizes of a language model.",
        must_see="Linear decay matches or outperforms the common schedules; refinement gives further improvements.",
        caption="Base learning rates chosen on tuning seeds and a validation split, each grid centred by theory; "
        "results on fresh seeds and the test split, paired; verdicts by planned contrasts (Holm within a workload).",
        cost="3 min",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
