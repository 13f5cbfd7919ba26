"""Lightning: a callback that records gradient norms and the return value of ``configure_optimizers``."""

from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from lastiterate.experiments.training.extras import require
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.experiments.training.schedule import ScheduleLR, warn_of_length
from lastiterate.theory.schedules.played import Playable

from ._norm_file import checked_path, resumed, take_up

require("lightning.pytorch", "integrations", purpose="the Lightning adapter")
from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402

__all__ = ["GradNormCallback", "scheduled"]


class GradNormCallback(Callback):
    """Record the L1 and L2 norms of the gradients of every optimizer step, unscaled and before clipping.

    Parameters
    ----------
    path : str or Path, optional
        CSV file of the norms, which ``lastiterate refine`` reads; its folder is made at once. It is written as training
        goes on, also when training raises. Checkpoints hold the norms before them, with which a resumed run goes on;
        the file of another run is kept as norms.1.csv, norms.2.csv, ...
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
        self._path = checked_path(path)
        self._every = every
        self._saved: dict[str, Any] | None = None
        self.recorder: GradNormRecorder | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the norms so far; Lightning keeps them in its checkpoints."""
        return {} if self.recorder is None else self.recorder.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the norms of a checkpoint until training starts."""
        self._saved = dict(state_dict) or None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to record the module's parameters, with what was recorded before the checkpoint."""
        step = int(trainer.global_step)
        self.recorder = recorder = GradNormRecorder(pl_module, every=self._every, first_step=step)
        if self._saved is not None:
            recorder.load_state_dict(self._saved)
            recorder.number_on_from(step)
        elif step > 0 and self._path is not None:
            resumed(recorder, self._path, step)
        if self._path is not None and trainer.is_global_zero:
            take_up(recorder, self._path, step)
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ScheduleLR):
                warn_of_length(len(config.scheduler.steps), float(trainer.estimated_stepping_batches))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Record; Lightning calls this after unscaling and before clipping."""
        if self.recorder is not None:
            self.recorder()
            if len(self.recorder) % self._every == 0:
                self._write(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write what is new."""
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what is new."""
        self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is new."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if self.recorder is not None and self._path is not None and trainer.is_global_zero:
            self.recorder.append_to(self._path)


def scheduled(optimizer: Optimizer, steps: Playable, *, n_steps: int | None = None) -> dict[str, Any]:
    """Return what ``configure_optimizers`` returns to play ``steps``, one an optimizer step.

    Lightning's default interval is the epoch; here it is the step.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its learning rates are the base learning rates.
    steps : array_like, shape (n,), or str, or a result with steps, or ScheduleFile
        What `lastiterate.torch.ScheduleLR` takes; ``Trainer(max_steps=...)`` is usually n.
    n_steps : int, optional
        Length of a schedule whose text is given: ``self.trainer.estimated_stepping_batches``.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    >>> scheduled(optimizer, [1.0, 0.5])["lr_scheduler"]["interval"]
    'step'
    """
    scheduler = ScheduleLR(optimizer, steps, n_steps=n_steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 1}}
