"""Refinement (arXiv 2310.07831) of recorded norms: the schedules, and predicted beside measured gains."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import PALETTE, look
from lastiterate.paper_figures.machinery.recorded import files_of, read_each
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import ratio
from lastiterate.theory import schedules
from lastiterate.theory.optimal.refinement import Refinement, RefinementWarning, Rule, refine
from lastiterate.theory.rates.sgd import tune_base_lr

__all__ = ["FIGURES"]

ABSTRACT = "arXiv 2310.07831, abstract, p. 1"
STUDY = Path(__file__).resolve().parents[2] / "docs" / "evidence"
"""Where a checkout keeps the results of the study; an installed package has none."""

WARMUP = 0.02  # a maximum after this share of training is a warm-up
EARLY = 0.1
SEEDS = (3, 10)  # tuning, fresh


def _compute(settings: Settings) -> Data:
    names = ("digits_mlp", "digits_logistic")
    names = names if settings.quick else (*names, "recommendation", "residual_net")
    rows: Data = {}
    for name in names:
        settings.progress(name)
        rows[name] = settings.cache.get(f"refine-recorded-{name}", lambda name=name: _own(name))
    files = files_of(settings.data, "gradient_norms", (".csv",))
    logs = {path.stem: row for path, row in read_each(files, _refined_log)}
    study = _study()
    caption = (
        f"Own runs, tiny sizes: {', '.join(rows)}; recorded logs: {', '.join(logs) or 'none given (--data)'}; "
        f"{len(study)} gains of the committed study{'' if study else ', which is not beside this installation'}."
    )
    return {"rows": {**rows, **logs}, "study": study, "caption": caption}


def _own(name: str) -> Data:
    """Refine the norms of the tuning seeds; train linear decay and the refined schedule on fresh ones."""
    from lastiterate.experiments.replay.replay import replay

    tuning, fresh = SEEDS
    options: dict[str, Any] = {"n_tuning_seeds": tuning, "n_seeds": fresh, "n_jobs": 1, "vectorise": True}
    found = replay(name, ["linear", "refined"], progress=False, **options).workloads[0]
    (first,) = found.rounds
    losses = found.results()
    return {
        **_row(first.norms, first.refinement, "adam" if found.rule == "adam" else "sgd"),
        "measured": ratio(losses["linear"].tolist(), losses["refined"].tolist()),
        "inside": all(row.grid == "interior" for row in found.table()),
    }


def _refined_log(path: Path) -> Data:
    from lastiterate.experiments.logs.norms import read_norms

    norms = read_norms(path, positions="rows")  # as published
    rule: Rule = "adam" if "l1" in path.stem.lower() else "sgd"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)
        return _row(norms, refine(norms, rule=rule), rule)


def _row(norms: Any, refined: Refinement, rule: Rule) -> Data:
    raw = np.asarray(norms)
    thin = np.unique(np.linspace(0, raw.size - 1, 800).round().astype(int))
    place = np.unique(np.linspace(0, refined.steps.size - 1, 800).round().astype(int))
    caps = np.append(refined.smoothed, refined.smoothed[-1]) ** (1.0 if rule == "sgd" else 0.5)
    linear = schedules.linear(refined.n_steps)
    return {
        "rule": rule,
        "at": thin / raw.size,
        "norms": raw[thin],
        "place": place / refined.steps.size,
        "smoothed": refined.smoothed[place],
        "steps": refined.steps[place],
        "gain": refined.gain,
        "rates": [tune_base_lr(steps, G=caps).value for steps in (linear, refined.steps)],
        "peak": refined.peak,
        "early": float(refined.steps[int(EARLY * refined.n_steps)]),
        "effective_length": refined.effective_length,
        "front_loaded": refined.front_loaded,
        "degenerate": refined.degenerate,
        "end_exponent": refined.end_exponent,
    }


def _study() -> list[Data]:
    """Return predicted and measured gains of the study's published variants, cell by cell, where its results are."""
    if not (STUDY / "refinement.json").is_file():
        return []
    from lastiterate.experiments.evidence.findings import label_of, values_of
    from lastiterate.experiments.evidence.study import read_results

    found: list[Data] = []
    for cell in read_results(STUDY, ["refinement"])["refinement"]["cells"]:
        losses = values_of(cell, "gap" if "linear/gap" in cell["curves"] else "test")
        for rule in ("l1", "l2"):
            measured = ratio(losses["linear"].tolist(), losses[rule].tolist())
            gain, front = cell["metrics"][f"{rule}/gain"], bool(cell["metrics"][f"{rule}/front_loaded"])
            row = {"cell": label_of(cell), "rule": rule, "gain": gain, "measured": measured, "front_loaded": front}
            found.append(row)
    return found


