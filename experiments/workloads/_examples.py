"""What most workloads share: examples held as tensors, an objective, scores on held-out examples."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .protocol import batch_indices, device_of

Batch = tuple[Tensor, ...]
Model = Callable[..., Tensor]
_CHUNK = 256


@dataclass(frozen=True)
class Examples:
    """A workload on examples that fit in memory; keeps the protocol.

    Attributes
    ----------
    train, test : tuple of Tensor
        Columns of examples; the first dimension counts them.
    make_model : callable
        Returns a new model, drawn from torch's global generator.
    objective : callable
        ``objective(model, batch)`` is the mean loss of the examples of a batch.
    scores : callable
        ``scores(model, batch)`` are further means, by name; reported on ``test`` with the prefix ``test_``.
    keyed : bool
        Whether a training batch gets a last column of int64 keys, one an example, drawn from (seed, step):
        what dropout and masking are made of, so that no global generator is touched.
    evaluated : int or None
        How many training examples the reported loss is computed on (all: None); always the first ones.
    source : str
        Where the examples come from, in words.
    """

    name: str
    n_steps: int
    optimizer: str
    base_lrs: tuple[float, ...]
    metric: str
    higher_is_better: bool
    batch_size: int
    train: Batch
    test: Batch
    make_model: Callable[[], nn.Module]
    objective: Callable[[Model, Batch], Tensor]
    scores: Callable[[Model, Batch], Mapping[str, Tensor]]
    keyed: bool = False
    evaluated: int | None = 1024
    source: str = ""

    def build_model(self) -> nn.Module:
        """Return a new model."""
        return self.make_model()

    def batch(self, seed: int, step: int) -> Batch:
        """Return one batch of the order ``seed``."""
        index = batch_indices(len(self.train[0]), self.batch_size, seed, step)
        columns = tuple(column[index] for column in self.train)
        return (*columns, example_keys(len(index), seed, step)) if self.keyed else columns

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the mean loss of the batch."""
        return self.objective(model, batch)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Return the loss on fixed training examples, and the loss and scores on the held-out ones."""
        seen = tuple(column[: self.evaluated] for column in self.train)

        def losses(part: Batch) -> Mapping[str, Tensor]:
            return {"loss": self.objective(model, part)}

        def held_out(part: Batch) -> Mapping[str, Tensor]:
            return {"test_loss": self.objective(model, part)} | {
                f"test_{name}": value for name, value in self.scores(model, part).items()
            }

        with inference(model):
            device = device_of(model)
            return {**mean_over(seen, losses, device), **mean_over(self.test, held_out, device)}


def example_keys(count: int, seed: int, step: int) -> Tensor:
    """Return ``count`` int64 keys of batch ``step`` of the order ``seed``.

    >>> bool((example_keys(4, 0, 7) == example_keys(4, 0, 7)).all())
    True
    """
    return torch.from_numpy(np.random.default_rng([seed, step, 1]).integers(0, 2**62, size=count))


def mean_over(
    columns: Batch, values: Callable[[Batch], Mapping[str, Tensor]], device: torch.device, chunk: int = _CHUNK
) -> dict[str, float]:
    """Return the means of ``values`` over all examples, a chunk at a time."""
    count, sums = len(columns[0]), {}
    for start in range(0, count, chunk):
        part = tuple(column[start : start + chunk].to(device) for column in columns)
        for name, value in values(part).items():
            sums[name] = sums.get(name, 0.0) + value * (len(part[0]) / count)
    return {name: float(value) for name, value in sums.items()}


@contextmanager
def inference(model: nn.Module) -> Generator[None]:
    """Switch ``model`` to evaluation without gradients, and back to the mode that it was in."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
