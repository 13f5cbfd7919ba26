"""The page and its pictures, from the stored results."""

from pathlib import Path

from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import InputError

from .page import render
from .pictures import draw
from .study import read_results, read_study

__all__ = ["write_page"]


def write_page(out: Path) -> list[Path]:
    """Write ``evidence.md`` and its pictures from the results in the folder ``evidence`` beside it.

    Raises
    ------
    InputError
        If no results are there.
    """
    study, folder = read_study(), out / "evidence"
    results = read_results(folder, list(study))
    if not results:
        raise InputError("--out", str(out), f"a folder with results such as evidence/{next(iter(study))}.json")
    page = out / "evidence.md"
    write_atomically(page, render(study, results, read_results(folder / "replicate-1", list(study))))
    return [page, *draw(study, results, folder)]
