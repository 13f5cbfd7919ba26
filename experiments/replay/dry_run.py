"""What a replay would cost: every workload traced on fake tensors, runs counted, hours at a stated throughput."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lastiterate.experiments.training.footprint import Footprint, footprint
from lastiterate.experiments.training.optimizers import OPTIMIZERS
from lastiterate.experiments.workloads.outline import outline
from lastiterate.experiments.workloads.protocol import SIZES, Workload
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import InputError, check_choice, check_count, check_positive

if TYPE_CHECKING:
    from lastiterate.experiments.training.train import TrainingSettings

__all__ = ["DryRun", "WorkloadCost", "dry_run"]

_GIB = 2.0**30


@result
class WorkloadCost(Result):
    """What the replay of one workload would cost.

    Attributes
    ----------
    workload : str
    optimizer : str
        Specification.
    n_steps : int
        Steps of a run.
    n_runs : int
        Runs if every grid holds its best base learning rate in its interior.
    max_runs : int
        Runs if every grid is extended as often as is allowed.
    footprint : Footprint
        Memory of a run, arithmetic of a step.
    hours : float
        Hours of ``n_runs`` at the stated throughput; a lower estimate, as evaluations and whatever is no matrix
        product, convolution or attention are not counted.
    max_hours : float
        The same of ``max_runs``.
    """

    _shown = ("workload", "n_runs", "hours")

    workload: str
    optimizer: str
    n_steps: int
    n_runs: int
    max_runs: int
    footprint: Footprint
    hours: float
    max_hours: float


@result
class DryRun(Result):
    """What a replay would cost, by workload and in all.

    Attributes
    ----------
    workloads : tuple of WorkloadCost
    throughput : float
        Floating-point operations a second, in units of 10^12, that the device is taken to sustain; a statement, not a
        measurement.
    """

    _shown = ("hours", "max_hours", "throughput")

    workloads: tuple[WorkloadCost, ...]
    throughput: float

    @property
    def hours(self) -> float:
        """Hours of all runs, if no grid is extended."""
        return sum(cost.hours for cost in self.workloads)

    @property
    def max_hours(self) -> float:
        """Hours of all runs, if every grid is extended as often as is allowed."""
        return sum(cost.max_hours for cost in self.workloads)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a workload: sizes in millions and GiB, arithmetic in 10^12 operations a step."""
        return [
            {
                "workload": cost.workload,
                "optimizer": cost.optimizer,
                "parameters (M)": cost.footprint.n_parameters / 1e6,
                "weights (GiB)": cost.footprint.weights / _GIB,
                "gradients (GiB)": cost.footprint.gradients / _GIB,
                "state (GiB)": cost.footprint.state / _GIB,
                "activations (GiB)": cost.footprint.activations / _GIB,
                "TFLOP/step": cost.footprint.flops / 1e12,
                "steps": cost.n_steps,
                "runs": cost.n_runs,
                "at most": cost.max_runs,
                "hours": cost.hours,
                "hours at most": cost.max_hours,
            }
            for cost in self.workloads
        ]


