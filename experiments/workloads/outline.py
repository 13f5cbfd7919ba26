"""A workload without its data: model, loss and shapes of a batch, which is what a dry run needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastiterate.theory.base.specs import parse_spec

from ._shapes import BLANK, Column, Shapes, random_columns
from .protocol import Workload, check_workload, known_workloads, load_workload

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Outline", "RandomBatches", "outline", "shared_examples"]


@dataclass(frozen=True)
class Outline:
    """Model and loss of a workload, and the shapes of its batches.

    Attributes
    ----------
    workload : Workload
        Its `build_model` and `loss` are used; `batch` and `evaluate` may have no data.
    shapes : tuple of Column
        Shape, type and bound of each column of a batch.
    """

    workload: Workload
    shapes: Shapes


def outline(spec: "str | Path | Workload", *, size: str = "tiny", data: str | Path | None = None) -> Outline:
    """Return the outline of a workload.

    Parameters
    ----------
    spec : str, Path or Workload
        As in `load_workload`, or a workload itself.
    size : {"tiny", "full"}
    data : str or Path, optional
        With it, and for a user's own workload, the shapes are those of the first batch; the bundled ones know theirs
        without data, image folders those of CIFAR-10 and ImageNet.

    Returns
    -------
    Outline

    Raises
    ------
    InputError
        As `load_workload`.

    Examples
    --------
    >>> found = outline("residual_net", size="full")
    >>> found.shapes[0].shape, found.workload.n_steps
    ((128, 3, 32, 32), 78000)
    """
    if not isinstance(spec, str | Path):
        return _measured(check_workload(spec))
    name, options = parse_spec(str(spec), "workload")
    module = import_module(f"{__package__}.{name}") if name in known_workloads() else None
    if data is not None or not hasattr(module, "batch_shapes"):
        return _measured(load_workload(spec, size=size, data=data))
    workload = load_workload(spec, size=size, data=BLANK)
    shapes: Shapes = module.batch_shapes(size, **options)  # type: ignore[union-attr]
    return Outline(workload, shapes)


def _measured(workload: Workload) -> Outline:
    """The outline of a workload that has its data, from its first batch."""
    batch = workload.batch(0, 0)
    kinds = [str(part.dtype).removeprefix("torch.") for part in batch]
    tops = [2 if kind.startswith("float") else int(part.max()) + 1 for kind, part in zip(kinds, batch, strict=True)]
    columns = zip(batch, kinds, tops, strict=True)
    return Outline(workload, tuple(Column(tuple(part.shape), kind, top) for part, kind, top in columns))


class RandomBatches:
    """The model and loss of an outline on random numbers: a full-size workload for a device, without its data.

    Parameters
    ----------
    outlined : Outline

    Examples
    --------
    >>> workload = RandomBatches(outline("digits_mlp"))
    >>> workload.batch(0, 3)[1].shape
    torch.Size([32])
    """

    def __init__(self, outlined: Outline) -> None:
        self._inner = outlined.workload
        self._drawn = lru_cache(maxsize=5)(partial(random_columns, outlined.shapes))

    def __getattr__(self, name: str) -> Any:
        """Return the workload's own defaults: name, metric, grid, ..."""
        return getattr(self._inner, name)

    def build_model(self) -> "nn.Module":
        """Return a new model."""
        return self._inner.build_model()

    def batch(self, seed: int, step: int) -> "tuple[Tensor, ...]":
        """Return random columns; four batches in turn, so that making them never holds up a device."""
        return self._drawn(seed, step % 4)

    def loss(self, model: Any, batch: "tuple[Tensor, ...]") -> "Tensor":
        """Return the workload's own loss."""
        return self._inner.loss(model, batch)

    def evaluate(self, model: "nn.Module") -> Mapping[str, float]:
        """Return the loss of one batch that training does not see, under the name of the metric too."""
        from ._examples import inference
        from .protocol import device_of

        with inference(model):
            batch = tuple(column.to(device_of(model)) for column in self.batch(2**31, 0))
            loss = float(self._inner.loss(model, batch))
        return {"loss": loss, self._inner.metric: loss}


def shared_examples(train: "tuple[Tensor, ...]", test: "tuple[Tensor, ...]") -> int:
    """Return how many held-out examples are in the training set too, all columns alike: a leak if it is not zero.

    Parameters
    ----------
    train, test : tuple of Tensor
        Columns of examples.

    Returns
    -------
    int

    Examples
    --------
    >>> import torch
    >>> shared_examples((torch.tensor([[1, 2], [3, 4]]),), (torch.tensor([[3, 4], [4, 3]]),))
    1
    """

    def rows(columns: "tuple[Tensor, ...]") -> list[bytes]:
        parts = [column.numpy() for column in columns]
        return [b"".join(part[i].tobytes() for part in parts) for i in range(len(parts[0]))]

    seen = set(rows(train))
    return sum(row in seen for row in rows(test))
