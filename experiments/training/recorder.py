"""Recording gradient norms during training, without a host synchronisation at each step."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lastiterate.theory.base.validation import Array, InputError, check_count
from lastiterate.theory.schedules.files import write_atomically

_BUFFER = 1000

# up to this many numbers a copy of the gradient costs less than the calls that it saves
_FLATTEN = 2**20

# one kernel for all tensors of a device; torch.nn.utils.get_total_norm uses it too, without the choice of dtype
_foreach_norm: Any = getattr(torch, "_foreach_norm")  # noqa: B009


class GradNormRecorder:
    """Record the L1 and L2 norm of the gradient of every step; call it after backward, before clipping.

    Parameters
    ----------
    source : torch.nn.Module or torch.optim.Optimizer
        Whose parameters' gradients count. An optimiser brings its parameter groups.
    per_group : bool
        Record each parameter group of an optimiser on its own as well.
    every : int
        Number of steps that are collected on the device before one transfer to the host.
    scaler : torch.amp.GradScaler, optional
        Gradients are divided by its scale, on the device, if they have not been unscaled yet.
    reduce : torch.distributed.ProcessGroup, optional
        Processes over which plain gradients are sharded, as the first version of FSDP does: norms are reduced over
        the group, once a transfer. Not needed under DDP, which averages gradients before the call, nor under
        ``fully_shard``, whose gradients know their own group.
    batch, micro_batch : int, optional
        Sizes of the batch of a step and of the first of its micro-batches, over all processes, in any one unit. With
        them `first` is to be called after the backward pass of that micro-batch; the two norms tell the noise from the
        gradient (`lastiterate.experiments.logs.noise`), without a copy of any gradient.

    Notes
    -----
    With gradient accumulation call the recorder once an optimiser step, when the sum is complete. The loss of each
    micro-batch is taken to be divided by the number of micro-batches, so that the sum is the mean. Processes that
    accumulate without synchronising (``no_sync``) see their own micro-batch only: count that one.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False)
    >>> recorder = GradNormRecorder(model)
    >>> model(torch.tensor([[3.0, 4.0]])).sum().backward()
    >>> recorder()
    >>> recorder.l1.tolist(), recorder.l2.tolist()
    ([7.0], [5.0])

    Two micro-batches a step:

    >>> recorder = GradNormRecorder(model, batch=2, micro_batch=1)
    >>> model.zero_grad()
    >>> (model(torch.tensor([[3.0, 4.0]])).sum() / 2).backward()
    >>> recorder.first()
    >>> (model(torch.tensor([[3.0, -4.0]])).sum() / 2).backward()
    >>> recorder()
    >>> recorder.first_l2.tolist(), recorder.l2.tolist()
    ([5.0], [3.0])
    """

    def __init__(
        self,
        source: nn.Module | Optimizer,
        *,
        per_group: bool = False,
        every: int = _BUFFER,
        scaler: Any = None,
        reduce: Any = None,
        batch: int | None = None,
        micro_batch: int | None = None,
    ) -> None:
        if isinstance(source, Optimizer):
            groups: list[list[Tensor]] = [list(group["params"]) for group in source.param_groups]
        elif isinstance(source, nn.Module):
            groups = [list(source.parameters())]
        else:
            raise InputError("source", type(source).__name__, "a torch.nn.Module or a torch.optim.Optimizer")
        if per_group and not isinstance(source, Optimizer):
            raise InputError("per_group", per_group, "an optimizer as source, which has parameter groups")
        self._groups = groups if per_group else [[parameter for group in groups for parameter in group]]
        self._optimizer = source if isinstance(source, Optimizer) else None
        self._every = check_count(every, "every")
        self._scaler = scaler
        self._reduce = reduce
        self._sizes = _check_sizes(batch, micro_batch)
        self._first: Tensor | None = None
        self._pending: list[Tensor] = []
        self._done: list[Array] = []

    def first(self) -> None:
        """Note the gradient after the backward pass of the first micro-batch of a step."""
        if self._sizes is None:
            raise InputError("micro_batch", None, "batch and micro_batch, given to the recorder")
        batch, micro_batch = self._sizes
        self._first = self._now()[:, 1:] * (batch / micro_batch)

    def __call__(self) -> None:
        """Record the gradients as they are now."""
        norms = self._now()
        if self._sizes is not None:
            if self._first is None:
                raise InputError("first", "no call in this step", "a call after the first micro-batch of every step")
            norms, self._first = torch.cat([norms, self._first], dim=1), None
        self._pending.append(norms)
        if len(self._pending) >= self._every:
            self._transfer()

    def _now(self) -> Tensor:
        norms = torch.stack([self._norms(group) for group in self._groups])
        if self._scaler is not None and self._scaler.is_enabled() and not self._already_unscaled():
            # the scale is a device tensor: reading it by get_scale() would synchronise
            norms = norms / self._scaler._scale
        return norms

    def _already_unscaled(self) -> bool:
        if self._optimizer is None:
            return False
        state = self._scaler._per_optimizer_states[id(self._optimizer)]["stage"]
        return state.name != "READY"

    @torch.no_grad()
    def _norms(self, parameters: list[Tensor]) -> Tensor:
        """L1 norm and squared-sum root of the gradients of one group, as a device tensor of two numbers."""
        present = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not present:
            device = parameters[0].device if parameters else "cpu"
            return torch.zeros(2, device=device)
        gradients = [self._local(gradient) for gradient in present]
        # half precision would overflow in the sums
        wide = torch.float64 if any(g.dtype == torch.float64 for g in gradients) else torch.float32
        if sum(gradient.numel() for gradient in gradients) <= _FLATTEN:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            return torch.stack([torch.linalg.vector_norm(flat, order, dtype=wide) for order in (1, 2)])
        each_l1, each_l2 = (_foreach_norm(gradients, order, dtype=wide) for order in (1, 2))
        return torch.stack([torch.stack(each_l1).sum(), torch.linalg.vector_norm(torch.stack(each_l2))])

    def _local(self, gradient: Tensor) -> Tensor:
        """The part of a gradient on this process: itself, a sparse one's values, a distributed one's shard."""
        if gradient.is_sparse:
            return gradient.coalesce().values()
        mesh: Any = getattr(gradient, "device_mesh", None)
        if mesh is None:
            return gradient
        self._reduce = mesh.get_group()
        return gradient.to_local()  # type: ignore[attr-defined]

    def _transfer(self) -> None:
        if not self._pending:
            return
        block = torch.stack(self._pending)
        if self._reduce is not None:
            block = _reduced(block, self._reduce)
        self._done.append(block.cpu().numpy().astype(np.float64))
        self._pending.clear()

    def _all(self) -> Array:
        self._transfer()
        return (
            np.concatenate(self._done)
            if self._done
            else np.empty((0, len(self._groups), 2 if self._sizes is None else 3))
        )

    def __len__(self) -> int:
        """Return the number of recorded steps."""
        return sum(len(block) for block in self._done) + len(self._pending)

    @property
    def l1(self) -> Array:
        """L1 norms, float64[n], of all parameters together."""
        return self._all()[:, :, 0].sum(axis=1)

    @property
    def l2(self) -> Array:
        """L2 norms, float64[n], of all parameters together."""
        return np.sqrt(np.square(self._all()[:, :, 1]).sum(axis=1))

    @property
    def first_l2(self) -> Array:
        """L2 norms, float64[n], of the gradient of the first micro-batch of each step, scaled to its own mean."""
        if self._sizes is None:
            raise InputError("micro_batch", None, "batch and micro_batch, given to the recorder")
        return np.sqrt(np.square(self._all()[:, :, 2]).sum(axis=1))

    @property
    def groups(self) -> dict[str, Array]:
        """Norms of each parameter group: ``"l1"`` and ``"l2"``, float64[n, groups]."""
        recorded = self._all()
        return {"l1": recorded[:, :, 0], "l2": recorded[:, :, 1]}

    def save(self, path: str | Path) -> Path:
        """Write the norms as CSV with the columns step, grad_norm_l1 and grad_norm_l2, which `read_norms` reads.

        With micro-batches the columns grad_norm_first, batch and micro_batch follow.
        """
        columns = {"grad_norm_l1": self.l1.tolist(), "grad_norm_l2": self.l2.tolist()}
        if self._sizes is not None:
            columns["grad_norm_first"] = self.first_l2.tolist()
            columns["batch"], columns["micro_batch"] = ([size] * len(self) for size in self._sizes)
        rows = "".join(
            f"{step},{','.join(map(repr, row))}\n" for step, row in enumerate(zip(*columns.values(), strict=True))
        )
        write_atomically(Path(path), f"step,{','.join(columns)}\n{rows}".encode())
        return Path(path)

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded so far, as a plain tensor."""
        return {"norms": torch.from_numpy(self._all())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after what was recorded before."""
        self._pending.clear()
        self._done = [state["norms"].numpy().astype(np.float64)]


def _reduced(block: Tensor, group: Any) -> Tensor:
    """Sum L1 norms and squared L2 norms over the processes of ``group``."""
    sums = torch.cat([block[..., :1], block[..., 1:].square()], dim=-1)
    torch.distributed.all_reduce(sums, group=group)
    return torch.cat([sums[..., :1], sums[..., 1:].sqrt()], dim=-1)


def _check_sizes(batch: int | None, micro_batch: int | None) -> tuple[int, int] | None:
    if batch is None and micro_batch is None:
        return None
    small = check_count(micro_batch, "micro_batch")
    return check_count(batch, "batch", minimum=small + 1), small
