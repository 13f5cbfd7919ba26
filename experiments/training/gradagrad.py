"""GradaGrad (arXiv 2206.06900): AdaGrad whose learning rate may also grow, as a torch optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lastiterate.theory.base.validation import check_fraction, check_positive


class GradaGrad(torch.optim.Optimizer):
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
        The initial scale gamma_0, positive (a schedule may set it to zero later).
    rho : float
        Weight of the product with the previous gradient, at least zero; 2 is the published value.
    growth_limit : float
        The r above, between 0 and 1.
    coordinatewise : bool
        One alpha and one gamma per entry (True), or one over all parameters of a group (False, the scalar form).
    weight_decay : float
        L2 penalty, added to the gradient.

    Raises
    ------
    InputError
        If a number is out of its range.

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
        lr: float = 1e-2,
        *,
        rho: float = 2.0,
        growth_limit: float = 1.0,
        coordinatewise: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": check_positive(lr, "lr"),
            "rho": check_positive(rho, "rho", allow_zero=True),
            "growth_limit": check_fraction(growth_limit, "growth_limit"),
            "weight_decay": check_positive(weight_decay, "weight_decay", allow_zero=True),
            "coordinatewise": bool(coordinatewise),
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
            active = [p for p in group["params"] if p.grad is not None]
            gradients = [p.grad.add(p, alpha=group["weight_decay"]) for p in active]
            if not active:
                continue
            if group["coordinatewise"]:
                for p, g in zip(active, gradients, strict=True):
                    state = self._entry(p, like=p)
                    v = g * (g - group["rho"] * state["previous"])
                    p.sub_(group["lr"] * self._scale(state, v, group["growth_limit"]) * g)
                    state["previous"].copy_(g)
            else:
                # one alpha and one growth over the whole group, kept with its first parameter
                shared = self._entry(active[0], like=active[0].new_zeros(()))
                v = shared["alpha"].new_zeros(())
                for p, g in zip(active, gradients, strict=True):
                    previous = self.state[p].setdefault("previous", torch.zeros_like(p))
                    v += torch.sum(g * (g - group["rho"] * previous))
                    previous.copy_(g)
                scale = self._scale(shared, v, group["growth_limit"])
                for p, g in zip(active, gradients, strict=True):
                    p.sub_(group["lr"] * scale * g)
        return loss

    def _entry(self, p: Tensor, *, like: Tensor) -> dict[str, Any]:
        state = self.state[p]
        if "alpha" not in state:
            state["alpha"] = torch.zeros_like(like)
            state["growth"] = torch.ones_like(like)
        state.setdefault("previous", torch.zeros_like(p))
        return state

    @staticmethod
    def _scale(state: dict[str, Any], v: Tensor, growth_limit: float) -> Tensor:
        """Update alpha and growth in place and return growth / sqrt(alpha), zero where no gradient was seen yet."""
        alpha, growth = state["alpha"], state["growth"]
        seen = alpha > 0.0
        ratio = torch.where(seen, (-v / torch.where(seen, alpha, 1.0)).clamp(0.0, growth_limit), 0.0)
        growth.mul_(torch.sqrt(1.0 + ratio))
        alpha.add_(v.clamp(min=0.0))
        return torch.where(alpha > 0.0, growth / torch.sqrt(alpha.clamp(min=torch.finfo(alpha.dtype).tiny)), 0.0)
