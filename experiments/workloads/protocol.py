"""What a workload is: a model, a loss, batches keyed by seed and step, an evaluation, and sensible defaults.

A workload is one file with a function ``create(size="tiny", data=None, **options) -> Workload``. The bundled ones
are the modules of this package; a user's own is loaded by its path. Batches depend on (seed, step) only, never
on the schedule, so that runs of two schedules at one seed see the same data in the same order.
"""

import math
import pkgutil
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lastiterate.theory.base.specs import load_file, parse_spec
from lastiterate.theory.base.validation import InputError, check_choice

from ._shapes import Blank

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Workload", "batch_indices", "check_workload", "device_of", "known_workloads", "load_workload"]

SIZES = ("tiny", "full")
_HELPERS = ("protocol", "outline")


class Workload(Protocol):
    """A training problem; attributes are plain values, methods are free of hidden state.

    Attributes
    ----------
    name : str
        Short name, used in tables and file names.
    n_steps : int
        Default number of optimiser steps.
    optimizer : str
        Default optimiser by specification, for instance ``"sgd"`` or ``"adamw:weight_decay=0.1"``.
    base_lrs : tuple of float
        Default grid of base learning rates for that optimiser, increasing.
    metric : str
        The key of `evaluate`'s result that ranks runs.
    higher_is_better : bool
        Direction of ``metric``.
    """

    name: str
    n_steps: int
    optimizer: str
    base_lrs: tuple[float, ...]
    metric: str
    higher_is_better: bool

    def build_model(self) -> "nn.Module":
        """Return a new model on the CPU; the caller seeds torch's generator beforehand."""
        ...

    def batch(self, seed: int, step: int) -> "tuple[Tensor, ...]":
        """Return batch ``step`` of the order ``seed``: CPU tensors whose first dimension counts examples."""
        ...

    def loss(self, model: "Callable[..., Tensor]", batch: "tuple[Tensor, ...]") -> "Tensor":
        """Return the mean loss of the examples; use ``model`` as a function only, so that it can be vectorised."""
        ...

    def evaluate(self, model: "nn.Module") -> Mapping[str, float]:
        """Return at least ``"loss"`` and the metric, computed on fixed data on the model's device."""
        ...


_MEMBERS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "name": (str, "a short text"),
    "n_steps": (int, "an integer of at least 1"),
    "optimizer": (str, "an optimiser specification such as 'sgd'"),
    "base_lrs": (tuple, "a tuple of increasing positive floats"),
    "metric": (str, "the name of one of the values that evaluate returns"),
    "higher_is_better": (bool, "True or False"),
}
_METHODS = {
    "build_model": "build_model(self) -> torch.nn.Module",
    "batch": "batch(self, seed, step) -> tuple of tensors",
    "loss": "loss(self, model, batch) -> scalar tensor",
    "evaluate": "evaluate(self, model) -> mapping of names to floats",
}


def check_workload(workload: Any) -> Workload:
    """Return ``workload`` if it keeps the protocol, trying every method once.

    Parameters
    ----------
    workload : object
        What a user's ``create`` returned.

    Returns
    -------
    Workload
        The same object.

    Raises
    ------
    InputError
        Naming the first member that is missing or wrong, what it gave and what is expected.

    Examples
    --------
    >>> check_workload(load_workload("digits_logistic")).metric
    'test_loss'
    >>> check_workload(object())
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: workload.name: expected a short text, got nothing: the member is \
missing
    """
    for member, (kind, expected) in _MEMBERS.items():
        value = _member(workload, member, expected)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"workload.{member}", value, expected)
    for member, expected in _METHODS.items():
        if not callable(_member(workload, member, expected)):
            raise InputError(f"workload.{member}", getattr(workload, member), expected)
    if workload.n_steps < 1:
        raise InputError("workload.n_steps", workload.n_steps, _MEMBERS["n_steps"][1])
    lrs = workload.base_lrs
    positive = all(isinstance(lr, int | float) and 0 < lr < math.inf for lr in lrs)
    if not lrs or not positive or list(lrs) != sorted(set(lrs)):
        raise InputError("workload.base_lrs", lrs, _MEMBERS["base_lrs"][1])
    _try_methods(workload)
    return workload


def _member(workload: Any, name: str, expected: str) -> Any:
    try:
        return getattr(workload, name)
    except AttributeError:
        raise InputError(f"workload.{name}", "nothing: the member is missing", expected) from None


