"""Multinomial logistic regression on scikit-learn's digits: convex, so the theory applies to the letter."""

from pathlib import Path
from typing import TYPE_CHECKING

from ._supervised import Classification, split_digits

if TYPE_CHECKING:
    from torch import nn

__all__ = ["create"]


def create(size: str = "tiny", data: Path | None = None) -> Classification:
    """Return the workload; it needs no data folder."""
    del data
    train, test = split_digits()
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


def _model() -> "nn.Module":
    """Start at zero, as convex analysis does: the loss is log(10) there, whatever the seed."""
    from torch import nn

    model = nn.Linear(64, 10)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return model
