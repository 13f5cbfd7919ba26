"""Click prediction in the shape of DLRM (Naumov et al., 2019): embeddings, dot products between them, a perceptron.

Clicks are generated from a hidden model of the same kind with noise, with items drawn by a power law, so that most
embedding rows are seen rarely, as in logs of real clicks.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ._examples import Batch, Examples, Model
from ._shapes import Blank, Column, Data, Shapes, blank_columns

__all__ = ["Recommender", "batch_shapes", "click_loss", "create", "draw_clicks"]


def create(size: str = "tiny", data: Data = None) -> Examples:
    """Return the workload; it needs no data folder."""
    tiny = size == "tiny"
    tables, rows = _tables(size)
    width, examples = (8, 8000) if tiny else (64, 800_000)
    blank = isinstance(data, Blank)
    shapes = batch_shapes(size)
    columns = blank_columns(shapes) if blank else draw_clicks(tables, rows, examples + examples // 8)
    return Examples(
        name="recommendation",
        n_steps=300 if tiny else 50_000,
        optimizer="adam",
        base_lrs=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=shapes[0].shape[0],
        train=tuple(column[:examples] for column in columns),
        test=tuple(column[examples:] for column in columns),
        make_model=partial(Recommender, tables, rows, width),
        objective=click_loss,
        scores=click_accuracy,
        source=f"generated: {examples} clicks, {tables} tables of {rows} rows",
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: dense features, items, clicks."""
    tables, rows = _tables(size)
    count = 128 if size == "tiny" else 2048
    return Column((count, 4)), Column((count, tables), "int64", below=rows), Column((count,))


def _tables(size: str) -> tuple[int, int]:
    """Number of tables, and of rows of each."""
    return (4, 50) if size == "tiny" else (26, 20_000)


def draw_clicks(tables: int, rows: int, examples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return dense features float32[n, 4], items int64[n, tables] and clicks float32[n]."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(examples, 4)).astype(np.float32)
    popularity = np.arange(1, rows + 1) ** -0.8
    items = rng.choice(rows, size=(examples, tables), p=popularity / popularity.sum())
    tastes = rng.normal(size=(tables, rows, 4)).astype(np.float32)
    taken = tastes[np.arange(tables), items]
    total = taken.sum(axis=1)
    pairs = ((total**2).sum(axis=1) - (taken**2).sum(axis=(1, 2))) / 2  # sum of dot products over pairs of tables
    score = 3.0 * pairs / np.sqrt(2.0 * tables * (tables - 1)) + dense @ np.array([2.0, -2.0, 1.0, 0.0], np.float32)
    clicks = rng.random(examples) < 1.0 / (1.0 + np.exp(-score))
    return torch.from_numpy(dense), torch.from_numpy(items), torch.from_numpy(clicks.astype(np.float32))


class Recommender(nn.Module):
    """Dense features through a perceptron, items through tables, their dot products through another perceptron."""

    def __init__(self, tables: int, rows: int, width: int) -> None:
        super().__init__()
        self.rows = rows
        self.table: nn.Embedding = nn.Embedding(
            tables * rows, width
        )  # one table for all: item i of table t is row t * rows + i
        nn.init.normal_(self.table.weight, std=1.0 / width**0.5)
        self.bottom: nn.Sequential = nn.Sequential(nn.Linear(4, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        count = tables + 1
        self.top: nn.Sequential = nn.Sequential(
            nn.Linear(width + count * (count - 1) // 2, 4 * width), nn.ReLU(), nn.Linear(4 * width, 1)
        )

    def forward(self, dense: Tensor, items: Tensor) -> Tensor:
        """Return the logit of a click for each example."""
        offsets = self.rows * torch.arange(items.shape[1], device=items.device)
        features = self.bottom(dense)
        vectors = torch.cat([features[:, None], self.table(items + offsets)], dim=1)
        count = vectors.shape[1]
        first, second = torch.triu_indices(count, count, 1, device=items.device)
        products = (vectors @ vectors.transpose(1, 2))[:, first, second]
        return self.top(torch.cat([features, products], dim=1))[:, 0]


def click_loss(model: Model, batch: Batch) -> Tensor:
    """Mean logistic loss."""
    dense, items, clicks = batch
    return binary_cross_entropy_with_logits(model(dense, items), clicks)


def click_accuracy(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The fraction of clicks told right."""
    dense, items, clicks = batch
    return {"accuracy": ((model(dense, items) > 0) == (clicks > 0.5)).to(torch.float32).mean()}
