"""The figures of a replay's report, drawn without pyplot so that no window system or global state is touched."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lastiterate.experiments.logs.analysis import Analysis
from lastiterate.experiments.replay.files import block_means
from lastiterate.experiments.replay.result import Replay, ScheduleReplay, WorkloadReplay
from lastiterate.experiments.statistics import as_losses, fit_response
from lastiterate.theory.base.validation import Array

from .style import DASHES, PALETTE, axes_or_current, literal

__all__ = ["Picture", "analysis", "analysis_figure", "figures", "rank_figure", "ranks", "response"]

STYLE: Any = {
    "font.size": 9.5,  # on a canvas of 4.6 inches: still read where a phone shows the picture 300 pixels wide
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "savefig.dpi": 200,
}
CURVE_POINTS = 80


class Picture(NamedTuple):
    """A figure with a name, a caption that says how to read it, and a text that says what is to be seen."""

    name: str
    caption: str
    seen: str
    figure: Figure


def figures(workload: WorkloadReplay) -> Iterator[Picture]:
    """Yield the pictures of one workload."""
    names = ", ".join(schedule.name for schedule in workload.schedules)
    lr_text = ", ".join(f"{row.schedule} {row.base_lr:.3g}" for row in workload.table() if row.base_lr is not None)
    yield Picture(
        "schedules",
        "Schedules, as multiples of the base learning rate.",
        f"Curves of {names} over training.",
        _draw(_schedules, workload),
    )
    if workload.rounds:
        ends = "; ".join(
            f"run with {r.source}: from {r.refinement.smoothed[0]:.2g} to {r.refinement.smoothed[-1]:.2g}"
            for r in workload.rounds
        )
        yield Picture(
            "norms",
            "Gradient norms of the source runs (thin) and smoothed (thick).",
            f"Smoothed norms over training; {ends}.",
            _draw(_norms, workload),
        )
    yield Picture(
        "losses",
        "Training loss of each schedule at its chosen base learning rate: mean and range over the fresh seeds.",
        f"Falling curves of {names} with shaded ranges.",
        _draw(_losses, workload),
    )
    yield Picture(
        "response",
        "What chose the base learning rates, against them: mean and standard deviation over the tuning seeds; thin "
        "lines fit A/lr + B lr + C. A cross at the edge marks rates at which a run diverged.",
        f"One curve a schedule; the best rates are {lr_text or 'none'}.",
        _draw(_response, workload),
    )
    comparisons = workload.comparisons()
    if any(comparison.difference.n > 1 for comparison in comparisons):
        yield Picture(
            "contrasts",
            "Planned contrasts on the fresh seeds: the mean of the paired differences with the interval of the table, "
            "and each pair as a stroke.",
            "; ".join(f"{found.contrast.name} {found.difference.mean:+.3g}" for found in comparisons) + ".",
            _draw(_contrasts, workload),
        )
    yield Picture(
        "theory",
        "Result (mean and standard deviation over the fresh seeds) against the convex bound for the recorded norms: "
        "where theory orders the schedules as the runs do, the points rise.",
        f"One point each for {names}.",
        _draw(_theory, workload),
    )


def response(workload: WorkloadReplay, ax: Axes | None = None) -> Axes:
    """Draw the final result of each schedule against the base learning rate; return the axes."""
    axes = axes_or_current(ax)
    _response(axes, workload)
    axes.legend(frameon=False)
    return axes


def ranks(result: Replay, ax: Axes | None = None) -> Axes:
    """Draw the mean ranks of the schedules over the workloads; return the axes."""
    axes = axes_or_current(ax)
    ranking = result.ranking()
    names = sorted(ranking.mean_ranks, key=lambda name: ranking.mean_ranks[name])
    axes.barh(
        [literal(name) for name in names[::-1]], [ranking.mean_ranks[name] for name in names[::-1]], color=PALETTE[5]
    )
    reach = f"; {ranking.critical_difference:.2g} apart to differ" if np.isfinite(ranking.critical_difference) else ""
    axes.set_xlabel(f"mean rank over {ranking.n_workloads} workloads (1 is best{reach})")
    axes.grid(axis="y", visible=False)
    return axes


def rank_figure(result: Replay) -> Figure:
    """Return the picture of `ranks` in the report's style."""
    with _canvas() as (figure, axes):
        ranks(result, axes)
    return figure


