"""The study beside the same study with other seeds: which contrasts keep their sign."""

from collections.abc import Mapping, Sequence
from typing import Any

from .findings import Finding, findings
from .study import Block

__all__ = ["compare_seeds"]

Pair = tuple[Finding, Finding]


def compare_seeds(
    study: Mapping[str, Block], results: Mapping[str, Any], repeated: Mapping[str, Any]
) -> tuple[str, list[list[str]]]:
    """Say which contrasts keep their sign with other seeds, and count them by block.

    Returns
    -------
    str
        With the contrasts that lost their sign, those clear of zero and borderline ones, and the cells not repeated.
    list of list of str
        Rows: block, contrasts clear of zero, how many kept their sign, borderline ones, how many kept it.
    """
    rows: list[list[str]] = []
    clear: list[Pair] = []
    borderline: list[Pair] = []
    missing: dict[str, None] = {}
    for name, result in results.items():
        again = {_key(f): f for f in findings(study[name], repeated[name])} if name in repeated else {}
        found = findings(study[name], result)
        missing |= {f"{f.cell}, {f.n_steps:,} steps, of {name}": None for f in found if _key(f) not in again}
        pairs = [(f, again[_key(f)]) for f in found if f.excludes_zero and _key(f) in again]
        groups = [pair for pair in pairs if pair[0].solid], [pair for pair in pairs if not pair[0].solid]
        clear, borderline = clear + groups[0], borderline + groups[1]
        if again:
            rows.append([name, *(str(n) for group in groups for n in (len(group), sum(map(_same_sign, group))))])
    text = (
        "All seeds, those that tune and those that report, were replaced. Every contrast whose interval excluded zero "
        f"by more than half its width should keep its sign: of {len(clear)} such contrasts {_kept(clear)}. Of "
        f"{len(borderline)} borderline ones, from which this is not expected, {_kept(borderline)}. "
        f"Not repeated: {'; '.join(missing) or 'nothing'}."
    )
    return text, rows


def _key(finding: Finding) -> tuple[str, int, str]:
    return finding.cell, finding.n_steps, finding.comparison.contrast.name


def _same_sign(pair: Pair) -> bool:
    first, second = (f.comparison.difference.mean for f in pair)
    return first * second > 0.0


def _kept(pairs: Sequence[Pair]) -> str:
    lost = [
        f"{f.cell}, {f.n_steps:,} steps, {f.comparison.contrast.name}"
        for f, _ in (p for p in pairs if not _same_sign(p))
    ]
    told = f"{len(pairs) - len(lost)} kept it"
    return f"{told}, and not: {'; '.join(lost)}" if lost else told
