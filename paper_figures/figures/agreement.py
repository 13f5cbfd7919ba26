"""Bounds beside training curves (arXiv 2501.18965): WSD against cosine, cooldown length, transfer, extension."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.forecast.reading import read_losses
from lastiterate.experiments.plots.style import PALETTE, look, panels
from lastiterate.paper_figures.machinery.recorded import files_of, read_each, read_runs
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.theory import schedules
from lastiterate.theory.optimal.closed_form import optimal_continuation
from lastiterate.theory.rates.curve import rate_curve
from lastiterate.theory.rates.sgd import exact_rate, theorem10_rate, tune_base_lr

__all__ = ["FIGURES"]

HORIZON = 400
BOUNDS = ("theorem10", "exact")
RATES = {"theorem10": theorem10_rate, "exact": exact_rate}
LABELS = {"theorem10": "Theorem 10", "exact": "exact"}
COMPARED = ("cosine", "wsd:cooldown=0.2")
PAPER = "Surprising agreement (2501.18965)"
ABSTRACT = "arXiv 2501.18965, abstract, p. 1"


def _tuned(text: str, n: int, bound: str) -> Any:
    shape = schedules.parse(text, n)
    return shape * tune_base_lr(shape, bound=bound).base_lr


# WSD against cosine, with real logs beside


def _compute_curves(settings: Settings) -> Data:
    result = settings.cache.get("agreement-curves", _curves)
    logs = _training_logs(settings)
    beside = f"; training logs: {', '.join(sorted(logs))}" if logs else "; no training logs were given (--data)"
    return {**result, "logs": logs, "caption": f"N = {HORIZON}{beside}."}


def _curves() -> Data:
    rows: dict[str, Any] = {}
    for bound in BOUNDS:
        for text in COMPARED:
            curve = rate_curve(_tuned(text, HORIZON, bound), bound=bound, horizons="all")
            rows.setdefault(bound, {})[text] = {"horizons": curve.horizons, "values": curve.values}
    return {"rows": rows}


def _training_logs(settings: Settings) -> Data:
    """Read the losses along training of the user's ``llm_runs``, if there are any."""
    logs = read_each(files_of(settings.data, "llm_runs", (".json", ".csv")), read_losses)
    return {log.name: {"iter": log.at.tolist(), "loss": log.loss.tolist()} for _, log in logs}


def _draw_curves(data: Data) -> Any:
    figure, axes = panels(3 if data["logs"] else 2)
    for axis, bound in zip(axes, BOUNDS, strict=False):
        for text in COMPARED:
            row = data["rows"][bound][text]
            axis.plot(row["horizons"], row["values"], label=text, **look(text))
        axis.set(xlabel="step n", ylabel="bound on $f(x_n) - f^*$", ylim=(0, 0.35), title=LABELS[bound])
        axis.legend()
    if data["logs"]:
        for name, log in data["logs"].items():
            kind = next((k for k in ("cosine", "wsd", "constant") if k in name), name)
            axes[2].plot(log["iter"], log["loss"], label=kind, **look(kind))
        lowest = min(min(log["loss"]) for log in data["logs"].values())
        axes[2].set(xlabel="step", ylabel="validation loss", ylim=(lowest - 0.05, lowest + 0.6), title="training logs")
        axes[2].legend()
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
    return [*checks, *(_sudden_drop(name, data["logs"]) for name in data["logs"] if "wsd" in name)]


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


# Cooldown length and learning-rate transfer


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


def _compute_transfer(settings: Settings) -> Data:
    largest = 10_000 if settings.quick else 1_000_000
    result = settings.cache.get(f"agreement-transfer-{largest}", lambda: _transfer(largest))
    return {**result, "caption": f"Horizons 100 to {largest}."}


def _transfer(largest: int) -> Data:
    horizons = np.unique(np.geomspace(100, largest, 9).round().astype(int))
    texts = ("cosine", "wsd:cooldown=0.1", "wsd:cooldown=0.2", "wsd:cooldown=0.5", "linear")
    rows = {
        bound: {t: [tune_base_lr(schedules.parse(t, int(n)), bound=bound).base_lr for n in horizons] for t in texts}
        for bound in BOUNDS
    }
    return {"horizons": horizons, "rows": rows}


