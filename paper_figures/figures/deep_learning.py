"""The deep-learning comparison of arXiv 2310.07831 on the toolkit's mirrored problems and language-model series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds

__all__ = ["FIGURES"]

# the paper's problem -> the toolkit's mirror of it
MIRRORS = {
    "CIFAR": "residual_net",
    "ImageNet": "image_folder",
    "ViT": "vision_transformer",
    "GPT": "language_model:scale=small",
    "RoBERTa": "masked_language_model",
    "IWSLT14": "seq2seq",
    "DLRM": "recommendation",
    "fastMRI": "mri_reconstruction",
    "RCNN": "detector",
    "LSTM": "lstm_language_model",
}
SERIES = ("language_model:scale=medium", "language_model:scale=large")  # the small one is the mirror of GPT
QUICK_STEPS = 100
SCHEDULES = ("constant", "stepwise", "cosine", "linear", "polynomial:power=2", "refined")


def _compute(settings: Settings) -> Data:
    rows: Data = {}
    for label, workload in {**MIRRORS, **{f"series {name.split('=')[1]}": name for name in SERIES}}.items():
        settings.progress(workload)
        key = f"deep-learning-{workload.replace(':', '-').replace('=', '-')}-{'quick' if settings.quick else 'full'}"
        rows[label] = settings.cache.get(key, lambda workload=workload: _one(workload, settings))
    size = (
        f"tiny sizes, {QUICK_STEPS} steps, 3 base learning rates, 2 seeds"
        if settings.quick
        else "full sizes, own grids, 10 seeds"
    )
    return {
        "rows": rows,
        "caption": f"{size}; failed: {', '.join(k for k, r in rows.items() if not r['table']) or 'none'}.",
    }


def _one(workload: str, settings: Settings) -> Data:
    from lastiterate.experiments.replay.replay import replay
    from lastiterate.experiments.workloads.protocol import load_workload

    size = "tiny" if settings.quick else "full"
    loaded = load_workload(workload, size=size)
    middle = len(loaded.base_lrs) // 2
    lrs = loaded.base_lrs[max(middle - 1, 0) : middle + 2] if settings.quick else None
    result = replay(
        workload,
        SCHEDULES,
        size=size,
        base_lrs=lrs,
        n_steps=QUICK_STEPS if settings.quick else None,
        n_seeds=2 if settings.quick else 10,
        extensions=0 if settings.quick else 3,
        progress=False,
    ).workloads[0]
    table: Data = {}
    for row in result.table():
        difference = row.difference
        table[row.schedule] = {
            "mean": row.mean if math.isfinite(row.mean) else None,
            "error": row.standard_error if math.isfinite(row.standard_error) else None,
            "base_lr": row.base_lr,
            "difference": None if difference is None else difference.mean,
            "p": None if difference is None else difference.p_value,
        }
    return {"metric": result.metric, "higher": result.higher_is_better, "table": table}


def _scores(row: Data) -> dict[str, float]:
    """Return losses (lower is better) by schedule; a schedule that always diverged is infinitely bad."""
    sign = -1.0 if row["higher"] else 1.0
    return {name: math.inf if entry["mean"] is None else sign * entry["mean"] for name, entry in row["table"].items()}


def _ranks(data: Data, labels: list[str]) -> dict[str, float]:
    from scipy.stats import rankdata

    table = [[_scores(data["rows"][label])[name] for name in SCHEDULES] for label in labels]
    return dict(zip(SCHEDULES, rankdata(np.array(table), axis=1).mean(axis=0), strict=True))


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    labels = list(data["rows"])
    y = np.arange(len(labels))[::-1]
    for name in SCHEDULES:
        relative = []
        for label in labels:
            scores = _scores(data["rows"][label])
            span = max(abs(scores["linear"]), 1e-12)
            relative.append(100.0 * (scores[name] - scores["linear"]) / span)
        shown = np.clip(np.array(relative), -30.0, 60.0)
        top.plot(
            shown,
            y,
            "o",
            color=look(name)["color"],
            fillstyle="none" if "linestyle" in look(name) else "full",
            label=name.split(":")[0],
            ms=3.5,
        )
    top.axvline(0.0, color="black", linewidth=0.6)
    top.set_yticks(y, labels)
    top.set(xlabel="% worse than linear, cut at -30 and 60", xscale="linear")
    ranks = _ranks(data, [label for label in labels if label in MIRRORS])
    order = sorted(ranks, key=ranks.__getitem__)
    bottom.barh([name.split(":")[0] for name in order][::-1], [ranks[name] for name in order][::-1], color="#56B4E9")
    bottom.set(xlabel="mean rank over the ten problems (1 is best)")
    bottom.grid(axis="y", visible=False)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.set_size_inches(3.4, 5.4)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    ten = [label for label in data["rows"] if label in MIRRORS]
    series = ["GPT", *(label for label in data["rows"] if label not in MIRRORS)]
    ranks = _ranks(data, ten)
    shown = ", ".join(f"{name} {rank:.1f}" for name, rank in sorted(ranks.items(), key=lambda item: item[1]))
    in_series = _ranks(data, series)
    shown_series = ", ".join(f"{name} {rank:.1f}" for name, rank in sorted(in_series.items(), key=lambda item: item[1]))
    wins = sum(_scores(data["rows"][label])["refined"] <= _scores(data["rows"][label])["linear"] for label in ten)
    return [
        holds(
            "linear decay ranks ahead of constant and stepwise over the ten problems",
            ranks["linear"] < min(ranks["constant"], ranks["stepwise"]),
            shown,
        ),
        holds(
            "linear decay ranks at least level with cosine (within half a rank)",
            ranks["linear"] <= ranks["cosine"] + 0.5,
            shown,
        ),
        holds(
            "the refined schedule is at least as good as linear decay on half of the problems",
            wins >= 5,
            f"{wins} of {len(ten)}",
        ),
        holds(
            "on the language-model series linear decay ranks ahead of constant",
            in_series["linear"] < in_series["constant"],
            shown_series,
        ),
    ]


FIGURES = [
    Figure(
        name="deep-learning",
        paper="Refinement (2310.07831)",
        shows="Six schedules on ten mirrored deep-learning problems and three sizes of a language model.",
        must_see="Linear decay matches or beats the common schedules; refinement helps on some problems.",
        caption="Each schedule at the best base learning rate of the grid; paired seeds.",
        cost="6 min",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
