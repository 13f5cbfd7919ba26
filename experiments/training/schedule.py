"""A torch scheduler that plays any schedule, and the names of ``lastiterate.torch``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lastiterate.theory.base.validation import InputError, check_flag, check_steps
from lastiterate.theory.schedules.files import read_schedule_file

from .recorder import GradNormRecorder

__all__ = ["GradNormRecorder", "ScheduleLR"]

_ONE_RATE = "one learning rate in all groups, because the steps are absolute (multipliers keep the groups apart)"


class ScheduleLR(LRScheduler):
    """Set each group's learning rate to its initial one times ``steps[t]``; hold the last value past the end.

    With ``absolute`` the steps are the learning rates themselves, the same in every group.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its learning rates are the base learning rates.
    steps : array_like, shape (n,)
        Multipliers, one for every optimiser step.
    last_epoch : int
        Number of steps already taken, less one, to resume without a checkpoint; -1 starts anew.
    absolute : bool
        Whether ``steps`` are learning rates instead of multipliers.

    Raises
    ------
    InputError
        If ``steps`` is not a finite nonnegative sequence, absolute ones meet parameter groups with different learning
        rates, or a loaded state belongs to another schedule.

    Notes
    -----
    The state dict holds plain Python numbers only, so ``torch.load(..., weights_only=True)`` reads checkpoints.
    Build the scheduler before ``optimizer.load_state_dict``, as for every torch scheduler.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    >>> scheduler = ScheduleLR(optimizer, [1.0, 0.5])
    >>> seen = []
    >>> for _ in range(3):
    ...     seen.append(scheduler.get_last_lr()[0])
    ...     optimizer.step()
    ...     scheduler.step()
    >>> seen
    [0.5, 0.25, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, steps: npt.ArrayLike, last_epoch: int = -1, *, absolute: bool = False
    ) -> None:
        self.steps: list[float] = check_steps(steps).tolist()
        self.absolute = check_flag(absolute, "absolute")
        rates = {float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups}
        if absolute and len(rates) > 1:
            raise InputError("optimizer", f"groups with learning rates {sorted(rates)}", _ONE_RATE)
        super().__init__(optimizer, last_epoch)

    @classmethod
    def from_file(cls, optimizer: Optimizer, path: str | Path, last_epoch: int = -1) -> "ScheduleLR":
        """Build the scheduler from a schedule file of `lastiterate.theory.schedules.files.write_schedule`.

        A file of the kind "steps", which the design commands write, sets the learning rates themselves.
        """
        found = read_schedule_file(path)
        return cls(optimizer, found.values, last_epoch, absolute=found.absolute)

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each group for the step to come."""
        step = self.steps[min(max(self.last_epoch, 0), len(self.steps) - 1)]
        return [step if self.absolute else float(base) * step for base in self.base_lrs]

    # torch calls this for step(epoch) and for SWA; the closed form is the rule itself
    _get_closed_form_lr = get_lr

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position; refuse the state of another schedule."""
        steps: Sequence[float] = state_dict.get("steps", [])
        if list(steps) != self.steps:
            first = next((i for i, (a, b) in enumerate(zip(steps, self.steps, strict=False)) if a != b), None)
            where = f"{len(steps)} steps" if first is None else f"steps[{first}] = {steps[first]}"
            here = f"{len(self.steps)} steps" if first is None else f"steps[{first}] = {self.steps[first]}"
            raise InputError("state_dict", where, f"the state of this schedule, with {here}")
        if bool(state_dict.get("absolute", False)) != self.absolute:
            kinds = ("multipliers", "absolute steps")
            raise InputError("state_dict", kinds[not self.absolute], f"a state of {kinds[self.absolute]}")
        super().load_state_dict(state_dict)
