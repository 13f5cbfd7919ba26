"""Bounds beside training curves (arXiv 2501.18965): transfer of the base learning rate, the worst case, extension."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, FigureCheck, Settings, close, holds
from lastiterate.theory import schedules
from lastiterate.theory.optimal.closed_form import optimal_continuation
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr

from .agreement import BOUNDS, COMPARED, LABELS, RATES, agreement_figure, tuned_steps

__all__ = ["FIGURES"]

# The best base learning rate over horizons


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
        steps = tuned_steps(text, n, "exact")
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


FIGURES = [
    agreement_figure(
        "agreement-transfer",
        "The best base learning rate over horizons and cooldown lengths.",
        "It falls like 1/sqrt N for every schedule, and is about twice as high for cosine as for WSD.",
        "3 s",
        (_compute_transfer, _draw_transfer, _check_transfer),
    ),
    agreement_figure(
        "agreement-pep",
        "Bounds at every step of WSD and cosine beside the exact worst case by semidefinite programming.",
        "The worst case has the shape of the bound; the exact rate coincides with it.",
        "20 s",
        (_compute_pep, _draw_pep, _check_pep),
    ),
    agreement_figure(
        "agreement-extension",
        "A WSD run extended to twice its horizon: keep the learning rate, lower it, continue optimally, or start over.",
        "Lowering the learning rate at the extension recovers most of what a run tuned for the long horizon reaches.",
        "3 s",
        (_compute_extension, _draw_extension, _check_extension),
    ),
]
