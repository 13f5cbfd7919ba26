"""The theorem of the exact rate in pictures: the chain under a schedule, and the sensitivity of schedules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lastiterate.experiments.plots.sensitivity import sensitivity
from lastiterate.experiments.plots.style import BLACK, BLUE, GREY, ORANGE, RED, panels
from lastiterate.paper_figures.machinery.registry import Data, Figure, FigureCheck, Settings, close, holds
from lastiterate.theory import schedules
from lastiterate.theory.rates.result import Rate
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr

__all__ = ["FIGURES", "PAPER", "short", "tuned"]

PAPER = "Exact rate, theorem and proof in docs/exact_rate.md (after 2307.11134, 2310.07831)"
SIX = ("constant", "inverse_sqrt", "stepwise", "wsd:cooldown=0.2", "cosine", "linear:warmup=0.1")


def tuned(text: str, n_steps: int) -> Rate:
    """Return the rate of a schedule at its best base learning rate, for steps as they are.

    >>> round(tuned("linear", 99).value, 12)
    0.1
    """
    return exact_rate(tune_base_lr(schedules.parse(text, n_steps)).steps)


def short(text: str) -> str:
    """Return a schedule's name for a legend.

    >>> short("linear:warmup=0.1")
    'linear, warm-up'
    """
    name = text.split(":")[0].replace("_", " ")
    return f"{name}, warm-up" if "warmup" in text else name


# the chain


def _compute_chain(settings: Settings) -> Data:
    return settings.cache.get("exact-chain", _chain)


def _chain() -> Data:
    shape = np.repeat([0.25, 0.5, 0.75, 1.0, 1 / 25, 1 / 625], [1, 1, 1, 21, 6, 6])
    rate = exact_rate(tune_base_lr(shape).steps)
    steps, n = rate.steps, rate.n_steps
    least = np.zeros(n + 1)  # M_k of the theorem's (2), from the definition
    for k in range(n - 1, -1, -1):
        z = max(least[k + 1], math.sqrt(steps[k]))
        least[k] = z + steps[k] / z
    chain = np.cumsum(rate.weights[::-1])[::-1]  # s_0..s_N
    ratios = rate.weights[:-1] / chain[1:]
    slack = np.empty(n + 1)  # d_t of the theorem's (4)
    slack[0] = 1.0 - 1.0 / chain[0] ** 4
    for t in range(n):
        slack[t + 1] = (1.0 - ratios[t] ** 2) * slack[t]
    raised = steps.copy()
    raised[rate.binding + 2] += 1e-4
    return {
        "steps": steps,
        "least": least,
        "chain": chain,
        "ratios": ratios,
        "slack": slack,
        "binding": rate.binding,
        "rate": rate.value,
        "scanned": min(_bound(steps, sigma) for sigma in np.geomspace(0.5, 2.0, 4001) * rate.sigma),
        "gain": (rate.value - exact_rate(raised).value) / 1e-4,
    }


def _bound(steps: Any, sigma: float) -> float:
    """Return R(sigma), the theorem's (1), for D = G = 1."""
    s, squares = sigma, sigma**2
    for h in steps[::-1]:
        w = h / s
        s += w
        squares += w**2
    return 0.5 * (1.0 / s**2 + squares)


def _draw_chain(data: Data) -> Any:
    figure, (top, middle, bottom) = panels(3, height=2.0)
    steps, least, chain = (np.array(data[name]) for name in ("steps", "least", "chain"))
    n, binding = steps.size, data["binding"]
    resets = np.flatnonzero(np.sqrt(steps) >= least[1:])
    k = np.arange(n)
    top.semilogy(k[:binding], steps[:binding], "o", color=BLACK, ms=2.5, label="binds")
    top.semilogy(k[binding:], steps[binding:], "o", color=GREY, ms=2.5, mfc="white", label="free")
    top.set(ylabel="step size $h_k$", title=f"N = {n}, the first {binding} steps bind")
    middle.semilogy(np.arange(n + 1), chain, color=BLUE, label="$s_k$, the chain")
    middle.semilogy(k + 1, np.where(least[1:] > 0.0, least[1:], np.nan), color=RED, ls="--", label="$M_k$, the pass")
    middle.semilogy(k + 1, np.sqrt(steps), ".", color=BLACK, ms=2.5, label="$\\sqrt{h_{k-1}}$")
    middle.semilogy(resets + 1, np.sqrt(steps[resets]), "o", ms=6, mfc="none", color=ORANGE, label="starts anew")
    middle.set(ylabel="lengths")
    bottom.plot(k, data["ratios"], ".-", color=BLUE, lw=0.8, label="$\\lambda_k$")
    bottom.plot(np.arange(n + 1), data["slack"], ".-", color=GREY, lw=0.8, label="$d_k$")
    bottom.axhline(1.0, color=BLACK, lw=0.6, ls=":")
    bottom.set(xlabel="step k", ylim=(-0.05, 1.12))
    for axes in (top, middle, bottom):
        axes.axvspan(binding - 0.5, n + 0.5, color=GREY, alpha=0.2, lw=0)
        axes.set_xlim(-0.8, n + 0.8)
    top.legend(loc="lower left")
    middle.legend(loc="lower left", ncols=2)
    bottom.legend(loc="center left")
    return figure


