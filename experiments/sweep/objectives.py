"""Objectives of a schedule search that are measured by training: every evaluation is a resumable sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.solvers.search.objectives import Evaluation, base_lr_matrix
from lastiterate.solvers.search.spaces import AnyShape
from lastiterate.theory.base.validation import Array, InputError, check_count, check_vector

from .specs import RunSpec
from .sweep import run_sweep

__all__ = ["SweepObjective", "workload_objective"]


@dataclass(frozen=True)
class SweepObjective:
    """A metric of runs in a store: shapes x base learning rates x seeds become one sweep.

    Interrupting a search loses nothing: started again with the same store, it finds its runs there.

    Attributes
    ----------
    target : str
        As in `RunSpec`: ``"workload:digits_mlp"``, ``"problem:logistic:breast_cancer"``, ``"function:file.py:name"``.
    store : str or Path
        The file of results.
    n_steps : int
        The horizon.
    base_lrs : array
        The list that every shape is crossed with.
    method : str
        Optimiser or method, the target's default if empty.
    metric : str
        Which metric of the runs to minimise.
    higher_is_better : bool
        Maximise it instead.
    options : mapping
        Options of the runs.
    sweep_options : mapping
        Options of `run_sweep`: engine, n_jobs, scheduler, device.
    """

    target: str
    store: str | Path
    n_steps: int
    base_lrs: Array
    method: str = ""
    metric: str = "loss"
    higher_is_better: bool = False
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sweep_options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_count(self.n_steps, "n_steps")
        values = check_vector(self.base_lrs, "base_lrs")
        if values.size == 0 or values.min() <= 0.0:
            raise InputError("base_lrs", self.base_lrs, "at least one value, all positive")
        object.__setattr__(self, "base_lrs", np.sort(values))

    @property
    def name(self) -> str:
        """A few words for tables."""
        method = f", {self.method}" if self.method else ""
        return f"{self.target.partition(':')[2]}{method}, {self.metric}, N = {self.n_steps}"

    @property
    def is_random(self) -> bool:
        """Training depends on its seed."""
        return True

    def evaluate(self, shapes: Sequence[AnyShape], seeds: Sequence[int], base_lrs: Array | None = None) -> Evaluation:
        """Run what the store does not have; runs that diverged or failed count as infinitely bad.

        Raises
        ------
        InputError
            If every run failed; the message is that of the first.
        """
        lrs = base_lr_matrix(self.base_lrs, base_lrs, len(shapes))
        specs = [
            RunSpec(self.target, self.method, shape.text, float(lr), int(seed), self.n_steps, self.options)
            for shape, row in zip(shapes, lrs, strict=True)
            for lr in row
            for seed in seeds
        ]
        result = run_sweep(specs, self.store, **self.sweep_options)
        if result.records and len(result.failed) == len(result.records):
            raise InputError("target", f"{self.target} ({result.failed[0].error})", "runs that do not raise")
        found = {record.spec: self._loss(record.metrics) for record in result.records}
        losses = np.array([found[spec] for spec in specs]).reshape(len(shapes), lrs.shape[1], len(seeds))
        return Evaluation(losses, lrs)

    def _loss(self, metrics: Mapping[str, float]) -> float:
        if not metrics:  # failed, or diverged before the evaluation
            return np.inf
        if self.metric not in metrics:
            raise InputError("metric", self.metric, f"one of {', '.join(metrics)}")
        value = metrics[self.metric]
        return -value if self.higher_is_better else value

    def at_horizon(self, n_steps: int) -> "SweepObjective":
        """Return the same target with another number of steps."""
        return replace(self, n_steps=n_steps)


def workload_objective(
    name: str,
    store: str | Path,
    *,
    size: str = "tiny",
    data: str | None = None,
    n_steps: int | None = None,
    base_lrs: Sequence[float] | Array | None = None,
    method: str = "",
    metric: str = "loss",
    options: Mapping[str, Any] | None = None,
    **sweep_options: Any,
) -> SweepObjective:
    """Return the objective of a bundled or user's workload, with its own horizon and base rates by default.

    Parameters
    ----------
    name : str
        As in `load_workload`.
    metric : str
        ``"loss"``, or another value of the workload's evaluation; its own direction counts for its own metric.
    options : mapping, optional
        Settings of the training runs.
    **sweep_options
        As in `run_sweep`.
    """
    from lastiterate.experiments.workloads.protocol import load_workload

    workload = load_workload(name, size=size, data=data)
    more = {} if data is None else {"data": data}
    return SweepObjective(
        target=f"workload:{name}",
        store=store,
        n_steps=workload.n_steps if n_steps is None else n_steps,
        base_lrs=np.asarray(workload.base_lrs if base_lrs is None else base_lrs, dtype=np.float64),
        method=method,
        metric=metric,
        higher_is_better=metric == workload.metric and workload.higher_is_better,
        options={"size": size, **more, **(options or {})},
        sweep_options=sweep_options,
    )
