"""Momentum in averaging form (2010.00406): the same path, and what schedules become in that form."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import look, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.theory import problems, schedules
from lastiterate.theory.methods.averaging import spa_from_momentum
from lastiterate.theory.simulators.simulate import simulate

__all__ = ["FIGURES"]

N, BETA = 200, 0.9
SHAPES = {
    "constant": lambda: schedules.constant(N),
    "stepwise": lambda: schedules.stepwise(N, milestones=[0.5]),
    "linear": lambda: schedules.linear(N),
}


def _compute(settings: Settings) -> Data:
    return settings.cache.get("spa-form", _forms)


def _forms() -> Data:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((60, 10))
    problem = problems.least_squares(matrix, matrix @ rng.standard_normal(10) + rng.standard_normal(60))
    rows: Data = {}
    for name, shape in SHAPES.items():
        lrs = 0.02 * shape()
        eta, c = spa_from_momentum(lrs, BETA)
        common: dict[str, Any] = {"noise": 0.3, "record": np.arange(N + 1), "seeds": 1, "progress": False}
        momentum = simulate(problem, "momentum", lrs, beta=BETA, **common)
        averaged = simulate(problem, "spa", eta, c=c, **common)
        f, g = momentum.f[0, 0, 0], averaged.f[0, 0, 0]
        # forward, with the buffer's own scale at the start: what a drop of the learning rate does to eta and c
        forward_eta, forward_c = _forward(lrs)
        rows[name] = {
            "momentum": f - problem.f_star,
            "spa": g - problem.f_star,
            "difference": float(np.max(np.abs(momentum.points - averaged.points))),
            "eta": eta,
            "c": c,
            "forward_eta": forward_eta,
            "forward_c": forward_c,
        }
    return {"rows": rows}


def _forward(lrs: Any) -> tuple[Any, Any]:
    """Return eta_k and c_{k+1} from eta_0 = alpha_0/(1 - beta) on: eta_{k+1} = (eta_k - alpha_k)/beta."""
    log_eta = np.empty(N)
    log_eta[0] = np.log(lrs[0] / (1.0 - BETA))
    for k in range(N - 1):
        share = lrs[k] / np.exp(log_eta[k])
        log_eta[k + 1] = log_eta[k] + np.log1p(-min(share, 1.0 - 1e-16)) - np.log(BETA)
    return np.exp(log_eta), lrs / np.exp(log_eta)


def _draw(data: Data) -> Any:
    figure, (top, middle, bottom) = panels(3, height=1.9)
    for name, row in data["rows"].items():
        top.semilogy(row["momentum"], **look(name), label=name)
        top.semilogy(row["spa"][::10], "o", markevery=1, color=look(name)["color"], ms=0)
        top.plot(range(0, N + 1, 10), row["spa"][::10], "o", color=look(name)["color"], ms=2)
        middle.semilogy(row["forward_eta"], **look(name))
        bottom.semilogy(row["forward_c"], **look(name))
    top.set(ylabel="gap", title="momentum (lines) and averaging form (dots)")
    top.legend()
    middle.set(ylabel="$\\eta_k$", title="momentum kept at 0.9")
    bottom.set(xlabel="step", ylabel="$c_{k+1}$")
    return figure


def _check(data: Data) -> list[FigureCheck]:
    worst = max(row["difference"] for row in data["rows"].values())
    step = data["rows"]["stepwise"]
    at = N // 2
    eta = np.array(step["forward_eta"])
    first = int(np.flatnonzero(np.array(step["forward_c"]) < 0.05)[0])
    linear = data["rows"]["linear"]["forward_eta"]
    return [
        holds("the two forms make the same points", worst < 1e-12, f"largest difference {worst:.1e}", kind="theory"),
        close("constant: c = 1 - beta", data["rows"]["constant"]["forward_c"][-1], 0.1, 1e-9, kind="theory"),
        holds(
            "a tenfold drop of the learning rate drops c at once to 0.01",
            abs(step["forward_c"][first] - 0.01) < 1e-9,
            f"{step['forward_c'][first]:.4f} at step {first}, milestone {at}",
            kind="theory",
        ),
        close(
            "after the drop eta grows by (1 - c)/beta a step",
            float(eta[first + 1] / eta[first]),
            0.99 / 0.9,
            1e-9,
            kind="theory",
        ),
        holds(
            "under linear decay eta grows without bound (over 1e6 times)",
            linear[-1] > 1e6 * linear[0],
            f"{linear[-1] / linear[0]:.1e} times",
            kind="theory",
        ),
    ]


FIGURES = [
    Figure(
        name="spa-form",
        paper="Averaging form of momentum (2010.00406)",
        shows="SGD with momentum and its averaging form on one noisy problem; eta_k and c_k for three schedules.",
        must_see="The paths coincide; with fixed momentum a drop of the learning rate freezes z (c falls, eta "
        "grows), so lowering c is the natural schedule.",
        caption="Least squares (60 x 10), Gaussian noise of size 0.3, momentum 0.9, 200 steps, seed 0.",
        cost="2 s",
        compute=_compute,
        draw=_draw,
        check=_check,
    )
]
