"""A small one-stage detector that finds digits in scenes (the role of an R-CNN).

Scenes are composed of scikit-learn's digits on a noisy ground. Each cell of a grid predicts whether the centre of a
digit lies in it, which digit, and the box: offset of the centre and logarithm of the size.
"""

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, relu, smooth_l1_loss

from ._examples import Batch, Examples, Model

_CELL = 8


def create(size: str = "tiny", data: Path | None = None) -> Examples:
    """Return the workload; it needs no data folder."""
    del data
    tiny = size == "tiny"
    grid, count = (4, 800) if tiny else (16, 20_000)
    columns = _scenes(grid, count + count // 5)
    return Examples(
        name="detector",
        n_steps=200 if tiny else 50_000,
        optimizer="sgd:momentum=0.9",
        base_lrs=(0.01, 0.03, 0.1, 0.3, 1.0) if tiny else (0.001, 0.003, 0.01, 0.03, 0.1),
        metric="test_loss",
        higher_is_better=False,
        batch_size=16,
        train=tuple(column[:count] for column in columns),
        test=tuple(column[count:] for column in columns),
        make_model=partial(Detector, 12 if tiny else 64),
        objective=detection_loss,
        scores=detection_scores,
        source=f"generated: {count} scenes of scikit-learn's digits, {grid * _CELL} pixels wide",
    )


def _scenes(grid: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return scenes [n, 1, side, side], classes int64[n, grid, grid] (10: none) and boxes [n, 3, grid, grid].

    Digits of an eighth of all cells are drawn 8 to 12 pixels high; a cell that is taken is not taken again.
    """
    from sklearn.datasets import load_digits

    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    images = (pixels / 16.0).reshape(-1, 8, 8)
    rng = np.random.default_rng(0)
    side = grid * _CELL
    scenes = rng.normal(0.0, 0.15, size=(count, side, side)).astype(np.float32)
    classes = np.full((count, grid, grid), 10)
    boxes = np.zeros((count, 3, grid, grid), np.float32)
    for scene, cells, box in zip(scenes, classes, boxes, strict=True):
        for _ in range(max(1, grid * grid // 8)):
            which, height = rng.integers(len(labels)), int(rng.integers(8, 13))
            top, left = rng.integers(0, side - height + 1, size=2)
            centre = np.array([top, left]) + height / 2
            row, column = (centre // _CELL).astype(int)
            if cells[row, column] != 10:
                continue
            source = np.arange(height) * 8 // height
            area = scene[top : top + height, left : left + height]
            np.maximum(area, images[which][np.ix_(source, source)], out=area)
            cells[row, column] = labels[which]
            box[:, row, column] = [*(centre / _CELL % 1.0 - 0.5), np.log(height / _CELL)]
    return torch.from_numpy(scenes[:, None]), torch.from_numpy(classes), torch.from_numpy(boxes)


class Detector(nn.Module):
    """Convolutions down to one feature vector a cell; a head of 14 numbers: present, ten classes, box."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 4 * width)
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(2, after) for after in widths[1:])
        self.context = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.head = nn.Conv2d(widths[-1], 14, 1)

    def forward(self, scenes: Tensor) -> Tensor:
        """Return float[n, 14, grid, grid]."""
        values = scenes
        for conv, norm in zip(self.stages, self.norms, strict=True):
            values = relu(norm(conv(values)))
        return self.head(values + relu(self.context(values)))


def detection_loss(model: Model, batch: Batch) -> Tensor:
    """Sum of the mean losses of presence (per cell), class and box (per cell with a digit, averaged over all cells)."""
    scenes, classes, boxes = batch
    out = model(scenes)
    present = (classes < 10).to(out.dtype)
    # every cell has the same weight whatever its scene holds, so the loss is a mean over scenes
    presence = binary_cross_entropy_with_logits(out[:, 0], present)
    kind = cross_entropy(out[:, 1:11], classes.clamp(max=9), reduction="none") * present
    box = smooth_l1_loss(out[:, 11:], boxes, beta=0.1, reduction="none").sum(dim=1) * present
    return presence + kind.mean() + box.mean()


def detection_scores(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The fraction of cells that are right: no digit seen where there is none, and the right one where there is."""
    scenes, classes, _ = batch
    out = model(scenes)
    said = torch.where(out[:, 0] > 0, out[:, 1:11].argmax(dim=1), 10)
    return {"cell_accuracy": (said == classes).to(torch.float32).mean()}
