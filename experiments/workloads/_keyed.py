"""Dropout and masking without a random generator: a hash of each example's key and the position decides.

A mask depends on the key that came with the example and on nothing else. So a resumed run, a run in two processes
and a run inside a vectorised ensemble drop the same units as a single one, and no global state is touched.
"""

import math

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF


def keyed_uniform(keys: Tensor, shape: tuple[int, ...], layer: int) -> Tensor:
    """Return float32[len(keys), *shape] in [0, 1): a hash of (key, layer, position).

    >>> keys = torch.tensor([3, 4])
    >>> bool((keyed_uniform(keys, (5,), 0)[1:] == keyed_uniform(keys[1:], (5,), 0)).all())
    True
    """
    position = torch.arange(math.prod(shape), device=keys.device, dtype=torch.int64).view(shape)
    start = _mix((keys ^ (keys >> 32)) + 0x9E3779B9 * (layer + 1))
    start = start.view(*keys.shape, *(1 for _ in shape))
    return (_mix(start + 0x85EBCA6B * (position + 1)) >> 8).to(torch.float32) / 2**24


def keyed_dropout(values: Tensor, keys: Tensor | None, layer: int, rate: float) -> Tensor:
    """Zero entries of ``values`` [n, ...] with probability ``rate`` and rescale; without keys (evaluation) do nothing.

    ``layer`` tells the dropouts of one model apart.
    """
    if keys is None or rate == 0.0:
        return values
    kept = keyed_uniform(keys, tuple(values.shape[1:]), layer) >= rate
    return values * kept / (1.0 - rate)


def _mix(value: Tensor) -> Tensor:
    """A 32-bit finaliser (two multiplications, three shifts) on int64 tensors."""
    value = value & _LOW
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & _LOW
    value = ((value ^ (value >> 15)) * 0x846CA68B) & _LOW
    return value ^ (value >> 16)
