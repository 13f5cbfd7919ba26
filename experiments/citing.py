"""How to cite: the software, and the papers behind its names, as BibTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

from lastiterate.theory.base.validation import InputError

__all__ = ["PAPERS", "Paper", "cite"]

_ARXIV = re.compile(r"(?<!\d)\d{4}\.\d{5}(?!\d)")


@dataclass(frozen=True)
class Paper:
    """A paper on arXiv; authors and title are empty where only the number is known here."""

    authors: tuple[str, ...]
    title: str

    def key(self, number: str) -> str:
        """Return the BibTeX key, such as ``defazio2310.07831``."""
        return f"{self.authors[0].partition(',')[0].lower() if self.authors else 'arxiv'}{number}"


PAPERS: dict[str, Paper] = {
    "2310.07831": Paper(
        ("Defazio, Aaron", "Cutkosky, Ashok", "Mehta, Harsh", "Mishchenko, Konstantin"),
        "Optimal Linear Decay Learning Rate Schedules and Further Refinements",
    ),
    "2307.11134": Paper(
        ("Zamani, Moslem", "Glineur, Fran{\\c{c}}ois"),
        "Exact convergence rate of the last iterate in subgradient methods",
    ),
    "2501.18965": Paper(
        ("Schaipp, Fabian", 'H{\\"a}gele, Alexander', "Taylor, Adrien", "Simsekli, Umut", "Bach, Francis"),
        "The Surprising Agreement Between Convex Optimization Theory and Learning-Rate Scheduling for Large Model "
        "Training",
    ),
    "2301.07733": Paper(("Defazio, Aaron", "Mishchenko, Konstantin"), "Learning-Rate-Free Learning by D-Adaptation"),
    "2306.06101": Paper(
        ("Mishchenko, Konstantin", "Defazio, Aaron"),
        "Prodigy: An Expeditiously Adaptive Parameter-Free Learner",
    ),
    "2306.00144": Paper(("Cutkosky, Ashok", "Defazio, Aaron", "Mehta, Harsh"), "Mechanic: A Learning Rate Tuner"),
    "2305.07583": Paper(
        ("Schaipp, Fabian", "Ohana, Ruben", "Eickenberg, Michael", "Defazio, Aaron", "Gower, Robert M."),
        "MoMo: Momentum Models for Adaptive Learning Rates",
    ),
    "2405.15682": Paper(
        (
            "Defazio, Aaron",
            "Yang, Xingyu Alice",
            "Mehta, Harsh",
            "Mishchenko, Konstantin",
            "Khaled, Ahmed",
            "Cutkosky, Ashok",
        ),
        "The Road Less Scheduled",
    ),
    "2107.04197": Paper(
        ("Chen, John", "Wolfe, Cameron", "Kyrillidis, Anastasios"),
        "REX: Revisiting Budgeted Training with an Improved Schedule",
    ),
    "2106.11851": Paper(
        ("Gower, Robert M.", "Defazio, Aaron", "Rabbat, Michael"),
        "Stochastic Polyak Stepsize with a Moving Target",
    ),
    "2206.06900": Paper(
        ("Defazio, Aaron", "Zhou, Baoyu", "Xiao, Lin"),
        "Grad-GradaGrad? A Non-Monotone Adaptive Stochastic Gradient Method",
    ),
    "2010.00406": Paper(
        ("Defazio, Aaron",),
        "Momentum via Primal Averaging: Theoretical Insights and Learning Rate Schedules for Non-Convex Optimization",
    ),
    "1812.06162": Paper(
        ("McCandlish, Sam", "Kaplan, Jared", "Amodei, Dario", "{OpenAI Dota Team}"),
        "An Empirical Model of Large-Batch Training",
    ),
}
"""arXiv number to authors and title, of the papers whose results are implemented; others are cited by number alone."""


def cite(*names: str) -> str:
    """Return BibTeX of the software and of the papers behind it.

    Parameters
    ----------
    *names : str
        Public names such as ``"exact_rate"`` or ``"schedules.rex"``, or arXiv numbers; without any, the two papers on
        which the package rests.

    Returns
    -------
    str
        BibTeX entries: the software first, then every paper that the docstrings of the names cite.

    Raises
    ------
    InputError
        For a text that is neither a public name nor an arXiv number.

    Examples
    --------
    >>> print(cite("refine").splitlines()[0])
    @software{lastiterate,
    >>> "eprint = {2310.07831}" in cite("refine")
    True
    """
    numbers = dict.fromkeys(number for name in names for number in _papers_of(name))
    return "\n\n".join([_software(), *(_entry(number) for number in (numbers if names else list(PAPERS)[:2]))])


def _papers_of(name: str) -> Sequence[str]:
    """arXiv numbers in the docstring of a public name, of its class and of its module, in order."""
    if _ARXIV.fullmatch(name):
        return [name]
    thing: Any = import_module("lastiterate")
    for part in name.removeprefix("li.").removeprefix("lastiterate.").split("."):
        if part.startswith("_") or not hasattr(thing, part):
            raise InputError("names", name, "public names such as exact_rate or schedules.rex, or arXiv numbers")
        thing = getattr(thing, part)
    return _ARXIV.findall(thing.__doc__ or "")


def _software() -> str:
    return (
        "@software{lastiterate,\n"
        "  author = {{The lastiterate developers}},\n"
        "  title = {lastiterate: last-iterate rates of learning-rate schedules},\n"
        f"  version = {{{version('lastiterate')}}},\n"
        "}"
    )


def _entry(number: str) -> str:
    paper = PAPERS.get(number, Paper((), ""))
    year = ("20" if int(number[:2]) < 91 else "19") + number[:2]
    known = {"author": " and ".join(paper.authors), "title": f"{{{paper.title}}}" if paper.title else ""}
    fields = {
        **{name: value for name, value in known.items() if value},
        "year": year,
        "eprint": number,
        "archiveprefix": "arXiv",
        "url": f"https://arxiv.org/abs/{number}",
    }
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{{paper.key(number)},\n{lines}}}"
