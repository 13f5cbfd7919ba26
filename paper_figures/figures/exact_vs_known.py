"""The exact rate beside Theorem 10 and the semidefinite program, and the rates of polynomial decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.theory import schedules
from lastiterate.theory.methods.step_matrix import sgd
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr

__all__ = ["FIGURES"]

FAMILIES = (
    "linear",
    "one_minus_sqrt",
    "rex",
    "cosine",
    "polynomial:power=2",
    "wsd:cooldown=0.2",
    "inverse_sqrt",
    "stepwise",
    "constant",
)
# theory sheet: N + 1 = 1000, exact rate at the best base learning rate, units DG/sqrt(N+1)
LINEAR_SOURCE = "arXiv 2307.11134, abstract, p. 1"
KNOWN_AT_1000 = {  # in units of DG/sqrt(N+1)
    "linear": 1.000,
    "one_minus_sqrt": 1.007,
    "cosine": 1.030,
    "polynomial:power=2": 1.060,
    "wsd:cooldown=0.2": 1.081,
    "inverse_sqrt": 1.374,
    "stepwise": 1.394,
    "constant": 1.608,
}
POWERS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0)


def _compute_known(settings: Settings) -> Data:
    largest = 10_000 if settings.quick else 1_000_000
    sdp_horizons = (2, 5, 10, 20) if settings.quick else (2, 5, 10, 20, 40, 60)
    mode = "quick" if settings.quick else "full"
    curves = settings.cache.get(f"exact-curves-{mode}", lambda: _curves(largest))
    settings.progress("semidefinite programs")
    sdp = settings.cache.get(f"exact-sdp-{mode}", lambda: _sdp(sdp_horizons))
    caption = (
        f"Horizons 1 to {largest}; semidefinite programs at {', '.join(map(str, sdp_horizons))} steps. Deterministic."
    )
    return {"curves": curves, "sdp": sdp, "caption": caption}


def _curves(largest: int) -> Data:
    horizons = np.unique(np.geomspace(1, largest, 25).round().astype(int))
    rows: dict[str, Any] = {}
    for text in FAMILIES:
        values = {"exact": [], "theorem10": []}
        for n in horizons:
            steps = schedules.parse(text, int(n))
            for bound, row in values.items():
                row.append(tune_base_lr(steps, bound=bound).value * np.sqrt(n + 1.0))
        values["at_1000"] = tune_base_lr(schedules.parse(text, 999)).value * np.sqrt(1000.0)
        values["theorem10_at_1000"] = tune_base_lr(schedules.parse(text, 999), bound="theorem10").value * np.sqrt(
            1000.0
        )
        rows[text] = values
    return {"horizons": horizons, "rows": rows}


def _sdp(horizons: tuple[int, ...]) -> Data:
    from lastiterate.solvers.worst_case.solve import worst_case

    rows: dict[str, Any] = {}
    for text in FAMILIES:
        values, ratios = [], []
        for n in horizons:
            shape = schedules.parse(text, n)
            steps = shape * tune_base_lr(shape).base_lr
            value = worst_case(sgd(steps)).value
            values.append(value * np.sqrt(n + 1.0))
            ratios.append(exact_rate(steps).value / value)
        rows[text] = {"values": values, "ratios": ratios}
    return {"horizons": horizons, "rows": rows}


def _draw_known(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    horizons = np.array(data["curves"]["horizons"])
    for text, row in data["curves"]["rows"].items():
        top.semilogx(horizons, row["exact"], label=text.split(":")[0].replace("_", " "), **look(text))
        top.plot(data["sdp"]["horizons"], data["sdp"]["rows"][text]["values"], "o", color=look(text)["color"], ms=2.5)
        ratio = np.array(row["theorem10"]) / np.array(row["exact"])
        bottom.semilogx(horizons, ratio, **look(text))
    top.set(xlabel="steps N", ylabel="rate / (DG/√(N+1))", title="exact rate (lines), semidefinite program (dots)")
    top.set_ylim(0.95, 2.3)
    top.legend(ncols=2)
    bottom.axhline(2.0, color="black", linestyle=":")
    bottom.set(xlabel="steps N", ylabel="ratio", title="Theorem 10 over the exact rate, both tuned")
    figure.set_size_inches(3.4, 4.8)
    return figure


def _check_known(data: Data) -> list[FigureCheck]:
    rows = data["curves"]["rows"]
    checks = [
        close(f"exact rate of {text}, N+1 = 1000", rows[text]["at_1000"], value, 0.003, kind="regression")
        for text, value in KNOWN_AT_1000.items()
        if text != "linear"
    ]
    linear = rows["linear"]["at_1000"]
    checks.append(
        close("linear decay in units of DG/sqrt(N+1)", linear, 1.0, 1e-6, kind="published", source=LINEAR_SOURCE)
    )
    worst = max(abs(ratio - 1.0) for row in data["sdp"]["rows"].values() for ratio in row["ratios"])
    checks.append(
        holds(
            "exact rate equals the semidefinite program to 1e-6",
            worst < 1e-6,
            f"largest |ratio - 1| {worst:.1e}",
            kind="theory",
        )
    )
    ratios = [row["theorem10"][-1] / row["exact"][-1] for row in rows.values()]
    span = f"{min(ratios):.3f} to {max(ratios):.3f} at N = {data['curves']['horizons'][-1]}"
    checks.append(
        holds(
            "Theorem 10 is about twice the exact rate for every family (1.7 to 2.2)",
            min(ratios) > 1.7 and max(ratios) < 2.2,
            span,
            kind="regression",
        )
    )
    return checks


def _compute_powers(settings: Settings) -> Data:
    largest = 100_000 if settings.quick else 1_000_000
    name = f"polynomial-rates-{'quick' if settings.quick else 'full'}"
    result = settings.cache.get(name, lambda: _powers(largest))
    return {**result, "caption": f"Horizons up to {largest}. Deterministic."}


def _powers(largest: int) -> Data:
    horizons = np.unique(np.geomspace(10, largest, 13).round().astype(int))
    powers = np.geomspace(0.4, 5.0, 23)
    at = {
        f"{p:g}": [tune_base_lr(schedules.polynomial(int(n), p)).value * np.sqrt(n + 1.0) for n in horizons]
        for p in POWERS
    }
    dense = [tune_base_lr(schedules.polynomial(largest, p)).value * np.sqrt(largest + 1.0) for p in powers]
    return {"horizons": horizons, "powers": powers, "at": at, "dense": dense}


def limit(power: Any) -> Any:
    """Return the limit (p + 1)/(2 sqrt p) of the rate of (1-s)^p in units DG/sqrt(N+1).

    >>> limit(1.0)
    1.0
    """
    return (power + 1.0) / (2.0 * power**0.5)


def _draw_powers(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    powers = np.array(data["powers"])
    top.semilogx(powers, limit(powers), "k:", label="(p+1)/(2√p)")
    top.semilogx(powers, data["dense"], "o", color="#D55E00", label=f"exact, N = {data['horizons'][-1]}")
    top.set(xlabel="power p", ylabel="rate / (DG/√(N+1))", title="polynomial decay $(1-s)^p$")
    ticks = [0.5, 1, 2, 4]
    top.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    top.minorticks_off()
    top.legend()
    for index, (p, values) in enumerate(data["at"].items()):
        color = ("#0072B2", "#E69F00", "#000000", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")[index]
        bottom.loglog(
            data["horizons"], np.abs(np.array(values) / limit(float(p)) - 1.0) + 1e-16, label=f"p = {p}", color=color
        )
    bottom.set(xlabel="steps N", ylabel="relative distance to the limit", ylim=(1e-6, 1))
    bottom.legend(ncols=2)
    figure.set_size_inches(3.4, 4.6)
    return figure


def _check_powers(data: Data) -> list[FigureCheck]:
    final = {p: values[-1] for p, values in data["at"].items()}
    return [
        close(f"p = {p}, N = {data['horizons'][-1]}", value, limit(float(p)), 0.003, kind="theory")
        for p, value in final.items()
    ]


FIGURES = [
    Figure(
        name="exact-against-known",
        paper="Exact rates (2307.11134, 2310.07831)",
        shows="Exact rates of all families over horizons with the semidefinite program, and the gap of Theorem 10.",
        must_see="The exact rate equals the semidefinite program; Theorem 10 is about a factor of two above it.",
        caption="D = G = 1, base learning rate tuned for each horizon and bound.",
        cost="20 s",
        compute=_compute_known,
        draw=_draw_known,
        check=_check_known,
    ),
    Figure(
        name="polynomial-rates",
        paper="Exact rates (2307.11134, 2310.07831)",
        shows="The exact rate of polynomial decay (1-s)^p at the best base learning rate.",
        must_see="The rate tends to (p+1)/(2 sqrt p) times DG/sqrt(N+1).",
        caption="D = G = 1.",
        cost="10 s",
        compute=_compute_powers,
        draw=_draw_powers,
        check=_check_powers,
    ),
]