def _draw(data: Data) -> Any:
    from matplotlib.figure import Figure as Canvas

    rows = data["rows"]
    figure = Canvas(figsize=(3.4, 1.6 * len(rows) + 2.7), layout="constrained")
    grid = figure.add_gridspec(len(rows) + 1, 2, height_ratios=[1.5] * len(rows) + [2.5])
    for line, (name, row) in enumerate(rows.items()):
        left, right = (figure.add_subplot(grid[line, column]) for column in range(2))
        left.semilogy(row["at"], row["norms"], color="#888888", linewidth=0.4)
        left.semilogy(row["place"], row["smoothed"], color="#D55E00")
        right.plot(row["place"], row["steps"], **look("refined"))
        right.plot([0, 1], [1, 0], color="black", linestyle=":", linewidth=0.8)
        left.set(title=name.replace("_", " "), ylabel="L1 norm" if row["rule"] == "adam" else "L2 norm")
        right.set_title(_flags(row), fontsize=6.5)
        for axis in (left, right):
            axis.set(xlabel="progress" if line == len(rows) - 1 else "")
    _draw_gains(figure.add_subplot(grid[-1, :]), data)
    return figure


def _flags(row: Data) -> str:
    flags = [word for word in ("front-loaded", "degenerate") if row[word.replace("-", "_")]]
    return f"{', '.join(flags) or 'steps, maximum 1'}\n{row['early']:.2f} at {EARLY:.0%}"


def _draw_gains(axis: Any, data: Data) -> None:
    """Draw the measured gain over the predicted one, both relative to linear decay; hollow points are front-loaded."""
    points = [(name.replace("_", " "), PALETTE[place + 1], "o", row)
              for place, (name, row) in enumerate(data["rows"].items()) if "measured" in row]  # fmt: skip
    points += [(f"study, {row['rule'].upper()} norms", "#888888", "s" if row["rule"] == "l1" else "D", row)
               for row in data["study"]]  # fmt: skip
    seen: set[str] = set()
    for label, color, marker, row in points:
        at, (middle, low, high) = row["gain"] - 1.0, row["measured"]
        axis.plot([at, at], [low, high], color=color, linewidth=0.8)
        fill = "none" if row["front_loaded"] else "full"
        axis.plot(at, middle, marker, color=color, ms=3.5, fillstyle=fill, label=None if label in seen else label)
        seen.add(label)
    gains = [row["gain"] - 1.0 for *_, row in points]
    reach = np.geomspace(0.5 * min(gains), 1.5 * max(gains), 50)
    axis.plot(reach, 1.0 + reach, color="#888888", linewidth=0.8)
    axis.axhline(1.0, color="black", linestyle=":", linewidth=0.8)
    axis.set(xlabel="predicted gain over linear decay - 1", ylabel="loss of linear / of refined")
    axis.set(xscale="log", yscale="log", ylim=(None, 2.0))
    axis.set_yticks(ticks := [0.5, 0.7, 1.0, 1.4, 2.0], [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.legend(fontsize=5.5, title="hollow: front-loaded", title_fontsize=5.5, loc="upper left")


def _check(data: Data) -> list[FigureCheck]:
    rows = data["rows"]
    checks: list[FigureCheck] = []
    for name, row in rows.items():
        linear, refined = row["rates"]
        claim = f"{name}: the predicted gain is the ratio of the tuned exact rates of linear decay and the refined one"
        told = f"{row['gain']:.6g} and {linear / refined:.6g}"
        checks.append(holds(claim, abs(row["gain"] * refined / linear - 1.0) < 1e-3, told, kind="theory"))
        warm = f"peak at {row['peak']:.0%}, {row['early']:.2f} of it at {EARLY:.0%} of training"
        claim = f"{name}: a warm-up comes out (the maximum is after {WARMUP:.0%} and before half of training)"
        passed = WARMUP < row["peak"] < 0.5 and not row["degenerate"]
        checks.append(holds(claim, passed, warm, kind="published", source=ABSTRACT))
    measured = {name: row["measured"] for name, row in rows.items() if "measured" in row}
    for row in data["study"]:
        measured[f"{row['cell']} by {row['rule'].upper()}"] = row["measured"]
    better = [name for name, (_, low, _) in measured.items() if low > 1.0]
    worse = [name for name, (_, _, high) in measured.items() if high < 1.0]
    told = f"better on {len(better)}, worse on {len(worse)}, undecided on {len(measured) - len(better) - len(worse)}"
    claim = "a refined schedule ends below linear decay in some case and above it in none (95% t intervals)"
    checks.append(holds(claim, bool(better) and not worse, told, kind="published", source=ABSTRACT))
    own = [row["inside"] for row in rows.values() if "inside" in row]
    claim = "every chosen base learning rate of the own runs lies inside its grid"
    return [*checks, holds(claim, all(own), f"{sum(own)} of {len(own)}", kind="regression")]


FIGURES = [
    Figure(
        name="refine-recorded",
        paper="Refinement (2310.07831)",
        shows="Recorded gradient norms, smoothed, the refined schedules (dotted: linear decay), and the predicted gain "
        "beside the measured one.",
        must_see="A warm-up and a decay that come out of the norms, and a gain over linear decay.",
        caption="Median filter of 10% of training. Norms that begin small, as those of small networks do, put large "
        "steps at the start: front-loaded, the mirror image of a warm-up; norms that vanish put them at the end: "
        "degenerate. Own runs: rates chosen and norms recorded on 3 tuning seeds and a validation split; the "
        "measured gain is the geometric mean of the ratios of test losses on 10 fresh seeds, with a 95% t interval. "
        "On the grey curve the bound would be right. Logs of others have no measured gain.",
        cost="30 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
