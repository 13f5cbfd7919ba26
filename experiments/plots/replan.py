"""Pictures of a replan: the steps taken, the steps to take, and the norms seen."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lastiterate.solvers.replan import Replan

from .style import BLACK, BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_replan"]


def draw_replan(plan: Replan, taken: npt.NDArray[np.float64], norms: npt.NDArray[np.float64]) -> "Figure":
    """Draw the norms seen, the steps taken (grey where a rollback drops them) and the new steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(norms, color=ORANGE, linewidth=0.8)
    left.set(xlabel="step k", ylabel="subgradient norm", yscale="log", title="seen")
    right.step(np.arange(taken.size), taken, where="post", color=GREY, label="taken")
    right.step(np.arange(plan.start), taken[: plan.start], where="post", color=BLACK, label="kept")
    place = plan.start + np.arange(plan.steps.size)
    right.step(place, plan.steps, where="post", color=BLUE, label="to take")
    right.set(xlabel="step k", ylabel="step size", ylim=(0.0, None), title=f"bound {plan.value:.4g}")
    right.legend(frameon=False)
    return figure
