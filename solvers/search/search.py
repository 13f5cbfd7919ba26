"""Search for near-optimal schedule shapes (arXiv 2603.10301): families, base learning rates, seeds, then descent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lastiterate.theory.base.intervals import Interval, median_interval
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import MAX_SEED, Array, InputError, check_choice, check_count

from .methods import METHODS, coordinate_descent
from .objectives import Evaluation, Objective
from .spaces import SPACES, AnyShape, Shape, Space, space_of
from .statistics import Distribution, best_of, distribution

__all__ = ["Candidate", "FamilyResult", "Study", "descend", "rescore", "search", "search_family"]


@dataclass(frozen=True)
class Candidate:
    """A shape with its score, the base learning rate that gives it, and the score's interval if it was re-scored."""

    shape: AnyShape
    score: float
    base_lr: float
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """The schedule specification."""
        return self.shape.text


@result
class FamilyResult(Result):
    """What the search of one family found.

    Attributes
    ----------
    family, method : str
    shapes : tuple of Shape
        Every shape scored at the full horizon, in order.
    scores, base_lrs : float64[shape]
        Their scores and best base rates.
    best : Candidate
        The shape with the lowest score.
    top : tuple of Candidate
        The best shapes re-scored with fresh seeds, best first; equal to the first scores if nothing is random.
    polished : Candidate or None
        What coordinate descent made of the best one.
    response : (float64[k], float64[k])
        Base rates and median losses of the best shape.
    cost : float
        Runs spent before re-scoring and descent, in units of one shape at the full horizon.
    """

    family: str
    method: str
    shapes: tuple[Shape, ...] = field(repr=False)
    scores: Array = field(repr=False)
    base_lrs: Array = field(repr=False)
    best: Candidate
    top: tuple[Candidate, ...] = field(repr=False)
    polished: Candidate | None
    response: tuple[Array, Array] = field(repr=False)
    cost: float

    @property
    def at_end_of_list(self) -> bool:
        """Whether the best base rate is an end of the list, so that a longer list might give a better score."""
        lrs = self.response[0]
        return lrs.size > 1 and self.best.base_lr in (lrs.min(), lrs.max())

    @property
    def rescored(self) -> Candidate:
        """The shape that the search chose, scored with seeds that chose nothing."""
        return next((candidate for candidate in self.top if candidate.shape == self.best.shape), self.best)

    @property
    def distribution(self) -> Distribution:
        """The empirical distribution of the scores."""
        return distribution(self.scores)

    def expected_best(self, k: int) -> float:
        """Return the expected best score of ``k`` of the shapes."""
        return best_of(self.scores, k)


@result
class Study(Result, Tabular):
    """Results of all families on one objective.

    Attributes
    ----------
    objective : str
        The name of the objective.
    families : mapping of str to FamilyResult
        What was found for each family.
    """

    _plot = "study"
    _shown = ("objective", "n_families")

    objective: str
    families: Mapping[str, FamilyResult]

    @property
    def n_families(self) -> int:
        """Number of families."""
        return len(self.families)

    def table(self) -> list[dict[str, float | str | None]]:
        """Return one row per family, best first."""
        rows: list[dict[str, float | str | None]] = []
        for found in sorted(self.families.values(), key=lambda family: family.best.score):
            polished, interval = found.polished, found.rescored.interval
            rows.append(
                {
                    "family": found.family,
                    "best": found.best.score,
                    "median": float(np.median(found.scores)),
                    "re-scored": found.rescored.score,
                    "low": None if interval is None else interval.low,
                    "high": None if interval is None else interval.high,
                    "level": None if interval is None else interval.level,
                    "after descent": None if polished is None else polished.score,
                    "base_lr": found.best.base_lr,
                    "schedule": found.best.text,
                }
            )
        return rows

    def trials(self) -> list[dict[str, float | str]]:
        """Return one row for every shape that was scored, in order: what was tried, and what it gave.

        A parameter of a family is a column of its own; ``to_pandas`` gives the table of the families instead.

        Examples
        --------
        >>> from lastiterate.solvers.search.objectives import LinearRegression
        >>> study = search(LinearRegression(), ["generalised_rex"], n_shapes=2)
        >>> sorted(study.trials()[0])
        ['b', 'base_lr', 'family', 'schedule', 'score', 'warmup']
        """
        return [
            {
                "family": found.family,
                "score": float(score),
                "base_lr": float(base_lr),
                **dict(shape.values),
                "schedule": shape.text,
            }
            for found in self.families.values()
            for shape, score, base_lr in zip(found.shapes, found.scores, found.base_lrs, strict=True)
        ]


