"""What a figure is.

A figure module defines one or more `Figure` objects: metadata, a function that computes the numbers, one that draws
them and one that checks them against their targets. Computing and drawing are separate, so that a cached result is
redrawn in a second.

Every target says where it comes from: ``published`` (a number or an ordering of a paper, with the place in it that can
be opened), ``theory`` (a theorem or a derivation of the toolkit's, tested elsewhere by a second route) or
``regression`` (a value or a margin of the toolkit's own, which guards against change and says nothing of a paper).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lastiterate.theory.base.validation import InputError, check_choice

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from .cache import Cache

__all__ = [
    "TARGET_KINDS",
    "Figure",
    "FigureCheck",
    "FigureOutcome",
    "MissingData",
    "Settings",
    "TargetKind",
    "close",
    "holds",
]

Data = dict[str, Any]
TargetKind = Literal["published", "theory", "regression"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)
PLACE = re.compile(r"arXiv \d{4}\.\d{5}(v\d+)?, .*\bp\. \d+$")


@dataclass(frozen=True)
class FigureCheck:
    """A target beside what was measured.

    Parameters
    ----------
    claim, measured : str
        The target in words, and the numbers that decide.
    passed : bool
        Whether the claim holds.
    kind : {"published", "theory", "regression"}
        Where the target comes from.
    source : str
        Of a published target: arXiv number, the table, figure or section, and the page.

    Raises
    ------
    InputError
        For another kind, or a published target without a place that can be opened.

    Examples
    --------
    >>> FigureCheck("linear is best", "1.0 against 1.1", True, "published", "arXiv 2310.07831, abstract, p. 1").passed
    True
    >>> FigureCheck("linear is best", "1.0 against 1.1", True, "published")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: source: expected paper, table or figure, and page of a ...
    """

    claim: str
    measured: str
    passed: bool
    kind: TargetKind
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse a published target that nobody can look up."""
        check_choice(self.kind, "kind", TARGET_KINDS)
        if self.kind == "published" and not PLACE.match(self.source):
            expected = "paper, table or figure, and page of a published target, such as "
            raise InputError("source", self.source, f"{expected}'arXiv 2310.07831, figure 3, p. 12'")


class MissingData(InputError):
    """A figure needs data that is not there; the figure is skipped and the page says what to provide."""


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
        What is drawn, and what has to appear in it.
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
        """``"pass"``, ``"differs"`` (from one of its targets, of whatever kind) or ``"skipped"``."""
        if self.skipped:
            return "skipped"
        return "pass" if all(check.passed for check in self.checks) else "differs"


def close(
    claim: str, measured: float, target: float, tolerance: float, *, kind: TargetKind, source: str = ""
) -> FigureCheck:
    """Check a number against its target.

    >>> close("linear", 2.0061, 2.006, 0.01, kind="regression").passed
    True
    """
    passed = abs(measured - target) <= tolerance
    return FigureCheck(f"{claim}: {target:g} ± {tolerance:g}", f"{measured:.4g}", bool(passed), kind, source)


def holds(claim: str, passed: Any, measured: str, *, kind: TargetKind, source: str = "") -> FigureCheck:
    """Check a statement, with the numbers that decide it.

    >>> holds("linear is best", 1.0 < 1.1, "1.0 against 1.1", kind="theory").passed
    True
    """
    return FigureCheck(claim, measured, bool(passed), kind, source)
