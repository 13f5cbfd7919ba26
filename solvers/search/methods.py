"""Ways to search a family of schedules, all behind one call: ``method(space, evaluate, budget, seed)``.

A method proposes points of the unit cube and sees their scores; it returns nothing, because the evaluator remembers
every point. ``budget`` counts evaluations at the full horizon: two at half the horizon cost as much as one.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from lastiterate.theory.base.extras import require
from lastiterate.theory.base.validation import Array, InputError

from .spaces import Space

__all__ = [
    "Evaluator",
    "add_method",
    "cma_search",
    "coordinate_descent",
    "coordinate_search",
    "differential_evolution",
    "random_search",
    "successive_halving",
    "uniform_search",
]


class Evaluator(Protocol):
    """What a method sees of the objective."""

    def __call__(self, points: Array, fraction: float = 1.0) -> Array:
        """Return the scores of points, float64[m] for float64[m, dim], at a fraction of the horizon."""
        ...


def random_search(space: Space, evaluate: Evaluator, budget: int, seed: int) -> None:
    """Draw all points at once from a scrambled Sobol sequence."""
    evaluate(space.sample(budget, seed))


def uniform_search(space: Space, evaluate: Evaluator, budget: int, seed: int) -> None:
    """Draw all points independently, as arXiv 2603.10301 does."""
    evaluate(space.sample(budget, seed, "uniform"))


def coordinate_search(space: Space, evaluate: Evaluator, budget: int, seed: int) -> None:
    """Spend half the budget on random search and the other half on coordinate descent around the best point."""
    points = space.sample(max(budget // 2, 1), seed)
    scores = evaluate(points)
    best = int(scores.argmin())
    coordinate_descent(evaluate, points[best], float(scores[best]), budget - len(points))


def coordinate_descent(evaluate: Evaluator, start: Array, score: float, budget: int, n_points: int = 4) -> Array:
    """Improve a point along one axis at a time, ``n_points`` values an axis, and return the best point.

    The first pass looks +-1/4 of the range around the point (arXiv 2603.10301); after a pass without gain over all
    axes the width halves, until the budget is spent or the width is below 1e-3.
    """
    point, width = start.copy(), 0.25
    while width >= 1e-3:
        gained = False
        for axis in range(point.size):
            if budget < n_points:
                return point
            candidates = np.tile(point, (n_points, 1))
            candidates[:, axis] = np.clip(point[axis] + np.linspace(-width, width, n_points), 0.0, 1.0)
            scores = evaluate(candidates)
            budget -= n_points
            if scores.min() < score:
                point, score, gained = candidates[scores.argmin()], float(scores.min()), True
        if not gained:
            width /= 2.0
    return point


def successive_halving(space: Space, evaluate: Evaluator, budget: int, seed: int) -> None:
    """Score many shapes at a quarter of the horizon, the better third at half, the best ninth at the full horizon."""
    rungs = [(0.25, 1.0), (0.5, 1.0 / 3.0), (1.0, 1.0 / 9.0)]
    n_first = int(budget / sum(fraction * share for fraction, share in rungs))
    points = space.sample(max(n_first, 9), seed)
    n_all = len(points)
    for fraction, share in rungs:
        points = points[: max(int(n_all * share), 1)]
        points = points[np.argsort(evaluate(points, fraction), kind="stable")]


def differential_evolution(space: Space, evaluate: Evaluator, budget: int, seed: int) -> None:
    """SciPy's differential evolution, without a final polish."""
    from scipy.optimize import differential_evolution as scipy_evolution

    population = min(max(10 * space.dim, 15), max(budget // 4, 5))
    initial = space.sample(population, seed)
    generations = max(budget // population - 1, 0)
    evolve: Any = scipy_evolution  # its stubs know no array for init
    evolve(
        lambda points: evaluate(np.clip(points.T, 0.0, 1.0)),
        bounds=[(0.0, 1.0)] * space.dim,
        init=initial,
        maxiter=generations,
        tol=0.0,
        polish=False,
        vectorized=True,
        updating="deferred",
        rng=np.random.default_rng(seed),
    )


def cma_search(space: Space, evaluate: Evaluator, budget: int, seed: int) -> None:
    """CMA-ES of the package ``cma`` from the best of a tenth of the budget, restarted when it stops early."""
    cma: Any = require("cma", "search", purpose="the search method 'cma'")
    if space.dim == 1:  # CMA-ES has nothing to adapt in one dimension
        return random_search(space, evaluate, budget, seed)
    points = space.sample(max(budget // 10, 1), seed)
    order = np.argsort(evaluate(points), kind="stable")
    left = budget - len(points)
    options = {"bounds": [0.0, 1.0], "verbose": -9, "verb_log": 0}
    for attempt, start in enumerate(points[order]):
        strategy = cma.CMAEvolutionStrategy(start, 0.2, {**options, "seed": 1 + 1000 * seed + attempt})
        while not strategy.stop():
            asked = np.array(strategy.ask())
            if left < len(asked):
                return None
            strategy.tell(list(asked), _finite(evaluate(asked)).tolist())
            left -= len(asked)
    return None


def _finite(scores: Array) -> Array:
    """CMA-ES ranks points, so any number above all others stands for a run that diverged."""
    return np.where(np.isfinite(scores), scores, 1e300)


METHODS: dict[str, Callable[[Space, Evaluator, int, int], None]] = {
    "random": random_search,
    "uniform": uniform_search,
    "coordinate": coordinate_search,
    "halving": successive_halving,
    "evolution": differential_evolution,
    "cma": cma_search,
}


def add_method(name: str, method: Callable[[Space, Evaluator, int, int], None]) -> None:
    """Make a further method known to `search` under ``name``.

    >>> add_method("random", random_search)
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: name: expected a name not in use (random, ..., cma), got random
    """
    if name in METHODS:
        raise InputError("name", name, f"a name not in use ({', '.join(METHODS)})")
    METHODS[name] = method
