"""A finished run of a replay, as the loggers of `lastiterate.integrations.tracking` are told of it."""

from dataclasses import dataclass

from lastiterate.theory.base.validation import Array

from .train import RunResult

__all__ = ["FinishedRun"]


@dataclass(frozen=True, repr=False)
class FinishedRun:
    """What was trained, and what came out.

    Attributes
    ----------
    workload, schedule, optimizer : str
    split : {"validation", "test"}
        What the run was judged on: the one chooses base learning rates, the other reports.
    steps : float64[n]
        The schedule, multipliers of ``result.base_lr``.
    result : RunResult
        Base learning rate, seed, loss and gradient norms of each step, final evaluation.

    Examples
    --------
    >>> import numpy as np
    >>> curves = {"losses": np.ones(2), "l1": np.ones(2), "l2": np.ones(2)}
    >>> run = FinishedRun("digits_mlp", "linear", "sgd", "test", np.array([1.0, 0.5]), RunResult(0.1, 3, {}, **curves))
    >>> run.name
    'digits_mlp/linear/test/lr=0.1/seed=3'
    >>> run.curves()["lr"]
    array([0.1 , 0.05])
    """

    workload: str
    schedule: str
    optimizer: str
    split: str
    steps: Array
    result: RunResult

    def __repr__(self) -> str:
        """Show the name and the outcome."""
        return f"FinishedRun({self.name!r}, {self.result!r})"

    @property
    def name(self) -> str:
        """Workload, schedule, split, base learning rate and seed, as a path that no other run has."""
        parts = (self.workload, self.schedule)
        told = "/".join(part.replace("/", "-") for part in parts)
        return f"{told}/{self.split}/lr={self.result.base_lr!r}/seed={self.result.seed}"

    def facts(self) -> dict[str, str | int | float]:
        """Return what was chosen before the run: names, base learning rate, seed, horizon."""
        return {
            "workload": self.workload,
            "schedule": self.schedule,
            "optimizer": self.optimizer,
            "split": self.split,
            "base_lr": self.result.base_lr,
            "seed": self.result.seed,
            "n_steps": int(self.steps.size),
        }

    def curves(self) -> dict[str, Array]:
        """Return loss, learning rate and gradient norms of the steps that were taken."""
        found = self.result
        return {
            "loss": found.losses,
            "lr": found.base_lr * self.steps[: found.losses.size],
            "grad_norm_l1": found.l1,
            "grad_norm_l2": found.l2,
        }
