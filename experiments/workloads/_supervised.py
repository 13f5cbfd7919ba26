"""Classification of fixed arrays: what the two digits workloads and the logistic suite share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._shapes import Blank, Column, Data, Shapes, blank_columns
from .protocol import batch_indices, device_of

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Classification:
    """Minimise the mean cross-entropy of ``train`` = (inputs, labels); ``test`` is held out.

    `evaluate` returns the loss over the whole training set under ``loss`` (the objective that the theory bounds),
    and ``test_loss`` and ``test_accuracy``.
    """

    name: str
    n_steps: int
    optimizer: str
    base_lrs: tuple[float, ...]
    metric: str
    higher_is_better: bool
    batch_size: int
    train: "tuple[Tensor, Tensor]"
    test: "tuple[Tensor, Tensor]"
    make_model: "Callable[[], nn.Module]"

    def build_model(self) -> "nn.Module":
        """Return a new model."""
        return self.make_model()

    def batch(self, seed: int, step: int) -> "tuple[Tensor, ...]":
        """Return the inputs and labels of one batch."""
        index = batch_indices(len(self.train[0]), self.batch_size, seed, step)
        return self.train[0][index], self.train[1][index]

    def loss(self, model: "Callable[..., Tensor]", batch: "tuple[Tensor, ...]") -> "Tensor":
        """Return the mean cross-entropy."""
        from torch.nn.functional import cross_entropy

        inputs, labels = batch
        return cross_entropy(model(inputs), labels)

    def evaluate(self, model: "nn.Module") -> Mapping[str, float]:
        """Return the training loss, the held-out loss and the held-out accuracy."""
        import torch
        from torch.nn.functional import cross_entropy

        device = device_of(model)
        with torch.no_grad():
            inputs, labels = self.train[0].to(device), self.train[1].to(device)
            loss = cross_entropy(model(inputs), labels)
            inputs, labels = self.test[0].to(device), self.test[1].to(device)
            logits = model(inputs)
            test_loss = cross_entropy(logits, labels)
            accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss": float(loss), "test_loss": float(test_loss), "test_accuracy": float(accuracy)}


def digits_shapes() -> Shapes:
    """Return the columns of a batch of 32 digits: pixels and labels."""
    return Column((32, 64)), Column((32,), "int64", below=10)


def split_digits(data: Data = None) -> Any:
    """Return scikit-learn's digits scaled to [0, 1] as ((train inputs, labels), (test inputs, labels)).

    Whatever ``data`` is they are the same, unless it is blank: then there are no values.
    """
    if isinstance(data, Blank):
        return blank_columns(digits_shapes()), blank_columns(digits_shapes())
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=0.2, random_state=0, stratify=labels)
    inputs, test_inputs = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    targets, test_targets = (torch.tensor(part, dtype=torch.int64) for part in parts[2:])
    return (inputs, targets), (test_inputs, test_targets)
