"""The file of a callback's norms: it grows through crashes and resumes, and replaces no other run's file."""

import os
from pathlib import Path

from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.theory.base.validation import InputError

__all__ = ["checked_path", "resumed", "take_up"]

MAX_STEP = 10**9


def checked_path(path: str | Path | None) -> Path | None:
    """Return the path with its folder made: one that cannot be made is an error before training, not after it."""
    if path is None:
        return None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


def take_up(recorder: GradNormRecorder, path: Path, step: int) -> None:
    """Begin the file of a run that goes on at ``step``, with what ``recorder`` has of it.

    An existing file that holds anything else, another run or steps that the run went back behind, is kept under
    another name.
    """
    if path.is_file() and not _is_part(path, recorder, step):
        _set_aside(path)
    if step > 0:
        recorder.append_to(path)


def resumed(recorder: GradNormRecorder, path: Path, step: int) -> bool:
    """Take over the rows of a file before ``step``, if it is a file of norms."""
    try:
        return recorder.resume(path, step)
    except InputError:
        return False


def _is_part(path: Path, recorder: GradNormRecorder, step: int) -> bool:
    """Whether the recorder has all that the file holds."""
    earlier = GradNormRecorder(recorder.source)
    return step > 0 and resumed(earlier, path, MAX_STEP) and set(earlier.steps.tolist()) <= set(recorder.steps.tolist())


def _set_aside(path: Path) -> None:
    number = 1
    while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, kept)
