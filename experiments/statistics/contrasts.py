"""Contrasts that are named before the run, in a TOML file, and their comparison with Holm's correction."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.files import existing_file
from lastiterate.theory.base.validation import InputError, check_flag, check_fraction, check_positive

from .differences import (
    Difference,
    detectable_difference,
    equivalence,
    holm,
    holm_confidence,
    paired_difference,
)
from .rounding import rounded

__all__ = ["Comparison", "Contrast", "Plan", "compare", "default_plan", "read_plan"]

CONTRAST_KEYS = {"candidate", "reference", "margin", "relative"}
PLAN_KEYS = {"level", "margin", "relative", "contrast"}
POWER = 0.8


@dataclass(frozen=True)
class Contrast:
    """Candidate minus reference, one comparison that is planned.

    Parameters
    ----------
    candidate, reference : str
        Names of the schedules.
    margin : float, optional
        Differences up to it count as "matches" in the equivalence test; no such test without it.
    relative : bool
        Whether the margin is a share of the mean of the reference instead of a number in the metric's unit.

    Raises
    ------
    InputError
        For names that are empty or equal, or a margin that is not positive.

    Examples
    --------
    >>> Contrast("linear", "constant").name
    'linear - constant'
    """

    candidate: str
    reference: str
    margin: float | None = None
    relative: bool = True

    def __post_init__(self) -> None:
        """Check what was given."""
        for part in ("candidate", "reference"):
            name = getattr(self, part)
            if not isinstance(name, str) or not name:
                raise InputError(part, name, "the name of a schedule")
        if self.candidate == self.reference:
            raise InputError("reference", self.reference, "another schedule than the candidate")
        check_flag(self.relative, "relative")
        if self.margin is not None:
            check_positive(self.margin, "margin")

    @property
    def name(self) -> str:
        """Candidate and reference, as a difference."""
        return f"{self.candidate} - {self.reference}"


@dataclass(frozen=True)
class Plan:
    """The contrasts of a study, fixed before it runs.

    Parameters
    ----------
    contrasts : tuple of Contrast
    level : float
        Probability of finding any difference where there is none, over all contrasts together.
    """

    contrasts: tuple[Contrast, ...]
    level: float = 0.05

    def among(self, names: Iterable[str]) -> "Plan":
        """Return the contrasts of which both schedules are there.

        A schedule with options answers to the name of its family if it is the only one of it:
        ``wsd`` is ``wsd:cooldown=0.1``.

        Examples
        --------
        >>> plan = Plan((Contrast("linear", "wsd"), Contrast("linear", "cosine")))
        >>> [contrast.name for contrast in plan.among(["linear", "wsd:cooldown=0.1"]).contrasts]
        ['linear - wsd:cooldown=0.1']
        """
        there = list(names)
        found: list[Contrast] = []
        for contrast in self.contrasts:
            candidate, reference = _called(contrast.candidate, there), _called(contrast.reference, there)
            if candidate is not None and reference is not None:
                found.append(replace(contrast, candidate=candidate, reference=reference))
        return replace(self, contrasts=tuple(found))


@dataclass(frozen=True)
class Comparison:
    """What the runs say on one planned contrast.

    Attributes
    ----------
    contrast : Contrast
    difference : Difference
        Candidate minus reference, with its interval at confidence 1 - the plan's level, not corrected for the number of
        contrasts.
    low, high : float
        The interval that excludes zero exactly where ``p_holm`` is at most the level, see `holm_confidence`: wider than
        that of ``difference``.
    p_holm : float
        P value of a difference, corrected over the contrasts of the plan (Holm).
    p_equivalent : float
        P value of equivalence at the contrast's margin, corrected over the contrasts that have one; NaN without.
    detectable : float
        Difference that these seeds would have found with probability 0.8, at the measured spread of the pairs and
        the plan's level over all its contrasts; infinite for one seed, NaN without a spread.
    level : float
        The plan's level.
    """

    contrast: Contrast
    difference: Difference
    low: float
    high: float
    p_holm: float
    p_equivalent: float
    detectable: float
    level: float

    @property
    def differs(self) -> bool:
        """Whether a difference was found; its sign is that of ``difference.mean``, and the interval excludes 0."""
        return self.p_holm <= self.level

    @property
    def matches(self) -> bool:
        """Whether the two are equal up to the margin."""
        return self.p_equivalent <= self.level

    def verdict(self, higher_is_better: bool = False) -> str:
        """Say in words what was found: better, worse, matches, or that these seeds cannot decide.

        Examples
        --------
        >>> values = {"linear": [1.0, 1.1, 0.9], "constant": [2.0, 2.11, 1.92]}
        >>> compare(values, Plan((Contrast("linear", "constant"),)))[0].verdict()
        'linear is better than constant'
        """
        a, b = self.contrast.candidate, self.contrast.reference
        margin = "" if self.contrast.margin is None else _margin(self.contrast)
        if self.differs:
            better = (self.difference.mean > 0.0) == higher_is_better
            small = f", by less than the margin of {margin}" if self.matches else ""
            return f"{a} is {'better' if better else 'worse'} than {b}{small}"
        if self.matches:
            return f"{a} matches {b} within {margin}"
        seeds = "1 seed" if self.difference.n == 1 else f"{self.difference.n} seeds"
        return f"{seeds} cannot decide between {a} and {b}"

    def sentence(self, higher_is_better: bool = False) -> str:
        """Say what was found with its numbers: difference, interval, p values, and what could have been found.

        Examples
        --------
        >>> values = {"linear": [1.0, 1.1, 0.9], "constant": [2.0, 2.11, 1.92]}
        >>> compare(values, Plan((Contrast("linear", "constant"),)))[0].sentence()
        'linear is better than constant: linear - constant = -1.01 [-1.03, -0.985], p = 3.3e-05, 3 of 3 seeds below'
        """
        difference, words = self.difference, [self.verdict(higher_is_better)]
        if math.isfinite(difference.mean):
            interval = f" [{self.low:.3g}, {self.high:.3g}]" if math.isfinite(self.low) else ""
            words.append(f": {self.contrast.name} = {difference.mean:+.3g}{interval}")
        if not math.isnan(self.p_holm):
            words.append(f", p = {self.p_holm:.2g}")
        if not math.isnan(self.p_equivalent):
            words.append(f", of a match within {_margin(self.contrast)} {self.p_equivalent:.2g}")
        words.append(f", {difference.n_below} of {difference.n} seeds below")
        if not (self.differs or self.matches) and math.isfinite(self.detectable):
            words.append(f"; they would have found a difference of {rounded(self.detectable)}")
        return "".join(words)


def compare(values: Mapping[str, npt.ArrayLike], plan: Plan) -> tuple[Comparison, ...]:
    """Compare schedules by the contrasts of a plan.

    Parameters
    ----------
    values : mapping of str to array_like, shape (n_seeds,)
        Final values of each schedule, seed by seed, on seeds that chose nothing; NaN where a run diverged.
    plan : Plan

    Returns
    -------
    tuple of Comparison
        In the order of the plan.

    Raises
    ------
    InputError
        If a schedule of the plan is not among the values (see `Plan.among`), or the numbers of seeds differ.

    Examples
    --------
    >>> values = {"linear": [1.0, 1.1, 0.9], "constant": [2.0, 2.11, 1.92], "cosine": [1.01, 1.08, 0.93]}
    >>> plan = Plan((Contrast("linear", "constant"), Contrast("linear", "cosine")))
    >>> [found.verdict() for found in compare(values, plan)]
    ['linear is better than constant', '3 seeds cannot decide between linear and cosine']
    """
    contrasts = plan.contrasts
    for name in (name for contrast in contrasts for name in (contrast.candidate, contrast.reference)):
        if name not in values:
            raise InputError("plan", f"the schedule {name!r}", f"schedules among {', '.join(values)}")
    pairs = [(values[c.candidate], values[c.reference]) for c in contrasts]
    differences = [paired_difference(a, b, confidence=1.0 - plan.level) for a, b in pairs]
    equal = [
        math.nan if c.margin is None else equivalence(a, b, c.margin, relative=c.relative)
        for c, (a, b) in zip(contrasts, pairs, strict=True)
    ]
    with_margin = [c.margin is not None for c in contrasts]
    p_equivalent = np.full(len(contrasts), np.nan)
    p_equivalent[with_margin] = holm(np.array(equal)[with_margin])
    p_values = [difference.p_value for difference in differences]
    p_holm = holm(p_values)
    intervals = [
        paired_difference(a, b, confidence=confidence)
        for (a, b), confidence in zip(pairs, holm_confidence(p_values, plan.level).tolist(), strict=True)
    ]
    return tuple(
        Comparison(
            contrast,
            difference,
            interval.low,
            interval.high,
            p_holm=float(different),
            p_equivalent=float(same),
            detectable=_detectable(difference, plan),
            level=plan.level,
        )
        for contrast, difference, interval, different, same in zip(
            contrasts, differences, intervals, p_holm, p_equivalent, strict=True
        )
    )


def read_plan(path: str | Path) -> Plan:
    """Read the contrasts of a study from a TOML file.

    Parameters
    ----------
    path : str or Path
        Tables ``[[contrast]]`` with ``candidate`` and ``reference``, and if wanted ``margin`` and ``relative``; before
        them ``level`` (default 0.05), and ``margin`` and ``relative`` for all contrasts without their own.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If the file is missing, is not TOML, names the same contrast twice, or holds anything else.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "plan.toml")
    >>> _ = file.write_text('margin = 0.01\\n[[contrast]]\\ncandidate = "linear"\\nreference = "cosine"\\n')
    >>> read_plan(file).contrasts
    (Contrast(candidate='linear', reference='cosine', margin=0.01, relative=True),)
    """
    file = existing_file(path, "plan", "a readable TOML file")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("plan", f"{file} ({error.strerror})", "a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError("plan", f"{file} ({error})", "valid TOML") from error
    _check_keys(content, PLAN_KEYS, str(file))
    tables = content.get("contrast")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise InputError("plan", f"{file} with contrast = {tables!r}", "tables [[contrast]]")
    common = {key: content[key] for key in ("margin", "relative") if key in content}
    contrasts: list[Contrast] = []
    for table in tables:
        _check_keys(table, CONTRAST_KEYS, f"a contrast of {file}")
        for key in ("candidate", "reference"):
            if key not in table:
                raise InputError("plan", f"a contrast of {file} without {key}", "candidate and reference")
        contrasts.append(Contrast(**{**common, **table}))
    pairs = [frozenset((contrast.candidate, contrast.reference)) for contrast in contrasts]
    if len(set(pairs)) < len(pairs):
        raise InputError("plan", f"{file} with a contrast twice", "each pair of schedules once")
    return Plan(tuple(contrasts), check_fraction(content.get("level", 0.05), "level"))


@lru_cache(maxsize=1)
def default_plan() -> Plan:
    """Return the contrasts of the package, as ``planned.toml`` beside this module has them.

    >>> [contrast.name for contrast in default_plan().contrasts]
    ['constant - linear', 'cosine - linear', 'wsd - linear', 'refined - linear']
    """
    return read_plan(Path(__file__).with_name("planned.toml"))


def _called(name: str, there: list[str]) -> str | None:
    if name in there:
        return name
    family = [other for other in there if other.partition(":")[0] == name]
    return family[0] if len(family) == 1 else None


def _detectable(difference: Difference, plan: Plan) -> float:
    if math.isnan(difference.spread):
        return math.inf if difference.n == 1 else math.nan
    n_contrasts = len(plan.contrasts)
    return detectable_difference(
        difference.n, difference.spread, power=POWER, level=plan.level, n_contrasts=n_contrasts
    )


def _margin(contrast: Contrast) -> str:
    return f"{contrast.margin:.3g}" if not contrast.relative else f"{100.0 * (contrast.margin or 0.0):.3g}%"


def _check_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise InputError("plan", f"{where} with {', '.join(unknown)}", f"the keys {', '.join(sorted(known))}")
