"""An ImageNet-style residual net on any folder of images; without a folder, the tiny size draws shapes in memory.

A folder holds ``train/<class>/*`` and ``val/<class>/*``, or ``<class>/*`` alone: then every tenth image is held out.
Training images are cropped and mirrored at random, keyed by (seed, step); held-out ones are cropped in the middle.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from lastiterate.theory.base.validation import InputError, check_count

from ._classify import accuracy
from ._examples import Batch, Model, inference, mean_over
from ._shapes import Blank, Column, Data, Shapes
from .protocol import batch_indices, device_of

__all__ = ["batch_shapes", "create"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_EXPECTED = "a folder with train/<class>/*.png and val/<class>/*.png (or jpg, ...), or with <class>/*.png"
_SHAPES = ("disc", "cross", "bars", "stripes")
Item = tuple[Any, int]  # a path or an image as uint8[height, width, 3], and a label


def create(size: str = "tiny", data: Data = None, side: int | None = None) -> "ImageFolder":
    """Return the workload; the full size needs a folder, ``side`` is the size of a crop in pixels."""
    tiny = size == "tiny"
    if data is None and not tiny:
        raise InputError("data", None, _EXPECTED)
    pixels, labels = batch_shapes(size, side)
    if isinstance(data, Blank):
        train, test, classes, source = [], [], [str(label) for label in range(labels.below)], "no data"
    else:
        train, test, classes = _drawn(600) if data is None else _listed(data)
        source = "generated: coloured shapes" if data is None else f"{len(train)} + {len(test)} images in {data}"
    return ImageFolder(
        train=train[:2000] if tiny else train,
        test=test[:500] if tiny else test,
        classes=tuple(classes),
        n_steps=200 if tiny else 450_000,
        base_lrs=(0.003, 0.01, 0.03, 0.1, 0.3) if tiny else (0.01, 0.03, 0.1, 0.3, 1.0),
        batch_size=pixels.shape[0],
        side=pixels.shape[2],
        width=8 if tiny else 64,
        blocks=(1, 1, 1) if tiny else (3, 4, 6, 3),
        source=source,
    )


def batch_shapes(size: str = "tiny", side: int | None = None, **_: object) -> Shapes:
    """Return shape and type of each column of a batch: pixels, and labels of the shapes, or of ImageNet's classes."""
    tiny = size == "tiny"
    edge = check_count(side, "side", minimum=16) if side is not None else 24 if tiny else 224
    count = 16 if tiny else 256
    return Column((count, 3, edge, edge)), Column((count,), "int64", below=len(_SHAPES) if tiny else 1000)


@dataclass(frozen=True)
class ImageFolder:
    """The workload: images are opened when a batch needs them."""

    train: Sequence[Item] = field(repr=False)
    test: Sequence[Item] = field(repr=False)
    classes: tuple[str, ...]
    n_steps: int
    base_lrs: tuple[float, ...]
    batch_size: int
    side: int
    width: int
    blocks: tuple[int, ...]
    source: str
    name: str = "image_folder"
    optimizer: str = "sgd:momentum=0.9,weight_decay=0.0001"
    metric: str = "test_loss"
    higher_is_better: bool = False

    def build_model(self) -> nn.Module:
        """Return a new residual net."""
        return BottleneckNet(self.width, self.blocks, len(self.classes))

    def batch(self, seed: int, step: int) -> Batch:
        """Return images float32[n, 3, side, side], cropped and mirrored at random, and labels."""
        index = batch_indices(len(self.train), self.batch_size, seed, step).tolist()
        draws = np.random.default_rng([seed, step, 1]).random((len(index), 4))
        return self._stack([self.train[i] for i in index], draws)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        return cross_entropy(model(batch[0]), batch[1])

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Return the loss on the first 512 training images, and loss and accuracy on the held-out ones."""
        with inference(model):
            seen = self._means(model, self.train[:512], lambda part: {"loss": self.loss(model, part)})
            held_out = self._means(
                model,
                self.test,
                lambda part: {"test_loss": self.loss(model, part), "test_accuracy": accuracy(model, part)["accuracy"]},
            )
        return {**seen, **held_out}

    def _means(self, model: nn.Module, items: Sequence[Item], values: Any) -> dict[str, float]:
        """Means over ``items``, opened 256 at a time."""
        sums: dict[str, float] = {}
        for start in range(0, len(items), 256):
            part = items[start : start + 256]
            for name, value in mean_over(self._stack(part), values, device_of(model)).items():
                sums[name] = sums.get(name, 0.0) + value * len(part) / len(items)
        return sums

    def _stack(self, items: Sequence[Item], draws: np.ndarray | None = None) -> Batch:
        rows = [None] * len(items) if draws is None else list(draws)
        images = list(_pool().map(lambda item, row: _crop(_opened(item[0]), self.side, row), items, rows))
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
        return (pixels - 118.0) / 58.0, torch.tensor([label for _, label in items])


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads for all batches of this process: Pillow decodes and resizes outside of Python's lock."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="images")


def _opened(image: Any) -> Any:
    from PIL import Image, UnidentifiedImageError

    if isinstance(image, np.ndarray):
        return Image.fromarray(image)
    try:
        with Image.open(image) as file:
            return file.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError("data", str(image), f"an image that Pillow can read ({error})") from error


def _crop(image: Any, side: int, draws: np.ndarray | None) -> np.ndarray:
    """Cut a square of 40% to 100% of the area at random, mirrored or not, or the middle; scale it to ``side``."""
    from PIL.Image import Resampling, Transpose

    width, height = image.size
    if draws is None:
        edge, left, top = 7 * min(width, height) / 8, 0.5, 0.5
    else:
        edge, left, top = min(width, height) * np.sqrt(0.4 + 0.6 * draws[0]), draws[1], draws[2]
    x, y = left * (width - edge), top * (height - edge)
    cut = image.resize((side, side), Resampling.BILINEAR, box=(x, y, x + edge, y + edge))
    if draws is not None and draws[3] < 0.5:
        cut = cut.transpose(Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(cut)


def _listed(folder: Path) -> tuple[list[Item], list[Item], list[str]]:
    if not folder.is_dir():
        raise InputError("data", f"{folder}, which is not a folder", _EXPECTED)
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        train, classes = _walk(folder / "train")
        test, test_classes = _walk(folder / "val")
        if test_classes != classes:
            raise InputError("data", f"{folder} with classes {test_classes[:5]} in val", f"{classes[:5]} as in train")
        return train, test, classes
    items, classes = _walk(folder)
    order = np.random.default_rng(0).permutation(len(items))
    held_out = max(1, len(items) // 10)
    return [items[i] for i in order[held_out:]], [items[i] for i in order[:held_out]], classes


def _walk(folder: Path) -> tuple[list[Item], list[str]]:
    """All images of the class folders in ``folder``, sorted by path."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    items: list[Item] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in _SUFFIXES)
        if not found:
            raise InputError("data", f"{folder / name} without images", _EXPECTED)
        items.extend((path, label) for path in found)
    if len(classes) < 2:
        raise InputError("data", f"{folder} with class folders {classes}", _EXPECTED)
    return items, classes


