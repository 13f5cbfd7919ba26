"""The picture of a rate's sensitivity: where a schedule loses, under the schedule itself."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lastiterate.theory.base.validation import InputError

from .style import BLACK, BLUE, GREY, ORANGE, axes_or_current

if TYPE_CHECKING:
    from lastiterate.theory.rates.result import Rate

__all__ = ["sensitivity"]


def sensitivity(rate: "Rate", ax: Any = None) -> Any:
    """Draw a schedule and below it the derivative of its rate in each step; return ``ax``.

    Blue stretches would gain from larger steps, orange ones from smaller steps; the free steps, which cost nothing, are
    shaded grey.

    Parameters
    ----------
    rate : Rate
        The rate of one schedule, from `lastiterate.exact_rate` or `lastiterate.tune_base_lr`.
    ax : matplotlib Axes, optional
        The place of the picture, pyplot's current axes by default: two axes are drawn within.

    Examples
    --------
    >>> import lastiterate as li
    >>> from matplotlib.figure import Figure
    >>> ax = sensitivity(li.tune_base_lr(li.schedules.cosine(100)), ax=Figure().subplots())
    >>> ax.child_axes[1].get_xlabel()
    'step k'
    """
    if np.ndim(rate.value) != 0:
        raise InputError("rate", f"a stack of {len(rate.value)} rates", "the rate of one schedule, rate[i]")
    ax = axes_or_current(ax)
    ax.set_axis_off()
    above = ax.inset_axes((0.0, 0.52, 1.0, 0.48))
    below = ax.inset_axes((0.0, 0.0, 1.0, 0.48), sharex=above)
    k, slopes = np.arange(rate.n_steps), rate.gradient
    above.plot(k, rate.steps, color=BLACK)
    above.tick_params(labelbottom=False)
    above.set(ylabel="step size $h_k$", title=f"rate {rate.value:.4g} ({rate.kind})")
    for sign, color, label in ((-1.0, BLUE, "a larger step would help"), (1.0, ORANGE, "a smaller step would help")):
        part = np.where(np.sign(slopes) == sign, slopes, 0.0)
        below.fill_between(k, 0.0, part, step="mid", color=color, alpha=0.8, linewidth=0.0, label=label)
    below.axhline(0.0, color=BLACK, linewidth=0.6)
    if rate.binding < rate.n_steps:
        for panel in (above, below):
            panel.axvspan(rate.binding - 0.5, rate.n_steps - 0.5, color=GREY, alpha=0.25, linewidth=0.0, label="free")
    below.set(xlabel="step k", ylabel="$\\partial R_* / \\partial h_k$")
    below.legend(fontsize="small", frameon=False)
    return ax
