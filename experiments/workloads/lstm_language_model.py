"""A language model of bytes with LSTM layers, after the word-level models of the time before transformers."""

from functools import partial

from torch import Tensor, nn

from lastiterate.theory.base.validation import check_fraction

from ._examples import Examples
from ._keyed import keyed_dropout
from ._shapes import Data, Shapes
from ._text import VOCABULARY, load_windows, text_shapes
from ._transformer import embedding
from .language_model import next_byte_loss, no_scores

__all__ = ["batch_shapes", "create"]


def create(size: str = "tiny", data: Data = None, dropout: float | None = None) -> Examples:
    """Return the workload; ``data`` is a text file, by default a bundled text."""
    tiny = size == "tiny"
    shapes = batch_shapes(size)
    context = shapes[0].shape[1] - 1
    windows = load_windows(context, size, data)
    rate = check_fraction(dropout, "dropout", high=0.9) if dropout is not None else 0.0 if tiny else 0.2
    return Examples(
        name="lstm_language_model",
        n_steps=200 if tiny else 20_000,
        optimizer="adam",
        base_lrs=(3e-3, 1e-2, 3e-2, 1e-1, 3e-1) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=shapes[0].shape[0],
        train=(windows.train,),
        test=(windows.test,),
        make_model=partial(LSTMLanguageModel, 64 if tiny else 1024, 1 if tiny else 3, rate),
        objective=next_byte_loss,
        scores=no_scores,
        keyed=True,
        source=windows.source,
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: windows of one byte more than the context, and keys."""
    return text_shapes(*((32, 16) if size == "tiny" else (256, 64)))


class LSTMLanguageModel(nn.Module):
    """Embedding, LSTM layers with dropout between them, output layer."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.embed = embedding(VOCABULARY, width)
        self.layers: nn.ModuleList = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(depth))
        self.head: nn.Linear = nn.Linear(width, VOCABULARY)

    def forward(self, tokens: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return logits [n, length, 256] for tokens int64[n, length]; ``keys`` switch dropout on."""
        values = keyed_dropout(self.embed(tokens), keys, 0, self.dropout)
        for layer, lstm in enumerate(self.layers, start=1):
            values = keyed_dropout(lstm(values)[0], keys, layer, self.dropout)
        return self.head(values)
