"""A bidirectional transformer that fills in masked bytes (the role of BERT and RoBERTa)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lastiterate.theory.base.validation import check_fraction

from ._examples import Batch, Examples, Model, example_keys
from ._keyed import keyed_uniform
from ._shapes import Data, Shapes
from ._text import VOCABULARY, load_windows, text_shapes
from ._transformer import Transformer, embedding

__all__ = ["batch_shapes", "create"]

_MASK = VOCABULARY  # one token more than there are bytes


def create(size: str = "tiny", data: Data = None, masked: float = 0.15) -> Examples:
    """Return the workload; ``data`` is a text file, ``masked`` the fraction of bytes to fill in."""
    tiny = size == "tiny"
    shapes = batch_shapes(size)
    context = shapes[0].shape[1]
    windows = load_windows(context, size, data)
    shape = (32, 2, 2) if tiny else (768, 12, 12)
    fraction = check_fraction(masked, "masked", low=0.01, high=0.9)
    return Examples(
        name="masked_language_model",
        n_steps=300 if tiny else 23_000,
        optimizer="adam:beta2=0.98",
        base_lrs=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=shapes[0].shape[0],
        train=(windows.train[:, 1:], example_keys(len(windows.train), 0, 0)),
        test=(windows.test[:, 1:], example_keys(len(windows.test), 0, 1)),
        make_model=partial(MaskedLanguageModel, *shape),
        objective=partial(fill_in_loss, max(1, round(fraction * context))),
        scores=partial(fill_in_accuracy, max(1, round(fraction * context))),
        keyed=True,
        source=windows.source,
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: windows, the keys of the data, and those of the batch."""
    windows, keys = text_shapes(*((31, 16) if size == "tiny" else (511, 256)))
    return windows, keys, keys


class MaskedLanguageModel(nn.Module):
    """A bidirectional transformer with an output layer of its own."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = embedding(VOCABULARY + 1, width)
        self.transformer = Transformer(width, depth, heads, causal=False)
        self.head: nn.Linear = nn.Linear(width, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [n, length, 256] for tokens int64[n, length]."""
        return self.head(self.transformer(self.embed(tokens)))


def _fill_in(n_masked: int, model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mask ``n_masked`` bytes of every window, chosen by its last key, and return their logits and true values.

    Every window hides equally many, so that the mean over windows is the mean over hidden bytes.
    """
    tokens = batch[0].long()
    where = keyed_uniform(batch[-1], tuple(tokens.shape[1:]), 0).topk(n_masked, dim=1).indices
    hidden = tokens.scatter(1, where, _MASK)
    logits = model(hidden).gather(1, where[..., None].expand(-1, -1, VOCABULARY))
    return logits.flatten(0, 1), tokens.gather(1, where).flatten()


def fill_in_loss(n_masked: int, model: Model, batch: Batch) -> Tensor:
    """Mean cross-entropy of the hidden bytes."""
    return cross_entropy(*_fill_in(n_masked, model, batch))


def fill_in_accuracy(n_masked: int, model: Model, batch: Batch) -> dict[str, Tensor]:
    """The fraction of hidden bytes filled in correctly."""
    logits, labels = _fill_in(n_masked, model, batch)
    return {"accuracy": (logits.argmax(dim=1) == labels).to(torch.float32).mean()}
