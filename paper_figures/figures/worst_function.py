"""The function that attains the exact rate in pictures: the path of SGD on it, and the values it meets."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import RED, look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, holds
from lastiterate.theory.methods.step_matrix import sgd
from lastiterate.theory.rates.curve import rate_curve
from lastiterate.theory.rates.result import Rate
from lastiterate.theory.simulators.simulate import simulate

from .exact_rate import PAPER, short, tuned

__all__ = ["FIGURES"]

SHORT = 1000  # steps up to which SGD meets the values to 1e-10; to 1e-9 beyond, see docs/exact_rate.md
PATHS = ("constant", "wsd:cooldown=0.2", "cosine", "linear")


# the path


def _compute_path(settings: Settings) -> Data:
    return {"rows": settings.cache.get("exact-path", _paths)}


def _paths() -> Data:
    rows: Data = {}
    for text in PATHS:
        rate = tuned(text, 24)
        problem = rate.worst_case()
        path = problem.path(sgd(rate.steps))
        slopes = np.array([problem.subgradient(x, step=t) for t, x in enumerate(path)])
        products = slopes @ slopes.T
        earlier = np.minimum.outer(np.arange(25), np.arange(25))
        wanted = np.where(np.eye(25) > 0.0, 1.0, -np.append(rate.gradient, -1.0)[earlier])
        rows[text] = {
            "path": path[:, :3],
            "distance": float(np.linalg.norm(path[0])),
            "products": float(np.max(np.abs(products - wanted))),
            "convex": float(np.max(path @ slopes.T - np.sum(path * slopes, axis=1)[:, None])),
            "bend": float(np.linalg.norm(np.diff(slopes[3:, :3], axis=0), axis=1).max()),
            "end": problem.value(path[-1]) / rate.value - 1.0,
        }
    return rows


def _draw_path(data: Data) -> Any:
    figure, (flat, below) = panels(2, height=2.8)
    flat.remove()
    space: Any = figure.add_subplot(2, 1, 1, projection="3d")
    for text, row in data["rows"].items():
        x = np.array(row["path"])
        space.plot(*x.T, "o-", ms=1.5, lw=0.9, **look(text))
        space.plot(*x[:1].T, "s", ms=4, color=look(text)["color"])
        below.plot(x[:, 0], x[:, 1], "o-", ms=1.5, lw=0.9, label=short(text), **look(text))
        below.plot(*x[0, :2], "s", ms=4, color=look(text)["color"])
    space.plot([0], [0], [0], "*", color=RED, ms=8)
    below.plot(0, 0, "*", color=RED, ms=8, label="$x_*$", ls="none")
    ticks = [0.0, 0.1, 0.2]
    space.set(xlabel="1", ylabel="2", zlabel="3", xticks=ticks, yticks=ticks, zticks=ticks)
    space.set_title("the first three coordinates")
    space.set_box_aspect(None, zoom=0.9)
    space.tick_params(pad=-2)
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.labelpad = -5
    below.legend(loc="lower right")
    below.set(xlabel="coordinate 1", ylabel="coordinate 2")
    return figure


def _check_path(data: Data) -> list[FigureCheck]:
    def largest(name: str) -> float:
        return max(abs(row[name]) for row in data["rows"].values())

    away = max(abs(row["distance"] - 1.0) for row in data["rows"].values())
    above = max(row["convex"] for row in data["rows"].values())
    return [
        holds(
            "the start is at distance D from the minimiser",
            away < 1e-12,
            f"largest difference {away:.1e}",
            kind="theory",
        ),
        holds(
            "||g_t|| = G and <g_t, g_r> = rho_min(t, r) for all t, r",
            largest("products") < 1e-11,
            f"largest difference {largest('products'):.1e}",
            kind="theory",
        ),
        holds(
            "every answer is a subgradient: no piece is higher at x_t",
            above < 1e-12,
            f"largest excess {above:.1e}",
            kind="theory",
        ),
        holds(
            "from x_3 on the three coordinates move along one line",
            largest("bend") < 1e-12,
            f"{largest('bend'):.1e}",
            kind="theory",
        ),
        holds(
            "SGD ends at the rate",
            largest("end") < 1e-11,
            f"largest relative difference {largest('end'):.1e}",
            kind="theory",
        ),
    ]


# the values


def _compute_values(settings: Settings) -> Data:
    n = 200 if settings.quick else 10_000
    rows = settings.cache.get(f"exact-values-{n}", lambda: _values(n))
    return {"n_steps": n, "rows": rows, "caption": f"N = {n}."}


def _values(n: int) -> Data:
    rows: Data = {}
    for text in PATHS:
        rate = tuned(text, n)
        run = simulate(rate.worst_case(), "sgd", rate.steps, record=np.arange(n + 1), progress=False)
        rows[text] = {
            "predicted": _predicted(rate),
            "simulated": run.f[0, 0, 0],
            "curve": rate_curve(rate.steps, bound="exact", horizons="all").values,
            "rate": rate.value,
        }
    return rows


def _predicted(rate: Rate) -> Any:
    """Return f_k - f* = s_k E_k + sum_{i<k} w_i E_i on the worst-case function, k = 0..N, for D = G = 1."""
    w = rate.weights
    s = np.cumsum(w[::-1])[::-1]
    E = np.empty(w.size)
    E[0] = 1.0 / s[0] ** 3
    for t in range(w.size - 1):
        E[t + 1] = E[t] - w[t] * (E[t] - w[t]) / s[t + 1]
    return s * E + np.append(0.0, np.cumsum(w[:-1] * E[:-1]))


def _draw_values(data: Data) -> Any:
    figure, (top, bottom) = panels(2)
    k = np.arange(data["n_steps"] + 1)
    marked = k[:: max(1, data["n_steps"] // 20)]
    for text, row in data["rows"].items():
        predicted, simulated = np.array(row["predicted"]), np.array(row["simulated"])
        top.semilogy(k, predicted, label=short(text), **look(text))
        top.plot(marked, simulated[marked], "o", ms=2.5, color=look(text)["color"])
        top.plot(k[1:], row["curve"], ls=":", lw=0.9, color=look(text)["color"])
        bottom.semilogy(k, np.abs(simulated / predicted - 1.0) + 1e-16, lw=0.8, **look(text))
    top.set(xlabel="step k", ylabel="$f(x_k) - f_*$ / (DG)", title="proof (lines), SGD (dots), rate of k steps (…)")
    top.legend()
    bottom.set(xlabel="step k", ylabel="relative difference", ylim=(5e-17, 1e-8))
    bottom.minorticks_off()
    return figure


def _check_values(data: Data) -> list[FigureCheck]:
    checks: list[FigureCheck] = []
    tolerance = 1e-10 if data["n_steps"] <= SHORT else 1e-9
    for text, row in data["rows"].items():
        predicted, simulated = np.array(row["predicted"]), np.array(row["simulated"])
        apart = float(np.max(np.abs(simulated / predicted - 1.0)))
        checks.append(
            holds(
                f"{short(text)}: SGD follows s_k E_k + sum w_i E_i to {tolerance:.0e} and ends at the rate",
                apart < tolerance and abs(simulated[-1] / row["rate"] - 1.0) < tolerance,
                f"largest relative difference {apart:.1e}, at the end {simulated[-1] / row['rate'] - 1.0:.1e}",
                kind="theory",
            )
        )
    excess = max(
        float(np.max(np.array(r["simulated"])[1:] / np.array(r["curve"]) - 1.0)) for r in data["rows"].values()
    )
    checks.append(
        holds(
            "no point is above the rate of the steps before it",
            excess < tolerance,
            f"largest relative excess {excess:.1e}",
            kind="theory",
        )
    )
    return checks


FIGURES = [
    Figure(
        name="exact-path",
        paper=PAPER,
        shows="SGD on the function that attains the rate of its schedule: the first three of N + 1 coordinates. "
        "Squares mark the start.",
        must_see="No published claim; the theorem says which vectors g_t the function has, that SGD meets piece t at "
        "x_t, and that it ends at the rate.",
        caption="N = 24, each schedule at its best base learning rate, D = G = 1; coordinates as the construction "
        "makes them, x* = 0. Deterministic.",
        cost="1 s",
        compute=_compute_path,
        draw=_draw_path,
        check=_check_path,
    ),
    Figure(
        name="exact-values",
        paper=PAPER,
        shows="The values f(x_k) that the proof predicts on the worst-case function, those that SGD meets, and the "
        "exact rate of the first k steps.",
        must_see="No published claim; the theorem says f(x_k) - f* = s_k E_k + sum_{i<k} w_i E_i, which ends at "
        "the rate.",
        caption="Each schedule at its best base learning rate and on its own worst-case function, D = G = 1. "
        "Deterministic.",
        cost="2 s",
        compute=_compute_values,
        draw=_draw_values,
        check=_check_values,
    ),
]
