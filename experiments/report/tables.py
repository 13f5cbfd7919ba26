"""The tables of a report, as rows of text with a meaning for every column."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lastiterate.experiments.replay.result import Replay, WorkloadReplay
from lastiterate.experiments.statistics import Comparison
from lastiterate.experiments.statistics.rounding import rounded
from lastiterate.theory.rates.compare import DEFAULT_FAMILIES, compare
from lastiterate.theory.schedules import parse

from .findings import relative

__all__ = ["Table", "contrast_rows", "contrasts", "provenance", "results", "theory_rates"]


@dataclass(frozen=True)
class Table:
    """Rows of text under columns, whose meanings are the legend.

    Attributes
    ----------
    columns : mapping of str to str
        What each column means, by its name.
    rows : sequence of sequence of str
        As many cells a row as there are columns.
    """

    columns: Mapping[str, str]
    rows: Sequence[Sequence[str]]


def contrast_rows(workload: WorkloadReplay) -> list[dict[str, str]]:
    """Return the planned contrasts as text, one row each, narrow enough for a terminal.

    Parameters
    ----------
    workload : WorkloadReplay

    Returns
    -------
    list of dict of str to str
        Differences in percent of the reference's mean, in the metric's own unit where one of the means is zero.
    """
    found = workload.comparisons()
    units = {each.contrast.name: relative(workload, each) for each in found}
    percent = all(math.isfinite(unit) for unit in units.values())
    sign = ", %" if percent else ""
    return [
        {
            "planned contrast": each.contrast.name,
            f"difference{sign}": _interval(each, units[each.contrast.name] if percent else 1.0),
            "p (Holm)": _number(each.p_holm),
            "finds": rounded(each.detectable / (units[each.contrast.name] if percent else 1.0)),
            "verdict": verdict_word(each, workload.higher_is_better),
        }
        for each in found
    ]


def _interval(found: Comparison, unit: float) -> str:
    if math.isnan(found.difference.mean):
        return "diverged"
    ends = f" [{rounded(found.low / unit)}, {rounded(found.high / unit)}]" if math.isfinite(found.low) else ""
    return f"{rounded(found.difference.mean / unit, '+')}{ends}"


def verdict_word(found: Comparison, higher_is_better: bool) -> str:
    """Return the verdict on a candidate in a word or two: better, slightly worse, matches, undecided."""
    if found.differs:
        word = "better" if (found.difference.mean > 0.0) == higher_is_better else "worse"
        return f"slightly {word}" if found.matches else word
    return "matches" if found.matches else "undecided"


def contrasts(workload: WorkloadReplay) -> Table:
    """Return the planned contrasts with every number that they rest on."""
    metric, direction = workload.metric.replace("_", " "), "above" if workload.higher_is_better else "below"
    found = workload.comparisons()
    level = workload.plan.level
    columns = {
        "candidate - reference": f"Planned before the run; {direction} zero the candidate is better.",
        "verdict": "On the candidate, at level "
        f"{level:g} over all contrasts; slightly: by less than the margin; matches: equal within the margin.",
        f"difference in {metric}": "Mean over the fresh seeds of candidate minus reference, seed by seed.",
        "interval": f"Excludes zero exactly where p is at most {level:g}: Student's t, corrected as p is.",
        "%": "The difference in percent of the reference's mean.",
        "p (Holm)": "P value of a difference, corrected over the contrasts.",
        "p of a match": "P value of equality within the margin, corrected likewise.",
        "detectable, %": "What these seeds find with probability 0.8, in percent of the reference's mean.",
    }
    rows: list[list[str]] = []
    for each in found:
        unit, mean = relative(workload, each), each.difference.mean
        rows.append(
            [
                each.contrast.name,
                verdict_word(each, workload.higher_is_better),
                "diverged" if math.isnan(mean) else f"{mean:+.3g}",
                f"{each.low:+.3g} to {each.high:+.3g}" if math.isfinite(each.low) else "",
                rounded(mean / unit, "+"),
                _number(each.p_holm),
                _number(each.p_equivalent),
                rounded(each.detectable / unit),
            ]
        )
    return Table(columns, rows)


def results(workload: WorkloadReplay) -> Table:
    """Return the results of the schedules on the fresh seeds, the best mean first."""
    metric = workload.metric.replace("_", " ")
    columns = {
        "schedule": "Shape of the learning rate; refined: made from recorded gradient norms.",
        f"mean of {metric}": "Over the fresh seeds.",
        "std. deviation": "Of one run to the next, over the fresh seeds.",
        "base lr": "The base learning rate that the tuning seeds chose.",
        "optimum in grid": "interior: both neighbours were worse; low, high: the best rate is the end of the grid.",
        "fitted lr": "Where a fit A/lr + B lr + C to the tuning results has its minimum.",
        "diverged": "Tuning runs that diverged, of how many.",
    }
    rows = [
        [
            row.schedule,
            _number(row.mean, ".4g"),
            _number(row.spread),
            "none" if row.base_lr is None else f"{row.base_lr:.3g}",
            row.grid,
            "" if row.response is None else _number(row.response.best_lr, ".3g"),
            row.diverged,
        ]
        for row in workload.table()
    ]
    return Table(columns, rows)


def theory_rates(workload: WorkloadReplay) -> Table:
    """Return what theory says of the schedules replayed and of ten families, beside what was measured."""
    n_steps = workload.schedules[0].steps.size
    shapes = {schedule.name: schedule.steps for schedule in workload.schedules if schedule.steps.any()}
    families = {name: parse(name, n_steps) for name in DEFAULT_FAMILIES if name.split(":")[0] not in _families(shapes)}
    rates = compare({**shapes, **families}, n_steps)
    measured = {row.schedule: row for row in workload.table()}
    base = {row.schedule: row.base_lr for row in rates}.get(workload.baseline, math.nan)
    chosen = measured[workload.baseline].base_lr or math.nan
    columns = {
        "schedule": "Those replayed, and the usual families.",
        "exact rate": "Worst case over all convex functions with bounded gradients, in units of the optimum "
        "DG/sqrt(N+1): 1 is what no method beats, and what linear decay has.",
        "bound / D": "The bound for the gradient norms that linear decay recorded.",
        f"measured {workload.metric.replace('_', ' ')}": "Mean over the fresh seeds.",
        "lr, theory": "Best base learning rate over that of linear decay, as the exact rate has it.",
        "lr, chosen": "The same ratio of what the tuning seeds chose.",
    }
    rows: list[list[str]] = []
    for rate in rates:
        row = measured.get(rate.schedule)
        rows.append(
            [
                rate.schedule,
                f"{rate.exact:.3f}",
                "" if row is None else _number(row.bound, ".4g"),
                "" if row is None else _number(row.mean, ".4g"),
                _number(rate.base_lr / base),
                "" if row is None or row.base_lr is None else _number(row.base_lr / chosen),
            ]
        )
    return Table(columns, rows)


def _families(names: Mapping[str, object]) -> set[str]:
    return {name.split(":")[0] for name in names}


def provenance(result: Replay) -> list[tuple[str, str]]:
    """Return where the results come from, as names and texts."""
    facts = result.provenance
    versions = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    settings = ", ".join(f"{name} {value}" for name, value in facts.get("settings", {}).items())
    return [
        ("Date", str(facts.get("date", ""))),
        ("Wall time", f"{facts.get('seconds', math.nan):.0f} s"),
        ("Machine", str(facts.get("machine", ""))),
        ("Device", str(facts.get("device", ""))),
        ("Settings", settings),
        ("Tuning seeds", ", ".join(map(str, facts.get("tuning_seeds", [])))),
        ("Fresh seeds", ", ".join(map(str, facts.get("seeds", [])))),
        ("Versions", versions),
    ]


def _number(value: float, form: str = ".2g") -> str:
    return format(value, form) if math.isfinite(value) else ""
