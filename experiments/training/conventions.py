"""What torch users expect of an optimizer, in one place for the optimizers of this package."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lastiterate.theory.base.validation import InputError, check_flag, check_positive

__all__ = ["Conventional", "GradientWarning"]

UNAVAILABLE = ("foreach", "capturable", "differentiable", "fused")


class GradientWarning(UserWarning):
    """A gradient was not finite, and the step was left out."""


class Conventional(torch.optim.Optimizer):
    """An optimizer with checked parameter groups, ``maximize``, L2 penalty, closures and real views of complex numbers.

    A subclass gives `check_group` and `update_group`; with ``decoupled`` its weight decay acts on the parameters.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter or of dict
        What to optimise.
    defaults : dict
        Options of every group, with ``lr``, ``weight_decay`` and ``maximize`` among them.
    **unavailable
        Options that torch's own optimizers have: accepted as long as they ask for nothing.

    Raises
    ------
    InputError
        If an option of a group is out of its range, or asks for what is not there.
    """

    decoupled = False

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], **unavailable: Any) -> None:
        for name, value in unavailable.items():
            if name not in UNAVAILABLE:
                raise TypeError(f"{type(self).__name__} has no option {name!r}")
            if value:
                raise InputError(name, value, f"nothing: {type(self).__name__} has no such implementation")
        super().__init__(params, defaults)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise `InputError` if an option of a group is out of its range."""

    def update_group(self, group: dict[str, Any], active: list[tuple[Tensor, Tensor, dict[str, Any]]]) -> None:
        """Take the step of one group, from triples of parameter, gradient and state, both as real numbers."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group, if its options are in range."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_positive(float(group["lr"]), "lr", allow_zero=True)
            check_positive(group["weight_decay"], "weight_decay", allow_zero=True)
            check_flag(group["maximize"], "maximize")
            self.check_group(group)
        except BaseException:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step from the gradients at hand; ``closure``, if given, evaluates the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            active = [(p, self._gradient(p, group), self.state[p]) for p in group["params"] if p.grad is not None]
            if active and self.decoupled and group["weight_decay"]:
                for p, _, _ in active:
                    p.mul_(1.0 - group["lr"] * group["weight_decay"])
            if active:
                self.update_group(group, [(real(p), g, state) for p, g, state in active])
        return loss

    def _gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        gradient = p.grad
        if gradient is None or gradient.is_sparse:
            raise InputError("gradient", "a sparse tensor", f"dense gradients for {type(self).__name__}")
        penalty = 0.0 if self.decoupled else group["weight_decay"]
        return real((-gradient if group["maximize"] else gradient).add(p, alpha=penalty))


def real(tensor: Tensor) -> Tensor:
    """Return complex numbers as pairs of real ones, in the same memory."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def warn_of_gradient(what: str) -> None:
    """Warn that a gradient could not be used, once for each place in the program."""
    warnings.warn(f"a gradient is not finite, or its square overflows: {what}", GradientWarning, stacklevel=4)
