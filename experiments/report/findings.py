"""What a replay found, in sentences and rows of text: protocol, planned contrasts, refinements, limits."""

import math
from collections.abc import Sequence

from lastiterate.experiments.replay.result import Row, WorkloadReplay
from lastiterate.experiments.statistics import Difference, detectable_difference

__all__ = ["ENOUGH_SEEDS", "contrast_rows", "findings", "interval_text"]

ENOUGH_SEEDS = 8  # they find 1.5 standard deviations of the paired differences under four contrasts


def findings(workload: WorkloadReplay) -> list[str]:
    """Say in sentences what was found on one workload, how it was found, and what the seeds cannot decide.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of str
        The protocol, the planned contrasts, the refinements, and what limits all of it.
    """
    rows = workload.table()
    best = rows[0]
    if best.base_lr is None:
        return ["Every schedule had a diverged run at every base learning rate; nothing can be compared."]
    sentences = [_protocol(workload)]
    if math.isfinite(best.mean):
        metric = workload.metric.replace("_", " ")
        sentences.append(
            f"Best mean of {metric}: {best.schedule}, {_plus_minus(best)}, at base learning rate {best.base_lr:.3g}; "
            "which of two schedules is better is for the planned contrasts to say."
        )
    comparisons = workload.comparisons()
    for found in comparisons:
        sentence = found.sentence(workload.higher_is_better)
        sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
    if comparisons:
        sentences.append(_limits(workload))
    for round_ in workload.rounds:
        refinement = round_.refinement
        sentences.append(
            f"{round_.name}, from the norms of {round_.source} at {round_.base_lr:.3g}: predicted gain "
            f"{refinement.gain:.3g}, maximum at {refinement.peak:.0%} of training"
            + (", degenerate." if refinement.degenerate else ".")
        )
    if len(workload.rounds) > 1:
        sentences.append(f"Refining again: {workload.verdict()}.")
    open_ends = [row.schedule for row in rows if row.grid != "interior"]
    if open_ends:
        sentences.append(f"The best base learning rate lies at the end of the grid for: {', '.join(open_ends)}.")
    for name, tau in workload.agreement().items():
        norms = "the baseline's norms" if name == "bound" else "each schedule's own norms"
        if not math.isnan(tau):
            sentences.append(f"Rank correlation (Kendall) of result and convex bound with {norms}: {tau:.2f}.")
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


def _limits(workload: WorkloadReplay) -> str:
    """Say what the number of seeds can find."""
    n, count = len(workload.report_seeds), len(workload.plan.contrasts)
    among = f"{count} planned contrasts (Holm)" if count > 1 else "one planned contrast"
    reach = detectable_difference(n, level=workload.plan.level, n_contrasts=max(count, 1))
    if not math.isfinite(reach):
        return f"A single seed says nothing about differences: {among} need at least two, better {ENOUGH_SEEDS}."
    text = (
        f"P values are corrected over {among}. {n} seeds find a difference of {reach:.2g} standard deviations of the "
        "paired differences with probability 0.8; smaller ones mostly stay undecided"
    )
    return text + ("." if n >= ENOUGH_SEEDS else f": {n} seeds cannot decide between schedules that are close.")


def _seeds(seeds: Sequence[int]) -> str:
    if not seeds:
        return "no seed"
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def _plus_minus(row: Row) -> str:
    return f"{row.mean:.4g}" + ("" if math.isnan(row.spread) else f" (standard deviation {row.spread:.2g})")


def contrast_rows(workload: WorkloadReplay) -> list[dict[str, str]]:
    """Return the planned contrasts as text, one row each, for tables.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of dict of str to str
    """
    return [
        {
            "planned contrast": found.contrast.name,
            "difference [95%]": interval_text(found.difference),
            "below": f"{found.difference.n_below}/{found.difference.n}",
            "p (Holm)": _number(found.p_holm),
            "p of a match": _number(found.p_equivalent),
            "would find": _number(found.detectable),
        }
        for found in workload.comparisons()
    ]


def interval_text(difference: Difference) -> str:
    """Return a difference with its interval, if it has one.

    >>> from lastiterate.experiments.statistics import paired_difference
    >>> interval_text(paired_difference([0.5, 1.4, 2.6], [1.0, 2.0, 3.0]))
    '-0.5 [-0.748, -0.252]'
    >>> interval_text(paired_difference([1.0], [2.0]))
    '-1'
    """
    if math.isnan(difference.mean):
        return "diverged"
    ends = f" [{difference.low:.3g}, {difference.high:.3g}]" if math.isfinite(difference.low) else ""
    return f"{difference.mean:+.3g}{ends}"


def _number(value: float) -> str:
    return "" if not math.isfinite(value) else f"{value:.2g}"
