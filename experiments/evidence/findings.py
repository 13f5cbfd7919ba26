"""What the stored numbers say: planned contrasts cell by cell, agreement with the bound, gains, controls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastiterate.experiments.statistics import Comparison, compare, equivalence, paired_difference, rank_correlation
from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import Array

from .study import Block

__all__ = [
    "Agreement",
    "Finding",
    "agreement",
    "false_alarms",
    "findings",
    "label_of",
    "rate_errors",
    "values_of",
]

DRAWS, SAMPLE = 200, 10


@dataclass(frozen=True)
class Finding:
    """One planned contrast in one cell.

    Attributes
    ----------
    cell : str
        Workload and horizon, in words.
    n_steps : int
    comparison : Comparison
    reference : float
        Mean of the reference, in whose percent differences are printed.
    inside : bool
        Whether the base learning rates of both lie inside their grids.
    separable : bool
        Whether the reference tells all training examples right with every seed: the loss then has no minimum but the
        infimum zero, and a difference in percent of it means nothing.
    """

    cell: str
    n_steps: int
    comparison: Comparison
    reference: float
    inside: bool
    separable: bool

    @property
    def decides(self) -> bool:
        """Whether a verdict may rest on it."""
        return self.inside and not self.separable

    @property
    def solid(self) -> bool:
        """Whether the interval stays clear of zero by more than half its own width."""
        found = self.comparison.difference
        return self.excludes_zero and min(abs(found.low), abs(found.high)) > 0.5 * (found.high - found.low)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval, not corrected for the number of contrasts, excludes zero."""
        found = self.comparison.difference
        return found.low > 0.0 or found.high < 0.0

    @property
    def reading(self) -> str:
        """A word for the candidate: better, worse, matches or undecided; slightly better where it also matches."""
        if not self.decides:
            return "separable" if self.separable else "grid end"
        if self.comparison.differs:
            word = "better" if self.comparison.difference.mean < 0.0 else "worse"
            return f"slightly {word}" if self.comparison.matches else word
        return "matches" if self.comparison.matches else "undecided"

    def percent(self, value: float) -> float:
        """Express a difference in percent of the reference's mean."""
        return 100.0 * value / abs(self.reference)


def label_of(cell: Mapping[str, Any]) -> str:
    """Return the workload of a cell in words."""
    name, options = parse_spec(cell["spec"]["options"]["workload"], "workload")
    _, method = parse_spec(cell["spec"]["method"], "method")
    words = [str(options.get("dataset", name))]
    if "noise" in options:
        words.append(f"label noise {float(options['noise']):.0%}")
    if "width" in options:
        words.append(f"width {options['width']}, depth {options['depth']}")
    if "l2" in options:
        words.append("ridge")
    if "weight_decay" in method:
        words.append(f"weight decay {method['weight_decay']}")
    return ", ".join(words)


def values_of(cell: Mapping[str, Any], metric: str) -> dict[str, Array]:
    """Return the values by seed of every schedule that has this metric."""
    ending = f"/{metric}"
    return {key.removesuffix(ending): column for key, column in cell["curves"].items() if key.endswith(ending)}


def findings(block: Block, result: Mapping[str, Any]) -> list[Finding]:
    """Return every planned contrast of every cell, Holm-corrected within the cell."""
    found: list[Finding] = []
    for cell in result["cells"]:
        values = values_of(cell, block.metric)
        for comparison in compare(values, block.plan.among(values)):
            contrast, metrics = comparison.contrast, cell["metrics"]
            inside = all(metrics.get(f"{name}/inside", 1.0) for name in (contrast.candidate, contrast.reference))
            reference = float(np.mean(values[contrast.reference]))
            n_steps, separable = int(metrics["n_steps"]), _separable(cell, contrast.reference, block.metric)
            found.append(Finding(label_of(cell), n_steps, comparison, reference, inside, separable))
    return found


