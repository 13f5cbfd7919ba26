"""Lightning: a callback that records gradient norms and the return value of ``configure_optimizers``."""

from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch.optim import Optimizer

from lastiterate.experiments.training.extras import require
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.experiments.training.schedule import ScheduleLR

require("lightning.pytorch", "integrations", purpose="the Lightning adapter")
from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402


class GradNormCallback(Callback):
    """Record the L1 and L2 norms of the gradients of every optimizer step, unscaled and before clipping.

    Parameters
    ----------
    path : str or Path, optional
        CSV file to which the norms are written when training ends; ``lastiterate refine`` reads it.
    every : int
        Number of steps between two transfers from the device.

    Attributes
    ----------
    recorder : GradNormRecorder
        ``recorder.l1`` and ``recorder.l2`` are the norms, once training has begun.

    Examples
    --------
    >>> trainer = Trainer(max_steps=100, callbacks=[GradNormCallback("norms.csv")])  # doctest: +SKIP
    """

    def __init__(self, path: str | Path | None = None, *, every: int = 1000) -> None:
        self._path = path
        self._every = every
        self.recorder: GradNormRecorder | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to record the module's parameters."""
        self.recorder = GradNormRecorder(pl_module, every=self._every)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Record; Lightning calls this after unscaling and before clipping."""
        if self.recorder is not None:
            self.recorder()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the norms."""
        if self.recorder is not None and self._path is not None and trainer.is_global_zero:
            self.recorder.save(self._path)


def scheduled(optimizer: Optimizer, steps: npt.ArrayLike) -> dict[str, Any]:
    """Return what ``configure_optimizers`` returns to play ``steps``, one multiplier an optimizer step.

    Lightning's default interval is the epoch; here it is the step.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its learning rates are the base learning rates.
    steps : array_like, shape (n,)
        Multipliers; ``Trainer(max_steps=...)`` is usually n.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    >>> scheduled(optimizer, [1.0, 0.5])["lr_scheduler"]["interval"]
    'step'
    """
    scheduler = ScheduleLR(optimizer, steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 1}}
