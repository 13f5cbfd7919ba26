"""Hugging Face Trainer: a callback that records gradient norms and a Trainer class that plays a schedule."""

import functools
from pathlib import Path
from typing import Any

from lastiterate.experiments.training.extras import require
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.experiments.training.schedule import ScheduleLR, warn_of_length
from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import check_choice
from lastiterate.theory.schedules.families import FAMILIES
from lastiterate.theory.schedules.played import Playable, playable

from ._norm_file import checked_path, resumed, take_up

require("transformers", "integrations", purpose="the Hugging Face adapter")
from transformers import Trainer, TrainerCallback  # noqa: E402

__all__ = ["GradNormCallback", "scheduled_trainer"]

_COPY = "gradient_norms.csv"
"""Name of the norms inside a checkpoint."""


class GradNormCallback(TrainerCallback):
    """Record the L1 and L2 norms of the gradients of every update, before the Trainer clips them.

    The Trainer calls its callbacks after clipping. The callback therefore stands in front of the clipping itself,
    `Accelerator.clip_grad_norm_`, from the beginning of training to its end.

    Parameters
    ----------
    trainer : transformers.Trainer
        The trainer to which the callback is added.
    path : str or Path, optional
        CSV file of the norms, which ``lastiterate refine`` reads; its folder is made at once. It is written as training
        goes on, also when training raises; a resumed run goes on with the rows before its checkpoint, which holds a
        copy, and the file of another run is kept as norms.1.csv, norms.2.csv, ...
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
        self._path = checked_path(path)
        self._every = every
        self._updates = self._before = 0
        self._checkpoint: Any = None
        self.recorder: GradNormRecorder | None = None
        self._watch_training()

    def _watch_training(self) -> None:
        """Stand around `Trainer.train`: it tells its callbacks neither of exceptions nor where it resumes from."""
        train = self._trainer.train

        @functools.wraps(train)
        def watched(resume_from_checkpoint: Any = None, *arguments: Any, **options: Any) -> Any:
            self._checkpoint = resume_from_checkpoint
            try:
                return train(resume_from_checkpoint, *arguments, **options)
            finally:
                self._stop()

        self._trainer.train = watched

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put the recorder in front of the clipping, with what was recorded before the checkpoint."""
        accelerator = self._trainer.accelerator
        model, clip = kwargs["model"], accelerator.clip_grad_norm_
        step = int(state.global_step)
        self.recorder = recorder = GradNormRecorder(
            model, every=self._every, scaler=accelerator.scaler, first_step=step
        )
        self._updates = 0
        if step > 0:
            found = self._checkpoint if isinstance(self._checkpoint, str | Path) else _checkpoint_of(args, step)
            if not resumed(recorder, Path(found) / _COPY, step) and self._path is not None:
                resumed(recorder, self._path, step)
        if self._path is not None and self._trainer.is_world_process_zero():
            take_up(recorder, self._path, step)
        self._before = len(recorder)

        def record_and_clip(*arguments: Any, **options: Any) -> Any:
            recorder()
            return clip(*arguments, **options)

        accelerator.clip_grad_norm_ = record_and_clip

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record now if nothing was clipped in this update."""
        self._updates += 1
        if self.recorder is not None and len(self.recorder) - self._before < self._updates:
            self.recorder()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write what is new: the Trainer waits for the device here anyway."""
        self._write()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave a copy in the checkpoint."""
        self._write()
        folder = _checkpoint_of(args, int(state.global_step))
        if self.recorder is not None and self._trainer.is_world_process_zero() and folder.is_dir():
            self.recorder.save(folder / _COPY)

    def _write(self) -> None:
        if self.recorder is not None and self._path is not None and self._trainer.is_world_process_zero():
            self.recorder.append_to(self._path)

    def _stop(self) -> None:
        """Take the recorder away and write the norms, however training ended."""
        vars(self._trainer.accelerator).pop("clip_grad_norm_", None)  # the method shows again
        if self.recorder is not None and len(self.recorder) > self._before:
            self._write()


def _checkpoint_of(args: Any, step: int) -> Path:
    return Path(args.output_dir) / f"checkpoint-{step}"


def scheduled_trainer(steps: Playable, base: type[Trainer] = Trainer) -> type[Trainer]:
    """Return a Trainer class whose `create_scheduler` plays ``steps``, one an update.

    Parameters
    ----------
    steps : array_like, shape (n,), or str, or a result with steps, or ScheduleFile
        Multipliers of ``TrainingArguments.learning_rate``, or what `lastiterate.torch.ScheduleLR` takes; ``max_steps``
        is usually n. The text of a schedule has the length of the training.
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

    Warns
    -----
    ScheduleLengthWarning
        If training has another number of updates than there are steps.

    Examples
    --------
    >>> scheduled_trainer([1.0, 0.5]).__name__
    'ScheduledTrainer'
    """
    if isinstance(steps, str):
        check_choice(parse_spec(steps, "schedule")[0], "schedule", FAMILIES)  # now, not when training starts
    else:
        playable(steps)

    class ScheduledTrainer(base):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                target: Any = self.optimizer if optimizer is None else optimizer
                length = num_training_steps if isinstance(steps, str) else None
                self.lr_scheduler = played = ScheduleLR(target, steps, n_steps=length)
                warn_of_length(len(played.steps), num_training_steps)
            return self.lr_scheduler

    return ScheduledTrainer
