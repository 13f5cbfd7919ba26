"""What a figure is.

A figure module defines one or more `Figure` objects: metadata, a function that computes the numbers, one that draws
them and one that checks them against what was published. Computing and drawing are separate, so that a cached result is
redrawn in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from .cache import Cache

__all__ = ["FigureCheck", "Figure", "FigureOutcome", "Settings", "close", "holds"]

Data = dict[str, Any]


@dataclass(frozen=True)
class FigureCheck:
    """One published claim beside what was measured."""

    claim: str
    measured: str
    passed: bool


@dataclass(frozen=True)
class Settings:
    """How figures are run: quick or full, where the cache is, and the user's data folder."""

    quick: bool
    cache: Cache
    data: Path | None = None
    progress: Callable[[str], None] = lambda message: None


@dataclass(frozen=True)
class Figure:
    """One figure of the literature.

    Attributes
    ----------
    name : str
        File name of the picture and name on the command line.
    paper : str
        Short title and arXiv number.
    shows, must_see : str
        What is drawn, and the published claim that has to appear in it.
    caption : str
        What was run: data, seeds, grid; ``{quick}`` and ``{full}`` parts are written by `compute` into
        ``data["caption"]`` where they differ.
    cost : str
        Rough time of quick mode on two cores.
    needs : str
        Data it needs beyond what is generated or bundled; empty for none.
    compute, draw, check : callable
        Settings -> numbers that JSON can hold; numbers -> matplotlib figure; numbers -> checks.
    """

    name: str
    paper: str
    shows: str
    must_see: str
    caption: str
    cost: str
    compute: Callable[[Settings], Data]
    draw: Callable[[Data], Canvas]
    check: Callable[[Data], list[FigureCheck]]
    needs: str = ""


@dataclass(frozen=True)
class FigureOutcome:
    """What became of one figure."""

    figure: Figure
    data: Data | None
    checks: list[FigureCheck]
    skipped: str = ""
    seconds: float = 0.0

    @property
    def state(self) -> str:
        """``"pass"``, ``"differs"`` or ``"skipped"``."""
        if self.skipped:
            return "skipped"
        return "pass" if all(check.passed for check in self.checks) else "differs"


def close(claim: str, measured: float, published: float, tolerance: float) -> FigureCheck:
    """Check a number against a published one.

    >>> close("linear", 2.0061, 2.006, 0.01).passed
    True
    """
    passed = abs(measured - published) <= tolerance
    return FigureCheck(f"{claim}: {published:g} ± {tolerance:g}", f"{measured:.4g}", bool(passed))


def holds(claim: str, passed: Any, measured: str) -> FigureCheck:
    """Check a statement, with the numbers that decide it.

    >>> holds("linear is best", 1.0 < 1.1, "1.0 against 1.1").passed
    True
    """
    return FigureCheck(claim, measured, bool(passed))
