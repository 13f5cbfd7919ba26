"""Recording gradient norms during training, without a host synchronisation at each step."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import Array, InputError, check_count

__all__ = ["GradNormRecorder"]

_BUFFER = 1000
_HEADER = "step,grad_norm_l1,grad_norm_l2"

# up to this many numbers a copy of the gradient costs less than the calls that it saves
_FLATTEN = 2**20

# one kernel for all tensors of a device; torch.nn.utils.get_total_norm uses it too, without the choice of dtype
_foreach_norm: Any = getattr(torch, "_foreach_norm")  # noqa: B009


class GradNormRecorder:
    """Record the L1 and L2 norm of the gradient of every step; call it after backward, before clipping.

    Parameters
    ----------
    source : torch.nn.Module or torch.optim.Optimizer
        Whose parameters' gradients count, also those added later. An optimiser brings its parameter groups.
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
    first_step : int
        Number of the first step to come, for a run that goes on.

    Attributes
    ----------
    source : torch.nn.Module or torch.optim.Optimizer
    steps : int64[n]
        Numbers of the recorded steps.
    l1, l2 : float64[n]
        Norms.

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
        first_step: int = 0,
        batch: int | None = None,
        micro_batch: int | None = None,
    ) -> None:
        if not isinstance(source, Optimizer | nn.Module):
            raise InputError("source", type(source).__name__, "a torch.nn.Module or a torch.optim.Optimizer")
        if per_group and not isinstance(source, Optimizer):
            raise InputError("per_group", per_group, "an optimizer as source, which has parameter groups")
        self.source = source
        self._per_group = per_group
        self._every = check_count(every, "every")
        self._scaler = scaler
        self._reduce = reduce
        self._sizes = _check_sizes(batch, micro_batch)
        self._first: Tensor | None = None
        self._pending: list[Tensor] = []
        self._done: list[Array] = []
        self._steps: list[int] = []
        self._next_step = check_count(first_step, "first_step", minimum=0)
        self._appended = 0  # blocks of `_done` that `append_to` has written

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
        if self._pending and self._pending[0].shape != norms.shape:  # a parameter group was added
            self._transfer()
        self._pending.append(norms)
        self._steps.append(self._next_step)
        self._next_step += 1
        if len(self._pending) >= self._every:
            self._transfer()

    def _now(self) -> Tensor:
        norms = torch.stack([self._norms(group) for group in self._groups()])
        if self._scaler is not None and self._scaler.is_enabled() and not self._already_unscaled():
            # the scale is a device tensor: reading it by get_scale() would synchronise
            norms = norms / self._scaler._scale
        return norms

    def _groups(self) -> list[list[Tensor]]:
        """Parameters as they are now: layers may be unfrozen, and groups added, in the course of training."""
        if isinstance(self.source, nn.Module):
            return [list(self.source.parameters())]
        groups: list[list[Tensor]] = [list(group["params"]) for group in self.source.param_groups]
        return groups if self._per_group else [[parameter for group in groups for parameter in group]]

    def _already_unscaled(self) -> bool:
        """Whether the scaler has divided the gradients already; it knows that of optimizers, not of modules."""
        states = self._scaler._per_optimizer_states
        if isinstance(self.source, Optimizer):
            states = {0: states[id(self.source)]} if id(self.source) in states else {}
        stages = {state["stage"].name != "READY" for state in states.values()}
        if len(stages) > 1:
            where = "a scaler that has unscaled the gradients of some of its optimizers"
            raise InputError("source", where, "the optimizer in place of the module")
        return stages == {True}

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
        n_groups = max((block.shape[1] for block in self._done), default=1)
        padded = [np.pad(block, ((0, 0), (0, n_groups - block.shape[1]), (0, 0))) for block in self._done]
        return np.concatenate(padded) if padded else np.empty((0, n_groups, self._width))

    def __bool__(self) -> bool:
        """Return True, also before the first step: ``if recorder: recorder()`` records."""
        return True

    def __repr__(self) -> str:
        """Return the number of steps, which is known without a look at the device."""
        return f"GradNormRecorder({len(self)} steps of {type(self.source).__name__})"

    def __len__(self) -> int:
        """Return the number of recorded steps."""
        return len(self._steps)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Numbers of the recorded steps, int64[n]; they go on where a resumed run goes on."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def l1(self) -> Array:
        """L1 norms, float64[n], of all parameters together."""
        return _totals(self._all())[:, 0]

    @property
    def l2(self) -> Array:
        """L2 norms, float64[n], of all parameters together."""
        return _totals(self._all())[:, 1]

    @property
    def first_l2(self) -> Array:
        """L2 norms, float64[n], of the gradient of the first micro-batch of each step, scaled to its own mean."""
        if self._sizes is None:
            raise InputError("micro_batch", None, "batch and micro_batch, given to the recorder")
        return _totals(self._all())[:, 2]

    @property
    def groups(self) -> dict[str, Array]:
        """Norms of each parameter group: ``"l1"`` and ``"l2"``, float64[n, groups]."""
        recorded = self._all()
        return {"l1": recorded[:, :, 0], "l2": recorded[:, :, 1]}

    def summary(self) -> dict[str, float]:
        """Return what to look at first: how many steps, how many unusable, and the range of both norms.

        Examples
        --------
        >>> model = nn.Linear(2, 1, bias=False)
        >>> recorder = GradNormRecorder(model)
        >>> model(torch.tensor([[3.0, 4.0]])).sum().backward()
        >>> recorder()
        >>> recorder.summary()["steps"], recorder.summary()["l2_median"]
        (1, 5.0)
        """
        found: dict[str, float] = {"steps": len(self)}
        l1, l2 = self.l1, self.l2
        usable = np.isfinite(l2) & (l2 > 0.0)
        found["unusable"] = int(len(self) - usable.sum())
        for name, values in (("l1", l1[usable]), ("l2", l2[usable])):
            for statistic, function in (("min", np.min), ("median", np.median), ("max", np.max)):
                found[f"{name}_{statistic}"] = float(function(values)) if values.size else math.nan
        return found

    @property
    def _width(self) -> int:
        """Norms a step and group."""
        return 2 if self._sizes is None else 3

    @property
    def _header(self) -> str:
        return _HEADER if self._sizes is None else f"{_HEADER},grad_norm_first,batch,micro_batch"

    def _lines(self, steps: Sequence[int], norms: Array) -> str:
        end = "" if self._sizes is None else f",{self._sizes[0]},{self._sizes[1]}"
        return "".join(
            f"{step},{','.join(map(repr, row))}{end}\n" for step, row in zip(steps, norms.tolist(), strict=True)
        )

    def save(self, path: str | Path) -> Path:
        """Write the norms as CSV with the columns step, grad_norm_l1 and grad_norm_l2, which `read_norms` reads.

        With micro-batches the columns grad_norm_first, batch and micro_batch follow. The folder is made if it does not
        exist.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, f"{self._header}\n{self._lines(self._steps, _totals(self._all()))}")
        return target

    def append_to(self, path: str | Path) -> None:
        """Add to the file what was recorded since the last call; the first call writes the whole file.

        A run that is killed in between leaves at most one line unfinished, which `resume` leaves out.
        """
        self._transfer()
        target = Path(path)
        if self._appended == 0 or not target.is_file():
            self.save(target)
        elif self._appended < len(self._done):
            new = np.concatenate([_totals(block) for block in self._done[self._appended :]])
            with target.open("a", encoding="utf-8", newline="") as file:
                file.write(self._lines(self._steps[-len(new) :], new))
        self._appended = len(self._done)

    def resume(self, path: str | Path, step: int) -> bool:
        """Take over the rows before ``step`` of a file that `save` wrote, and number on from ``step``.

        Parameters
        ----------
        path : str or Path
            File of the earlier part of the run.
        step : int
            Number of the next step.

        Returns
        -------
        bool
            Whether there was such a file.

        Raises
        ------
        InputError
            If the file has other columns, or is damaged; the recorder is then empty and numbers on from ``step``.
        """
        self._forget(check_count(step, "step", minimum=0))
        file = Path(path)
        if not file.is_file():
            return False
        try:
            header, *lines = file.read_text(encoding="utf-8").split("\n")[:-1] or [""]
            rows = [[float(cell) for cell in line.split(",", 2)] for line in lines] if header == _HEADER else []
        except ValueError as error:  # no text, or no number
            raise InputError("path", f"{file} ({error})", f"a file with the columns {_HEADER}, whole") from error
        if header != _HEADER or any(len(row) != 3 for row in rows):
            raise InputError("path", f"{file} that begins with {header!r:.80}", f"a file with the columns {_HEADER}")
        earlier = np.array([row for row in rows if row[0] < step], dtype=np.float64).reshape(
            -1, self._header.count(",") + 1
        )
        self._done = [earlier[:, None, 1 : 1 + self._width]]
        self._steps = earlier[:, 0].astype(np.int64).tolist()
        return True

    def number_on_from(self, step: int) -> None:
        """Give the next step this number, or a later one if that is recorded already."""
        self._next_step = max(self._next_step, check_count(step, "step", minimum=0))

    def _forget(self, next_step: int) -> None:
        self._pending, self._done, self._steps = [], [], []
        self._next_step, self._appended = next_step, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded so far, as plain tensors."""
        return {"norms": torch.from_numpy(self._all()), "steps": torch.tensor(self._steps, dtype=torch.int64)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after what was recorded before."""
        norms = state["norms"].numpy().astype(np.float64)
        steps: list[int] = state["steps"].tolist() if "steps" in state else list(range(len(norms)))
        self._forget(steps[-1] + 1 if steps else 0)
        self._done, self._steps = [norms], steps


def _totals(norms: Array) -> Array:
    """L1 and L2 norms of all groups together, float64[n, 2], and in a third column those of first micro-batches."""
    return np.column_stack([norms[:, :, 0].sum(axis=1), np.sqrt(np.square(norms[:, :, 1:]).sum(axis=1))])


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
