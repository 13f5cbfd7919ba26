"""The page that sets each figure's targets, and where they come from, beside the measured outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lastiterate.theory.base.files import write_atomically

from .registry import TARGET_KINDS, FigureOutcome, TargetKind

__all__ = ["headline", "write_page"]

WORDS: dict[TargetKind, tuple[str, str, str]] = {
    "published": ("published orderings and numbers", "were seen", "were not"),
    "theory": ("statements of theory", "hold", "do not"),
    "regression": ("regression values and margins of our own", "are as before", "are not"),
}


def write_page(outcomes: Sequence[FigureOutcome], folder: Path, *, quick: bool, suffix: str = "png") -> Path:
    """Write ``figures.md`` into ``folder``, with the pictures in one format, and return its path."""
    mode = "quick" if quick else "full"
    lines = [
        "# Figures",
        "",
        f"Made by `lastiterate figures --{mode}`. {headline(outcomes)}",
        "",
        "A *published* target is an ordering or a number that the named place of a paper states; *theory* is a theorem",
        "or a derivation of this toolkit's, tested by a second route elsewhere; *regression* is a value or a margin of",
        "this toolkit's own, which guards against change and says nothing about a paper.",
        "",
        "| figure | paper | published | theory | regression |",
        "|---|---|---|---|---|",
        *(_row(outcome) for outcome in outcomes),
        "",
    ]
    for outcome in outcomes:
        lines += _section(outcome, suffix)
    path = folder / "figures.md"
    write_atomically(path, "\n".join(lines))
    return path


def _section(outcome: FigureOutcome, suffix: str) -> list[str]:
    figure = outcome.figure
    lines = [f"## {figure.name}", "", f"**{figure.paper}.** {figure.shows}", "", f"*To see:* {figure.must_see}", ""]
    if outcome.skipped or outcome.data is None:
        return [*lines, f"*Skipped:* {outcome.skipped}", ""]
    caption = " ".join(part for part in (figure.caption, outcome.data.get("caption", "")) if part)
    shown = "" if suffix == "pdf" else "!"  # browsers show no pdf inside a page
    lines += [f"{shown}[{figure.name}]({figure.name}.{suffix})", "", f"*Run:* {caption}", ""]
    if not outcome.checks:
        return lines
    lines += ["| claim | kind | measured | |", "|---|---|---|---|"]
    for check in outcome.checks:
        verdict = "pass" if check.passed else "**differs**"
        kind = f"{check.kind}: {check.source}" if check.source else check.kind
        lines.append(f"| {_cell(check.claim)} | {_cell(kind)} | {_cell(check.measured)} | {verdict} |")
    return [*lines, ""]


def headline(outcomes: Sequence[FigureOutcome]) -> str:
    """Count the targets of each kind apart.

    >>> headline([])[:78]
    'Of 0 published orderings and numbers, 0 were seen, 0 were not. Of 0 statements'
    """
    said: list[str] = []
    for kind, words in WORDS.items():
        checks = [check for outcome in outcomes for check in outcome.checks if check.kind == kind]
        seen = sum(check.passed for check in checks)
        said.append(f"Of {len(checks)} {words[0]}, {seen} {words[1]}, {len(checks) - seen} {words[2]}.")
    skipped = sum(bool(outcome.skipped) for outcome in outcomes)
    return " ".join(said) + (f" {skipped} figures were skipped for want of data." if skipped else "")


def _row(outcome: FigureOutcome) -> str:
    name, paper = outcome.figure.name, outcome.figure.paper
    if outcome.skipped:
        return f"| [{name}](#{name}) | {paper} | skipped | | |"
    cells: list[str] = []
    for kind in TARGET_KINDS:
        passed = [check.passed for check in outcome.checks if check.kind == kind]
        cells.append("" if not passed else f"{sum(passed)} of {len(passed)}")
    return f"| [{name}](#{name}) | {paper} | {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
