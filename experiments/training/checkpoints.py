"""Checkpoints of one run: everything that a bitwise resumption needs, and what the run was."""

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lastiterate.theory.base.files import existing_file, write_atomically
from lastiterate.theory.base.validation import InputError

__all__ = ["load_checkpoint", "random_state", "save_checkpoint", "set_random_state"]

SCHEMA = 2  # 1 held the generators of the first process only


def save_checkpoint(path: str | Path, configuration: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write configuration and state, atomically and sealed by a checksum.

    Parameters
    ----------
    path : str or Path
    configuration : mapping
        What must be equal for a run to resume from this file; plain values.
    state : mapping
        Tensors and plain values only.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.pt", {"seed": 1}, {"step": 7})
    ...     load_checkpoint(f"{folder}/run.pt", {"seed": 1})
    {'step': 7}
    """
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, "configuration": dict(configuration), "state": dict(state)}, buffer)
    write_atomically(Path(path), _sealed(buffer.getvalue()))


def load_checkpoint(path: str | Path, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the state of the checkpoint, or None if there is none yet.

    Parameters
    ----------
    path : str or Path
    configuration : mapping
        That of the run that wants to resume.

    Returns
    -------
    dict or None
        What `save_checkpoint` was given as ``state``; tensors are on the CPU.

    Raises
    ------
    InputError
        If the file is damaged, is no checkpoint, or belongs to another configuration; the message names the first
        difference.

    Examples
    --------
    >>> load_checkpoint("no/such/file.pt", {}) is None
    True
    """
    if not Path(path).exists():
        return None
    file = existing_file(path, "checkpoint", "a checkpoint of this program")
    content = file.read_bytes()
    if not _is_sealed(content):
        raise InputError(
            "checkpoint", f"{file}, whose checksum is wrong or absent", "a checkpoint of this program, whole"
        )
    try:
        document: Any = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        saved, state = document["configuration"], document["state"]
        if document["schema"] != SCHEMA:
            raise InputError("checkpoint", f"{file} of schema {document['schema']}", f"schema {SCHEMA}")
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise InputError("checkpoint", f"{file} ({type(error).__name__})", "a checkpoint of this program") from error
    for key in [*configuration, *(key for key in saved if key not in configuration)]:
        if saved.get(key) != configuration.get(key):
            found = f"{file} with {key} = {saved.get(key, 'nothing')!r}"
            raise InputError("checkpoint", found, f"{key} = {configuration.get(key, 'nothing')!r}")
    return state


_SEAL_BYTES = 64


def _sealed(archive: bytes) -> bytes:
    """Put the SHA-256 of a zip archive into its comment, where every reader of archives passes over it."""
    digest = hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + _SEAL_BYTES.to_bytes(2, "little") + digest


def _is_sealed(content: bytes) -> bool:
    archive = content[: -_SEAL_BYTES - 2] + b"\0\0"
    return content == _sealed(archive)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of torch's generators on the CPU and on the device, of this process.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    dict of str to uint8[n]

    Examples
    --------
    >>> state = random_state(torch.device("cpu"))
    >>> first = torch.rand(2)
    >>> set_random_state(state, torch.device("cpu"))
    >>> bool((torch.rand(2) == first).all())
    True
    """
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "device" in state:
        torch.cuda.set_rng_state(state["device"], device)