def _draw_transfer(data: Data) -> Any:
    figure, axis = panels(1, height=2.8)
    styles = {"wsd:cooldown=0.1": ":", "wsd:cooldown=0.5": "--"}
    for text, values in data["rows"]["exact"].items():
        axis.loglog(data["horizons"], values, **{**look(text), "linestyle": styles.get(text, "-")}, label=text)
        axis.loglog(data["horizons"], data["rows"]["theorem10"][text], "o", color=look(text)["color"])
    axis.set(xlabel="horizon N", ylabel="best base learning rate / (D/G)", title="exact (lines), Theorem 10 (dots)")
    axis.legend()
    return figure


def _check_transfer(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for bound in BOUNDS:
        slopes = [np.polyfit(np.log(data["horizons"]), np.log(values), 1)[0] for values in data["rows"][bound].values()]
        worst = max(slopes, key=lambda slope: abs(slope + 0.5))
        checks.append(
            close(f"{LABELS[bound]}: slope of log base learning rate in log horizon", worst, -0.5, 0.05, kind="theory")
        )
        ratio = data["rows"][bound]["cosine"][-1] / data["rows"][bound]["wsd:cooldown=0.2"][-1]
        claim = f"{LABELS[bound]}: cosine wants about twice the base learning rate of WSD-20% (1.6 to 2.2)"
        checks.append(holds(claim, 1.6 < ratio < 2.2, f"{ratio:.2f}", kind="regression"))
    return checks


# The semidefinite program as the judge


def _compute_pep(settings: Settings) -> Data:
    n = 20 if settings.quick else 60
    settings.progress("semidefinite programs")
    result = settings.cache.get(f"agreement-pep-{n}", lambda: _pep(n))
    return {**result, "caption": f"N = {n}, every horizon for the bounds, {len(result['horizons'])} for the programs."}


def _pep(n: int) -> Data:
    from lastiterate.solvers.worst_case.solve import worst_case
    from lastiterate.theory.methods.step_matrix import sgd

    horizons = np.unique(np.linspace(1, n, 8).round().astype(int))
    rows: dict[str, Any] = {}
    for text in COMPARED:
        steps = _tuned(text, n, "exact")
        row: dict[str, Any] = {"sdp": [worst_case(sgd(steps[:k])).value for k in horizons]}
        for bound in BOUNDS:
            row[bound] = [RATES[bound](steps[:k]).value for k in range(1, n + 1)]
        rows[text] = row
    return {"horizons": horizons, "n": n, "rows": rows}


def _draw_pep(data: Data) -> Any:
    figure, axes = panels(2)
    for axis, text in zip(axes, COMPARED, strict=True):
        row = data["rows"][text]
        axis.plot(range(1, data["n"] + 1), row["theorem10"], "--", color=look(text)["color"], label="Theorem 10")
        axis.plot(range(1, data["n"] + 1), row["exact"], **look(text), label="exact rate")
        axis.plot(data["horizons"], row["sdp"], "o", color="black", label="semidefinite program")
        axis.set(xlabel="step n", ylabel="bound", ylim=(0, None), title=text)
        axis.legend()
    return figure


def _check_pep(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    for text in COMPARED:
        row = data["rows"][text]
        picked = np.array(data["horizons"]) - 1
        error = np.max(np.abs(np.array(row["exact"])[picked] / np.array(row["sdp"]) - 1.0))
        checks.append(
            holds(f"{text}: the exact rate is the program's value", error < 1e-6, f"{error:.1e}", kind="theory")
        )
        ratio = np.array(row["theorem10"])[picked] / np.array(row["sdp"])
        claim = f"{text}: Theorem 10 lies above the program, by less than 2.1"
        checks.append(
            holds(
                claim,
                ratio.min() >= 1.0 and ratio.max() < 2.1,
                f"{ratio.min():.2f} to {ratio.max():.2f}",
                kind="theory",
            )
        )
    return checks


# Extending the horizon


def _compute_extension(settings: Settings) -> Data:
    short = 400 if settings.quick else 4000
    result = settings.cache.get(f"agreement-extension-{short}", lambda: _extension(short))
    return {**result, "caption": f"First horizon {short}, extended to {2 * short}; WSD with 20% cooldown."}


def _extension(short: int) -> Data:
    long = 2 * short
    base_lr = tune_base_lr(schedules.wsd(short)).base_lr
    stable = np.full(int(0.8 * short), base_lr)
    rest = long - stable.size
    keep = np.concatenate([stable, base_lr * schedules.cooldown(np.ones(rest), int(0.2 * long))])
    factors = np.geomspace(0.2, 1.0, 41)

    def lowered(factor: float) -> Any:
        return np.concatenate([stable, factor * base_lr * schedules.cooldown(np.ones(rest), int(0.2 * long))])

    values = [exact_rate(lowered(factor)).value for factor in factors]
    best = int(np.argmin(values))
    continuation = optimal_continuation(stable, rest)
    scratch = schedules.wsd(long)
    tuned = scratch * tune_base_lr(scratch).base_lr
    runs = {
        "keep the learning rate": keep,
        "lower it, best factor": lowered(float(factors[best])),
        "optimal continuation": np.concatenate([stable, continuation.steps]),
        "WSD tuned for the long horizon": tuned,
    }
    rates = {name: {bound: RATES[bound](steps).value for bound in BOUNDS} for name, steps in runs.items()}
    optimum = 1.0 / np.sqrt(long + 1.0)
    return {"short": short, "factor": factors[best], "runs": runs, "rates": rates, "optimum": optimum}


def _draw_extension(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    colors = ("#E69F00", "#CC79A7", "#D55E00", "#000000")
    for (name, steps), color in zip(data["runs"].items(), colors, strict=True):
        top.plot(steps, color=color, label=name)
    top.axvline(0.8 * data["short"], color="#888888", linewidth=0.8, linestyle=":")
    top.set(xlabel="step", ylabel="step size / (D/G)", title="extending a WSD run before its cooldown", ylim=(0, None))
    top.legend()
    y = np.arange(len(data["rates"]))[::-1]
    bottom.barh(y, [row["exact"] / data["optimum"] for row in data["rates"].values()], color=colors)
    bottom.set_yticks(y, [name.replace(" for ", "\nfor ").replace(", ", ",\n") for name in data["rates"]])
    bottom.set(xlabel="exact rate / (DG/√(N+1))", xlim=(1.0, None))
    bottom.grid(axis="y", visible=False)
    return figure


def _check_extension(data: Data) -> list[FigureCheck]:
    rates = data["rates"]
    keep, lower, best, scratch = (row["exact"] for row in rates.values())
    return [
        holds(
            "lowering the learning rate at the extension beats keeping it",
            lower < keep,
            f"{lower:.5f} < {keep:.5f}",
            kind="regression",
        ),
        holds(
            "the learning rate has to fall when the horizon grows: the best factor is below 0.9",
            data["factor"] < 0.9,
            f"{data['factor']:.2f}",
            kind="regression",
        ),
        holds(
            "it comes within 3% of WSD tuned for the long horizon",
            lower < 1.03 * scratch,
            f"{lower / scratch - 1:+.2%}",
            kind="regression",
        ),
        holds(
            "the optimal continuation beats every WSD extension",
            best < lower,
            f"{best:.5f} < {lower:.5f}",
            kind="theory",
        ),
    ]


def _figure(name: str, shows: str, must_see: str, cost: str, functions: tuple[Any, Any, Any]) -> Figure:
    compute, draw, check = functions
    caption = "D = G = 1, deterministic; each bound uses its own best base learning rate unless stated."
    return Figure(name, PAPER, shows, must_see, caption, cost, compute, draw, check)


FIGURES = [
    _figure(
        "agreement-curves",
        "Bounds along training of WSD and cosine, by Theorem 10 and exact.",
        "The WSD bound falls suddenly in the cooldown, as training losses do, and ends near cosine's.",
        "3 s",
        (_compute_curves, _draw_curves, _check_curves),
    ),
    _figure(
        "agreement-cooldown",
        "The final bound against the cooldown length, with the base learning rate tuned for each or kept.",
        "Tuned for each length, longer cooldowns are better; with a fixed base learning rate, one length is best.",
        "3 s",
        (_compute_cooldown, _draw_cooldown, _check_cooldown),
    ),
    _figure(
        "agreement-transfer",
        "The best base learning rate over horizons and cooldown lengths.",
        "It falls like 1/sqrt N for every schedule, and is about twice as high for cosine as for WSD.",
        "3 s",
        (_compute_transfer, _draw_transfer, _check_transfer),
    ),
    _figure(
        "agreement-pep",
        "Bounds at every step of WSD and cosine beside the exact worst case by semidefinite programming.",
        "The worst case has the shape of the bound; the exact rate coincides with it.",
        "20 s",
        (_compute_pep, _draw_pep, _check_pep),
    ),
    _figure(
        "agreement-extension",
        "A WSD run extended to twice its horizon: keep the learning rate, lower it, continue optimally, or start over.",
        "Lowering the learning rate at the extension recovers most of what a run tuned for the long horizon reaches.",
        "3 s",
        (_compute_extension, _draw_extension, _check_extension),
    ),
]
