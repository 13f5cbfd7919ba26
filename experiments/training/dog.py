"""DoG, distance over gradients (arXiv 2302.12022): a step size without a learning rate."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lastiterate.theory.base.validation import check_positive

from .conventions import Conventional, warn_of_gradient

__all__ = ["DoG"]


class DoG(Conventional):
    """x <- x - lr r_k / sqrt(sum_{j<=k} ||g_j||^2 + eps) g_k with r_k the largest distance from x_0 so far.

    One distance and one sum a parameter group, as in the authors' code; r_0 is ``reps_rel`` (1 + ||x_0||). In
    ``optax.contrib.dog`` that is ``init_step=("heuristic", reps_rel)``. The authors advise to average the iterates.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter or of dict
        What to optimise.
    lr : float or Tensor
        Multiplies the step size; 1 unless a schedule says otherwise.
    reps_rel : float
        First distance, relative to 1 + ||x_0||, positive.
    eps : float
        Added to the sum of squares, positive.
    weight_decay : float
        L2 penalty, added to the gradient.
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
    >>> x = torch.nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    >>> optimizer = DoG([x], reps_rel=0.1)
    >>> x.grad = torch.tensor([3.0, 4.0], dtype=torch.float64)
    >>> _ = optimizer.step()  # the first step has length reps_rel (1 + 5)
    >>> x.detach().numpy().round(3).tolist()
    [2.64, 3.52]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        *,
        reps_rel: float = 1e-6,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unavailable: Any,
    ) -> None:
        defaults = {"lr": lr, "reps_rel": reps_rel, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, **unavailable)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise `InputError` if an option of a group is out of its range."""
        check_positive(group["reps_rel"], "reps_rel")
        check_positive(group["eps"], "eps")

    def update_group(self, group: dict[str, Any], active: list[tuple[Tensor, Tensor, dict[str, Any]]]) -> None:
        """Take the step of one group, whose distance and sum are kept with its first parameter."""
        shared, device = self.state[group["params"][0]], group["params"][0].device
        wide = torch.float64 if active[0][1].dtype == torch.float64 else torch.float32
        squares = torch.stack([torch.sum(g * g, dtype=wide).to(device) for _, g, _ in active]).sum()
        if not bool(torch.isfinite(squares)):
            warn_of_gradient("the step is left out")
            return
        if "reached" not in shared:
            start = sum(float(torch.sum(p.detach().abs() ** 2)) for p in group["params"])
            shared["reached"] = torch.tensor(group["reps_rel"] * (1.0 + start**0.5), dtype=wide, device=device)
            shared["squares"] = torch.zeros((), dtype=wide, device=device)
        moved = torch.zeros_like(squares)
        for p, _, state in active:
            origin = state.setdefault("origin", p.detach().clone())
            moved += torch.sum((p - origin) ** 2, dtype=wide).to(device)
        shared["reached"] = torch.maximum(shared["reached"], moved.sqrt())
        shared["squares"] = shared["squares"] + squares
        step = shared["reached"] / torch.sqrt(shared["squares"] + group["eps"])
        for p, g, _ in active:
            p.sub_((group["lr"] * step.to(p.device) * g).to(p.dtype))
