"""Muon for matrices and an optimizer of torch for everything else, as one optimizer with one state."""

from collections.abc import Callable
from typing import Any

import torch

from lastiterate.theory.base.validation import InputError, check_choice

__all__ = ["AUXILIARIES", "MuonWithAuxiliary"]

AUXILIARIES: dict[str, tuple[type[torch.optim.Optimizer], float]] = {
    "adamw": (torch.optim.AdamW, 1e-3),
    "adam": (torch.optim.Adam, 1e-3),
    "sgd": (torch.optim.SGD, 0.1),
}
"""What may take the parameters that are no matrices: class and base learning rate."""


class MuonWithAuxiliary(torch.optim.Optimizer):
    """Muon for the matrices of a model, another optimizer for its biases, norms and kernels.

    Each kind has parameter groups of its own, with their own learning rates, so that a scheduler scales both. A group
    given with ``aux=True`` belongs to the other optimizer as a whole, as embeddings and the last layer do in practice.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter or of dict
        Groups are split; options that start with ``aux_`` are those of the part that is no matrix.
    lr : float
        Base learning rate of the matrices.
    aux : {"adamw", "adam", "sgd"}
        Which optimizer takes the rest.
    aux_lr : float, optional
        Its base learning rate. Default: that of `AUXILIARIES`, or ``lr`` with ``adjust_lr_fn="match_rms_adamw"``,
        which makes Muon's rates those of AdamW.
    **options
        Options of torch's Muon and, after ``aux_``, of the other one.

    Raises
    ------
    InputError
        For another ``aux``, or a torch without Muon.

    Examples
    --------
    >>> model = torch.nn.Linear(3, 2)
    >>> optimizer = MuonWithAuxiliary(model.parameters(), lr=0.02, aux_lr=1e-3, aux_betas=(0.9, 0.95))
    >>> [(group["part"], group["lr"], len(group["params"])) for group in optimizer.param_groups]
    [('muon', 0.02, 1), ('aux', 0.001, 1)]
    """

    def __init__(
        self, params: Any, lr: float = 2e-2, *, aux: str = "adamw", aux_lr: float | None = None, **options: Any
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise InputError("optimizer", "Muon", "a torch that has it; the one installed is older")
        kind, base = AUXILIARIES[check_choice(aux, "aux", AUXILIARIES)]
        if aux_lr is None:
            aux_lr = lr if options.get("adjust_lr_fn") == "match_rms_adamw" else base
        own, others = _split(options)
        self.kinds: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
            "muon": (torch.optim.Muon, {"lr": lr, **own}),
            "aux": (kind, {"lr": aux_lr, **others}),
        }
        self.parts: dict[str, torch.optim.Optimizer] = {}
        super().__init__(params, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the matrices of a group to Muon and its other parameters to the other optimizer."""
        group = dict(param_group)
        listed, whole = list(group.pop("params")), bool(group.pop("aux", False))
        own, others = _split(group)
        matrices = [] if whole else [entry for entry in listed if _is_matrix(entry)]
        rest = listed if whole else [entry for entry in listed if not _is_matrix(entry)]
        for name, members, given in (("muon", matrices, own), ("aux", rest, {**own, **others} if whole else others)):
            if members:
                piece = {"params": members, "part": name, **given}
                if name in self.parts:
                    self.parts[name].add_param_group(piece)
                else:
                    build, defaults = self.kinds[name]
                    self.parts[name] = build([piece], **defaults)
                super().add_param_group(self.parts[name].param_groups[-1])

    def step(self, closure: Any = None) -> Any:
        """Take a step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for name, part in self.parts.items():
            # one state for both, also after loading, which replaces the groups and the state
            part.param_groups = [group for group in self.param_groups if group["part"] == name]
            part.state = self.state
            part.step()
        return loss

    def __getstate__(self) -> dict[str, Any]:
        """Keep the parts in copies."""
        return {**super().__getstate__(), "parts": self.parts, "kinds": self.kinds}


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of Muon and those of the other optimizer, whose names start with ``aux_``."""
    others = {key.removeprefix("aux_"): value for key, value in options.items() if key.startswith("aux_")}
    return {key: value for key, value in options.items() if not key.startswith("aux_")}, others


def _is_matrix(entry: Any) -> bool:
    """Whether a parameter, or a pair of a name and one, has two dimensions."""
    return (entry[1] if isinstance(entry, tuple) else entry).ndim == 2
