"""Hugging Face Trainer: a callback that records gradient norms and a Trainer class that plays a schedule."""

from pathlib import Path
from typing import Any

import numpy.typing as npt

from lastiterate.experiments.training.extras import require
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.experiments.training.schedule import ScheduleLR
from lastiterate.theory.base.validation import check_steps

require("transformers", "integrations", purpose="the Hugging Face adapter")
from transformers import Trainer, TrainerCallback  # noqa: E402


class GradNormCallback(TrainerCallback):
    """Record the L1 and L2 norms of the gradients of every update, before the Trainer clips them.

    The Trainer calls its callbacks after clipping. The callback therefore stands in front of the clipping itself,
    `Accelerator.clip_grad_norm_`, from the beginning of training to its end.

    Parameters
    ----------
    trainer : transformers.Trainer
        The trainer to which the callback is added.
    path : str or Path, optional
        CSV file to which the norms are written when training ends; ``lastiterate refine`` reads it.
    every : int
        Number of updates between two transfers from the device.

    Attributes
    ----------
    recorder : GradNormRecorder
        ``recorder.l1`` and ``recorder.l2`` are the norms, once training has begun.

    Examples
    --------
    >>> trainer = Trainer(model, arguments, train_dataset=data)  # doctest: +SKIP
    >>> trainer.add_callback(GradNormCallback(trainer, "norms.csv"))  # doctest: +SKIP
    """

    def __init__(self, trainer: Trainer, path: str | Path | None = None, *, every: int = 1000) -> None:
        self._trainer: Any = trainer
        self._path = path
        self._every = every
        self._updates = 0
        self.recorder: GradNormRecorder | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put the recorder in front of the clipping."""
        accelerator = self._trainer.accelerator
        model, clip = kwargs["model"], accelerator.clip_grad_norm_
        self.recorder = recorder = GradNormRecorder(model, every=self._every, scaler=accelerator.scaler)
        self._updates = 0

        def record_and_clip(*arguments: Any, **options: Any) -> Any:
            recorder()
            return clip(*arguments, **options)

        accelerator.clip_grad_norm_ = record_and_clip

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record now if nothing was clipped in this update."""
        self._updates += 1
        if self.recorder is not None and len(self.recorder) < self._updates:
            self.recorder()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the recorder away and write the norms."""
        del self._trainer.accelerator.clip_grad_norm_  # the instance attribute; the method shows again
        main = bool(self._trainer.is_world_process_zero())
        if self.recorder is not None and self._path is not None and main:
            self.recorder.save(self._path)


def scheduled_trainer(steps: npt.ArrayLike, base: type[Trainer] = Trainer) -> type[Trainer]:
    """Return a Trainer class whose `create_scheduler` plays ``steps``, one multiplier an update.

    Parameters
    ----------
    steps : array_like, shape (n,)
        Multipliers of ``TrainingArguments.learning_rate``; ``max_steps`` is usually n.
    base : type
        The Trainer class to extend.

    Returns
    -------
    type
        A subclass of ``base``. Checkpoints of the Trainer hold the position in the schedule.

    Raises
    ------
    InputError
        If ``steps`` is not a finite nonnegative sequence.

    Examples
    --------
    >>> scheduled_trainer([1.0, 0.5]).__name__
    'ScheduledTrainer'
    """
    values = check_steps(steps)

    class ScheduledTrainer(base):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                target: Any = self.optimizer if optimizer is None else optimizer
                self.lr_scheduler = ScheduleLR(target, values)
            return self.lr_scheduler

    return ScheduledTrainer
