"""Shapes of batches, known without any data: for a dry run, and for random batches on a device without the data."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Column(NamedTuple):
    """One tensor of a batch: its shape (examples first), its type, and for integers the bound that they stay below."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    below: int = 2


Shapes = tuple[Column, ...]


class Blank:
    """In place of a data folder: a workload whose columns have the right shapes and no values."""


BLANK = Blank()
Data = Path | Blank | None
"""Where a workload takes its examples from: a folder or file, its own (None), or nowhere."""


def keys_column(count: int) -> Column:
    """Return the column of keys that a keyed workload adds to its batches."""
    return Column((count,), "int64", below=2**62)


def blank_columns(shapes: Shapes) -> "tuple[Tensor, ...]":
    """Return tensors of these shapes on the meta device, which hold no values.

    >>> blank_columns((Column((2, 3)),))[0].device.type
    'meta'
    """
    import torch

    return tuple(torch.empty(c.shape, dtype=getattr(torch, c.dtype), device="meta") for c in shapes)


def random_columns(shapes: Shapes, seed: int, step: int) -> "tuple[Tensor, ...]":
    """Return normal numbers and uniform integers of these shapes, drawn from (seed, step).

    >>> bool((random_columns((Column((4,), "int64", 3),), 0, 1)[0] < 3).all())
    True
    """
    import torch

    rng = np.random.default_rng([seed, step])
    return tuple(
        torch.from_numpy(
            rng.standard_normal(c.shape, dtype=np.float32)
            if c.dtype == "float32"
            else rng.integers(c.below, size=c.shape, dtype=c.dtype)
        )
        for c in shapes
    )
