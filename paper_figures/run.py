"""Compute, check, draw and list figures: the engine of ``lastiterate figures``."""

import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from lastiterate.experiments.plots.style import styled
from lastiterate.paper_figures.figures.table import select
from lastiterate.paper_figures.machinery.cache import Cache
from lastiterate.paper_figures.machinery.numbers import write_numbers
from lastiterate.paper_figures.machinery.page import write_page
from lastiterate.paper_figures.machinery.registry import Figure, FigureOutcome, MissingData, Settings
from lastiterate.theory.base.files import replacing
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.validation import InputError, check_choice

__all__ = ["FORMATS", "MissingData", "make_figures"]

FORMATS = ("png", "pdf")
KNOWN_FORMATS = ("png", "pdf", "svg")
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}  # equal numbers give equal files


def make_figures(
    names: Sequence[str] = (),
    out: str | os.PathLike[str] = "out/figures",
    *,
    quick: bool = True,
    data: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    formats: Sequence[str] = FORMATS,
    csv: bool = False,
) -> list[FigureOutcome]:
    """Compute (or read from the cache), check and draw figures, and write the page that compares them.

    Parameters
    ----------
    names : sequence of str
        Figures to make; all of them if empty.
    out : path
        Folder for pictures (PDF and PNG), ``figures.md`` and ``cache/``; nothing is written elsewhere.
    quick : bool
        Small sizes (minutes on two cores), or the full study.
    data : path, optional
        Folder with recorded runs for the figures that can use them: see `machinery.recorded.files_of` for its parts.
    progress : bool, optional
        Show a progress bar with an estimate; by default on a terminal and in Jupyter only.
    formats : sequence of str
        Of the pictures: ``"png"``, ``"pdf"``, ``"svg"``. The page shows the png, where there is one.
    csv : bool
        Also write the numbers behind each picture to ``NAME.csv``: a line a number, with the series it belongs to and
        its place there.

    Returns
    -------
    list of Outcome
        One a figure, with its checks.

    Raises
    ------
    InputError
        For an unknown name or format (the message lists the known ones) or a data folder that is absent.
    """
    chosen = select(names)
    if not formats:
        raise InputError("formats", "none", f"some of {', '.join(KNOWN_FORMATS)}")
    for name in formats:
        check_choice(name, "--format", KNOWN_FORMATS)
    folder = None if data is None else Path(data)
    if folder is not None and not folder.is_dir():
        raise InputError("data", str(folder), "an existing folder with CSV or JSON logs")
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    cache = Cache(target / "cache" / ("quick" if quick else "full"))
    outcomes: list[FigureOutcome] = []
    with progress_bar("figures", len(chosen), shown=progress, unit="figures") as update:
        for figure in chosen:
            settings = Settings(quick=quick, cache=cache, data=folder, progress=_telling(update, figure.name))
            outcomes.append(_make(figure, settings, target, formats))
            if csv and outcomes[-1].data is not None:
                write_numbers(outcomes[-1].data, target / f"{figure.name}.csv")
            update(description=f"{figure.name}: {outcomes[-1].state}", advance=1)
    write_page(outcomes, target, quick=quick, suffix="png" if "png" in formats else formats[-1])
    return outcomes


def _make(figure: Figure, settings: Settings, target: Path, formats: Sequence[str]) -> FigureOutcome:
    start = time.perf_counter()
    try:
        data = figure.compute(settings)
    except MissingData as missing:
        warnings.warn(f"{figure.name} skipped: {missing}", stacklevel=3)
        return FigureOutcome(figure, None, [], skipped=str(missing))
    with styled():
        canvas = figure.draw(data)
        for suffix in formats:
            with replacing(target / f"{figure.name}.{suffix}") as partial:
                canvas.savefig(partial, metadata=_UNDATED.get(suffix))
    return FigureOutcome(figure, data, figure.check(data), seconds=time.perf_counter() - start)


def _telling(update: Callable[..., None], name: str) -> Callable[[str], None]:
    return lambda message: update(description=f"{name}: {message}")
