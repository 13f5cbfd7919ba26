"""Pictures of batch plans: batches against the critical batch, and the steps that go with them."""

from typing import TYPE_CHECKING

import numpy as np

from lastiterate.theory.optimal.batches import BatchPlan

from .style import BLACK, BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_batches"]


def draw_batches(plan: BatchPlan) -> "Figure":
    """Draw the batches and the critical batch over training, and the step sizes over the largest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    done = 100.0 * np.arange(plan.batches.size) / plan.batches.size
    noisy = plan.critical > 0.0
    left.step(done, plan.batches, where="post", color=BLUE, label="planned")
    left.axhline(plan.tokens / plan.batches.size, color=BLACK, linestyle="--", label="constant, same samples")
    left.plot(done[noisy], plan.critical[noisy], color=GREY, linewidth=0.8, label=r"critical, $s_k^2/g_k^2$")
    left.set(xlabel="steps done (%)", ylabel="batch", yscale="log", title=f"{plan.tokens:,} samples")
    left.legend(frameon=False)
    right.plot(done, plan.steps / plan.steps.max(), color=ORANGE, label="step size that goes with it")
    right.plot(done, 1.0 - done / 100.0, color=BLACK, linestyle="--", label="linear")
    right.set(
        xlabel="steps done (%)",
        ylabel="step size / largest",
        title=f"rate {plan.value / plan.constant_value:.4f} of constant",
    )
    right.legend(frameon=False)
    return figure