def dry_run(
    workloads: "str | Path | Workload | Sequence[str | Path | Workload]",
    schedules: Iterable[str] | None = None,
    *,
    size: Literal["tiny", "full"] = "full",
    data: str | Path | None = None,
    optimizer: str | None = None,
    n_steps: int | None = None,
    base_lrs: Sequence[float] | None = None,
    n_seeds: int = 10,
    n_tuning_seeds: int = 3,
    rounds: int = 1,
    extensions: int = 6,
    bisections: int = 1,
    settings: "TrainingSettings | None" = None,
    throughput: float = 100.0,
    budget: float | None = None,
    progress: bool | None = None,
) -> DryRun:
    """Say what `replay` with the same arguments would cost, without data and without a device.

    One forward and backward pass of every workload runs on fake tensors: a tensor on the wrong device, a shape that
    does not fit and a loss that reads values are found, memory and arithmetic are counted.

    Parameters
    ----------
    workloads : str, Path, Workload, or a sequence of these
        As in `replay`.
    schedules : iterable of str, optional
        As in `replay`.
    size : {"tiny", "full"}
    data : str or Path, optional
        Folder of data; with it shapes are those of the first batch, without it those that the workload states.
    optimizer : str, optional
        Specification, default each workload's own.
    n_steps : int, optional
        Horizon, default each workload's own.
    base_lrs : sequence of float, optional
        Grid, default each workload's own.
    n_seeds, n_tuning_seeds, rounds, extensions, bisections : int
        As in `replay`.
    settings : TrainingSettings, optional
        Of these the number of parts of a batch matters.
    throughput : float
        What the device is taken to sustain, in 10^12 floating-point operations a second.
    budget : float, optional
        Hours that the replay may take at most.
    progress : bool, optional
        Whether to show a progress bar on standard error; default: if that is a terminal.

    Returns
    -------
    DryRun

    Raises
    ------
    InputError
        Naming the argument; for a tensor on the wrong device ``workload``, for a replay above the budget ``budget``.

    Examples
    --------
    >>> cost = dry_run("residual_net", ["cosine"], base_lrs=[0.1], n_seeds=1, n_tuning_seeds=1, bisections=0)
    >>> cost.workloads[0].n_runs, f"{cost.workloads[0].footprint.n_parameters / 1e6:.1f} million parameters"
    (4, '11.1 million parameters')
    >>> dry_run("residual_net", budget=1.0)
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: budget: expected at least 61.8 hours, for 221 runs (131 without \
extensions of the grids, in 36.6 hours) at 100 TFLOP/s, got 1 hours
    """
    from .replay import BASELINE, DEFAULT_SCHEDULES, REFINED
    from .tuning import count_runs

    check_choice(size, "size", SIZES)
    check_count(n_seeds, "n_seeds")
    check_count(rounds, "rounds")
    check_count(extensions, "extensions", minimum=0)
    counted = {
        "n_seeds": n_seeds,
        "n_tuning_seeds": check_count(n_tuning_seeds, "n_tuning_seeds"),
        "extensions": extensions,
        "bisections": check_count(bisections, "bisections", minimum=0),
    }
    if n_steps is not None:
        check_count(n_steps, "n_steps")
    check_positive(throughput, "throughput")
    if budget is not None:
        check_positive(budget, "budget")
    names = list(dict.fromkeys([BASELINE, *(DEFAULT_SCHEDULES if schedules is None else schedules)]))
    n_schedules = len(names) + (rounds - 1 if REFINED in names else 0)
    given: list[Any] = list(workloads) if isinstance(workloads, list | tuple) else [workloads]
    costs: list[WorkloadCost] = []
    with progress_bar("workloads", len(given), shown=progress, unit="workloads") as update:
        for spec in given:
            outlined = outline(spec, size=size, data=data)
            workload = outlined.workload
            chosen = optimizer or workload.optimizer
            found = footprint(outlined, chosen, accumulate=1 if settings is None else settings.accumulate)
            horizon = workload.n_steps if n_steps is None else n_steps
            grid = _grid_size(base_lrs, chosen, workload)
            runs, most = count_runs(n_schedules, grid, **counted)
            hours = horizon * found.flops / (throughput * 1e12 * 3600.0)
            costs.append(WorkloadCost(workload.name, chosen, horizon, runs, most, found, runs * hours, most * hours))
            update(advance=1)
    cost = DryRun(tuple(costs), float(throughput))
    if budget is not None and cost.max_hours > budget:
        runs, most = (sum(getattr(c, key) for c in costs) for key in ("n_runs", "max_runs"))
        expected = (
            f"at least {cost.max_hours:.3g} hours, for {most} runs ({runs} without extensions of the grids, in "
            f"{cost.hours:.3g} hours) at {throughput:g} TFLOP/s"
        )
        raise InputError("budget", f"{budget:g} hours", expected)
    return cost


def _grid_size(base_lrs: Sequence[float] | None, optimizer: str, workload: Workload) -> int:
    """Base learning rates at the start, as `replay` takes them."""
    check_choice(parse_spec(optimizer, "optimizer")[0], "optimizer", OPTIMIZERS)
    if base_lrs is not None:
        return len({check_positive(lr, "base_lrs") for lr in base_lrs})
    return len(workload.base_lrs) if optimizer == workload.optimizer else 5
