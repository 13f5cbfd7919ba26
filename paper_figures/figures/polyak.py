"""SP, TAPS, MOTAPS (2106.11851): with and without interpolation, and the map over the two damping parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SOURCE = "arXiv 2106.11851, abstract, p. 1"

EPOCHS = 50
COLORS = {"sgd": "#000000", "sp": "#E69F00", "sps_max": "#56B4E9", "taps": "#0072B2", "motaps": "#D55E00"}


def settings_of(sigma: float) -> tuple[float, float]:
    """Return the authors' defaults (gamma, gamma_tau) for the regularisation sigma.

    >>> settings_of(0.0)
    (1.0, 0.0010000000000000009)
    """
    gamma = 1.0 / (1.0 + 0.25 * sigma * np.exp(sigma))
    return float(gamma), float(0.9 - 0.899 * gamma)


def _separable() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((50, 200)) / np.sqrt(200)
    return features, np.sign(features @ rng.standard_normal(200))


def _compute(settings: Settings) -> Data:
    return settings.cache.get("taps-interpolation", lambda: _cases(3 if settings.quick else 10))


def _cases(seeds: int) -> Data:
    features, signs = _separable()
    data = dataset("breast_cancer", scale="standard")
    cases = {
        "interpolation": (problems.logistic(features, signs), 0.0),
        "no interpolation": (problems.logistic(features, signs, l2=1 / 50), 1 / 50),
        "breast cancer, l2 = 0.1": (problems.logistic(data.features, data.one_against_rest(1), l2=0.1), 0.1),
    }
    return {name: _case(problem, sigma, seeds) for name, (problem, sigma) in cases.items()}


def _case(problem: Any, sigma: float, seeds: int) -> Data:
    n = EPOCHS * problem.n_samples
    gamma, gamma_tau = settings_of(sigma)
    common: dict[str, Any] = {"batch_size": 1, "replacement": True, "seeds": seeds, "record": 60, "progress": False}
    flat = schedules.constant(n)
    L = 0.25 * float(np.max(np.sum(np.asarray(problem.matrix) ** 2, axis=1))) + sigma
    runs = {
        "sgd": simulate(problem, "sgd", schedules.linear(n), base_lr=np.geomspace(0.01, 100, 13), **common),
        "sp": simulate(problem, "sp", flat, eps=1e-12, **common),
        "sps_max": simulate(problem, "sps_max", flat, base_lr=4.0 / L, **common),
        "taps": simulate(problem, "taps", flat, base_lr=1.0, **common),
        "motaps": simulate(problem, "motaps", flat, base_lr=gamma, gamma_tau=gamma_tau, **common),
    }
    rows: Data = {}
    for name, run in runs.items():
        gaps = np.median(run.f[0] - problem.f_star, axis=1)
        row = gaps[int(np.argmin(np.where(np.isfinite(gaps[:, -1]), gaps[:, -1], np.inf)))]
        rows[name] = {"epochs": run.recorded / problem.n_samples, "gap": row}
    return rows


def _draw(data: Data) -> Any:
    figure, axes = panels(3, height=1.9)
    for axis, (case, rows) in zip(axes, data.items(), strict=True):
        for method, row in rows.items():
            axis.semilogy(row["epochs"], np.maximum(row["gap"], 1e-8), color=COLORS[method], label=method.upper())
        axis.set(title=case, ylabel="gap")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    axes[-1].set_xlabel("epoch")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    last = {case: {method: row["gap"][-1] for method, row in rows.items()} for case, rows in data.items()}
    inside, outside, cancer = last.values()
    return [
        holds(
            "with interpolation SP beats TAPS and MOTAPS",
            inside["sp"] < 0.1 * min(inside["taps"], inside["motaps"]),
            ", ".join(f"{m} {v:.1e}" for m, v in inside.items()),
            kind="regression",
        ),
        holds(
            "without interpolation SP stalls and MOTAPS beats it by far",
            outside["motaps"] < 0.2 * outside["sp"],
            ", ".join(f"{m} {v:.1e}" for m, v in outside.items()),
            kind="published",
            source=SOURCE,
        ),
        holds(
            "breast cancer: MOTAPS beats SP",
            cancer["motaps"] < cancer["sp"],
            ", ".join(f"{m} {v:.1e}" for m, v in cancer.items()),
            kind="published",
            source=SOURCE,
        ),
    ]


def _compute_map(settings: Settings) -> Data:
    size = 9 if settings.quick else 25
    result = settings.cache.get(f"motaps-map-{size}", lambda: _map(size))
    return {**result, "caption": f"{size} x {size} grid, median of 3 seeds."}


def _map(size: int) -> Data:
    features, signs = _separable()
    problem = problems.logistic(features, signs, l2=1 / 50)
    n = EPOCHS * problem.n_samples
    gammas = np.linspace(0.05, 1.0, size)
    taus = np.append(0.0, np.geomspace(1e-4, 1.0, size - 1))
    gaps = np.empty((size, size))
    for row, tau in enumerate(taus):
        run = simulate(
            problem,
            "motaps",
            schedules.constant(n),
            base_lr=gammas,
            gamma_tau=float(tau),
            batch_size=1,
            replacement=True,
            seeds=3,
            record=1,
            progress=False,
        )
        gaps[row] = np.median(np.where(np.isfinite(run.final[0]), run.final[0], np.inf) - problem.f_star, axis=1)
    return {"gammas": gammas, "taus": taus, "gaps": gaps}


def _draw_map(data: Data) -> Any:
    figure, axis = panels(1, height=2.9)
    gaps = np.log10(np.clip(np.array(data["gaps"], dtype=float), 1e-12, 1e6))
    image = axis.imshow(gaps, origin="lower", cmap="cividis", aspect="auto", vmax=1.0)
    every = -(-len(data["gammas"]) // 5)
    ticks = range(0, len(data["gammas"]), every)
    axis.set_xticks(ticks, [f"{data['gammas'][i]:.2f}" for i in ticks])
    axis.set_yticks(ticks, [f"{data['taus'][i]:.1e}" for i in ticks])
    axis.set(xlabel="gamma", ylabel="gamma_tau", title="MOTAPS without interpolation")
    axis.grid(visible=False)
    figure.colorbar(image, label="log10 gap")
    return figure


def _check_map(data: Data) -> list[FigureCheck]:
    gaps = np.array(data["gaps"], dtype=float)
    learns = gaps[1:].min() < 0.5 * gaps[0].min()
    wide = float(np.mean(gaps < 3.0 * gaps.min()))
    return [
        holds(
            "learning the target (gamma_tau > 0) beats the target 0",
            learns,
            f"{gaps[1:].min():.1e} against {gaps[0].min():.1e}",
            kind="regression",
        ),
        holds(
            "a region, not a point, is good: over 5% of the grid within 3 times the best",
            wide > 0.05,
            f"{wide:.0%}",
            kind="regression",
        ),
    ]


FIGURES = [
    Figure(
        name="taps-interpolation",
        paper="SP, TAPS, MOTAPS (2106.11851)",
        shows="Polyak steps with target 0 (SP), capped (SPS_max), f* known (TAPS), and a learned target (MOTAPS).",
        must_see="Under interpolation SP is fastest; without it SP stalls and MOTAPS comes close to the minimum.",
        caption="Logistic regression: separable data (n = 50, d = 200) without and with l2 = 1/n, and breast_cancer "
        "with l2 = 0.1; 50 epochs, single samples with replacement, median of 3 seeds (10 in full mode); SGD with "
        "linear decay at the best of 13 base learning rates for reference.",
        cost="5 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    ),
    Figure(
        name="motaps-map",
        paper="SP, TAPS, MOTAPS (2106.11851)",
        shows="The final gap of MOTAPS over its damping gamma and its target step gamma_tau.",
        must_see="A wide region of the two parameters is good; without interpolation the target has to be learned.",
        caption="Separable logistic regression (n = 50, d = 200) with l2 = 1/n, 50 epochs.",
        cost="5 s",
        compute=_compute_map,
        draw=_draw_map,
        check=_check_map,
    ),
]
