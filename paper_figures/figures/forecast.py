"""Forecasts (arXiv 2509.19189, 2602.06797): the functional law on linear regression, where losses are known exactly."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lastiterate.experiments.forecast.fitting import fit_losses
from lastiterate.experiments.forecast.log import LossLog
from lastiterate.experiments.forecast.result import ForecastWarning, LossFit
from lastiterate.experiments.plots.forecast import plot_cooldowns
from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.theory import schedules
from lastiterate.theory.base.validation import Array

__all__ = ["FIGURES"]

PAPER = "Functional scaling laws (2509.19189)"
CAPACITY, SOURCE = 2.0, 0.6
LABEL_NOISE, FLOOR = 2.0, 0.3
PEAK = 0.05
FITTED = ("constant", "cosine:minimum=0.1", "wsd:cooldown=0.2")
PREDICTED = (("linear", 1.0), ("constant", 0.4), ("wsd:cooldown=0.5", 2.0))
FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def exact_losses(steps: Array, n_modes: int = 1500) -> Array:
    """Return the expected risk of SGD on linear regression with label noise after each step.

    Eigenvalues i^-beta and shares of the initial risk i^-(1 + s beta), so that the risk without noise falls like
    t^-s, and a kernel with the exponent 2 - 1 / beta.
    """
    i = np.arange(1.0, n_modes + 1.0)
    spectrum = i**-CAPACITY
    squares = i ** -(1.0 + SOURCE * CAPACITY) / spectrum
    losses = np.empty(steps.size)
    for k, h in enumerate(steps.tolist()):
        squares = (1.0 - h * spectrum) ** 2 * squares + h * h * LABEL_NOISE * spectrum
        losses[k] = FLOOR + 0.5 * float(spectrum @ squares)
    return losses


def _log(text: str, n: int, peak: float) -> LossLog:
    steps = peak * schedules.parse(text, n)
    at = np.arange(n // 200, n + 1, n // 200)
    return LossLog(steps, at, exact_losses(steps)[at - 1], weight_decay=0.0, name=text)


def _fit(n: int, law: str) -> LossFit:
    return fit_losses([_log(text, n, PEAK) for text in FITTED], law)


def _compute_curves(settings: Settings) -> Data:
    n = 4000 if settings.quick else 20_000
    result = settings.cache.get(f"forecast-curves-{n}", lambda: _curves(n))
    return {**result, "caption": f"N = {n}, 1500 eigenvalues i^-2, fitted on three schedules at one peak."}


def _curves(n: int) -> Data:
    fits = {law: _fit(n, law) for law in ("functional_power", "multi_power")}
    rows: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)  # other peaks are the point
        for text, factor in PREDICTED:
            log = _log(text, n, PEAK * factor)
            losses = {law: fit.predict(log.steps)[log.at] for law, fit in fits.items()}
            rows[f"{text}, {factor:g} of the peak"] = {"at": log.at, "exact": log.loss, **losses}
    return {"rows": rows, "parameters": fits["functional_power"].parameters}


def _draw_curves(data: Data) -> Any:
    figure, axes = panels(len(data["rows"]), height=2.4)
    for axis, (name, row) in zip(np.atleast_1d(axes), data["rows"].items(), strict=True):
        late = np.array(row["at"]) > 0.05 * max(row["at"])
        at = np.array(row["at"])[late]
        axis.plot(at, np.array(row["exact"])[late], color="black", linewidth=2.5, label="exact")
        axis.plot(at, np.array(row["functional_power"])[late], "--", color="#E69F00", label="functional law")
        axis.plot(at, np.array(row["multi_power"])[late], ":", color="#0072B2", label="multi-power law")
        axis.set(xlabel="step", ylabel="loss", title=name)
        axis.legend()
    return figure


def _check_curves(data: Data) -> list[FigureCheck]:
    errors = {
        law: [float(np.mean(np.abs(np.array(row[law]) - row["exact"])[10:])) for row in data["rows"].values()]
        for law in ("functional_power", "multi_power")
    }
    worst = max(errors["functional_power"])
    parameters = data["parameters"]
    return [
        close("exponent of the signal", parameters["s"], SOURCE, 0.05, kind="theory"),
        close("exponent of the kernel", 1.0 + parameters["q"], 2.0 - 1.0 / CAPACITY, 0.15, kind="theory"),
        close("power of the rate that the noise follows", parameters["m"], 1.0, 0.1, kind="theory"),
        holds(
            "the functional law predicts other schedules and peaks to 0.002",
            worst < 0.002,
            f"{worst:.5f}",
            kind="regression",
        ),
        holds(
            "a law whose noise is only in the falls of the rate misses other peaks by over 0.01",
            min(errors["multi_power"][1:]) > 0.01,
            ", ".join(f"{error:.4f}" for error in errors["multi_power"][1:]),
            kind="regression",
        ),
    ]


def _compute_cooldown(settings: Settings) -> Data:
    n = 4000 if settings.quick else 20_000
    result = settings.cache.get(f"forecast-cooldown-{n}", lambda: _cooldown(n))
    return {**result, "caption": f"N = {n}; lines are predicted from three runs at one peak, dots are exact."}


def _cooldown(n: int) -> Data:
    fit = _fit(n, "functional_power")
    rows: dict[str, Any] = {}
    for factor in (0.5, 1.0, 2.0):
        logs = [_log(f"wsd:cooldown={fraction}", n, factor * PEAK) for fraction in FRACTIONS]
        forecasts = [fit.forecast(log.steps) for log in logs]
        rows[f"peak {factor * PEAK:g}"] = {
            "fractions": FRACTIONS,
            "predicted": [f.final for f in forecasts],
            "low": [f.low for f in forecasts],
            "high": [f.high for f in forecasts],
            "measured_fractions": FRACTIONS,
            "measured": [float(log.loss[-1]) for log in logs],
        }
    return {"rows": rows}


def _draw_cooldown(data: Data) -> Any:
    return plot_cooldowns(data["rows"])


def _check_cooldown(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    best: list[float] = []
    for name, row in data["rows"].items():
        chosen = int(np.argmin(row["predicted"]))
        regret = row["measured"][chosen] - min(row["measured"])
        best.append(row["fractions"][int(np.argmin(row["measured"]))])
        claim = f"{name}: the predicted best cooldown is within 0.0005 of the best"
        checks.append(
            holds(claim, regret < 5e-4, f"{row['fractions'][chosen]:g}, {regret:.5f} above", kind="regression")
        )
    claim = "a higher peak wants no shorter cooldown"
    checks.append(holds(claim, best == sorted(best), ", ".join(f"{b:g}" for b in best), kind="regression"))
    return checks


FIGURES = [
    Figure(
        "forecast-linear-regression",
        PAPER,
        "Losses of SGD on linear regression with label noise, exact and predicted by laws fitted to three other runs.",
        "The functional law recovers the exponents of the theory and predicts other schedules, lengths and peaks.",
        "Exact recursion, no sampling.",
        "20 s",
        _compute_curves,
        _draw_curves,
        _check_curves,
    ),
    Figure(
        "forecast-cooldown",
        "Optimal schedules under functional laws (2602.06797)",
        "Final losses over the length of the cooldown at three peaks, predicted from three runs at one of them.",
        "The predicted best cooldown is the measured one.",
        "Exact recursion, no sampling.",
        "20 s",
        _compute_cooldown,
        _draw_cooldown,
        _check_cooldown,
    ),
]
