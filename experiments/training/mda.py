"""MDA (arXiv 2010.10502): modernised dual averaging with momentum, as a torch optimizer."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lastiterate.theory.base.validation import InputError, check_positive

from .conventions import Conventional

__all__ = ["MDA"]


class MDA(Conventional):
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
        Learning rate, at least zero.
    momentum : float
        Between 0 (plain dual averaging) and 1, exclusive.
    weight_decay : float
        L2 penalty, added to the gradient.
    maximize : bool
        Go up instead of down.
    **unavailable
        ``foreach``, ``capturable``, ``differentiable`` and ``fused``: accepted only if they ask for nothing.

    Raises
    ------
    InputError
        If an option, also of a parameter group, is out of its range.

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
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unavailable: Any,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, **unavailable)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise `InputError` if the momentum is out of its range."""
        if not 0.0 <= check_positive(group["momentum"], "momentum", allow_zero=True) < 1.0:
            raise InputError("momentum", group["momentum"], "a number of at least 0 and below 1")

    def update_group(self, group: dict[str, Any], active: list[tuple[Tensor, Tensor, dict[str, Any]]]) -> None:
        """Take the step of one group."""
        for p, g, state in active:
            if not state:
                state["step"] = 0
                state["start"] = p.detach().clone()
                state["weighted_sum"] = torch.zeros_like(p)
            state["step"] += 1
            root = math.sqrt(state["step"])
            state["weighted_sum"].add_(g * (group["lr"] * root))
            p.lerp_(state["start"] - state["weighted_sum"] / root, 1.0 - group["momentum"])
