"""What a replay found, in sentences: the verdict first, then refinement, theory, and how it was found."""

import math
from collections.abc import Sequence

from lastiterate.experiments.replay.result import Row, WorkloadReplay
from lastiterate.experiments.statistics import Comparison, as_losses, detectable_difference, rank_correlation
from lastiterate.experiments.statistics.rounding import rounded
from lastiterate.theory.optimal.refinement_limits import norm_limits
from lastiterate.theory.rates.compare import compare

__all__ = ["ENOUGH_SEEDS", "findings", "method", "refinement", "relative", "theory", "verdict"]

ENOUGH_SEEDS = 8  # they find 1.5 standard deviations of the paired differences under four contrasts
NOTHING = "Every schedule had a diverged run at every base learning rate; nothing can be compared."


def findings(workload: WorkloadReplay) -> list[str]:
    """Say in sentences what was found on one workload, what the seeds cannot decide, and how it was found.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of str
        The verdict, every planned contrast, the refinements, theory beside practice, and the protocol.
    """
    if workload.table()[0].base_lr is None:
        return [NOTHING]
    contrasts = [
        f"{sentence[0].upper()}{sentence[1:]}."
        for sentence in (found.sentence(workload.higher_is_better) for found in workload.comparisons())
    ]
    return [*verdict(workload), *contrasts, *refinement(workload), *theory(workload), *method(workload)]


def verdict(workload: WorkloadReplay) -> list[str]:
    """Say in up to three sentences what the planned contrasts decide, what they do not, and what they could find.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of str
    """
    comparisons = workload.comparisons()
    if workload.table()[0].base_lr is None:
        return [NOTHING]
    if not comparisons:
        return ["No contrast among these schedules was planned: the results describe, and decide nothing."]
    decided = [found for found in comparisons if found.differs or found.matches]
    open_ = [found for found in comparisons if not (found.differs or found.matches)]
    sentences: list[str] = []
    if decided:
        said = "; ".join(f"{found.verdict(workload.higher_is_better)}{_by(workload, found)}" for found in decided)
        sentences.append(f"{said[0].upper()}{said[1:]}.")
    n = len(workload.report_seeds)
    if open_:
        seeds = "One seed" if n == 1 else f"{n} seeds"
        names = ", ".join(_pair(found) for found in open_)
        sentences.append(f"{seeds} cannot decide between {names}.")
    sentences.append(_reach(workload, comparisons))
    return sentences


def _pair(found: Comparison) -> str:
    return f"{found.contrast.candidate} and {found.contrast.reference}"


def _by(workload: WorkloadReplay, found: Comparison) -> str:
    if not found.differs:
        return ""
    return f" (by {_size(workload, found, abs(found.difference.mean))}, {_p(found.p_holm)})"


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"


def _size(workload: WorkloadReplay, found: Comparison, value: float) -> str:
    unit = relative(workload, found)
    return rounded(value) if math.isnan(unit) else f"{rounded(value / unit)}%"


def relative(workload: WorkloadReplay, found: Comparison) -> float:
    """Return one percent of the reference's mean on the fresh seeds, the unit in which a difference is read; or NaN.

    Parameters
    ----------
    workload : WorkloadReplay
    found : Comparison

    Returns
    -------
    float
        NaN where that mean is zero or not finite.
    """
    mean = abs(float(workload.results()[found.contrast.reference].mean()))
    return 0.01 * mean if math.isfinite(mean) and mean > 0.0 else math.nan


def _reach(workload: WorkloadReplay, comparisons: Sequence[Comparison]) -> str:
    """Say what difference the seeds could have found."""
    n = len(workload.report_seeds)
    if n < 2:
        return f"A single seed says nothing about differences: it takes at least two, better {ENOUGH_SEEDS}."
    known = sorted((found for found in comparisons if math.isfinite(found.detectable)), key=lambda f: f.detectable)
    if not known:
        return "What these seeds could have found is unknown: the differences have no spread."
    least, most = known[0], known[-1]
    text = f"The smallest difference that these {n} seeds find with probability 0.8: "
    text += f"{_size(workload, least, least.detectable)} between {_pair(least)}"
    if most is not least:
        text += f", up to {_size(workload, most, most.detectable)} between {_pair(most)}"
    return f"{text}."


