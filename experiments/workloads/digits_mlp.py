"""A multilayer perceptron on scikit-learn's digits: small, not convex, and able to fit its training set."""

from functools import partial
from typing import TYPE_CHECKING

from lastiterate.theory.base.validation import check_count

from ._shapes import Data, Shapes
from ._supervised import Classification, digits_shapes, split_digits

if TYPE_CHECKING:
    from torch import nn

__all__ = ["batch_shapes", "create"]


def create(size: str = "tiny", data: Data = None, width: int = 64) -> Classification:
    """Return the workload; it needs no data folder."""
    train, test = split_digits(data)
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


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch; both sizes have the same."""
    del size
    return digits_shapes()


def _model(width: int) -> "nn.Module":
    from torch import nn

    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
