"""What trains the runs of the study: the compiled simulator for convex problems, one ensemble for small networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory import problems
from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import Array
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.simulate import simulate

from .protocol import CHOSEN, Outcome, Runner

__all__ = ["ConvexRunner", "EnsembleRunner", "horizon_of", "runner_of"]

ADAM = {"beta1": 0.9, "beta2": 0.95}
BATCH = 16
PLACES = 400


@dataclass(frozen=True)
class ConvexRunner:
    """Multinomial logistic regression by Adam, in double precision.

    The objective chooses and is reported, as a problem of optimisation; ``accuracy`` is that on the training set.
    With a penalty the minimum is attained, and ``gap`` is the distance to it.
    """

    problem: Problem
    features: Array
    labels: npt.NDArray[np.int64]
    attained: bool

    def __call__(self, rows: Array, seeds: Sequence[int], *, norms: bool = False) -> Outcome:
        """Return the outcome for learning rates float64[rows, N]."""
        n = rows.shape[1]
        places = np.unique(np.linspace(0, n - 1, min(n, PLACES)).astype(np.int64))
        recorded: dict[str, Any] = {"record": places, "diagnostics": ("grad_l1", "grad_l2")} if norms else {"record": 1}
        run = simulate(
            self.problem, "adam", list(rows), seeds=list(seeds), batch_size=BATCH, progress=False, **ADAM, **recorded
        )
        final = np.where(np.isfinite(run.final[:, 0]), run.final[:, 0], np.nan)
        metrics = {CHOSEN: final, "test": final, "accuracy": self._accuracy(run.points[:, 0])}
        if self.attained:
            metrics["gap"] = final - self.problem.f_star
        if not norms:
            return Outcome(metrics)
        l1, l2 = (run.diagnostics[name][:, 0, :, : places.size] for name in ("grad_l1", "grad_l2"))
        return Outcome(metrics, l1, l2, places.astype(np.float64))

    def _accuracy(self, points: Array) -> Array:
        """In percent."""
        weights = points.reshape(*points.shape[:-1], -1, self.features.shape[1])
        told = np.argmax(self.features @ np.swapaxes(weights, -1, -2), axis=-1)
        return 100.0 * (told == self.labels).mean(axis=-1)


@dataclass(frozen=True)
class EnsembleRunner:
    """A small network, all runs side by side, in single precision."""

    workload: Any
    optimizer: str

    def __call__(self, rows: Array, seeds: Sequence[int], *, norms: bool = False) -> Outcome:
        """Return the outcome for learning rates float64[rows, N]."""
        from lastiterate.experiments.training.ensemble import train_ensemble

        members = [(row / row.max(), float(row.max()), seed) for row in rows for seed in seeds]
        runs = train_ensemble(self.workload, members, optimizer=self.optimizer)
        shape = (len(rows), len(seeds))
        names = ("loss", CHOSEN, "test")
        metrics = {name: np.array([run.final.get(name, np.nan) for run in runs]).reshape(shape) for name in names}
        if not norms:
            return Outcome(metrics)
        n = rows.shape[1]
        l1, l2 = (
            np.stack([_padded(getattr(run, name), n) for run in runs]).reshape(*shape, n) for name in ("l1", "l2")
        )
        return Outcome(metrics, l1, l2, np.arange(n, dtype=np.float64))


def _padded(values: Array, n: int) -> Array:
    return np.concatenate([values, np.full(n - values.size, np.nan)])


@lru_cache(maxsize=4)
def runner_of(workload: str, optimizer: str) -> Runner:
    """Return the runner of a workload by name: ``convex:dataset=vehicle,l2=1e-4``, or one of the small networks."""
    name, options = parse_spec(workload, "workload")
    if name == "convex":
        data = dataset(options["dataset"])
        targets = data.targets.astype(np.int64)
        l2 = float(options.get("l2", 0.0))
        return ConvexRunner(problems.softmax(data.features, targets, l2=l2), data.features, targets, attained=l2 > 0.0)
    from .workloads import workload_of

    return EnsembleRunner(workload_of(workload), optimizer)


def horizon_of(workload: str, epochs: int) -> int:
    """Return the number of steps of so many passes over a convex problem's data."""
    _, options = parse_spec(workload, "workload")
    return epochs * -(-len(dataset(options["dataset"]).targets) // BATCH)
