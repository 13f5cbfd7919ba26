"""Multinomial logistic regression on scikit-learn's digits: convex, so the theory applies to the letter."""

from typing import TYPE_CHECKING

from ._shapes import Data, Shapes
from ._supervised import Classification, digits_shapes, split_digits

if TYPE_CHECKING:
    from torch import nn

__all__ = ["batch_shapes", "create"]


def create(size: str = "tiny", data: Data = None) -> Classification:
    """Return the workload; it needs no data folder."""
    train, test = split_digits(data)
    return Classification(
        name="digits_logistic",
        n_steps=400 if size == "tiny" else 10_000,
        optimizer="sgd",
        base_lrs=(0.3, 1.0, 3.0, 10.0, 30.0),
        metric="test_loss",
        higher_is_better=False,
        batch_size=32,
        train=train,
        test=test,
        make_model=_model,
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch; both sizes have the same."""
    del size
    return digits_shapes()


def _model() -> "nn.Module":
    """Start at zero, as convex analysis does: the loss is log(10) there, whatever the seed."""
    from torch import nn

    model = nn.Linear(64, 10)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return model
