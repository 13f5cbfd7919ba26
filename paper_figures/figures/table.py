"""The list of all figures, in the order of the page."""

import difflib
import re
from collections.abc import Sequence
from importlib import import_module

from lastiterate.paper_figures.machinery.registry import Figure
from lastiterate.theory.base.validation import InputError, check_choice

__all__ = ["all_figures", "select"]

_ARXIV = re.compile(r"\d{4}\.\d{5}")

MODULES = (
    "refinement",
    "refine_recorded",
    "logistic_suite",
    "deep_learning",
    "exact_vs_known",
    "exact_rate",
    "worst_function",
    "agreement",
    "agreement_runs",
    "agreement_transfer",
    "rex",
    "rex_budget",
    "dadapt_absolute",
    "prodigy",
    "logistic_table",
    "mechanic",
    "polyak",
    "motaps_map",
    "gradagrad",
    "madgrad",
    "momo",
    "spa",
    "search",
    "rewarming",
    "forecast",
    "weight_norms",
    "merging",
)


def all_figures() -> dict[str, Figure]:
    """Return every figure by name, in the order of the page.

    >>> "rex-constants" in all_figures()
    True
    """
    figures: dict[str, Figure] = {}
    for module in MODULES:
        for figure in import_module(f".{module}", __package__).FIGURES:
            figures[figure.name] = figure
    return figures


def select(names: Sequence[str], paper: str | None = None) -> list[Figure]:
    """Return the named figures, or all of them for no name; an unknown name lists the known and suggests the nearest.

    ``paper`` keeps the figures of one paper, by its arXiv number.

    >>> [figure.name for figure in select(["rex-constants"])]
    ['rex-constants']
    >>> [figure.name for figure in select([], "2107.04197")]
    ['rex-constants', 'rex-budget']
    """
    figures = all_figures()
    if paper is not None:
        known = sorted({number for figure in figures.values() for number in _ARXIV.findall(figure.paper)})
        check_choice(paper.removeprefix("arXiv:"), "--paper", known)
        figures = {name: figure for name, figure in figures.items() if paper.removeprefix("arXiv:") in figure.paper}
    chosen: list[Figure] = []
    for name in names or figures:
        if name not in figures:
            near = difflib.get_close_matches(name, figures, n=1, cutoff=0.0)[0]
            raise InputError("figure", name, f"one of {', '.join(figures)} (did you mean {near}?)")
        chosen.append(figures[name])
    return chosen