def _check_chain(data: Data) -> list[FigureCheck]:
    steps, chain, slack = (np.array(data[name]) for name in ("steps", "chain", "slack"))
    binding, ratios = data["binding"], np.array(data["ratios"])
    u = max(data["least"][0] ** 2, 1.0)
    formula = 0.5 * (1.0 / u + u) - steps.sum()
    least = data["rate"]
    return [
        holds(
            "one pass gives the rate: phi(max(M_0^2, D/G)) to 1e-13",
            abs(formula / least - 1.0) < 1e-13,
            f"{formula:.12f}, {least:.12f}",
            kind="theory",
        ),
        holds(
            "it is the minimum of R(sigma) over 4001 values of sigma, to 1e-10",
            -1e-13 < data["scanned"] / least - 1.0 < 1e-10,
            f"relative difference {data['scanned'] / least - 1.0:.1e}",
            kind="theory",
        ),
        close(
            "the chain starts at the least s_0: s_0 / M_0",
            float(chain[0] / data["least"][0]),
            1.0,
            1e-13,
            kind="theory",
        ),
        close("lambda is 1 at the last step that binds", float(ratios[binding - 1]), 1.0, 1e-12, kind="theory"),
        holds("no lambda is above 1", ratios.max() < 1.0 + 1e-12, f"largest {ratios.max():.6f}", kind="theory"),
        holds(
            "condition (C): every d_k >= 0, and 0 after the steps that bind",
            slack.min() > -1e-12 and abs(slack[binding:]).max() < 1e-12,
            f"least {slack.min():.1e}, largest after step {binding} {abs(slack[binding:]).max():.1e}",
            kind="theory",
        ),
        close("a longer free step lowers the rate by G^2 times the increase", data["gain"], 1.0, 1e-9, kind="theory"),
    ]


# the sensitivity


def _compute_sensitivity(settings: Settings) -> Data:
    return {"steps": settings.cache.get("exact-sensitivity", _sensitivities)}


def _sensitivities() -> Data:
    return {text: tuned(text, 100).steps for text in SIX}


def _draw_sensitivity(data: Data) -> Any:
    figure, axes = panels(3, 2, height=2.6, width=6.8)
    for ax, (text, steps) in zip(axes.flat, data["steps"].items(), strict=True):
        rate = exact_rate(steps)
        sensitivity(rate, ax=ax)
        above, below = ax.child_axes
        above.set(title=f"{short(text)}: rate {rate.value:.4f}", ylim=(0.0, 1.1 * rate.steps.max()))
        below.get_legend().remove()
        if ax not in axes[-1]:
            below.set_xlabel("")
    handles, labels = axes[0, 0].child_axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _check_sensitivity(data: Data) -> list[FigureCheck]:
    rates = {text: exact_rate(steps) for text, steps in data["steps"].items()}
    differences = {text: float(np.max(np.abs(rate.gradient - _differences(rate)))) for text, rate in rates.items()}
    worst = max(differences, key=lambda text: differences[text])
    along = max(abs(float(rate.gradient @ rate.steps)) / rate.value for rate in rates.values())
    best = tuned("linear", 100)
    margins = [best.value - rate.value - float(rate.gradient @ (best.steps - rate.steps)) for rate in rates.values()]
    return [
        holds(
            "the gradient is the central difference of the rate, to 1e-6 G^2",
            differences[worst] < 1e-6,
            f"largest difference {differences[worst]:.1e}, {short(worst)}",
            kind="theory",
        ),
        holds(
            "at the best base learning rate the derivative along the schedule is zero",
            along < 1e-12,
            f"largest |<gradient, h>| / rate {along:.1e}",
            kind="theory",
        ),
        holds(
            "linear decay without warm-up is optimal: its gradient is zero",
            abs(best.gradient).max() < 1e-13,
            f"largest {abs(best.gradient).max():.1e}",
            kind="theory",
        ),
        holds(
            "convexity: the tangent at each schedule lies below the rate of linear decay",
            min(margins) > 0.0,
            f"margins {min(margins):.2e} to {max(margins):.2e}",
            kind="theory",
        ),
    ]


def _differences(rate: Rate) -> Any:
    """Return central differences of the rate in each step."""
    out = np.empty(rate.n_steps)
    for k in range(rate.n_steps):
        h, ends = rate.steps[k], []
        for factor in (1.0 + 1e-5, 1.0 - 1e-5):
            steps = rate.steps.copy()
            steps[k] = h * factor
            ends.append((steps[k], exact_rate(steps).value))
        out[k] = (ends[0][1] - ends[1][1]) / (ends[0][0] - ends[1][0])
    return out


FIGURES = [
    Figure(
        name="exact-chain",
        paper=PAPER,
        shows="The backward pass M_k and the chain s_k under a schedule with two drops: where the pass starts anew, "
        "which steps bind and which are free.",
        must_see="No published claim; the theorem says that the pass alone gives the rate, that lambda is 1 and d is "
        "used up at the last step that binds, and that free steps count at their full length.",
        caption="Three warm-up steps, 21 full steps, 6 of 1/25 and 6 of 1/625, at the best base learning rate, "
        "D = G = 1. Deterministic.",
        cost="1 s",
        compute=_compute_chain,
        draw=_draw_chain,
        check=_check_chain,
    ),
    Figure(
        name="exact-sensitivity",
        paper=PAPER,
        shows="Six schedules, and below each the derivative of its exact rate in each step, each on its own scale.",
        must_see="No published claim; the theorem says that the derivative is -rho_k, an inner product of the worst "
        "case, and that the rate is convex in the steps.",
        caption="N = 100, each schedule at its best base learning rate, D = G = 1. Deterministic.",
        cost="1 s",
        compute=_compute_sensitivity,
        draw=_draw_sensitivity,
        check=_check_sensitivity,
    ),
]
