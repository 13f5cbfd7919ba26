"""Pictures of schedules and their rates: steps, curves over horizons, refinement, design and continuation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lastiterate.solvers.design.design import Design
from lastiterate.solvers.replan import Replan
from lastiterate.theory.base.result import KINDS
from lastiterate.theory.optimal.anytime import AnytimeSchedule
from lastiterate.theory.optimal.batches import BatchPlan
from lastiterate.theory.optimal.closed_form import Continuation, OptimalSchedule
from lastiterate.theory.optimal.refinement import Refinement
from lastiterate.theory.rates.curve import RateCurve

from .style import GREY, ORANGE, RED, axes_or_current, literal, look

__all__ = ["curve", "norms", "rates", "refinement", "schedule", "schedules"]


def schedule(
    result: Design | OptimalSchedule | Continuation | BatchPlan | AnytimeSchedule | Replan, ax: Any = None
) -> Any:
    """Draw the steps of a designed, optimal, continued, replanned or open schedule; return the axes."""
    return schedules({type(result).__name__.lower(): result.steps}, ax=ax)


def schedules(named: Mapping[str, Any], ax: Any = None) -> Any:
    """Draw step sizes by name; return the axes."""
    axes = axes_or_current(ax)
    for index, (name, steps) in enumerate(named.items()):
        style = look(name)
        if style["color"] == GREY and "linestyle" not in style:
            style = {"color": f"C{index}", "linestyle": ("-", "--", "-.", ":")[index % 4]}
        axes.step(range(len(steps)), steps, where="post", label=literal(name), **style)
    axes.set(xlabel="step k", ylabel="step size $h_k$", ylim=(0.0, None))
    axes.legend(frameon=False, fontsize="small")
    return axes


def curve(result: RateCurve, ax: Any = None) -> Any:
    """Draw the rate of every horizon on logarithmic axes; return the axes."""
    axes = axes_or_current(ax)
    axes.loglog(result.horizons, result.values, label=KINDS[result.kind])
    axes.set(xlabel="horizon n", ylabel="bound on $f(x_n) - f^*$", title="if stopped at n")
    axes.legend(frameon=False)
    return axes


def rates(table: Mapping[str, float], ax: Any = None) -> Any:
    """Draw rates by name as dots, in units of the optimum DG/sqrt(N+1); return the axes."""
    axes = axes_or_current(ax)
    names, values = list(table)[::-1], list(table.values())[::-1]
    axes.hlines(names, 1.0, values, color=GREY, linewidth=1.0)  # the length is what is lost to the optimum
    axes.plot(values, names, "o")
    axes.axvline(1.0, color="black", linestyle=":")
    axes.set(xlabel="exact rate / (DG/√(N+1))", title="best base learning rate")
    return axes


def norms(recorded: Any, smoothed: Any = None, ax: Any = None) -> Any:
    """Draw recorded gradient norms (a `NormLog` or an array) and smoothed ones over training; return the axes."""
    axes = axes_or_current(ax)
    raw = np.asarray(recorded)
    places = getattr(recorded, "positions", None)
    where = np.arange(raw.size) if places is None else places - places[0]
    axes.plot(100.0 * (where + 0.5) / (where[-1] + 1), raw, linewidth=0.4, color=ORANGE, label="recorded")
    if smoothed is not None:
        axes.plot(_share(smoothed), smoothed, color="#000000", label="smoothed")
    axes.set(xlabel="training done (%)", ylabel="gradient norm", yscale="log")
    axes.legend(frameon=False)
    return axes


def refinement(result: Refinement, ax: Any = None) -> Any:
    """Draw the refined schedule beside linear decay; return the axes."""
    axes = axes_or_current(ax)
    share = _share(result.steps)
    axes.plot(share, result.steps, color=RED, label="refined")
    axes.plot(share, 1.0 - share / 100.0, color=GREY, linestyle="--", label="linear")
    axes.set(xlabel="training done (%)", ylabel="learning rate / base learning rate")
    axes.legend(frameon=False)
    return axes


def _share(values: Any) -> Any:
    """Middle of each of the values' shares of training, in percent."""
    return 100.0 * (np.arange(len(values)) + 0.5) / len(values)
