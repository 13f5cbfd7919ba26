"""An average of the weights beside a run, evaluated beside the last iterate; training does not see it."""

from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import InputError, check_choice, check_fraction

__all__ = ["WeightAverage", "check_average"]

KINDS = {"ema": ("decay", 0.999), "tail": ("start", 0.8)}
"""Kind of an average, to the name and the default of its option."""


def check_average(text: str) -> tuple[str, float]:
    """Return the kind and the number of an average, from ``ema:decay=0.999`` or ``tail:start=0.8``.

    >>> check_average("tail"), check_average("ema:decay=0.9")
    (('tail', 0.8), ('ema', 0.9))
    """
    kind, options = parse_spec(text, "average")
    name, default = KINDS[check_choice(kind, "average", KINDS)]
    for key in options:
        if key != name:
            raise InputError("average", f"{key}={options[key]}", f"{kind}:{name}=NUMBER")
    number = check_fraction(options.get(name, default), f"average {name}")
    if number == 1.0:
        raise InputError(f"average {name}", number, "a number below 1")
    return kind, number


class WeightAverage:
    """The average that a text names, updated after every step of the optimizer.

    Parameters
    ----------
    text : str
        ``ema:decay=0.999``, an exponential moving average that starts at the first step, or ``tail:start=0.8``, the
        mean of the iterates after that fraction of the run.
    model : torch.nn.Module
        What is trained; buffers are those of the last iterate.
    optimizer : torch.optim.Optimizer
        One without an average of its own.
    n_steps : int
        Length of the run.

    Raises
    ------
    InputError
        For a text that names no average, or an optimizer that evaluates at its own.

    Examples
    --------
    >>> import torch
    >>> model = nn.Linear(1, 1, bias=False)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> average = WeightAverage("tail:start=0.5", model, optimizer, n_steps=4)
    >>> for k in range(4):
    ...     with torch.no_grad():
    ...         _ = model.weight.fill_(float(k))
    ...     model.weight.grad = torch.zeros(1, 1)
    ...     optimizer.step()
    >>> average.model.weight.item()  # of 2 and 3
    2.5
    """

    def __init__(self, text: str, model: nn.Module, optimizer: Optimizer, n_steps: int) -> None:
        kind, number = check_average(text)
        if getattr(optimizer, "has_modes", False):
            raise InputError("average", text, f"none beside {type(optimizer).__name__}, which evaluates at its own")
        self.live = model
        self.first = min(round(number * n_steps), n_steps - 1) if kind == "tail" else 0
        self.taken = 0
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(number) if kind == "ema" else None)
        optimizer.register_step_post_hook(self._update)

    @property
    def model(self) -> Any:
        """The model at the average."""
        return self.averaged.module

    def state_dict(self) -> dict[str, Any]:
        """Return the steps taken and the average."""
        return {"taken": self.taken, "averaged": self.averaged.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.taken = int(state["taken"])
        self.averaged.load_state_dict(state["averaged"])

    def _update(self, *_: Any) -> None:
        if self.taken >= self.first:
            self.averaged.update_parameters(self.live)
        self.taken += 1