def search(
    objective: Objective,
    families: Sequence[str] | None = None,
    *,
    on_family: Callable[[str], None] | None = None,
    progress: bool | None = None,
    **options: int | str | bool,
) -> Study:
    """Search several families on one objective; options as in `search_family`.

    Parameters
    ----------
    objective : Objective
        `LinearRegression`, `ConvexProblem`, `TheoryRate`, or one of `experiments.sweep.objectives`.
    families : sequence of str, optional
        Names of `SPACES`, all by default, or of `WIDE`, with options that are not searched after a colon:
        ``"cosine:warmup_kind=cosine"``.
    on_family : callable, optional
        Called with the name of each family when it is finished.
    progress : bool, optional
        Show a progress bar; by default on a terminal and in Jupyter only.

    Returns
    -------
    Study
        ``.families``, ``.table()``, ``.plot()``.

    Raises
    ------
    InputError
        For an unknown family or method, a budget below 1, or an objective whose runs all diverge.

    Examples
    --------
    >>> from lastiterate.solvers.search.objectives import LinearRegression
    >>> study = search(LinearRegression(), ["constant", "cosine"], n_shapes=16)
    >>> [(row["family"], round(row["best"], 3)) for row in study.table()]
    [('cosine', 0.331), ('constant', 0.351)]
    """
    spaces = {name: space_of(name) for name in (SPACES if families is None else families)}
    found: dict[str, FamilyResult] = {}
    with progress_bar("families", len(spaces), shown=progress, unit="families") as update:
        for name, space in spaces.items():
            update(description=name)
            found[name] = search_family(objective, space, **options)  # type: ignore[arg-type]
            update(advance=1)
            if on_family is not None:
                on_family(name)
    return Study(objective.name, found)


def search_family(
    objective: Objective,
    space: Space,
    *,
    n_shapes: int = 400,
    n_seeds: int = 3,
    method: str = "random",
    top_k: int = 5,
    rescore_seeds: int = 20,
    descent: int = 0,
    seed: int = 0,
) -> FamilyResult:
    """Search one family: score shapes, re-score the best with fresh seeds, descend from the best.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    space : Space
        The family and the ranges of its parameters, see `SPACES`.
    n_shapes : int
        Budget in shapes scored at the full horizon; each is crossed with all base rates and seeds.
    n_seeds : int
        Seeds 0..n_seeds-1 of the search, if the objective is random.
    method : str
        A name of `METHODS`: random, uniform, coordinate, halving, evolution, cma.
    top_k : int
        How many of the best shapes are re-scored.
    rescore_seeds : int
        Number of fresh seeds, none of which the search has seen.
    descent : int
        Budget of coordinate descent around the best shape, in shapes; 0 for none.
    seed : int
        Of the search method.

    Returns
    -------
    FamilyResult

    Raises
    ------
    InputError
        For an unknown method, a budget below 1, or an objective whose runs all diverge.
    """
    check_choice(method, "method", METHODS)
    for value, name in (
        (n_shapes, "n_shapes"),
        (n_seeds, "n_seeds"),
        (top_k, "top_k"),
        (rescore_seeds, "rescore_seeds"),
    ):
        check_count(value, name)
    check_count(descent, "descent", minimum=0)
    check_count(seed, "seed", minimum=0, maximum=MAX_SEED)
    log = _Log(objective, space, tuple(range(n_seeds)) if objective.is_random else (0,))
    METHODS[method](space, log, n_shapes, seed)
    shapes, scores, base_lrs = tuple(log.shapes), np.array(log.scores), np.array(log.base_lrs)
    first = int(scores.argmin())
    if not np.isfinite(scores[first]):
        raise InputError("objective", objective.name, "some shape and base learning rate that does not diverge")
    order = np.argsort(scores, kind="stable")
    chosen = [Candidate(shapes[i], float(scores[i]), float(base_lrs[i])) for i in order[:top_k]]
    response = objective.evaluate([shapes[first]], log.seeds)
    cost = log.cost
    return FamilyResult(
        family=space.name,
        method=method,
        shapes=shapes,
        scores=scores,
        base_lrs=base_lrs,
        best=chosen[0],
        top=rescore(objective, chosen, rescore_seeds, first_seed=n_seeds) if objective.is_random else tuple(chosen),
        polished=descend(objective, space, chosen[0], budget=descent, seeds=log.seeds) if descent else None,
        response=(response.base_lrs[0], response.medians[0]),
        cost=cost,
    )