def _separable(cell: Mapping[str, Any], reference: str, metric: str) -> bool:
    """A loss with a penalty has a minimum, and is reported as a gap to it."""
    _, options = parse_spec(cell["spec"]["options"]["workload"], "workload")
    accuracy = cell["curves"].get(f"{reference}/accuracy")
    return accuracy is not None and metric == "test" and "l2" not in options and bool((accuracy == 100.0).all())


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau of the bounds and the measured means of one cell, with its permutation p value, one-sided."""

    cell: str
    n_steps: int
    n_schedules: int
    tau: float
    p_value: float


def agreement(block: Block, result: Mapping[str, Any]) -> list[Agreement]:
    """Compare the order of the theory's tuned worst cases with the order of the measured means.

    Refined schedules are left out; averages of the iterates take part beside schedules. The p value is exact: the share
    of all orders with at least this tau. Worst cases that agree to three decimals are equal.
    """
    found: list[Agreement] = []
    for cell in result["cells"]:
        values, metrics = values_of(cell, block.metric), cell["metrics"]
        bounds = {key.removesuffix("/value"): value for key, value in metrics.items() if key.endswith("/value")}
        bounds = bounds or {name: metrics[f"{name}/bound"] for name in cell["spec"]["options"]["schedules"]}
        names = [name for name in bounds if np.isfinite(values[name]).all()]
        if len(names) >= 3:
            told, means = np.array([round(bounds[name], 3) for name in names]), [values[name].mean() for name in names]
            tau, p_value = rank_correlation(told, means), _share_of_orders(told, np.array(means))
            found.append(Agreement(label_of(cell), int(metrics["n_steps"]), len(names), tau, p_value))
    return found


def _share_of_orders(bounds: Array, means: Array) -> float:
    """The share of all orders of the bounds that agree with the means at least as well."""
    from scipy.stats import kendalltau, permutation_test

    if np.unique(bounds).size == bounds.size:
        exact: Any = kendalltau(bounds, means, alternative="greater", method="exact")
        return float(exact.pvalue)
    first, second = np.triu_indices(bounds.size, 1)
    signs = np.sign(means[first] - means[second])

    def concordance(orders: Array, axis: int) -> Array:
        return np.sign(orders[..., first] - orders[..., second]) @ signs

    test: Any = permutation_test(
        (bounds,),
        concordance,
        permutation_type="pairings",
        alternative="greater",
        n_resamples=math.factorial(bounds.size),
    )
    return float(test.pvalue)


def rate_errors(results: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """Return log2 of (best base learning rate over linear decay's, as chosen) over (as predicted), by schedule."""
    errors: dict[str, list[float]] = {}
    for result in results:
        for cell in result["cells"]:
            metrics = cell["metrics"]
            base = next((name for name in ("linear", "linear:warmup=0.05") if f"{name}/predicted_lr" in metrics), None)
            if base is None:
                continue
            for key, predicted in metrics.items():
                name, _, what = key.rpartition("/")
                if what != "predicted_lr" or name in (base, "effective-linear"):
                    continue
                chosen = metrics[f"{name}/base_lr"] / metrics[f"{base}/base_lr"]
                expected = predicted / metrics[f"{base}/predicted_lr"]
                errors.setdefault(name.partition(":")[0], []).append(math.log2(chosen / expected))
    return {name: np.array(values) for name, values in errors.items()}


def false_alarms(pool: Array, margin: float) -> tuple[Array, Array]:
    """Draw pairs of disjoint samples from runs of one schedule; return p values of a difference and of equivalence.

    Every run is used once, so that the draws are independent.
    """
    drawn = np.random.default_rng(0).permutation(pool)[: 2 * DRAWS * SAMPLE].reshape(DRAWS, 2, SAMPLE)
    different = [paired_difference(first, second).p_value for first, second in drawn]
    equal = [equivalence(first, second, margin, relative=True) for first, second in drawn]
    return np.array(different), np.array(equal)
