"""GradaGrad (arXiv 2206.06900): AdaGrad whose learning rate may also grow, as a torch optimizer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lastiterate.theory.base.validation import check_flag, check_fraction, check_positive

from .conventions import Conventional, warn_of_gradient

__all__ = ["GradaGrad"]


class GradaGrad(Conventional):
    r"""AdaGrad that lowers its denominator's growth, or raises its numerator, when gradients agree.

    With :math:`v_k = \|g_k\|^2 - \rho \langle g_k, g_{k-1} \rangle`, :math:`\alpha_0 = 0` and
    :math:`\gamma_0` = ``lr``:

    * if :math:`v_k \ge 0`: :math:`\alpha \leftarrow \alpha + v_k`, the step falls as in AdaGrad;
    * else :math:`v_k \leftarrow \max(v_k, -r \alpha)` and :math:`\gamma \leftarrow \gamma \sqrt{1 - v_k / \alpha}`,
      the step grows, by at most :math:`\sqrt{1 + r}`;
    * :math:`x \leftarrow x - \gamma g_k / \sqrt{\alpha}`.

    Setting ``rho = 0`` gives AdaGrad. A schedule multiplies ``lr``: growth is kept beside it, not inside it.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter or of dict
        What to optimise.
    lr : float
        The initial scale gamma_0, at least zero.
    rho : float
        Weight of the product with the previous gradient, at least zero; 2 is the published value.
    growth_limit : float
        The r above, between 0 and 1.
    coordinatewise : bool
        One alpha and one gamma per entry (True), or one over all parameters of a group (False, the scalar form).
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

    Warns
    -----
    GradientWarning
        If a gradient is not finite or its square overflows: it is left out, as if there had been no such step.

    Examples
    --------
    >>> x = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = GradaGrad([x], lr=1.0)
    >>> x.grad = torch.tensor([3.0, 4.0])
    >>> _ = optimizer.step()  # the first step has length lr
    >>> x.detach().numpy().round(3).tolist()
    [2.4000000953674316, 3.200000047683716]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        *,
        rho: float = 2.0,
        growth_limit: float = 1.0,
        coordinatewise: bool = False,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unavailable: Any,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "growth_limit": growth_limit,
            "weight_decay": weight_decay,
            "coordinatewise": coordinatewise,
            "maximize": maximize,
        }
        super().__init__(params, defaults, **unavailable)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise `InputError` if an option of a group is out of its range."""
        check_positive(group["rho"], "rho", allow_zero=True)
        check_fraction(group["growth_limit"], "growth_limit")
        check_flag(group["coordinatewise"], "coordinatewise")

    def update_group(self, group: dict[str, Any], active: list[tuple[Tensor, Tensor, dict[str, Any]]]) -> None:
        """Take the step of one group."""
        if group["coordinatewise"]:
            for p, g, state in active:
                self._update_entries(group, p, g, state)
        else:
            self._update_whole(group, active)

    def _update_entries(self, group: dict[str, Any], p: Tensor, g: Tensor, state: dict[str, Any]) -> None:
        _begin(state, p)
        previous = state.setdefault("previous", torch.zeros_like(p))
        v = g * (g - group["rho"] * previous)
        good = torch.isfinite(v)
        if not bool(good.all()):
            warn_of_gradient("its entries are left out")
            v, g = torch.where(good, v, 0.0), torch.where(good, g, 0.0)
        p.sub_(group["lr"] * _scale(state, v, group["growth_limit"]) * g)
        state["previous"] = torch.where(good, g, previous)

    def _update_whole(self, group: dict[str, Any], active: list[tuple[Tensor, Tensor, dict[str, Any]]]) -> None:
        """One alpha and one growth over the group, kept with its first parameter, whichever have gradients now."""
        first = group["params"][0]
        wide = torch.float64 if active[0][1].dtype == torch.float64 else torch.float32
        shared = self.state[first]
        _begin(shared, torch.zeros((), dtype=wide, device=first.device))
        v = torch.zeros_like(shared["alpha"])
        for p, g, state in active:
            previous = state.setdefault("previous", torch.zeros_like(p))
            v += torch.sum(g * (g - group["rho"] * previous), dtype=wide).to(v.device)
        if not bool(torch.isfinite(v)):
            warn_of_gradient("the step is left out")
            return
        scale = group["lr"] * _scale(shared, v, group["growth_limit"])
        for p, g, state in active:
            p.sub_((scale.to(p.device) * g).to(p.dtype))
            state["previous"].copy_(g)


def _begin(state: dict[str, Any], like: Tensor) -> None:
    if "alpha" not in state:
        state["alpha"] = torch.zeros_like(like)
        state["growth"] = torch.ones_like(like)


def _scale(state: dict[str, Any], v: Tensor, growth_limit: float) -> Tensor:
    """Update alpha and growth in place and return growth / sqrt(alpha), zero where no gradient was seen yet."""
    alpha, growth = state["alpha"], state["growth"]
    seen = alpha > 0.0
    ratio = torch.where(seen, (-v / torch.where(seen, alpha, 1.0)).clamp(0.0, growth_limit), 0.0)
    growth.mul_(torch.sqrt(1.0 + ratio))
    alpha.add_(v.clamp(min=0.0))
    return torch.where(alpha > 0.0, growth / torch.sqrt(alpha.clamp(min=torch.finfo(alpha.dtype).tiny)), 0.0)
