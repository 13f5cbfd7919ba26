"""A torch scheduler that plays any schedule, and the names of ``lastiterate.torch``."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lastiterate.theory.base.validation import InputError, check_flag, check_steps
from lastiterate.theory.schedules.files import read_schedule_file
from lastiterate.theory.schedules.played import Playable, playable

from .recorder import GradNormRecorder

__all__ = ["GradNormRecorder", "ScheduleLR", "ScheduleLengthWarning"]


class ScheduleLengthWarning(UserWarning):
    """A schedule and the run that plays it have different lengths."""


_ONE_RATE = "one learning rate in all groups, because the steps are absolute (multipliers keep the groups apart)"


class ScheduleLR(LRScheduler):
    """Set each group's learning rate to its initial one times ``steps[t]``; hold the last value past the end.

    With ``absolute`` the steps are the learning rates themselves, the same in every group: what `optimal_schedule`,
    `design_schedule`, `replan` and their like return is played so, a `Refinement` as the multipliers that it is.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its learning rates are the base learning rates.
    steps : array_like, shape (n,), or str, or a result with steps, or ScheduleFile
        Multipliers, one for every optimiser step, or a result that knows what its steps are.
    last_epoch : int
        Number of steps already taken, less one, to resume without a checkpoint; -1 starts anew.
    absolute : bool, optional
        Whether ``steps`` are learning rates instead of multipliers; by default what a result or file says, and false
        for arrays and texts.
    weight_decay : array_like, shape (n,), optional
        Multipliers of each group's initial weight decay, such as `lastiterate.schedules.weight_decay` gives.
    n_steps : int, optional
        Length of a schedule whose text is given, such as ``"wsd:cooldown=0.2"``.

    Raises
    ------
    InputError
        If ``steps`` is not a finite nonnegative sequence, a text has no length, absolute steps meet parameter groups
        with different learning rates, or a loaded state belongs to another schedule.

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
    >>> ScheduleLR(optimizer, "linear", n_steps=100)
    ScheduleLR(100 steps, at 0)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        steps: Playable,
        last_epoch: int = -1,
        *,
        absolute: bool | None = None,
        weight_decay: npt.ArrayLike | None = None,
        n_steps: int | None = None,
    ) -> None:
        values, known = playable(steps, n_steps)
        self.steps: list[float] = values.tolist()
        self.absolute = known if absolute is None else check_flag(absolute, "absolute")
        rates = {float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups}
        if self.absolute and len(rates) > 1:
            raise InputError("optimizer", f"groups with learning rates {sorted(rates)}", _ONE_RATE)
        self.decays = None if weight_decay is None else self._check_decays(optimizer, weight_decay)
        super().__init__(optimizer, last_epoch)

    @classmethod
    def from_file(cls, optimizer: Optimizer, path: str | Path, last_epoch: int = -1) -> "ScheduleLR":
        """Build the scheduler from a schedule file of `lastiterate.theory.schedules.files.write_schedule`.

        A file of the kind "steps", which the design commands write, sets the learning rates themselves.
        """
        return cls(optimizer, read_schedule_file(path), last_epoch)

    def __repr__(self) -> str:
        """Show the length and the position."""
        return f"ScheduleLR({len(self.steps)} steps, at {self.last_epoch})"

    def _check_decays(self, optimizer: Optimizer, weight_decay: npt.ArrayLike) -> list[float]:
        decays: list[float] = check_steps(weight_decay, "weight_decay").tolist()
        if len(decays) != len(self.steps):
            raise InputError("weight_decay", f"{len(decays)} values", f"one for each of the {len(self.steps)} steps")
        for group in optimizer.param_groups:
            if "weight_decay" not in group:
                raise InputError("weight_decay", type(optimizer).__name__, "an optimizer that has weight decay")
            group.setdefault("initial_weight_decay", group["weight_decay"])
        return decays

    def _set_decay(self) -> None:
        if self.decays is not None:
            decay = _held(self.decays, max(self.last_epoch, 0))
            for group in self.optimizer.param_groups:
                group["weight_decay"] = group["initial_weight_decay"] * decay

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each group for the step to come; its weight decay is set on the way."""
        self._set_decay()
        step = _held(self.steps, max(self.last_epoch, 0))
        return [step if self.absolute else float(base) * step for base in self.base_lrs]

    # torch calls this for step(epoch) and for SWA; the closed form is the rule itself
    _get_closed_form_lr = get_lr

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position of a run whose steps so far are those of this schedule; the steps to come may differ.

        Load the optimizer's state first: the learning rate of the next step is then that of this schedule.

        Raises
        ------
        InputError
            If a step already taken was another one; the message names it.
        """
        taken, earlier = int(state_dict.get("last_epoch", 0)), list(state_dict.get("steps", []))
        if not earlier:
            raise InputError("state_dict", f"the keys {sorted(state_dict)}", "the state of a ScheduleLR")
        absolute = bool(state_dict.get("absolute", False))
        base = 1.0 if absolute == self.absolute else float(state_dict["base_lrs"][0])
        for step in range(taken):
            before, here = _held(earlier, step), _held(self.steps, step)
            if base != 1.0:  # absolute steps that go on from multipliers, or the other way round: rates are compared
                before, here = (before, base * here) if absolute else (base * before, here)
            if not math.isclose(before, here, rel_tol=1e-12 if base != 1.0 else 0.0):
                expected = f"a state whose steps so far are those of this schedule, with steps[{step}] = {here}"
                raise InputError("state_dict", f"steps[{step}] = {before}", expected)
        super().load_state_dict({**state_dict, "steps": self.steps, "absolute": self.absolute, "decays": self.decays})
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def _held(steps: Sequence[float], step: int) -> float:
    """The multiplier of a step; the last one past the end."""
    return steps[min(step, len(steps) - 1)]


def warn_of_length(n_steps: int, n_updates: float) -> None:
    """Warn of a schedule that is shorter or longer than the run, where the number of updates is known."""
    if n_updates != n_steps and 0 < n_updates < float("inf"):
        what = "its last value is held" if n_steps < n_updates else "the run ends before it does"
        text = f"the schedule has {n_steps} steps and the run {n_updates:g} updates: {what}"
        warnings.warn(text, ScheduleLengthWarning, stacklevel=3)