def analysis(found: Analysis, ax: Axes | None = None) -> Axes:
    """Draw the exact bounds of recorded runs at their logged steps; return the axes."""
    axes = axes_or_current(ax)
    for number, run in enumerate(found.runs):
        look = {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number % len(DASHES)]}
        axes.plot(run.horizons, run.curve, label=literal(Path(run.source).stem), **look)
    axes.set(ylabel="exact bound", xlabel="steps", yscale="log")
    axes.legend(frameon=False)
    return axes


def analysis_figure(analysis: Analysis) -> Figure:
    """Draw logged losses above the exact bounds at the same steps."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 6.4), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True)
        for number, run in enumerate(analysis.runs):
            look = {"color": PALETTE[number % len(PALETTE)], "linestyle": DASHES[number % len(DASHES)]}
            above.plot(run.horizons, run.losses, label=literal(Path(run.source).stem), **look)
            below.plot(run.horizons, run.curve, **look)
        late = np.concatenate([run.losses[run.horizons > 0.1 * run.n_steps] for run in analysis.runs])
        bounds = np.concatenate([run.curve[run.horizons > 0.1 * run.n_steps] for run in analysis.runs])
        above.set(ylabel=literal(analysis.runs[0].loss_column), ylim=(late.min() - 0.05 * np.ptp(late), late.max()))
        below.set(ylabel="exact bound", xlabel="steps", ylim=(bounds.min() - 0.05 * np.ptp(bounds), bounds.max()))
        figure.legend(loc="outside upper center", ncols=1)
    return figure


@contextmanager
def _canvas(legend: bool = False) -> Generator[tuple[Figure, Axes]]:
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        yield figure, axes
        if legend and axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper center", ncols=2)


def _draw(paint: Callable[[Axes, WorkloadReplay], None], workload: WorkloadReplay) -> Figure:
    with _canvas(legend=True) as (figure, axes):
        paint(axes, workload)
    return figure


def _look(workload: WorkloadReplay, name: str) -> dict[str, Any]:
    position = [schedule.name for schedule in workload.schedules].index(name)
    return {
        "color": PALETTE[position % len(PALETTE)],
        "linestyle": DASHES[position % len(DASHES)],
        "label": literal(name),
    }


def _progress(values: Array) -> Array:
    """Middle of each of the values' shares of training, in percent."""
    return 100.0 * (np.arange(values.size) + 0.5) / values.size


def _schedules(axes: Axes, workload: WorkloadReplay) -> None:
    for schedule in workload.schedules:
        axes.plot(_progress(schedule.steps), schedule.steps, **_look(workload, schedule.name))
    axes.set(xlabel="training done (%)", ylabel="learning rate / base learning rate", ylim=(0, None))


def _norms(axes: Axes, workload: WorkloadReplay) -> None:
    kind = "L1" if workload.rule == "adam" else "L2"
    for number, round_ in enumerate(workload.rounds):
        colour = PALETTE[(number + 4) % len(PALETTE)]
        smoothed = round_.refinement.smoothed
        axes.plot(_progress(round_.norms), round_.norms, color=colour, linewidth=0.5, alpha=0.6)
        axes.plot(
            _progress(smoothed), smoothed, color=colour, linewidth=2.5, label=literal(f"run with {round_.source}")
        )
    axes.set(xlabel="training done (%)", ylabel=f"{kind} norm of the gradient", yscale="log")


def _losses(axes: Axes, workload: WorkloadReplay) -> None:
    lowest, highest = np.inf, 0.0
    for schedule in workload.schedules:
        curves = [block_means(run.losses, CURVE_POINTS) for run in schedule.report_runs]
        if not curves:
            continue
        table = np.stack([curve[: min(map(len, curves))] for curve in curves])
        look = _look(workload, schedule.name)
        axes.plot(_progress(table[0]), table.mean(axis=0), **look)
        axes.fill_between(_progress(table[0]), table.min(axis=0), table.max(axis=0), color=look["color"], alpha=0.12)
        lowest, highest = min(lowest, float(table.min())), max(highest, float(table.max()))
    axes.set(xlabel="training done (%)", ylabel="training loss")
    if lowest > 0 and highest > 10 * lowest:
        axes.set_yscale("log")


