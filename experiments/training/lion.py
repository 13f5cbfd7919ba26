"""Lion (arXiv 2302.06675): steps along the sign of an interpolated momentum."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lastiterate.theory.base.validation import InputError, check_fraction

from .conventions import Conventional

__all__ = ["Lion"]


class Lion(Conventional):
    """u = sign(b1 m + (1 - b1) g), x <- x - lr (u + decay x), m <- b2 m + (1 - b2) g, with m = 0 at first.

    The weight decay is decoupled, as in the paper and in ``optax.lion``.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter or of dict
        What to optimise.
    lr : float or Tensor
        Base learning rate, about a tenth of Adam's.
    betas : tuple of float
        b1 and b2, between 0 and 1.
    weight_decay : float
        Decoupled decay, at least zero.
    maximize : bool
        Ascend instead.
    **unavailable
        See `Conventional`.

    Raises
    ------
    InputError
        If an option is out of its range.

    Examples
    --------
    >>> x = torch.nn.Parameter(torch.tensor([3.0, -4.0]))
    >>> optimizer = Lion([x], lr=0.5)
    >>> x.grad = torch.tensor([3.0, -4.0])
    >>> _ = optimizer.step()
    >>> x.detach().tolist()
    [2.5, -3.5]
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unavailable: Any,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, **unavailable)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise `InputError` if an option of a group is out of its range."""
        if not isinstance(group["betas"], tuple | list) or len(group["betas"]) != 2:
            raise InputError("betas", group["betas"], "two numbers between 0 and 1")
        for beta in group["betas"]:
            check_fraction(beta, "betas")

    def update_group(self, group: dict[str, Any], active: list[tuple[Tensor, Tensor, dict[str, Any]]]) -> None:
        """Take the step of one group."""
        first, second = group["betas"]
        for p, g, state in active:
            momentum = state.setdefault("momentum", torch.zeros_like(p))
            p.sub_(group["lr"] * torch.sign(first * momentum + (1.0 - first) * g))
            momentum.mul_(second).add_(g, alpha=1.0 - second)
