"""What the study shows, for and against theory's answer, in five sentences with numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .findings import Finding, agreement, findings, values_of
from .study import Block

__all__ = ["RANKED", "READINGS", "against", "counted", "counts", "summary"]

READINGS = ("better", "slightly better", "matches", "slightly worse", "worse", "undecided")
_WORDS = {"matches": "equal within 0.5%"}
RANKED = ("horizon", "noise", "convex", "ridge", "text")
"""The blocks in which schedules of the literature are compared."""
LOW_TAU = 0.3
WITHOUT_RIDGE = ("horizon", "noise", "convex", "text")


def counts(found: Sequence[Finding]) -> str:
    """Return how many findings read how, in words; those on which no verdict rests are left out and counted.

    >>> counts([])
    'nothing'
    """
    deciding = [f for f in found if f.decides]
    parts = [
        f"{_WORDS.get(word, word)} in {count}"
        for word in READINGS
        if (count := sum(f.reading == word for f in deciding))
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
        lines.append(f"**A constant rate against linear decay**, without ridge: {counts(constant)}{_places(constant)}.")
    if wsd := _of(trained, "wsd"):
        cosine = _of(trained, "cosine")
        lines.append(
            f"**WSD and cosine against linear decay**, without ridge: WSD {counts(wsd)}; cosine {counts(cosine)}."
        )
    if ridge := found.get("ridge"):
        lines.append(
            f"**Cosine and (1-s)^2 against linear decay**, with a ridge of 1e-4, which makes the problem strongly "
            f"convex: cosine {counts(_of(ridge, 'cosine'))}; (1-s)^2 {counts(_of(ridge, 'polynomial'))}."
        )
    refined = [f for f in found.get("refinement", []) if f.comparison.contrast.candidate in ("l1", "l2")]
    refined += [f for name in RANKED for f in _of(found.get(name, []), "refined")]
    if refined:
        predicted, measured = _gains(study, results)
        lines.append(
            f"**Refined schedules against linear decay**: {counts(refined)}; the median gain that their bound predicts "
            f"is {predicted:.3f}, the median ratio of losses that was measured {measured:.3f}."
        )
    orders = [a for name in RANKED if name in results for a in agreement(study[name], results[name])]
    if orders:
        taus = np.array([a.tau for a in orders])
        told = sum(a.p_value <= 0.05 for a in orders)
        lines.append(
            f"**The bound orders schedules** as the runs do with a median Kendall tau of {np.median(taus):.2f} "
            f"({taus.min():.2f} to {taus.max():.2f}); in {told} of {len(orders)} cells this is more than chance at 5%."
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
            f"length; measured, the average is {counts(averages)}."
        )
    undecided = [f for group in found.values() for f in group if f.decides and f.reading == "undecided"]
    total = sum(len(group) for group in found.values())
    items.append(
        "Theory's continuation of a finished run loses to training from scratch, and re-warming to a constant high "
        "rate, on pairs of quadratics that chose no setting: see [rewarming](figures.md#rewarming)."
    )
    items.append(f"{len(undecided)} of all {total} planned contrasts are undecided: these seeds are too few for them.")
    return items


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


def _gains(study: Mapping[str, Block], results: Mapping[str, Any]) -> tuple[float, float]:
    """Medians of the predicted gain and of loss of linear / loss of refined, over the published variants."""
    pairs: list[tuple[float, float]] = []
    for name in ("refinement", *RANKED):
        for cell in results.get(name, {"cells": []})["cells"]:
            values = values_of(cell, study[name].metric)
            for refined in ("l1", "l2", "refined"):
                if f"{refined}/gain" in cell["metrics"]:
                    ratio = float(values["linear"].mean() / values[refined].mean())
                    pairs.append((cell["metrics"][f"{refined}/gain"], ratio))
    predicted, measured = np.median(np.array(pairs), axis=0)
    return float(predicted), float(measured)
