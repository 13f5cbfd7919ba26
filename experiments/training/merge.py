"""Average saved checkpoints: parameters entry by entry, with given weights."""

import math
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from lastiterate.theory.base.validation import InputError, check_vector

__all__ = ["average_checkpoints"]

_EXPECTED = "a checkpoint that torch.load reads with weights_only=True"


def average_checkpoints(paths: Sequence[str | os.PathLike[str]], weights: npt.ArrayLike | None = None) -> Any:
    """Return the weighted average of checkpoints, with the structure and the types of the last one.

    Floating-point tensors are averaged in double precision, one file at a time; everything else (step counters,
    numbers, texts) is taken from the last checkpoint. The statistics of batch normalisation are averaged too: run a few
    batches in training mode afterwards to renew them.

    Parameters
    ----------
    paths : sequence of path
        Files written by ``torch.save``: a state dict, or nested mappings and sequences that hold some. They are read
        with ``weights_only=True``, so that a file cannot run code.
    weights : array_like, shape (len(paths),), optional
        At least zero, with sum 1, for instance those of `lastiterate.optimal_merge` at the checkpoints; equal by
        default.

    Returns
    -------
    mapping
        What ``model.load_state_dict`` takes, if the files hold state dicts.

    Raises
    ------
    InputError
        For weights that do not fit, a file that is no checkpoint, and checkpoints of different structure; the message
        names the file and the first entry that differs.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for k in range(2):
    ...     torch.save({"weight": torch.full((2,), float(k)), "step": k}, folder / f"{k}.pt")
    >>> average_checkpoints([folder / "0.pt", folder / "1.pt"], [0.25, 0.75])
    {'weight': tensor([0.7500, 0.7500]), 'step': 1}
    """
    files = [Path(path) for path in paths]
    if not files:
        raise InputError("paths", "no path", "at least one checkpoint")
    shares = check_vector([1.0 / len(files)] * len(files) if weights is None else weights, "weights")
    if shares.size != len(files) or shares.min() < 0.0 or not math.isclose(float(shares.sum()), 1.0, rel_tol=1e-6):
        expected = f"{len(files)} weights, one a path, at least zero and with sum 1"
        raise InputError("weights", f"{shares.size} weights with sum {shares.sum():.6g}", expected)
    total: Any = None
    last: Any = None
    for file, share in zip(files, (shares / shares.sum()).tolist(), strict=True):
        last = _load(file)
        total = _scaled(last, share) if total is None else _added(total, last, share, str(file))
    return _cast(total, last)


def _load(file: Path) -> Any:
    try:
        return torch.load(file, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, IsADirectoryError) as error:
        raise InputError("paths", f"{file} ({type(error).__name__})", _EXPECTED) from error


def _averaged(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


def _wide(value: torch.Tensor) -> torch.Tensor:
    return value.to(torch.complex128 if value.is_complex() else torch.float64)


def _scaled(value: Any, share: float) -> Any:
    """Return the first summand; what is not averaged keeps its place."""
    if _averaged(value):
        return share * _wide(value)
    if isinstance(value, Mapping):
        return {key: _scaled(item, share) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scaled(item, share) for item in value]
    return value


def _added(total: Any, value: Any, share: float, place: str) -> Any:
    """Return the sum with one more checkpoint; ``place`` says where in which file."""
    if _averaged(value):
        if not isinstance(total, torch.Tensor) or total.shape != value.shape:
            shape = tuple(total.shape) if isinstance(total, torch.Tensor) else type(total).__name__
            raise InputError("paths", f"{place} of shape {tuple(value.shape)}", f"shape {shape}, as in the first file")
        return total.add_(_wide(value), alpha=share)
    if isinstance(value, Mapping):
        if not isinstance(total, Mapping) or total.keys() != value.keys():
            known: set[Any] = set(total) if isinstance(total, Mapping) else set()
            differing = sorted(map(str, known ^ set(value)))
            raise InputError("paths", f"{place} with {differing[:3]} differing", "the entries of the first file")
        return {key: _added(total[key], item, share, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        if not isinstance(total, list) or len(total) != len(value):
            raise InputError("paths", f"{place} with {len(value)} entries", "as many as in the first file")
        return [_added(t, item, share, f"{place}[{i}]") for i, (t, item) in enumerate(zip(total, value, strict=True))]
    return value


def _cast(total: Any, last: Any) -> Any:
    """Return the sum in the types of the last checkpoint."""
    if _averaged(last):
        return total.to(last.dtype)
    if isinstance(last, Mapping):
        return {key: _cast(total[key], item) for key, item in last.items()}
    if isinstance(last, list | tuple):
        return type(last)(_cast(t, item) for t, item in zip(total, last, strict=True))
    return last
