"""Schedules on the command line: a family with its options, or a file whose numbers keep their meaning."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lastiterate.theory.schedules.files import ScheduleFile

ENDINGS = (".json", ".csv", ".npy", ".jsonl", ".npz", ".parquet", ".gz")


@dataclass(frozen=True)
class GivenSchedule:
    """A schedule as it was named, its values, and whether they are learning rates that nothing may scale."""

    name: str
    steps: Any
    absolute: bool = False


def load(text: str, n_steps: int | None, default: int) -> GivenSchedule:
    """Return one schedule; see `load_all`."""
    return load_all([text], n_steps, default)[0]


def load_all(texts: list[str], n_steps: int | None, default: int) -> list[GivenSchedule]:
    """Return the schedules, all of one horizon: the one asked for, else that of the files, else the default.

    A file has its own length: a horizon that disagrees with it is an error, not a hint. A log of a run is the schedule
    that the run played, in learning rates.
    """
    import lastiterate as li
    from lastiterate.theory.base.validation import InputError

    files = {text: _read(Path(text)) for text in texts if Path(text).suffix in ENDINGS}
    for text, file in files.items():
        horizon = file.n_steps if n_steps is None else n_steps
        first = next(iter(files.values())).n_steps
        if horizon != file.n_steps or first != file.n_steps:
            other = n_steps if n_steps is not None else first
            raise InputError("--steps", other, f"{file.n_steps}, the number of steps in {text}")
    if n_steps is None:
        n_steps = next((int(file.n_steps) for file in files.values()), default)
    return [
        GivenSchedule(text, files[text].values, files[text].absolute)
        if text in files
        else GivenSchedule(text, li.schedules.parse(text, n_steps))
        for text in texts
    ]


def _read(path: Path) -> "ScheduleFile":
    """Read a schedule file, or else the learning rates of a log; what is neither has the error of the first."""
    from lastiterate.experiments.logs.played import from_log
    from lastiterate.theory.base.validation import InputError
    from lastiterate.theory.schedules.files import ScheduleFile, read_schedule_file

    try:
        return read_schedule_file(path)
    except InputError as refused:
        if not path.is_file():
            raise
        try:
            return ScheduleFile(from_log(path), "steps", {"log": str(path)})
        except InputError as error:
            raise (refused if path.suffix in (".json", ".csv", ".npy") else error) from None


def factor(given: GivenSchedule, base_lr: float | None) -> float | None:
    """Return the base learning rate to use, None where it is to be tuned: absolute steps take none but 1."""
    from lastiterate.theory.base.validation import InputError

    if given.absolute and base_lr not in (None, 1.0):
        raise InputError("--base-lr", base_lr, f"none beside the absolute steps in {given.name}")
    return 1.0 if given.absolute else base_lr
