"""The small networks of the study: a stream of clicks, digits with label noise, characters of a text.

Every one has three parts: training data, a validation part that chooses learning rates, and a test part that is only
reported. Names are texts such as ``digits:noise=0.2``.
"""

import pydoc_data.topics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lastiterate.experiments.workloads._examples import Batch, Model, inference
from lastiterate.experiments.workloads._transformer import Transformer, embedding
from lastiterate.experiments.workloads.logistic_suite import create as logistic_suite
from lastiterate.experiments.workloads.protocol import batch_indices
from lastiterate.experiments.workloads.recommendation import Recommender, click_loss, draw_clicks
from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import check_choice

__all__ = ["Split", "characters", "clicks", "digits", "logistic", "workload_of"]


@dataclass(frozen=True)
class Split:
    """A workload with a part that chooses and a part that reports; keeps the protocol of workloads.

    Attributes
    ----------
    train, validation, test : tuple of Tensor
        Columns of examples.
    make_model, objective : callable
        As in the bundled workloads.
    source : str
        What the data are, in words.
    """

    name: str
    train: Batch
    validation: Batch
    test: Batch
    make_model: Callable[[], nn.Module]
    objective: Callable[[Model, Batch], Tensor]
    batch_size: int
    source: str
    n_steps: int = 1000
    optimizer: str = "sgd"
    base_lrs: tuple[float, ...] = (0.1,)
    metric: str = "test"
    higher_is_better: bool = False

    def build_model(self) -> nn.Module:
        """Return a new model."""
        return self.make_model()

    def batch(self, seed: int, step: int) -> Batch:
        """Return one batch of the order ``seed``."""
        index = batch_indices(len(self.train[0]), self.batch_size, seed, step)
        return tuple(column[index] for column in self.train)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Return the mean loss of the batch."""
        return self.objective(model, batch)

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Return the loss on up to 256 training examples, on the validation part and on the test part."""
        parts = {"loss": tuple(c[:256] for c in self.train), "validation": self.validation, "test": self.test}
        with inference(model):
            return {name: float(self.objective(model, part)) for name, part in parts.items()}


def clicks(examples: int = 100_000, batch_size: int = 32) -> Split:
    """Return the stream of clicks: below ``examples / batch_size`` steps no click is seen twice."""
    tables, rows, width, held_out = 4, 50, 4, 3000
    columns = draw_clicks(tables, rows, examples + 3 * held_out)
    return Split(
        name="clicks",
        train=tuple(column[:examples] for column in columns),
        validation=tuple(column[examples : examples + held_out] for column in columns),
        test=tuple(column[examples + held_out :] for column in columns),
        make_model=partial(Recommender, tables, rows, width),
        objective=click_loss,
        batch_size=batch_size,
        source=f"generated: {examples} clicks, {tables} tables of {rows} rows",
    )


def digits(noise: float = 0.0, width: int = 32) -> Split:
    """Return scikit-learn's digits for a perceptron; a share ``noise`` of the training labels is drawn at random."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    inputs = torch.tensor(images[order] / 16.0, dtype=torch.float32)
    targets = torch.tensor(labels[order])
    ends = (1000, 1297)
    wrong = torch.from_numpy(rng.random(ends[0]) < noise)
    drawn = torch.from_numpy(rng.integers(0, 10, size=ends[0]))
    train = torch.where(wrong, drawn, targets[: ends[0]])
    return Split(
        name="digits",
        train=(inputs[: ends[0]], train),
        validation=(inputs[ends[0] : ends[1]], targets[ends[0] : ends[1]]),
        test=(inputs[ends[1] :], targets[ends[1] :]),
        make_model=partial(_perceptron, 64, width, 10),
        objective=_classification,
        batch_size=32,
        source=f"scikit-learn's digits, {noise:.0%} of the training labels drawn at random",
    )


def logistic(dataset: str = "vehicle") -> Split:
    """Return a set of the logistic suite; a fifth is held out, half of it to choose learning rates."""
    suite = logistic_suite(dataset=dataset)
    train, held_out = suite.train, suite.test
    half = len(held_out[0]) // 2
    return Split(
        name=f"logistic_{dataset}",
        train=train,
        validation=tuple(column[:half] for column in held_out),
        test=tuple(column[half:] for column in held_out),
        make_model=suite.build_model,
        objective=_classification,
        batch_size=16,
        source=f"{dataset}, features scaled to [-1, 1]",
    )


def characters(width: int = 16, depth: int = 1, context: int = 16) -> Split:
    """Return next-character prediction on Python's own manual, which every interpreter carries.

    Blocks of about 8 kB are held out whole, so that no held-out window has a neighbour in the training data; windows of
    theirs that the training data also hold, since the manual repeats itself, are left out.
    """
    text = "".join(topic for _, topic in sorted(pydoc_data.topics.topics.items())).lower()
    kept = [character for character, _ in Counter(text).most_common(47)]
    index = {character: place + 1 for place, character in enumerate(kept)}
    stream = torch.tensor([index.get(character, 0) for character in text], dtype=torch.uint8)
    windows = stream.unfold(0, context + 1, context)
    block = torch.arange(len(windows)) * context // 8192 % 10
    train = windows[(block != 0) & (block != 5)]
    seen = {bytes(row) for row in train.numpy()}
    held_out = [windows[block == place] for place in (0, 5)]
    parts = [part[torch.tensor([bytes(row) not in seen for row in part.numpy()])] for part in held_out]
    thinned = [(part[:: len(part) // count][:count],) for part, count in zip(parts, (300, 600), strict=True)]
    return Split(
        name="characters",
        train=(train,),
        validation=thinned[0],
        test=thinned[1],
        make_model=partial(CharacterModel, width, depth, 48),
        objective=_next_character,
        batch_size=8,
        source=f"pydoc_data.topics, {len(text)} characters, a vocabulary of 48",
    )


class CharacterModel(nn.Module):
    """A causal transformer whose output layer is its embedding, transposed."""

    def __init__(self, width: int, depth: int, vocabulary: int) -> None:
        super().__init__()
        self.embed = embedding(vocabulary, width)
        self.transformer = Transformer(width, depth, 2, causal=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [n, length, vocabulary] for tokens int64[n, length]."""
        return self.transformer(self.embed(tokens)) @ self.embed.weight.T


def _next_character(model: Model, batch: Batch) -> Tensor:
    windows = batch[0].long()
    logits = model(windows[:, :-1])
    return cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def _classification(model: Model, batch: Batch) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1])


def _perceptron(inputs: int, width: int, classes: int) -> nn.Module:
    hidden = nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
    return nn.Sequential(*hidden, nn.Linear(width, classes))


_BUILDERS: dict[str, Callable[..., Split]] = {
    "clicks": clicks,
    "digits": digits,
    "logistic": logistic,
    "characters": characters,
}


def workload_of(text: str) -> Split:
    """Return a workload of the study by name and options.

    Examples
    --------
    >>> workload_of("digits:noise=0.2").source
    "scikit-learn's digits, 20% of the training labels drawn at random"
    """
    name, options = parse_spec(text, "workload")
    return _BUILDERS[check_choice(name, "workload", _BUILDERS)](**options)