def _try_methods(workload: Any) -> None:
    import torch

    model = _call(workload, "build_model")
    if not isinstance(model, torch.nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise InputError("workload.build_model", type(model).__name__, "a torch.nn.Module with trainable parameters")
    batch, again = _call(workload, "batch", 0, 0), _call(workload, "batch", 0, 0)
    if (
        not isinstance(batch, tuple)
        or not batch
        or not all(isinstance(part, torch.Tensor) and part.ndim > 0 for part in batch)
        or len({len(part) for part in batch}) != 1
    ):
        raise InputError("workload.batch", batch, "a tuple of tensors that agree in their first dimension")
    if not all(torch.equal(a, b) for a, b in zip(batch, again, strict=True)):
        raise InputError("workload.batch", "another batch on the second call", "a function of (seed, step) alone")
    loss = _call(workload, "loss", model, batch)
    if not isinstance(loss, torch.Tensor) or loss.ndim != 0 or not loss.requires_grad:
        raise InputError("workload.loss", loss, "a scalar tensor with a gradient")
    values = _call(workload, "evaluate", model)
    if not isinstance(values, Mapping):
        raise InputError("workload.evaluate", values, _METHODS["evaluate"])
    for key in ("loss", workload.metric):
        if not isinstance(values.get(key), float | int):
            raise InputError("workload.evaluate", dict(values), f"a mapping with a number under {key!r}")


def _call(workload: Any, method: str, *arguments: Any) -> Any:
    try:
        return getattr(workload, method)(*arguments)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"workload.{method}", f"{type(error).__name__}: {error}", f"a method {_METHODS[method]} that runs"
        ) from error


def known_workloads() -> list[str]:
    """Return the names of the bundled workloads, in alphabetical order.

    Returns
    -------
    list of str

    Examples
    --------
    >>> known_workloads()[:3]
    ['detector', 'digits_logistic', 'digits_mlp']
    """
    package = import_module(__package__ or "")
    names = (info.name for info in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if name not in _HELPERS and not name.startswith("_"))


def load_workload(spec: str | Path, *, size: str = "tiny", data: str | Path | Blank | None = None) -> Workload:
    """Return a workload by name, with options, or by the path of a user's file.

    Parameters
    ----------
    spec : str or Path
        ``"digits_mlp"``, ``"digits_mlp:width=128"``, or ``"path/to/mine.py"``.
    size : {"tiny", "full"}
        ``"tiny"`` takes seconds on two CPU cores, ``"full"`` is meant for a GPU.
    data : str or Path, optional
        Folder of the data, for the workloads that read files; `outline` gives none at all.

    Returns
    -------
    Workload

    Raises
    ------
    InputError
        If the name, an option or the size is unknown, or the user's file does not keep the protocol.

    Examples
    --------
    >>> load_workload("digits_mlp:width=32").n_steps
    400
    """
    check_choice(size, "size", SIZES)
    head, options = parse_spec(str(spec), "workload")
    user_file = head.endswith(".py")
    module = load_file(head, "workload") if user_file else _bundled(head)
    create = getattr(module, "create", None)
    if not callable(create):
        raise InputError("workload", f"{head} without a function 'create'", "create(size, data, **options) -> Workload")
    try:
        folder = data if data is None or isinstance(data, Blank) else Path(data)
        workload: Any = create(size=size, data=folder, **options)
    except TypeError as error:
        raise InputError("workload", f"{spec} ({error})", "options that the workload's create() accepts") from error
    return check_workload(workload) if user_file else workload


def _bundled(name: str) -> Any:
    check_choice(name, "workload", [*known_workloads(), "path/to/yours.py"])
    return import_module(f"{__package__}.{name}")


def batch_indices(n_examples: int, batch_size: int, seed: int, step: int) -> "Tensor":
    """Return the examples of batch ``step``: full batches of a permutation that is drawn anew in every epoch.

    Parameters
    ----------
    n_examples, batch_size, seed, step : int

    Returns
    -------
    int64[min(batch_size, n_examples)]

    Examples
    --------
    >>> first, again = batch_indices(10, 4, seed=0, step=0), batch_indices(10, 4, seed=0, step=0)
    >>> len(first), bool((first == again).all())
    (4, True)
    """
    import torch

    size = min(batch_size, n_examples)
    epoch, position = divmod(step, n_examples // size)
    order = _permutation(n_examples, seed, epoch)
    return torch.from_numpy(order[position * size : (position + 1) * size])


@lru_cache(maxsize=64)
def _permutation(n_examples: int, seed: int, epoch: int) -> Any:
    return np.random.default_rng([seed, epoch]).permutation(n_examples)


def device_of(model: "nn.Module") -> "torch.device":
    """Return the device of the model's first parameter.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    torch.device

    Examples
    --------
    >>> device_of(load_workload("digits_mlp").build_model())
    device(type='cpu')
    """
    return next(model.parameters()).device
