"""Re-warming (2308.04014): what a second training run does to the old and the new task, and theory's continuation."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.tuned import ratio
from lastiterate.theory import problems, schedules
from lastiterate.theory.optimal.closed_form import optimal_continuation, optimal_schedule
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

SOURCE = "arXiv 2308.04014, abstract, p. 1"

PAPER = "Re-warming (2308.04014)"
DIM, STEPS, LOW = 40, 3000, 0.1
ADAM = {"beta1": 0.9, "beta2": 0.95}
PEAK_LR = 0.002


def second_run(warmup: float, peak: float, n: int = STEPS) -> Any:
    """Return warm-up over ``warmup`` of the run, then cosine down to a tenth of the first run's peak.

    >>> second_run(0.5, 1.0, n=4).round(3)
    array([0.5  , 1.   , 0.775, 0.325])
    """
    ramp = int(warmup * n)
    it = np.arange(1, n + 1)
    decay = LOW + (peak - LOW) * np.cos(0.5 * np.pi * np.clip((it - ramp) / (n - ramp + 1), 0.0, 1.0)) ** 2
    return np.where(it <= ramp, peak * it / max(ramp, 1), decay)


VARIANTS = {
    "re-warm, 1% warm-up": (0.01, 1.0),
    "re-warm, no warm-up": (0.0, 1.0),
    "half the peak": (0.01, 0.5),
    "double the peak": (0.01, 2.0),
}


def _compute(settings: Settings) -> Data:
    seeds, instances = (5, 10) if settings.quick else (20, 40)
    result = settings.cache.get(f"rewarming-{seeds}", lambda: _two_stages(seeds))
    ends = settings.cache.get(f"rewarming-others-{seeds}-{instances}", lambda: _others(seeds, instances))
    return {"rows": result, "ends": ends, "caption": f"{seeds} seeds, medians; claims on {instances} other instances."}


def _others(seeds: int, instances: int) -> Data:
    """Final losses on pairs of problems that chose no setting: by name, what, and instance."""
    found = [_two_stages(seeds, instance) for instance in range(1, instances + 1)]
    return {
        name: {
            "downstream": [float(rows[name]["downstream"][-1]) for rows in found],
            "upstream": [rows[name]["upstream_end"] for rows in found],
        }
        for name in found[0]
    }


def _two_stages(seeds: int, instance: int = 0) -> Data:
    rng = np.random.default_rng(instance)
    spectrum = np.arange(1, DIM + 1.0) ** -1.5
    upstream = rng.standard_normal(DIM)
    downstream = upstream + 0.7 * rng.standard_normal(DIM)
    common: dict[str, Any] = {"noise": 0.3, "base_lr": PEAK_LR, "progress": False, **ADAM}
    first = schedules.cosine(STEPS) * (1 - LOW) + LOW
    finished = simulate(problems.quadratic(spectrum, -upstream), "adam", first, seeds=1, record=1, **common)
    start = finished.points[0, 0, 0] + upstream - downstream
    scratch = -downstream
    shapes = {name: second_run(*settings) for name, settings in VARIANTS.items()}
    tuned = first * tune_base_lr(first).base_lr
    shapes["theory's continuation"] = optimal_continuation(tuned, STEPS).steps / tuned.max()
    shapes["constant, low"] = np.full(STEPS, LOW)
    shapes["constant, high"] = np.ones(STEPS)
    cases = {
        **{name: (steps, start) for name, steps in shapes.items()},
        "from scratch": (second_run(0.01, 1.0), scratch),
    }
    rows: Data = {}
    for name, (steps, x0) in cases.items():
        problem = problems.quadratic(spectrum, x0)
        run = simulate(problem, "adam", steps, seeds=seeds, record=300, **common)
        ends = run.points[0, 0] + downstream - upstream
        rows[name] = {
            "step": run.recorded,
            "downstream": np.median(run.f[0, 0], axis=0),
            "upstream_end": float(np.median(0.5 * np.sum(spectrum * ends**2, axis=1))),
        }
    return rows


def _draw(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    colors = dict(
        zip(
            data["rows"],
            ("#D55E00", "#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#BBBBBB", "#888888", "#000000"),
            strict=True,
        )
    )
    for name, row in data["rows"].items():
        top.semilogy(np.array(row["step"]) + 1, row["downstream"], color=colors[name], label=name)
        bottom.plot(row["downstream"][-1], row["upstream_end"], "o", color=colors[name], ms=5)
    top.set(xlabel="step of the second run", ylabel="downstream loss", xscale="log")
    bottom.set(xlabel="downstream loss at the end", ylabel="upstream loss at the end", xscale="log")
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.set_size_inches(3.4, 5.4)
    return figure


def _check(data: Data) -> list[FigureCheck]:
    """Claims on instances that chose nothing: geometric means of ratios with 95% t intervals over the instances."""
    ends = data["ends"]
    main, theory = "re-warm, 1% warm-up", "theory's continuation"

    def compared(claim: str, a: str, b: str, what: str = "downstream", **target: Any) -> FigureCheck:
        mean, low, high = ratio(ends[a][what], ends[b][what])
        return holds(claim, high < 1.0, f"ratio {mean:.3f} [{low:.3f}, {high:.3f}]", **target)

    mean, low, high = ratio(ends[main]["downstream"], ends["re-warm, no warm-up"]["downstream"])
    own: dict[str, Any] = {"kind": "regression"}
    published: dict[str, Any] = {"kind": "published", "source": SOURCE}
    return [
        compared("re-warming beats continuing at the low learning rate downstream", main, "constant, low", **own),
        compared("and beats training from scratch", main, "from scratch", **published),
        holds(
            "the length of the warm-up hardly matters in the end (within 15%)",
            low > 1.0 / 1.15 and high < 1.15,
            f"ratio {mean:.3f} [{low:.3f}, {high:.3f}]",
            **own,
        ),
        compared("a higher peak costs more upstream", main, "double the peak", "upstream", **own),
        compared("and a lower one less", "half the peak", main, "upstream", **own),
        compared("half the peak is worse downstream", main, "half the peak", **own),
        compared("against theory: training from scratch beats its continuation", "from scratch", theory, **own),
        compared("against re-warming: a constant high rate ends below it", "constant, high", main, **own),
    ]


def _compute_theory(settings: Settings) -> Data:
    n = 500 if settings.quick else 5000
    return {**settings.cache.get(f"rewarming-theory-{n}", lambda: _theory(n)), "caption": f"First run {n} steps."}


def _theory(n: int) -> Data:
    first = schedules.linear(n) * tune_base_lr(schedules.linear(n)).base_lr
    lengths = np.unique(np.geomspace(n / 20, 4 * n, 13).round().astype(int))
    rows: Data = {"optimal": [], "re-warm to the old peak": [], "start over": [], "peak": []}
    for m in lengths:
        best = optimal_continuation(first, int(m))
        rows["optimal"].append(best.value)
        rows["peak"].append(float(best.steps.max() / first.max()))
        linear = np.concatenate([first, first.max() * schedules.linear(int(m))])
        rows["re-warm to the old peak"].append(exact_rate(linear).value)
        rows["start over"].append(optimal_schedule(int(m)).value)
    example = optimal_continuation(first, n)
    return {
        "n": n,
        "lengths": lengths,
        "rows": rows,
        "first": first,
        "rest": example.steps,
        "prefix": exact_rate(first).value,
    }


def _draw_theory(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    n = data["n"]
    top.plot(range(n), data["first"], color="#000000", label="finished run")
    top.plot(range(n, 2 * n), data["rest"], color="#D55E00", label="optimal continuation")
    top.set(
        xlabel="step", ylabel="step size / (D/G)", title="theory re-warms at once, then decays linearly", ylim=(0, None)
    )
    top.legend()
    share = np.array(data["lengths"]) / n
    for name, color in (("optimal", "#D55E00"), ("re-warm to the old peak", "#E69F00"), ("start over", "#0072B2")):
        bottom.loglog(share, data["rows"][name], "o-", color=color, label=name)
    bottom.axhline(data["prefix"], color="#000000", linestyle=":", label="finished run as it is")
    bottom.set(xlabel="new steps / old steps", ylabel="exact rate")
    bottom.legend()
    return figure


def _check_theory(data: Data) -> list[FigureCheck]:
    rows = {name: np.array(values) for name, values in data["rows"].items()}
    others = np.minimum(rows["re-warm to the old peak"], rows["start over"])
    shown = ", ".join(f"{peak:.2f}" for peak in rows["peak"][::4])
    return [
        holds(
            "the optimal continuation is never worse than re-warming or starting over",
            np.all(rows["optimal"] <= others * (1 + 1e-9)),
            f"largest ratio {np.max(rows['optimal'] / others):.3f}",
            kind="theory",
        ),
        holds(
            "nor worse than the finished run",
            np.all(rows["optimal"] <= data["prefix"] * (1 + 1e-9)),
            f"{rows['optimal'].max():.4f} against {data['prefix']:.4f}",
            kind="theory",
        ),
        holds(
            "the optimal peak lies below the old one",
            rows["peak"].max() < 1.0,
            f"peaks {shown} of the old one",
            kind="regression",
        ),
    ]


FIGURES = [
    Figure(
        name="rewarming",
        paper=PAPER,
        shows="Downstream loss of second runs with several warm-ups and peaks, and what they cost upstream.",
        must_see="Re-warming ends below training from scratch and below the low rate; warm-up length hardly matters; "
        "a higher peak costs more upstream.",
        caption="Two 40-dimensional quadratics with eigenvalues i^-1.5, Adam (0.9, 0.95) with a fresh state, noise "
        "0.3, 3000 steps each, base learning rate 0.002, cosine to a tenth. "
        "The drawn pair is one of 24 settings of learning rate, spectrum and noise, chosen since all orderings show "
        "(with a rate of 0.03 and unrelated tasks half of them failed). "
        "The claims are checked on pairs that chose nothing.",
        cost="10 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    ),
    Figure(
        name="rewarming-theory",
        paper=PAPER,
        shows="Theory's best continuation of a finished run, beside re-warming to the old peak and starting over.",
        must_see="The optimal continuation re-warms, and is never worse than any alternative.",
        caption="Exact rates, D = G = 1, deterministic.",
        cost="2 s",
        compute=_compute_theory,
        draw=_draw_theory,
        check=_check_theory,
    ),
]
