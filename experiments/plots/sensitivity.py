"""The picture of a rate's sensitivity: where a schedule loses, under the schedule itself."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lastiterate.theory.base.validation import InputError

from .style import BLACK, BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from lastiterate.theory.rates.result import SgdRate

__all__ = ["sensitivity", "in_words"]

_NOUGHT = 1e-9  # of G^2, the largest slope there can be


def sensitivity(rate: "SgdRate", ax: Any = None) -> Any:
    """Draw a schedule and below it the derivative of its rate in each step; return ``ax``.

    Blue stretches would gain from larger steps, orange ones from smaller steps; the free steps, which cost nothing, are
    shaded grey.

    Parameters
    ----------
    rate : SgdRate
        The rate of one schedule, from `lastiterate.exact_rate` or `lastiterate.tune_base_lr`.
    ax : matplotlib Axes, optional
        The place of the picture: two axes are drawn within. Without it a new figure is made that no window shows.

    Examples
    --------
    >>> import lastiterate as li
    >>> ax = sensitivity(li.tune_base_lr(li.schedules.cosine(100)))
    >>> ax.child_axes[1].get_xlabel()
    'step k'
    """
    if np.ndim(rate.value) != 0:
        raise InputError("rate", f"a stack of {len(rate.value)} rates", "the rate of one schedule, rate[i]")
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.8), layout="constrained").subplots()
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


def in_words(rate: "SgdRate") -> dict[str, str]:
    """Return what a rate is, which of its steps bind, and where it loses, in words.

    Examples
    --------
    >>> import lastiterate as li
    >>> in_words(li.exact_rate([1.0, 1.0, 0.01]))["steps"]
    'the first 2 of 3 steps bind; the last 1 is free: raising it a little lowers the rate'
    """
    kinds = {
        "exact": "exact: some function attains it, no function is worse",
        "attained": "attained: a function that attains it was found",
        "upper": "an upper bound: no function is known to attain it",
    }
    n, binding = rate.n_steps, rate.binding
    free = n - binding
    bind = (
        f"all {n} steps bind" if free == 0 else f"the first {binding} of {n} steps bind" if binding else "no step binds"
    )
    if free:
        bind += (
            f"; the last {free} {'is' if free == 1 else 'are'} free: raising {'it' if free == 1 else 'them'} a little"
        )
        bind += " lowers the rate"
    slopes = rate.gradient[:binding]
    nought = _NOUGHT * float(np.max(rate.G)) ** 2
    parts = [
        f"{name} at {_stretches(np.flatnonzero(where))}"
        for name, where in (("larger steps", slopes < -nought), ("smaller steps", slopes > nought))
        if where.any()
    ]
    return {"kind": kinds[rate.kind], "steps": bind, "would help": " and ".join(parts) or "nothing, to first order"}


def _stretches(steps: Any) -> str:
    """Name runs of consecutive steps, three at most."""
    runs = np.split(steps, np.flatnonzero(np.diff(steps) > 1) + 1)
    names = [f"{run[0]}" if run.size == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    more = f" and {len(names) - 3} more stretches" if len(names) > 3 else ""
    return "steps " + ", ".join(names[:3]) + more