def rescore(
    objective: Objective, candidates: Sequence[Candidate], n_seeds: int, *, first_seed: int
) -> tuple[Candidate, ...]:
    """Score candidates anew, at their own base learning rates, with seeds that the search has not seen.

    The lowest of many noisy scores is too low; with fresh seeds this bias is gone. Returned best first, each with the
    order-statistic interval of its median and the level that it has. The first of them is again the lowest of some
    noisy scores; `FamilyResult.rescored` is not.
    """
    seeds = range(first_seed, first_seed + check_count(n_seeds, "n_seeds"))
    lrs = np.array([[candidate.base_lr] for candidate in candidates])
    found = objective.evaluate([candidate.shape for candidate in candidates], seeds, lrs)
    intervals = [median_interval(row[0]) for row in found.losses]
    renewed = [
        Candidate(old.shape, interval.value, float(lr), interval)
        for old, interval, lr in zip(candidates, intervals, found.best_base_lrs, strict=True)
    ]
    return tuple(sorted(renewed, key=lambda candidate: candidate.score))


def descend(objective: Objective, space: Space, start: Candidate, *, budget: int, seeds: Sequence[int]) -> Candidate:
    """Improve a member of a family by coordinate descent over its parameters, the base rate tuned at every point."""
    if not isinstance(start.shape, Shape):
        raise InputError("start", start.shape.text[:40], f"a member of the family {space.name}")
    log = _Log(objective, space, tuple(seeds))
    coordinate_descent(log, space.point(start.shape), start.score, budget)
    best = int(np.argmin(log.scores)) if log.scores else -1
    if best < 0 or log.scores[best] >= start.score:
        return start
    return Candidate(log.shapes[best], log.scores[best], log.base_lrs[best])


class _Log:
    """The evaluator that a method calls: scores points and remembers those at the full horizon."""

    def __init__(self, objective: Objective, space: Space, seeds: tuple[int, ...]) -> None:
        self.seeds = seeds
        self.shapes: list[Shape] = []
        self.scores: list[float] = []
        self.base_lrs: list[float] = []
        self.cost = 0.0
        self._objective = objective
        self._space = space

    def __call__(self, points: Array, fraction: float = 1.0) -> Array:
        shapes = [self._space.shape(point) for point in points]
        self.cost += fraction * len(shapes)
        if fraction < 1.0:
            n_steps = max(1, round(fraction * self._objective.n_steps))
            return self._objective.at_horizon(n_steps).evaluate(shapes, self.seeds).scores
        found: Evaluation = self._objective.evaluate(shapes, self.seeds)
        self.shapes += shapes
        self.scores += found.scores.tolist()
        self.base_lrs += found.best_base_lrs.tolist()
        return found.scores
