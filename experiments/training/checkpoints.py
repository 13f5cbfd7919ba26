"""Checkpoints of one run: everything that a bitwise resumption needs, and what the run was."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import InputError

SCHEMA = 1


def save_checkpoint(path: str | Path, configuration: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write configuration and state, atomically; tensors and plain values only."""
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, "configuration": dict(configuration), "state": dict(state)}, buffer)
    write_atomically(Path(path), buffer.getvalue())


def load_checkpoint(path: str | Path, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the state of the checkpoint, or None if there is none yet.

    Raises
    ------
    InputError
        If the file is no checkpoint, or belongs to another configuration; the message names the first difference.
    """
    file = Path(path)
    if not file.exists():
        return None
    try:
        document: Any = torch.load(file, weights_only=True, map_location="cpu")
        saved, state = document["configuration"], document["state"]
        if document["schema"] != SCHEMA:
            raise InputError("checkpoint", f"{file} of schema {document['schema']}", f"schema {SCHEMA}")
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, OSError) as error:
        raise InputError("checkpoint", f"{file} ({type(error).__name__})", "a checkpoint of this program") from error
    for key in [*configuration, *(key for key in saved if key not in configuration)]:
        if saved.get(key) != configuration.get(key):
            found = f"{file} with {key} = {saved.get(key, 'nothing')!r}"
            raise InputError("checkpoint", found, f"{key} = {configuration.get(key, 'nothing')!r}")
    return state


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of torch's generators on the CPU and on the device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "device" in state:
        torch.cuda.set_rng_state(state["device"], device)
