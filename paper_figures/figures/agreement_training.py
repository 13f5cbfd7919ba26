"""SGD on convex problems beside the bounds (arXiv 2501.18965): what the agreement figure trains itself.

Margins, problems, batch and horizons were written down before the first run; no seed that is reported chose anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from lastiterate.experiments.plots.style import BLACK, look
from lastiterate.paper_figures.machinery.forest import ratio_ticks, shown
from lastiterate.paper_figures.machinery.registry import Data, FigureCheck, Settings, holds
from lastiterate.paper_figures.machinery.testbed import INSTANCES, convex_problem
from lastiterate.paper_figures.machinery.tuned import FIRST_REPORTED, TUNING_SEEDS, choose, ratio, seed_gaps
from lastiterate.theory import problems, schedules
from lastiterate.theory.base.intervals import t_interval
from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.rates.sgd import tune_base_lr
from lastiterate.theory.simulators.simulate import simulate

from .rex_budget import SETS

__all__ = ["check_training", "draw_training", "order_agreement", "train_all", "train_one"]

ABSTRACT = "arXiv 2501.18965, abstract, p. 1"
KINDS = {"l1 regression": tuple(range(1, INSTANCES + 1)), "logistic regression": SETS}
WSD = "wsd:cooldown=0.2"
SCHEDULES = ("constant", "wsd:cooldown=0.1", WSD, "wsd:cooldown=0.5", "cosine", "linear")
BACKWARDS = "linear, backwards"
DRAWN = ("constant", "cosine", WSD, "linear")
LRS = np.exp2(np.arange(-9.0, 9.0))
BATCH = 4
POINTS = 50
SUDDEN = 3.0  # as for the bounds: the fall in the last fifth over that in the fifth before
MARGIN = 1.1  # the control has to lie beyond
TRANSFER = 1.5  # a ratio of best rates that is chosen from rates by factors of two
DESCRIPTION = (
    f"Trained: SGD, batch {BATCH}, on l1 regression ({INSTANCES} drawn instances of 100 x 20) and multinomial logistic "
    f"regression without a ridge ({', '.join(SETS)}); {LRS.size} base learning rates by factors of two, the best one "
    f"for each problem, horizon and schedule on {len(TUNING_SEEDS)} other seeds. Gaps to the minimum of the full "
    "objective; geometric means over seeds, t intervals over instances or sets."
)


def train_all(settings: Settings) -> Data:
    """Return the gaps of every schedule, along training and at the end, on both kinds of problems."""
    horizons, seeds = ((400, 1600), 8) if settings.quick else ((400, 1600, 6400), 20)
    name = f"agreement-training-{horizons[-1]}-{seeds}"
    rows = settings.cache.get(name, lambda: _train(horizons, seeds, settings))
    bounds = [[float(tune_base_lr(_shape(text, n)).value) for text in SCHEDULES] for n in horizons]
    data = {"horizons": list(horizons), "seeds": seeds, "bounds": bounds, "rows": rows}
    return {**data, "caption": f"{DESCRIPTION} {seeds} seeds that chose nothing. {_reading(data)}"}


def _shape(text: str, n: int) -> Array:
    return schedules.parse("linear", n)[::-1] if text == BACKWARDS else schedules.parse(text, n)


def _train(horizons: Sequence[int], seeds: int, settings: Settings) -> Data:
    rows: Data = {}
    for kind, instances in KINDS.items():
        settings.progress(kind)
        for instance in instances:
            problem = _problem(kind, instance)
            rows.setdefault(kind, []).append([train_one(problem, n, seeds) for n in horizons])
    return rows


def _problem(kind: str, instance: Any) -> Problem:
    if kind == "l1 regression":
        return convex_problem(kind, instance)
    data = dataset(instance)
    return problems.softmax(data.features, data.targets)


def train_one(problem: Problem, n: int, seeds: int) -> Data:
    """Tune every schedule on the tuning seeds and return its gaps on fresh ones, as means of logarithms."""
    names = (*SCHEDULES, BACKWARDS)
    shapes = np.array([_shape(text, n) for text in names])
    best = [choose(gaps) for gaps in seed_gaps(problem, "sgd", shapes, LRS, TUNING_SEEDS, BATCH)]
    fresh = range(FIRST_REPORTED, FIRST_REPORTED + seeds)
    every = np.arange(0, n + 1, n // POINTS)
    run = simulate(
        problem, "sgd", shapes * LRS[best][:, None], seeds=fresh, batch_size=BATCH, record=every, progress=False
    )
    logs = np.log(np.maximum(run.f - problem.f_star, 1e-15))[:, 0].mean(axis=1)
    return {
        text: {"log_gap": row, "base_lr": float(LRS[k]), "inside": 0 < k < LRS.size - 1}
        for text, row, k in zip(names, logs, best, strict=True)
    }


def order_agreement(bounds: Array, losses: Array) -> tuple[float, float]:
    """Return Kendall's tau of bound and loss among the schedules of each cell, and the exact one-sided p.

    Under the null hypothesis the schedules' names say nothing: all cells are relabelled alike, in every way, so that
    cells need not be independent of each other.

    Parameters
    ----------
    bounds, losses : float64[cells, schedules]

    Returns
    -------
    tuple of float
        Mean tau over the cells, and the share of relabellings whose mean is at least as large.

    Examples
    --------
    >>> order_agreement(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[1.0, 2.0, 4.0, 3.0]]))  # 4 of 24 orders
    (0.6666666666666666, 0.16666666666666666)
    """
    n = bounds.shape[1]
    first, second = np.triu_indices(n, 1)
    signs = np.sign(losses[:, first] - losses[:, second])
    labels = np.array(list(permutations(range(n))))
    relabelled = bounds[:, labels]
    taus = np.einsum("cpk,ck->p", np.sign(relabelled[..., first] - relabelled[..., second]), signs)
    return float(taus[0] / signs.size), float(np.mean(taus >= taus[0] - 1e-9))


def _curves(data: Data, kind: str, text: str) -> Array:
    """Return log gaps along the longest horizon, float64[instances, points]."""
    return np.array([cells[-1][text]["log_gap"] for cells in data["rows"][kind]])


def _ends(data: Data, kind: str, text: str) -> Array:
    """Return final gaps, float64[instances, horizons]."""
    return np.exp([[cell[text]["log_gap"][-1] for cell in cells] for cells in data["rows"][kind]])


def draw_training(axes: Sequence[Any], data: Data) -> None:
    """Draw gaps along training, one kind an axis, and on two more the final gaps against the bounds."""
    n = data["horizons"][-1]
    at = np.linspace(0, n, POINTS + 1)[1:]
    for axis, kind in zip(axes, KINDS, strict=False):
        last = _curves(data, kind, "linear")[:, -1:]
        for text in DRAWN:
            found = [t_interval(column) for column in (_curves(data, kind, text) - last)[:, 1:].T]
            axis.plot(at, np.exp([each.value for each in found]), **look(text), label=text)
            low, high = ([getattr(each, end) for each in found] for end in ("low", "high"))
            axis.fill_between(at, np.exp(low), np.exp(high), color=look(text)["color"], alpha=0.15, linewidth=0)
        axis.set(yscale="log", xlabel="step n", ylabel="gap / gap of linear at the end")
        axis.set_title(f"measured: {kind}, N = {n}")
        axis.legend()
    bounds = np.array(data["bounds"])[-1] / data["bounds"][-1][-1]
    for axis, kind in zip(axes[2:], KINDS, strict=True):
        for text, bound in zip(SCHEDULES[:-1], bounds[:-1], strict=True):
            mean, low, high = ratio(_ends(data, kind, text)[:, -1], _ends(data, kind, "linear")[:, -1])
            mark = {"wsd:cooldown=0.1": "^", WSD: "o", "wsd:cooldown=0.5": "v"}.get(text, "s")
            axis.plot([bound, bound], [low, high], color=look(text)["color"], linewidth=1.0)
            axis.plot(bound, mean, mark, color=look(text)["color"], ms=4, label=text)
        equal = np.linspace(1.0, bounds.max())
        axis.plot(equal, equal, color=BLACK, linestyle=":", linewidth=0.8, label="equal ratios")
        axis.plot(1.0, 1.0, "s", color=BLACK, ms=4, label="linear")
        axis.set(yscale="log", xlabel="exact bound / that of linear", ylabel="final gap / linear's")
        ratio_ticks(axis.yaxis)
        axis.set_title(f"{kind}: {_told(*_agreement(data, kind))}")
        axis.legend(fontsize="x-small", loc="upper left")


def _agreement(data: Data, kind: str, first: int = 0) -> tuple[float, float]:
    """Return tau and p over all instances and horizons, of the schedules from the first on."""
    losses = np.stack([_ends(data, kind, text) for text in SCHEDULES[first:]], -1)
    bounds = np.broadcast_to(np.array(data["bounds"])[:, first:], losses.shape)
    return order_agreement(bounds.reshape(-1, losses.shape[-1]), losses.reshape(-1, losses.shape[-1]))


def _reading(data: Data) -> str:
    """Say in numbers what the bound does not tell: how much the cooldown gains, and which decay is best."""
    words: list[str] = []
    for a, b in ((WSD, "constant"), ("cosine", "linear")):
        bound = data["bounds"][-1][SCHEDULES.index(a)] / data["bounds"][-1][SCHEDULES.index(b)]
        found = [f"{shown(ratio(_ends(data, kind, a)[:, -1], _ends(data, kind, b)[:, -1]))} ({kind})" for kind in KINDS]
        words.append(f"{a} over {b}: bound {bound:.2f}, measured {' and '.join(found)}")
    return f"Ratios at the end are not the bound's: {'; '.join(words)}."


def _told(tau: float, p: float) -> str:
    return f"τ = {tau:.2f} (p = {p:.2g})"


def _fall(data: Data, kind: str, text: str) -> tuple[float, float, float]:
    """Return what the log gap falls in the last fifth beyond three times the fifth before, with its t interval."""
    before, start, end = _curves(data, kind, text)[:, [6 * POINTS // 10, 8 * POINTS // 10, POINTS]].T
    found = t_interval((start - end) - SUDDEN * (before - start))
    return found.value, found.low, found.high


def check_training(data: Data) -> list[FigureCheck]:
    """Check what the abstract says of large models on both kinds of convex problems, and the controls."""
    published: Mapping[str, Any] = {"kind": "published", "source": ABSTRACT}
    theory = {text: tune_base_lr(_shape(text, data["horizons"][-1])).base_lr for text in ("cosine", WSD)}
    predicted = theory["cosine"] / theory[WSD]
    checks: list[FigureCheck] = []
    for kind in KINDS:
        fall, constant_fall = _fall(data, kind, WSD), _fall(data, kind, "constant")
        curve = np.exp(_curves(data, kind, WSD))
        kept = shown(ratio(curve[:, -1], curve[:, 8 * POINTS // 10]))
        claim = (
            f"{kind}: the gap of WSD falls suddenly in the cooldown (more than three times the fifth before, in logs)"
        )
        told = f"excess {shown(fall, 0.0)}; gap at the end / at the start of the cooldown {kept}"
        checks.append(holds(claim, fall[1] > 0.0, told, **published))
        gain = ratio(_ends(data, kind, WSD)[:, -1], _ends(data, kind, "constant")[:, -1])
        claim = f"{kind}: the cooldown helps: WSD ends below a constant rate, each at its best rate"
        checks.append(holds(claim, gain[2] < 1.0, f"ratio {shown(gain, 1.0)}", **published))
        tau, p = _agreement(data, kind)
        claim = f"{kind}: the bound orders {len(SCHEDULES)} schedules as their final gaps (tau above 0, p below 0.05)"
        told = f"{_told(tau, p)}; without the constant rate {_told(*_agreement(data, kind, 1))}"
        checks.append(holds(claim, tau > 0.0 and p < 0.05, told, **published))
        rates = {t: [[cell[t]["base_lr"] for cell in cells] for cells in data["rows"][kind]] for t in theory}
        lrs = {text: np.exp(np.log(row).mean(axis=1)) for text, row in rates.items()}
        found = ratio(lrs["cosine"], lrs[WSD])
        claim = (
            f"{kind}: the best rate of cosine over that of WSD is theory's {predicted:.2f} within a factor {TRANSFER}"
        )
        passed = predicted / TRANSFER < found[1] and found[2] < predicted * TRANSFER
        checks.append(holds(claim, passed, shown(found), **published))
        claim = f"control, {kind}: at a constant rate nothing falls suddenly"
        told = f"excess {shown(constant_fall, 0.0)}"
        checks.append(holds(claim, constant_fall[1] <= 0.0, told, kind="regression"))
        wrong = ratio(_ends(data, kind, BACKWARDS)[:, -1], _ends(data, kind, "linear")[:, -1])
        claim = f"control, {kind}: linear decay played backwards ends more than {MARGIN - 1:.0%} above linear decay"
        checks.append(holds(claim, wrong[1] > MARGIN, f"ratio {shown(wrong, MARGIN)}", kind="regression"))
    inside = [cell["inside"] for rows in data["rows"].values() for cells in rows for n in cells for cell in n.values()]
    told = f"{sum(inside)} of {len(inside)}"
    return [*checks, holds("every chosen rate has two neighbours", all(inside), told, kind="regression")]
