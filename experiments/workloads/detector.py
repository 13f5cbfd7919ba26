"""A small one-stage detector that finds digits in scenes (the role of an R-CNN).

Scenes are composed of scikit-learn's digits on a noisy ground. Each cell of a grid predicts whether the centre of a
digit lies in it, which digit, and the box: offset of the centre and logarithm of the size.
"""

from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, relu, smooth_l1_loss

from ._examples import Batch, Examples, Model
from ._shapes import Blank, Column, Data, Shapes, blank_columns
from .residual_net import ResidualBlock

__all__ = ["batch_shapes", "create"]

_CELL = 8
_DENSITY = 0.25  # of cells that hold a digit


def create(size: str = "tiny", data: Data = None) -> Examples:
    """Return the workload; it needs no data folder."""
    tiny = size == "tiny"
    shapes = batch_shapes(size)
    grid, count = shapes[1].shape[1], 1500 if tiny else 5_000
    blank = isinstance(data, Blank)
    train, test = (blank_columns(shapes),) * 2 if blank else _train_and_test(grid, count)
    return Examples(
        name="detector",
        n_steps=250 if tiny else 50_000,
        optimizer="adam",
        base_lrs=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=shapes[0].shape[0],
        train=train,
        test=test,
        make_model=partial(Detector, 8 if tiny else 64),
        objective=detection_loss,
        scores=detection_scores,
        source=f"generated: {count} scenes of scikit-learn's digits, {grid * _CELL} pixels wide",
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: scenes, classes and boxes of cells."""
    grid, count = (3 if size == "tiny" else 16), 16
    scenes = Column((count, 1, grid * _CELL, grid * _CELL))
    return scenes, Column((count, grid, grid), "int64", below=11), Column((count, 3, grid, grid))


def _train_and_test(grid: int, count: int) -> tuple[Batch, Batch]:
    """Return scenes for training, and a fifth as many for testing made of the digits that are held out, every fifth."""
    from sklearn.datasets import load_digits

    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    images = (pixels / 16.0).reshape(-1, 8, 8)
    held_out = np.arange(len(labels)) % 5 == 0
    rng = np.random.default_rng(0)
    train = _scenes(grid, count, images[~held_out], labels[~held_out], rng)
    return train, _scenes(grid, count // 5, images[held_out], labels[held_out], rng)


def _scenes(grid: int, count: int, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Batch:
    """Return scenes [n, 1, side, side], classes int64[n, grid, grid] (10: none) and boxes [n, 3, grid, grid].

    A quarter of the cells hold a digit, 7 to 10 pixels high, its centre up to 1 pixel from that of the cell.
    """
    side, margin = grid * _CELL, _CELL
    scenes = rng.normal(0.0, 0.1, size=(count, side + 2 * margin, side + 2 * margin)).astype(np.float32)
    classes = np.full((count, grid, grid), 10)
    boxes = np.zeros((count, 3, grid, grid), np.float32)
    for scene, cells, box in zip(scenes, classes, boxes, strict=True):
        for row, column in np.argwhere(rng.random((grid, grid)) < _DENSITY):
            which, height = int(rng.integers(len(labels))), int(rng.integers(7, 11))
            shift = rng.integers(-1, 2, size=2)
            top, left = np.array([row, column]) * _CELL + _CELL // 2 - height // 2 + shift + margin
            source = np.arange(height) * 8 // height
            area = scene[top : top + height, left : left + height]
            np.maximum(area, images[which][np.ix_(source, source)], out=area)
            cells[row, column] = labels[which]
            box[:, row, column] = [*(shift / _CELL), np.log(height / _CELL)]
    inner = scenes[:, None, margin : margin + side, margin : margin + side]
    return torch.from_numpy(inner.copy()), torch.from_numpy(classes), torch.from_numpy(boxes)


class Detector(nn.Module):
    """Residual blocks down to one feature vector a cell; a head of 14 numbers: present, ten classes, box."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (width, width, 2 * width, 4 * width)
        self.stem: nn.Conv2d = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.stages: nn.Sequential = nn.Sequential(
            *(ResidualBlock(before, after, stride=2) for before, after in pairwise(widths))
        )
        self.norm: nn.GroupNorm = nn.GroupNorm(min(8, width), 4 * width)
        self.head: nn.Conv2d = nn.Conv2d(4 * width, 14, 1)

    def forward(self, scenes: Tensor) -> Tensor:
        """Return float[n, 14, grid, grid]."""
        return self.head(relu(self.norm(self.stages(self.stem(scenes)))))


def detection_loss(model: Model, batch: Batch) -> Tensor:
    """Sum of the mean losses of presence (of a cell), class and box (of a cell with a digit)."""
    scenes, classes, boxes = batch
    out = model(scenes)
    present = (classes < 10).to(out.dtype)
    # divided by the expected, not the actual number of digits, so that the loss is a mean over scenes
    presence = binary_cross_entropy_with_logits(out[:, 0], present)
    # a row a cell: cross-entropy of a map has no deterministic kernel on CUDA
    logits = out[:, 1:11].movedim(1, -1)
    kind = (
        cross_entropy(logits.flatten(0, -2), classes.clamp(max=9).flatten(), reduction="none").view_as(present)
        * present
    )
    box = smooth_l1_loss(out[:, 11:], boxes, beta=0.1, reduction="none").sum(dim=1) * present
    return presence + (kind.mean() + box.mean()) / _DENSITY


def detection_scores(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The fraction of cells that are right: no digit seen where there is none, and the right one where there is."""
    scenes, classes, _ = batch
    out = model(scenes)
    said = torch.where(out[:, 0] > 0, out[:, 1:11].argmax(dim=1), 10)
    return {"cell_accuracy": (said == classes).to(torch.float32).mean()}