def refinement(workload: WorkloadReplay) -> list[str]:
    """Say what the recorded norms led to, what speaks against trusting it, and whether it helped.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of str
        Empty without a refinement.
    """
    sentences: list[str] = []
    for round_ in workload.rounds:
        made = round_.refinement
        sentences.append(
            f"{round_.name}, from the norms of {round_.source} at {round_.base_lr:.3g}: predicted gain "
            f"{made.gain:.3g}, maximum at {made.peak:.0%} of training" + (", degenerate." if made.degenerate else ".")
        )
        checked = [*norm_limits(round_.norms, made).findings, *round_.notes]
        sentences.append(f"Check of {round_.name}: {'; '.join(checked)}." if checked else
                         f"Check of {round_.name}: nothing in the norms speaks against it.")  # fmt: skip
    if len(workload.rounds) > 1:
        sentences.append(f"Refining again: {workload.verdict()}.")
    if workload.rounds:
        sentences.extend(_helped(workload))
    return sentences


def _helped(workload: WorkloadReplay) -> list[str]:
    """Say for each refined schedule that was compared whether refinement helped."""
    said: list[str] = []
    refined = {round_.name for round_ in workload.rounds}
    for found in workload.comparisons():
        if found.contrast.candidate not in refined:
            continue
        better = found.differs and (found.difference.mean > 0.0) == workload.higher_is_better
        if found.matches:
            what = "Refinement makes no difference that matters here"
        elif found.differs:
            what = f"Refinement {'helps' if better else 'does not help'} here"
        else:
            what = "Whether refinement helps here is undecided"
        said.append(f"{what}: {found.verdict(workload.higher_is_better)}{_by(workload, found)}.")
    return said


def theory(workload: WorkloadReplay) -> list[str]:
    """Say how far the bounds order the schedules as the runs do.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of str
    """
    sentences: list[str] = []
    means = {row.schedule: as_losses(row.mean, workload.higher_is_better) for row in workload.table()}
    shapes = {schedule.name: schedule.steps for schedule in workload.schedules if schedule.steps.any()}
    rates = compare(shapes) if shapes else []
    tau = rank_correlation([row.exact for row in rates], [means[row.schedule] for row in rates])
    if not math.isnan(tau):
        sentences.append(f"Rank correlation (Kendall) of result and exact rate: {tau:.2f}.")
    for name, tau in workload.agreement().items():
        norms = "the baseline's norms" if name == "bound" else "each schedule's own norms"
        if not math.isnan(tau):
            sentences.append(f"Rank correlation (Kendall) of result and convex bound with {norms}: {tau:.2f}.")
    return sentences


def method(workload: WorkloadReplay) -> list[str]:
    """Say what chose the base learning rates, what reports, and what was corrected for.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of str
    """
    rows = workload.table()
    sentences = [_protocol(workload)]
    if math.isfinite(rows[0].mean) and rows[0].base_lr is not None:
        sentences.append(
            f"Best mean of {workload.metric.replace('_', ' ')}: {rows[0].schedule}, {_plus_minus(rows[0])}, at base "
            f"learning rate {rows[0].base_lr:.3g}; which of two schedules is better is for the contrasts to say."
        )
    if workload.comparisons():
        sentences.append(_correction(workload))
    open_ends = [row.schedule for row in rows if row.grid != "interior"]
    if open_ends:
        sentences.append(f"The best base learning rate lies at the end of the grid for: {', '.join(open_ends)}.")
    return sentences


def _protocol(workload: WorkloadReplay) -> str:
    """Say what chose the base learning rates and what reports."""
    split = workload.tuning_metric != workload.metric
    chosen = f"by {workload.tuning_metric.replace('_', ' ')}{' (one half of the held-out examples)' if split else ''}"
    judged = "the other half" if split else "the same examples: this workload has no validation split"
    return (
        f"Base learning rates were chosen {chosen}, on {_seeds(workload.tuning_seeds)}; results are those of "
        f"{_seeds(workload.report_seeds)}, which chose nothing, on {judged}."
    )


def _correction(workload: WorkloadReplay) -> str:
    n, count = len(workload.report_seeds), len(workload.plan.contrasts)
    among = f"{count} planned contrasts (Holm)" if count > 1 else "one planned contrast"
    reach = detectable_difference(n, level=workload.plan.level, n_contrasts=max(count, 1))
    text = (
        f"Intervals and p values are corrected over {among}, so that an interval excludes zero exactly where p is at "
    )
    text += f"most {workload.plan.level:g}"
    if not math.isfinite(reach):
        return f"{text}."
    return (
        f"{text}; {n} seeds find {rounded(reach)} standard deviations of the paired differences with probability 0.8."
    )


def _seeds(seeds: Sequence[int]) -> str:
    if not seeds:
        return "no seed"
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _plus_minus(row: Row) -> str:
    return f"{row.mean:.4g}" + ("" if math.isnan(row.spread) else f" (standard deviation {rounded(row.spread)})")
