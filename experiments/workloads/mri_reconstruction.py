"""A U-Net that reconstructs images from a quarter of their Fourier rows (the role of fastMRI).

Images are generated: random ellipses of random brightness, in the manner of the Shepp-Logan phantom. The rows of the
two-dimensional spectrum are kept near the middle and at random elsewhere; the model sees the zero-filled image.
"""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss, mse_loss

from ._examples import Batch, Examples, Model
from ._shapes import Blank, Column, Data, Shapes, blank_columns

__all__ = ["batch_shapes", "create"]

_SEED = 0


def create(size: str = "tiny", data: Data = None) -> Examples:
    """Return the workload; it needs no data folder."""
    tiny = size == "tiny"
    shapes = batch_shapes(size)
    side, count = shapes[0].shape[2], 500 if tiny else 5_000
    columns = blank_columns(shapes) if isinstance(data, Blank) else _columns(side, count)
    return Examples(
        name="mri_reconstruction",
        n_steps=150 if tiny else 50_000,
        optimizer="adam",
        base_lrs=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=shapes[0].shape[0],
        train=tuple(column[:count] for column in columns),
        test=tuple(column[count:] for column in columns),
        make_model=partial(UNet, 6 if tiny else 32, 2 if tiny else 4),
        objective=absolute_error,
        scores=signal_to_noise,
        source=f"generated: {count} phantoms of {side} x {side} pixels, a quarter of the rows kept",
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: zero-filled images, and true ones."""
    count, side = (8, 24) if size == "tiny" else (16, 128)
    return Column((count, 1, side, side)), Column((count, 1, side, side))


def _columns(side: int, count: int) -> tuple[Tensor, Tensor]:
    """Return zero-filled and true images [1.2 count, 1, side, side], in standard deviations of the first ``count``."""
    images = _phantoms(side, count + count // 5)
    seen, scale = _undersampled(images), images[:count].std()
    return torch.from_numpy((seen / scale)[:, None]), torch.from_numpy((images / scale)[:, None])


def _phantoms(side: int, count: int) -> np.ndarray:
    """Return float32[count, side, side]: six random ellipses each, added up."""
    rng = np.random.default_rng(_SEED)
    axis = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    rows, columns = axis[:, None], axis[None, :]
    low, high = [-0.6, -0.6, 0.1, 0.1, 0.0, -0.5], [0.6, 0.6, 0.6, 0.6, np.pi, 1.0]
    images = np.zeros((count, side, side), np.float32)
    for image in images:
        for _ in range(6):
            y, x, a, b, angle, brightness = rng.uniform(low, high).tolist()  # plain floats keep arrays in float32
            u = (columns - x) * (math.cos(angle) / a) + (rows - y) * (math.sin(angle) / a)
            v = (rows - y) * (math.cos(angle) / b) - (columns - x) * (math.sin(angle) / b)
            image[u * u + v * v <= 1.0] += brightness
    return images


def _undersampled(images: np.ndarray) -> np.ndarray:
    """Return zero-filled images: an eighth of the rows of the spectrum in the middle is kept, an eighth elsewhere."""
    side = images.shape[1]
    rng = np.random.default_rng(_SEED + 1)
    keep = rng.random((len(images), side)) < 0.125 / 0.875
    middle = np.arange(side) - side // 2
    keep[:, np.abs(np.fft.ifftshift(middle)) <= side / 16] = True
    seen = np.empty_like(images)
    for start in range(0, len(images), 256):  # a chunk at a time: spectra take four times the memory
        part = slice(start, start + 256)
        seen[part] = np.fft.ifft2(np.fft.fft2(images[part]) * keep[part, :, None]).real
    return seen


class UNet(nn.Module):
    """Halve and double the resolution ``depth`` times with shortcuts between equals; predicts a correction."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down: nn.ModuleList = nn.ModuleList(
            _pair(before, after) for before, after in zip([1, *widths], widths, strict=False)
        )
        self.up: nn.ModuleList = nn.ModuleList(_pair(3 * after, after) for after in reversed(widths[:-1]))
        self.head: nn.Conv2d = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructed images."""
        levels: list[Tensor] = []
        values = images
        for index, block in enumerate(self.down):
            values = block(values if index == 0 else nn.functional.avg_pool2d(values, 2))
            levels.append(values)
        for block, level in zip(self.up, reversed(levels[:-1]), strict=True):
            values = block(torch.cat([interpolate(values, scale_factor=2.0), level], dim=1))
        return images + self.head(values)


def _pair(before: int, after: int) -> nn.Module:
    layers = [
        part
        for source in (before, after)
        for part in (nn.Conv2d(source, after, 3, padding=1, bias=False), nn.GroupNorm(2, after), nn.SiLU())
    ]
    return nn.Sequential(*layers)


def absolute_error(model: Model, batch: Batch) -> Tensor:
    """Mean absolute error of a pixel, in standard deviations of the images."""
    seen, images = batch
    return l1_loss(model(seen), images)


def signal_to_noise(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The relative squared error of the reconstruction."""
    seen, images = batch
    return {"relative_error": mse_loss(model(seen), images) / images.square().mean()}
