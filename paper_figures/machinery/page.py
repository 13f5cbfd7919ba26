"""The page that sets each figure's published claim beside the measured outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lastiterate.theory.base.files import write_atomically

from .registry import FigureOutcome

__all__ = ["write_page"]


def write_page(outcomes: Sequence[FigureOutcome], folder: Path, *, quick: bool, suffix: str = "png") -> Path:
    """Write ``figures.md`` into ``folder``, with the pictures in one format, and return its path."""
    mode = "quick" if quick else "full"
    count = {state: sum(outcome.state == state for outcome in outcomes) for state in ("pass", "differs", "skipped")}
    lines = [
        "# Figures",
        "",
        f"Made by `lastiterate figures --{mode}`: {count['pass']} agree with what was published or proved in "
        f"every check, {count['differs']} differ in at least one, {count['skipped']} were skipped for want of data.",
        "",
        "| figure | paper | outcome |",
        "|---|---|---|",
        *(f"| [{o.figure.name}](#{o.figure.name}) | {o.figure.paper} | {o.state} |" for o in outcomes),
        "",
    ]
    for outcome in outcomes:
        lines += _section(outcome, suffix)
    path = folder / "figures.md"
    write_atomically(path, "\n".join(lines))
    return path


def _section(outcome: FigureOutcome, suffix: str) -> list[str]:
    figure = outcome.figure
    lines = [f"## {figure.name}", "", f"**{figure.paper}.** {figure.shows}", "", f"*Published:* {figure.must_see}", ""]
    if outcome.skipped or outcome.data is None:
        return [*lines, f"*Skipped:* {outcome.skipped}", ""]
    caption = " ".join(part for part in (figure.caption, outcome.data.get("caption", "")) if part)
    shown = "" if suffix == "pdf" else "!"  # browsers show no pdf inside a page
    lines += [f"{shown}[{figure.name}]({figure.name}.{suffix})", "", f"*Run:* {caption}", ""]
    if not outcome.checks:
        return lines
    lines += ["| claim | measured | |", "|---|---|---|"]
    for check in outcome.checks:
        verdict = "pass" if check.passed else "**differs**"
        lines.append(f"| {_cell(check.claim)} | {_cell(check.measured)} | {verdict} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
