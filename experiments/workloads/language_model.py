"""A decoder-only language model of bytes, in three sizes: ``language_model:scale=small``, medium, large."""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lastiterate.theory.base.validation import check_choice, check_fraction

from ._examples import Batch, Examples, Model
from ._shapes import Data, Shapes
from ._text import VOCABULARY, load_windows, text_shapes
from ._transformer import Transformer, embedding

__all__ = ["batch_shapes", "create"]

# width, depth, heads
_TINY = {"small": (32, 1, 2), "medium": (32, 2, 2), "large": (48, 3, 3)}
_FULL = {"small": (384, 6, 6), "medium": (576, 9, 9), "large": (768, 12, 12)}


def create(size: str = "tiny", data: Data = None, scale: str = "small", dropout: float = 0.0) -> Examples:
    """Return the workload; ``data`` is a text file, by default a bundled text."""
    tiny = size == "tiny"
    models = _TINY if tiny else _FULL
    shapes = batch_shapes(size)
    context = shapes[0].shape[1] - 1
    windows = load_windows(context, size, data)
    shape = models[check_choice(scale, "scale", models)]
    return Examples(
        name=f"language_model_{scale}",
        n_steps=200 if tiny else 20_000,
        optimizer="adamw:beta2=0.95,weight_decay=0.1",
        base_lrs=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=shapes[0].shape[0],
        train=(windows.train,),
        test=(windows.test,),
        make_model=partial(LanguageModel, *shape, check_fraction(dropout, "dropout", high=0.9)),
        objective=next_byte_loss,
        scores=no_scores,
        keyed=True,
        source=windows.source,
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: windows of one byte more than the context, and keys."""
    return text_shapes(*((32, 16) if size == "tiny" else (512, 64)))


class LanguageModel(nn.Module):
    """A causal transformer whose output layer is its embedding, transposed."""

    def __init__(self, width: int, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.embed = embedding(VOCABULARY, width)
        self.transformer = Transformer(width, depth, heads, causal=True, dropout=dropout)

    def forward(self, tokens: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return logits [n, length, 256] for tokens int64[n, length]; ``keys`` switch dropout on."""
        return self.transformer(self.embed(tokens), keys) @ self.embed.weight.T


def next_byte_loss(model: Model, batch: Batch) -> Tensor:
    """Mean cross-entropy of each next byte, in nats."""
    windows = batch[0].long()
    logits = model(windows[:, :-1], *batch[1:])
    return cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def no_scores(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The loss says it all."""
    del model, batch
    return {}