def _drawn(count: int) -> tuple[list[Item], list[Item], list[str]]:
    """Shapes of random colour, place and size on a noisy ground, 32 pixels wide; a sixth more is held out."""
    rng = np.random.default_rng(0)
    axis = np.linspace(-1.0, 1.0, 32)
    items: list[Item] = []
    for _ in range(count + count // 6):
        label = int(rng.integers(len(_SHAPES)))
        (y, x), r = rng.uniform(-0.3, 0.3, size=2), rng.uniform(0.4, 0.7)
        rows, columns = (axis[:, None] - y) / r, (axis[None, :] - x) / r
        box = np.maximum(abs(rows), abs(columns))
        inside = {
            "disc": np.hypot(rows, columns) < 1.0,
            "cross": (box < 1.0) & (np.minimum(abs(rows), abs(columns)) < 0.3),
            "bars": (box < 1.0) & (np.floor(3.0 * columns) % 2 == 0),
            "stripes": (box < 1.0) & (np.floor(3.0 * rows) % 2 == 0),
        }[_SHAPES[label]]
        ground, colour = rng.uniform(0.0, 100.0, size=3), rng.uniform(100.0, 255.0, size=3)
        image = np.where(inside[:, :, None], colour, ground) + rng.normal(0.0, 10.0, size=(32, 32, 3))
        items.append((image.clip(0, 255).astype(np.uint8), label))
    return items[:count], items[count:], list(_SHAPES)


class BottleneckNet(nn.Module):
    """Stem, stages of bottleneck blocks that each double the channels, mean, linear layer (He et al., 2015).

    Group normalisation, for the reason that `residual_net` states.
    """

    def __init__(self, width: int, blocks: Sequence[int], n_classes: int) -> None:
        super().__init__()
        self.stem: nn.Sequential = nn.Sequential(
            nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), _norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        outs = [width, *(4 * width * 2**stage for stage in range(len(blocks)))]
        layers: list[nn.Module] = []
        for stage, (before, after) in enumerate(pairwise(outs)):
            layers.append(Bottleneck(before, after, stride=1 if stage == 0 else 2))
            layers.extend(Bottleneck(after, after, stride=1) for _ in range(blocks[stage] - 1))
        self.stages: nn.Sequential = nn.Sequential(*layers)
        self.head: nn.Linear = nn.Linear(outs[-1], n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.stages(self.stem(images)).mean(dim=(2, 3)))


class Bottleneck(nn.Module):
    """Three convolutions, the middle one on a quarter of the channels, beside a shortcut; starts as the shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        inner = after // 4
        self.body: nn.Sequential = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False), _norm(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False), _norm(inner), nn.ReLU(),
            nn.Conv2d(inner, after, 1, bias=False), _norm(after, start=0.0),
        )  # fmt: skip
        changes = stride != 1 or before != after
        shortcut = [nn.Conv2d(before, after, 1, stride, bias=False), _norm(after)] if changes else []
        self.shortcut: nn.Sequential = nn.Sequential(*shortcut)

    def forward(self, values: Tensor) -> Tensor:
        """Return the block's output."""
        return relu(self.body(values) + self.shortcut(values))


def _norm(channels: int, start: float = 1.0) -> nn.GroupNorm:
    norm = nn.GroupNorm(min(32, channels // 2), channels)
    nn.init.constant_(norm.weight, start)
    return norm
