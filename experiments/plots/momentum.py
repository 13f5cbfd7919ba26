"""The picture of a momentum study: worst cases of the variants, and the schedules behind them."""

from typing import Any

from lastiterate.solvers.design.momentum import MomentumStudy

from .style import axes_or_current

__all__ = ["momentum_schedules", "momentum_study"]


def momentum_study(study: MomentumStudy, ax: Any = None) -> Any:
    """Draw the worst case of every variant in units of the optimum; return the axes."""
    axes = axes_or_current(ax)
    names = [best.variant for best in study.methods]
    ratios = [best.value / study.optimum for best in study.methods]
    drawn = axes.barh(names[::-1], ratios[::-1], color=[f"C{index}" for index in range(len(names))][::-1])
    axes.bar_label(drawn, fmt="%.4f", padding=2)
    axes.axvline(1.0, color="black", linestyle=":")
    axes.set(xlabel="worst case / (DG/√(N+1))", xlim=(0.9, 1.06 * max(ratios)), title=f"N = {study.n_steps}")
    return axes


def momentum_schedules(study: MomentumStudy) -> Any:
    """Return a figure of three panels: worst cases, learning rates, momentum coefficients."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    bars, lrs, betas = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    momentum_study(study, ax=bars)
    for index, best in enumerate(study.methods):
        lrs.plot(best.lrs, "o-", color=f"C{index}", markersize=3)
        if best.beta.any():
            betas.plot(range(1, study.n_steps), best.beta[1:], "o-", color=f"C{index}", markersize=3)
    lrs.set(xlabel="step k", title="learning rate $h_k$", ylim=(0.0, None))
    betas.set(xlabel="step k", title=r"momentum $\beta_k$", ylim=(0.0, 1.0))
    return figure
