"""MOTAPS (2106.11851): the final gap over its damping gamma and its target step gamma_tau."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.forest import shown
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import gap_table, ratio
from lastiterate.theory import schedules
from lastiterate.theory.base.intervals import t_interval
from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.simulate import simulate

from .polyak import EPOCHS, LRS, MARGIN, RIDGE, SAMPLED, SOURCE, separable, settings_of

__all__ = ["FIGURES"]

TUNING, FRESH = range(3), range(100, 110)  # instances that choose a cell of the map, and those that are reported
WITHIN = 3.0


def _compute(settings: Settings) -> Data:
    size, seeds = (9, 2) if settings.quick else (25, 5)
    result = settings.cache.get(f"motaps-map-{size}-{seeds}", lambda: _map(size, seeds))
    caption = (
        f"{size} x {size} grid, {seeds} seeds an instance; a cell was chosen on {len(TUNING)} instances, drawn and "
    )
    return {**result, "caption": f"{caption}checked are {len(FRESH)} others."}


def _map(size: int, seeds: int) -> Data:
    gammas = np.linspace(0.05, 1.0, size)
    taus = np.append(0.0, np.geomspace(1e-4, 1.0, size - 1))

    def found(instances: range) -> Array:
        """Gaps over tuned SGD's, [instance][gamma_tau][gamma], the last cell of all for the authors' defaults."""
        return np.array([_ratios(separable(i, RIDGE), gammas, taus, seeds) for i in instances])

    tuning, fresh = found(TUNING), found(FRESH)
    chosen = np.log(tuning).mean(axis=0)
    cells = chosen[:-1].reshape(size, size)
    return {
        "gammas": gammas,
        "taus": taus,
        "gaps": fresh[:, :-1].reshape(len(FRESH), size, size),
        "defaults": fresh[:, -1],
        "best": np.unravel_index(int(np.argmin(cells)), cells.shape),
        "best_fixed": int(np.argmin(cells[0])),  # of the row gamma_tau = 0, whose target stays at 0
    }


def _ratios(problem: Problem, gammas: Array, taus: Array, seeds: int) -> Array:
    """Return the gaps of every cell, and of the authors' defaults, over that of tuned SGD on one instance."""
    n = EPOCHS * problem.n_samples
    reported = range(100, 100 + seeds)

    def mean_gap(base_lrs: Any, gamma_tau: float) -> Array:
        shared: dict[str, Any] = {"seeds": reported, "record": 1, **SAMPLED}
        run = simulate(problem, "motaps", schedules.constant(n), base_lr=base_lrs, gamma_tau=gamma_tau, **shared)
        gaps = np.where(run.diverged[0] | ~np.isfinite(run.final[0]), np.inf, run.final[0] - problem.f_star)
        return np.exp(np.log(gaps).mean(axis=1))

    table = gap_table(problem, "sgd", schedules.linear(n), LRS, seeds, 1, replacement=True)
    sgd = np.exp(np.log(table["gaps"][table["best"]]).mean())
    gamma, gamma_tau = settings_of(RIDGE)
    rows = [mean_gap(gammas, float(tau)) for tau in taus]
    return np.concatenate([*rows, mean_gap(gamma, gamma_tau)]) / sgd


def _draw(data: Data) -> Any:
    figure, axis = panels(1, height=3.0)
    gaps = np.exp(np.log(np.array(data["gaps"])).mean(axis=0))
    image = axis.imshow(
        np.log10(np.where(np.isfinite(gaps), gaps, np.nan)), origin="lower", cmap="cividis", aspect="auto"
    )
    every = -(-len(data["gammas"]) // 5)
    ticks = range(0, len(data["gammas"]), every)
    axis.set_xticks(ticks, [f"{data['gammas'][i]:.2f}" for i in ticks])
    axis.set_yticks(ticks, [f"{data['taus'][i]:.1g}" for i in ticks])
    row, column = data["best"]
    axis.plot(column, row, "o", mfc="none", mec="#D55E00", ms=7, mew=1.5)
    axis.set(xlabel="damping gamma", ylabel="target step gamma_tau (0: no learning)")
    axis.set_title("MOTAPS without interpolation (ring: chosen)")
    axis.grid(visible=False)
    figure.colorbar(image, label="log10 of the gap over tuned SGD's")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    gaps, (row, column) = np.array(data["gaps"]), data["best"]
    chosen, ones = gaps[:, row, column], [1.0] * len(FRESH)
    place = f"gamma {data['gammas'][column]:.2f}, gamma_tau {data['taus'][row]:.1g}"
    fixed = ratio(chosen, gaps[:, 0, data["best_fixed"]])
    sgd, defaults = ratio(chosen, ones), ratio(data["defaults"], chosen)
    wide = t_interval([float(np.mean(one <= WITHIN * best)) for one, best in zip(gaps, chosen, strict=True)])
    return [
        holds(
            "a learned target (chosen cell) ends below the target 0 at its own best damping",
            fixed[2] < 1.0,
            f"{place}: ratio {shown(fixed)}",
            kind="regression",
        ),
        holds(
            f"a region, not a point, is good: over 5% of the grid within {WITHIN:g} times the chosen cell",
            wide.low > 0.05,
            f"{wide.value:.0%} [{wide.low:.0%}, {wide.high:.0%}]",
            kind="regression",
        ),
        holds(
            f"the chosen cell is within {MARGIN:g} times the gap of tuned SGD",
            sgd[2] <= MARGIN,
            f"ratio {shown(sgd, MARGIN)}",
            kind="published",
            source=SOURCE,
        ),
        holds(
            "the authors' defaults are worse than the chosen cell",
            defaults[1] > 1.0,
            f"ratio {shown(defaults)}",
            kind="regression",
        ),
    ]


FIGURES = [
    Figure(
        name="motaps-map",
        paper="SP, TAPS, MOTAPS (2106.11851)",
        shows="The final gap of MOTAPS over its damping gamma and its target step gamma_tau, over that of tuned SGD.",
        must_see="How wide the region of good parameters is; without interpolation the target has to be learned.",
        caption=f"Separable logistic regression (n = 50, d = 200) with l2 = 1/n, {EPOCHS} epochs; geometric means over "
        "instances; SGD with linear decay, its rate chosen on other seeds.",
        cost="15 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    ),
]
