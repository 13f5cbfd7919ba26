"""Translation by an LSTM with attention: numbers written in digits into English words, letter by letter.

The pairs are generated, so that the task needs no data; it plays the role of a small translation set. Words follow
from digits by rules of place, which a model must find: "40213" becomes "forty thousand two hundred thirteen".
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lastiterate.theory.base.validation import check_fraction

from ._examples import Batch, Examples, Model
from ._keyed import keyed_dropout
from ._shapes import Blank, Column, Data, Shapes, blank_columns, keys_column

__all__ = ["batch_shapes", "create"]

# fmt: off
_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# fmt: on
_WORDS = [*_UNITS, *_TENS[2:], "hundred", "thousand"]
_LENGTHS = {3: 5, 6: 10}  # "one hundred twenty one", twice with "thousand", and the end, by number of digits
_PAD, _START = 0, 1  # words are numbered from 2 on, digits from 1 on


def create(size: str = "tiny", data: Data = None, dropout: float | None = None) -> Examples:
    """Return the workload; it needs no data folder."""
    tiny = size == "tiny"
    shapes = batch_shapes(size)
    digits = shapes[0].shape[1]
    rate = check_fraction(dropout, "dropout", high=0.9) if dropout is not None else 0.0 if tiny else 0.3
    train, test = (blank_columns(shapes[:2]),) * 2 if isinstance(data, Blank) else _pairs(digits)
    return Examples(
        name="seq2seq",
        n_steps=200 if tiny else 50_000,
        optimizer="adam",
        base_lrs=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=shapes[0].shape[0],
        train=train,
        test=test,
        make_model=partial(Translator, 48 if tiny else 512, rate),
        objective=translation_loss,
        scores=word_accuracy,
        keyed=True,
        source=f"generated: the numbers below {10**digits} in words",
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: digits, words, keys."""
    count, digits = (32, 3) if size == "tiny" else (256, 6)
    words = Column((count, _LENGTHS[digits]), "int64", below=2 + len(_WORDS))
    return Column((count, digits), "int64", below=11), words, keys_column(count)


def _pairs(digits: int) -> tuple[Batch, Batch]:
    """Return digits and words of the numbers for training and of the held-out ones."""
    numbers = np.random.default_rng(0).permutation(10**digits)
    held_out = min(len(numbers) // 10, 2000)
    return _encode(numbers[held_out:], digits), _encode(numbers[:held_out], digits)


def in_words(number: int) -> list[str]:
    """Return a number below a million in words.

    >>> " ".join(in_words(40213))
    'forty thousand two hundred thirteen'
    """
    if number < 20:
        return [_UNITS[number]]
    for base, name in ((1000, "thousand"), (100, "hundred")):
        if number >= base:
            rest = number % base
            return [*in_words(number // base), name, *(in_words(rest) if rest else [])]
    return [_TENS[number // 10], *([_UNITS[number % 10]] if number % 10 else [])]


def _encode(numbers: np.ndarray, digits: int) -> tuple[Tensor, Tensor]:
    """Digits int64[n, digits] (1..10) and words int64[n, length], closed and filled up by the padding 0."""
    index = {word: 2 + i for i, word in enumerate(_WORDS)}
    spoken = [[index[word] for word in in_words(int(number))] for number in numbers]
    targets = np.full((len(numbers), _LENGTHS[digits]), _PAD)
    for row, words in zip(targets, spoken, strict=True):
        row[: len(words)] = words
    places = 10 ** np.arange(digits)[::-1]
    return torch.from_numpy(1 + numbers[:, None] // places % 10), torch.from_numpy(targets)


class Translator(nn.Module):
    """A bidirectional encoder and a decoder that attends to it by dot products (Luong et al., 2015)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.read: nn.Embedding = nn.Embedding(11, width)
        self.written: nn.Embedding = nn.Embedding(2 + len(_WORDS), width)
        self.encoder: nn.LSTM = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
        self.decoder: nn.LSTM = nn.LSTM(width, width, batch_first=True)
        self.mix: nn.Linear = nn.Linear(2 * width, width)
        self.head: nn.Linear = nn.Linear(width, 2 + len(_WORDS))

    def forward(self, source: Tensor, previous: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return the logits of each next word, given the words before it."""
        memory, (hidden, cell) = self.encoder(keyed_dropout(self.read(source), keys, 0, self.dropout))
        start = tuple(torch.cat([part[0], part[1]], dim=-1)[None] for part in (hidden, cell))
        states, _ = self.decoder(keyed_dropout(self.written(previous), keys, 1, self.dropout), start)
        weights = torch.softmax(states @ memory.transpose(1, 2) / memory.shape[-1] ** 0.5, dim=-1)
        mixed = torch.tanh(self.mix(torch.cat([states, weights @ memory], dim=-1)))
        return self.head(keyed_dropout(mixed, keys, 2, self.dropout))


def _predict(model: Model, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, words, and the weight of each word: a sentence counts once, its padding after the end not at all."""
    source, words, *keys = batch
    previous = torch.nn.functional.pad(words[:, :-1], (1, 0), value=_START)
    logits = model(source, previous, *keys)
    counted = torch.nn.functional.pad(words[:, :-1] != _PAD, (1, 0), value=True).to(logits.dtype)
    return logits, words, counted / counted.sum(dim=1, keepdim=True) / len(words)


def translation_loss(model: Model, batch: Batch) -> Tensor:
    """Mean over sentences of the mean cross-entropy of their words and end."""
    logits, words, weights = _predict(model, batch)
    losses = cross_entropy(logits.flatten(0, 1), words.flatten(), reduction="none")
    return (losses * weights.flatten()).sum()


def word_accuracy(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The fraction of words predicted from the true words before them."""
    logits, words, weights = _predict(model, batch)
    return {"accuracy": ((logits.argmax(dim=-1) == words) * weights).sum()}