def _response(axes: Axes, workload: WorkloadReplay) -> None:
    tops: list[tuple[ScheduleReplay, Array]] = []
    for schedule in workload.schedules:
        scores = schedule.scores(workload.tuning_metric)
        lrs, means = np.array(schedule.base_lrs), scores.mean(axis=1)
        errors = scores.std(axis=1, ddof=1) if scores.shape[1] > 1 else np.zeros(lrs.size)
        good = np.isfinite(means)
        look = _look(workload, schedule.name)
        axes.errorbar(lrs[good], means[good], yerr=errors[good], marker="o", markersize=4, capsize=2, **look)
        fit = fit_response(lrs, as_losses(means, workload.higher_is_better))
        if fit is not None:
            fine = np.geomspace(fit.lowest, fit.highest, 100)
            sign = -1.0 if workload.higher_is_better else 1.0
            axes.plot(fine, sign * fit(fine), color=look["color"], linewidth=0.7, alpha=0.7)
        if not good.all():
            tops.append((schedule, lrs[~good]))
    axes.set(xlabel="base learning rate", ylabel=literal(workload.tuning_metric.replace("_", " ")), xscale="log")
    _focus(axes, workload)
    for number, (schedule, lrs) in enumerate(tops):
        heights = np.full(lrs.size, 0.98 - 0.03 * number)
        colour = _look(workload, schedule.name)["color"]
        axes.plot(lrs, heights, "x", color=colour, transform=axes.get_xaxis_transform(), clip_on=False)


def _focus(axes: Axes, workload: WorkloadReplay) -> None:
    """Show the range in which schedules differ; a logarithmic axis if losses span more than a decade."""
    values = np.concatenate([s.scores(workload.tuning_metric).mean(axis=1) for s in workload.schedules])
    values = values[np.isfinite(values)]
    if values.size == 0:
        return
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
        axes.set_ylim(values.min() / 1.2, values.max() * 1.5)
        return
    spread = max(float(np.ptp(values)), 1e-12)
    axes.set_ylim(values.min() - 0.08 * spread, values.max() + 0.12 * spread)


def _contrasts(axes: Axes, workload: WorkloadReplay) -> None:
    results, rows = workload.results(), [c for c in workload.comparisons() if np.isfinite(c.difference.mean)]
    for place, row in enumerate(reversed(rows)):
        found, colour = row.difference, PALETTE[place % len(PALETTE)]
        pairs = results[row.contrast.candidate] - results[row.contrast.reference]
        axes.plot(pairs, np.full(pairs.size, place - 0.18), "|", color=colour, alpha=0.6)
        if np.isfinite(row.low):
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(found.mean, place, "o", color=colour)
    axes.axvline(0.0, color="0.4", linewidth=1.0)
    axes.set_yticks(range(len(rows)), [literal(row.contrast.name) for row in reversed(rows)])
    direction = "above" if workload.higher_is_better else "below"
    axes.set_xlabel(f"difference in {literal(workload.metric.replace('_', ' '))};\n{direction} 0 the first is better")
    axes.grid(axis="y", visible=False)


def _theory(axes: Axes, workload: WorkloadReplay) -> None:
    for row in workload.table():
        if np.isfinite(row.bound) and np.isfinite(row.mean):
            look = _look(workload, row.schedule)
            error = row.spread if np.isfinite(row.spread) else 0.0
            axes.errorbar(row.bound, row.mean, yerr=error, marker="o", capsize=2, color=look["color"], linestyle="none",
                          label=literal(row.schedule))  # fmt: skip
    axes.set(xlabel="convex bound / D, base learning rate tuned", ylabel=literal(workload.metric.replace("_", " ")))
