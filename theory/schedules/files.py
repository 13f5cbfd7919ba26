"""Schedules as files: schedule.json and its plain siblings, and code that uses them in a training script."""

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_choice, check_steps

SCHEMA = 1

SNIPPETS = {
    "torch": """\
from lastiterate import torch as li_torch

scheduler = li_torch.ScheduleLR.from_file(optimizer, {path!r})  # optimizer has lr=base_lr
# after every optimizer.step():
scheduler.step()
""",
    "hf": """\
from lastiterate.experiments.hf_adapter import scheduled_trainer
from lastiterate.experiments.schedule_files import read_schedule

# TrainingArguments(learning_rate=base_lr, max_steps={horizon})
ScheduledTrainer = scheduled_trainer(read_schedule({path!r}))
""",
    "lightning": """\
import torch
from lastiterate.experiments.lightning_adapter import scheduled
from lastiterate.experiments.schedule_files import read_schedule


def configure_optimizers(self):  # a method of the LightningModule; Trainer(max_steps={horizon})
    optimizer = torch.optim.{optimizer}(self.parameters(), lr=self.base_lr)
    return scheduled(optimizer, read_schedule({path!r}))
""",
    "optax": """\
import optax
from lastiterate.experiments.optax_adapter import optax_schedule
from lastiterate.experiments.schedule_files import read_schedule

learning_rate = optax_schedule(read_schedule({path!r}), base_lr)  # {horizon} steps
optimizer = optax.{optax}(learning_rate)
""",
}


def write_schedule(steps: npt.ArrayLike, path: str | Path, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write a schedule to ``schedule.json`` (or, by the ending, csv or npy), atomically.

    Parameters
    ----------
    steps : array_like, shape (n,)
        Multipliers of the base learning rate.
    path : str or Path
        Ends in .json, .csv or .npy.
    provenance : mapping, optional
        Where the schedule comes from; kept by the JSON format only.

    Returns
    -------
    Path

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read_schedule(write_schedule([1.0, 0.5], Path(folder, "schedule.json"))).tolist()
    [1.0, 0.5]
    """
    values = check_steps(steps)
    target = Path(path)
    check_choice(target.suffix, "path", (".json", ".csv", ".npy"))
    if target.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
    elif target.suffix == ".csv":
        rows = "".join(f"{step},{value!r}\n" for step, value in enumerate(values.tolist()))
        content = f"step,multiplier\n{rows}".encode()
    else:
        document = {
            "schema": SCHEMA,
            "kind": "multiplier",
            "horizon": values.size,
            "values": values.tolist(),
            "provenance": dict(provenance or {}),
        }
        content = json.dumps(document, indent=1).encode()
    write_atomically(target, content)
    return target


def read_schedule(path: str | Path) -> Array:
    """Read what `write_schedule` wrote, and return float64[n]."""
    file = Path(path)
    if not file.is_file():
        raise InputError("path", str(file), "an existing schedule file")
    try:
        if file.suffix == ".npy":
            return check_steps(np.load(file, allow_pickle=False), "values")
        if file.suffix == ".csv":
            with file.open(newline="", encoding="utf-8") as handle:
                return check_steps([float(row["multiplier"]) for row in csv.DictReader(handle)], "values")
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA or document["kind"] != "multiplier":
            raise InputError("path", f"{file} (schema {document['schema']!r})", f"schema {SCHEMA}, kind 'multiplier'")
        values = check_steps(document["values"], "values")
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, EOFError) as error:
        expected = "a schedule written by write_schedule"
        raise InputError("path", f"{file} ({type(error).__name__}: {error})", expected) from error
    if values.size != document.get("horizon"):
        raise InputError(
            "path", f"{file}: horizon {document.get('horizon')}", f"a horizon of {values.size}, as 'values'"
        )
    return values


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside ``path`` and move it there: readers never see half a file."""
    if not path.parent.is_dir():
        raise InputError("path", str(path), "a file in an existing folder")
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
        temporary = Path(handle.name)
        try:
            handle.write(content)
            handle.flush()
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def snippet(framework: str, path: str | Path, horizon: int, rule: str = "sgd") -> str:
    """Return code that uses the schedule file in a training script.

    >>> print(snippet("torch", "schedule.json", 100).splitlines()[2])
    scheduler = li_torch.ScheduleLR.from_file(optimizer, 'schedule.json')  # optimizer has lr=base_lr
    """
    template = SNIPPETS[check_choice(framework, "snippet", SNIPPETS)]
    optimizer, optax_name = ("SGD", "sgd") if rule == "sgd" else ("AdamW", "adamw")
    return template.format(path=str(path), horizon=horizon, optimizer=optimizer, optax=optax_name)
