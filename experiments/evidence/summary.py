"""What the study shows, for and against theory's answer, in five sentences with numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array

from .findings import Finding, agreement, findings, label_of, rate_errors, values_of
from .study import Block

__all__ = ["RANKED", "READINGS", "against", "counted", "counts", "summary"]

READINGS = ("better", "slightly better", "matches", "slightly worse", "worse", "undecided")
SIZED = ("better", "worse")
_WORDS = {"matches": "equal within 0.5%"}
RANKED = ("horizon", "noise", "convex", "ridge", "text")
"""The blocks in which schedules of the literature are compared."""
LOW_TAU = 0.3
WITHOUT_RIDGE = ("horizon", "noise", "convex", "text")
PAPER_RULES = ("l1", "l2", "refined")
"""The refinements that follow the published algorithm; the others vary it."""
NEVER_DECAYING = ("constant", "inverse_sqrt")


def counts(found: Sequence[Finding], *, sizes: bool = False) -> str:
    """Return how many findings read how, in words; those on which no verdict rests are left out and counted.

    With ``sizes``, also by how many percent of the reference's loss the candidates were better or worse.

    >>> counts([])
    'nothing'
    """
    deciding = [f for f in found if f.decides]
    parts = [
        f"{_WORDS.get(word, word)} in {len(own)}{_sizes(own) if sizes and word in SIZED else ''}"
        for word in READINGS
        if (own := [f for f in deciding if f.reading == word])
    ]
    if len(deciding) < len(found):
        parts.append(f"without a verdict in {len(found) - len(deciding)}")
    return f"{', '.join(parts)} of {len(found)}" if parts else "nothing"


def counted(found: Sequence[Finding]) -> str:
    """Return one sentence a contrast: how often the candidate was better, equal or worse than the reference."""
    names = dict.fromkeys(f.comparison.contrast.name for f in found)
    own = {name: [f for f in found if f.comparison.contrast.name == name] for name in names}
    return " ".join(f"{name}: {counts(group)}." for name, group in own.items())


def summary(study: Mapping[str, Block], results: Mapping[str, Any]) -> list[str]:
    """Return five sentences; a sentence whose blocks have not run is left out."""
    found = {name: findings(study[name], results[name]) for name in study if name in results}
    trained = [f for name in WITHOUT_RIDGE for f in found.get(name, [])]
    lines: list[str] = []
    if constant := _of(trained, "constant"):
        told = counts(constant, sizes=True)
        lines.append(f"**A constant rate against linear decay**, without ridge: {told}{_places(constant)}.")
    if wsd := _of(trained, "wsd"):
        lines.append(
            f"**WSD and cosine against linear decay**, without ridge: WSD {counts(wsd, sizes=True)}; "
            f"cosine {counts(_of(trained, 'cosine'), sizes=True)}."
        )
    if ridge := found.get("ridge"):
        lines.append(
            f"**Cosine and (1-s)^2 against linear decay**, with a ridge of 1e-4, which makes the problem strongly "
            f"convex, in percent of the gap to the minimum: cosine {counts(_of(ridge, 'cosine'), sizes=True)}; "
            f"(1-s)^2 {counts(_of(ridge, 'polynomial'), sizes=True)}."
        )
    if refined := _refined(study, results):
        predicted, measured = np.median([pair[1:] for pair in refined], axis=0)
        lines.append(
            f"**Refined schedules against linear decay**: {counts([pair[0] for pair in refined], sizes=True)}; the "
            f"median gain that their bound predicts is {predicted:.3f}, the median ratio of losses that was measured "
            f"{measured:.3f}."
        )
    orders = [a for name in RANKED if name in results for a in agreement(study[name], results[name])]
    if orders:
        taus = np.array([a.tau for a in orders])
        told = sum(a.p_value <= 0.05 for a in orders)
        errors = rate_errors(list(results.values()))
        decaying = np.concatenate([errors[name] for name in errors if name not in NEVER_DECAYING])
        lines.append(
            f"**The bound orders schedules** as the runs do with a median Kendall tau of {np.median(taus):.2f} "
            f"({taus.min():.2f} to {taus.max():.2f}), in {told} of {len(orders)} cells more than chance at 5%; the "
            f"best base learning rate that it predicts from that of linear decay is right within a factor of two in "
            f"{_within(decaying)} for schedules that decay and in {_within(errors['constant'])} for a constant "
            "one."
        )
    return [f"{place}. {line}" for place, line in enumerate(lines, start=1)]


def against(study: Mapping[str, Block], results: Mapping[str, Any]) -> list[str]:
    """Return what did not hold: where linear decay lost, what refinement gave, where the bound misled."""
    found = {name: findings(study[name], results[name]) for name in study if name in results}
    literature = [f for name in RANKED for f in found.get(name, [])]
    refined = [f for name in ("refinement", *RANKED) for f in found.get(name, []) if _is_refined(f)]
    won = _listed([f for f in refined if _better(f)])
    lost = sum(f.decides and "worse" in f.reading for f in refined)
    items = [
        f"Linear decay was beaten by: {_listed([f for f in literature if _better(f)])}.",
        f"A refined schedule, by any rule, was better than linear decay in: {won}; worse or slightly so in {lost} of "
        f"{len(refined)}.",
    ]
    robust = [f for f in refined if "robust" in f.comparison.contrast.candidate]
    if robust:
        items.append(f"The robust variant against linear decay: {counts(robust)}.")
    orders = [a for name in RANKED if name in results for a in agreement(study[name], results[name])]
    low = [f"{a.cell}, {a.n_steps:,} steps ({a.tau:+.2f})" for a in orders if a.tau <= LOW_TAU]
    if orders:
        items.append(f"The bound's order was of little use (Kendall's tau at most {LOW_TAU:g}) on: {_or_nothing(low)}.")
    if effective := _of(found.get("text", []), "effective-linear"):
        items.append(
            f"A linear effective rate, corrected for weight norms, against a linear rate: {counts(effective)}."
        )
    averages = [f for f in found.get("averages", []) if f.comparison.contrast.name.startswith("tail - wsd")]
    if averages:
        items.append(
            "In theory the average of the last fifth of the iterates at a constant rate equals a cooldown of that "
            f"length; measured, the average is {counts(averages, sizes=True)}."
        )
    if ema := _of(found.get("averages", []), "ema"):
        items.append(
            f"An exponential moving average at a constant rate against linear decay: {counts(ema, sizes=True)}."
        )
    undecided = [f for group in found.values() for f in group if f.decides and f.reading == "undecided"]
    total = sum(len(group) for group in found.values())
    items.append(
        "Theory's continuation of a finished run loses to training from scratch, and re-warming to a constant high "
        "rate, on pairs of quadratics that chose no setting: see [rewarming](figures.md#rewarming)."
    )
    items.append(f"{len(undecided)} of all {total} planned contrasts are undecided: these seeds are too few for them.")
    return items


def _sizes(found: Sequence[Finding]) -> str:
    sizes = [f"{abs(f.percent(f.comparison.difference.mean)):.2g}%" for f in found]
    ordered = sorted(sizes, key=lambda text: float(text[:-1]))
    borderline = sum(not f.solid for f in found)
    note = f", {'' if len(found) == 1 else f'{borderline} '}borderline" if borderline else ""
    return f" (by {ordered[0]}{f' to {ordered[-1]}' if len(found) > 1 else ''}{note})"


def _within(errors: Array) -> str:
    return f"{(np.abs(errors) <= 1.001).mean():.0%}"


def _is_refined(finding: Finding) -> bool:
    name = finding.comparison.contrast.candidate
    return name == "refined" or name.startswith(("l1", "l2"))


def _better(finding: Finding) -> bool:
    return finding.decides and "better" in finding.reading


def _listed(found: Sequence[Finding]) -> str:
    shown = [
        f"{f.comparison.contrast.candidate} on {f.cell}, {f.n_steps:,} steps "
        f"({f.percent(f.comparison.difference.mean):+.2g}%{'' if f.solid else ', borderline'})"
        for f in found
    ]
    return _or_nothing(shown)


def _or_nothing(shown: Sequence[str]) -> str:
    return "; ".join(shown) or "nothing"


def _of(found: Sequence[Finding], family: str) -> list[Finding]:
    return [f for f in found if f.comparison.contrast.candidate.partition(":")[0] == family]


def _places(found: Sequence[Finding]) -> str:
    """Where the candidate was better."""
    better = [f"{f.cell}, {f.n_steps:,} steps" for f in found if f.decides and "better" in f.reading]
    return f" (better on {'; '.join(better)})" if better else ""


def _refined(study: Mapping[str, Block], results: Mapping[str, Any]) -> list[tuple[Finding, float, float]]:
    """The published refinements, each once a cell and rule: finding, predicted gain, loss of linear / its loss."""
    refined: dict[tuple[str, int, str], tuple[Finding, float, float]] = {}
    for name in ("refinement", *RANKED):
        if name not in results:
            continue
        told = {(f.cell, f.n_steps, f.comparison.contrast.candidate): f for f in findings(study[name], results[name])}
        for cell in results[name]["cells"]:
            values, place = values_of(cell, study[name].metric), (label_of(cell), int(cell["metrics"]["n_steps"]))
            for options in cell["spec"]["options"].get("refinements", ()):
                if (candidate := options["name"]) in PAPER_RULES:
                    measured = float(values["linear"].mean() / values[candidate].mean())
                    found = told[*place, candidate], cell["metrics"][f"{candidate}/gain"], measured
                    refined.setdefault((*place, options["rule"]), found)
    return list(refined.values())
