"""MDA (arXiv 2010.10502): modernised dual averaging with momentum, as a torch optimizer."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from lastiterate.theory.base.validation import InputError, check_positive


class MDA(torch.optim.Optimizer):
    r"""Dual averaging with weights :math:`\lambda_k = \text{lr}_k \sqrt{k+1}` and momentum as averaging.

    From :math:`s_0 = 0`, :math:`z_0 = x_0`, for k = 0, 1, ...:

    .. math::

        s_{k+1} = s_k + \lambda_k g_k, \qquad z_{k+1} = x_0 - \frac{s_{k+1}}{\sqrt{k+1}}, \qquad
        x_{k+1} = (1-c)\, x_k + c\, z_{k+1}, \quad c = 1 - \text{momentum}.

    The same as SGD with momentum plus a pull to :math:`x_0` that decays like 1/k. The learning rate matches
    SGD's ``lr / (1 - momentum)``.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter or of dict
        What to optimise.
    lr : float
        Learning rate, positive (a schedule may set it to zero later).
    momentum : float
        Between 0 (plain dual averaging) and 1, exclusive.
    weight_decay : float
        L2 penalty, added to the gradient.

    Raises
    ------
    InputError
        If a number is out of its range.

    Examples
    --------
    >>> x = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = MDA([x], lr=0.5, momentum=0.0)
    >>> x.grad = torch.tensor([1.0])
    >>> _ = optimizer.step()  # without momentum the first step is SGD's
    >>> x.item()
    0.5
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, *, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        if not 0.0 <= momentum < 1.0:
            raise InputError("momentum", momentum, "a number of at least 0 and below 1")
        defaults = {
            "lr": check_positive(lr, "lr"),
            "momentum": float(momentum),
            "weight_decay": check_positive(weight_decay, "weight_decay", allow_zero=True),
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step from the gradients at hand; ``closure``, if given, evaluates the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            c = 1.0 - group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad.add(p, alpha=group["weight_decay"])
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    state["start"] = p.detach().clone()
                    state["weighted_sum"] = torch.zeros_like(p)
                state["step"] += 1
                root = math.sqrt(state["step"])
                state["weighted_sum"].add_(g, alpha=group["lr"] * root)
                z = state["start"] - state["weighted_sum"] / root
                p.lerp_(z, c)
        return loss
