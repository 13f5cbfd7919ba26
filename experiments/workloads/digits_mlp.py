"""A multilayer perceptron on scikit-learn's digits: small, not convex, and able to fit its training set."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lastiterate.theory.base.validation import check_count

from ._supervised import Classification, split_digits

if TYPE_CHECKING:
    from torch import nn

__all__ = ["create"]


def create(size: str = "tiny", data: Path | None = None, width: int = 64) -> Classification:
    """Return the workload; it needs no data folder."""
    del data
    train, test = split_digits()
    return Classification(
        name="digits_mlp",
        n_steps=400 if size == "tiny" else 10_000,
        optimizer="sgd:momentum=0.9",
        base_lrs=(0.003, 0.01, 0.03, 0.1, 0.3),
        metric="test_loss",
        higher_is_better=False,
        batch_size=32,
        train=train,
        test=test,
        make_model=partial(_model, check_count(width, "width")),
    )


def _model(width: int) -> "nn.Module":
    from torch import nn

    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
