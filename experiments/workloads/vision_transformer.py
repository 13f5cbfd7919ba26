"""A vision transformer on small images: CIFAR or Fashion-MNIST from a folder, else scikit-learn's digits."""

from functools import partial

import torch
from torch import Tensor, nn

from lastiterate.theory.base.validation import InputError, check_count

from ._classify import accuracy, classification_loss
from ._examples import Examples
from ._images import image_shapes, load_images
from ._shapes import Data, Shapes
from ._transformer import Transformer

__all__ = ["batch_shapes", "create"]


def create(size: str = "tiny", data: Data = None, patch: int | None = None) -> Examples:
    """Return the workload; the full size needs a data folder, ``patch`` is the side of a patch in pixels."""
    tiny = size == "tiny"
    images = load_images(size, data)
    channels, side = images.shape
    if patch is None:
        patch = 4 if side % 4 == 0 and side > 8 else 2
    if check_count(patch, "patch") > side or side % patch:
        raise InputError("patch", patch, f"a divisor of the image side {side}")
    shape = (32, 2, 2) if tiny else (384, 12, 6)
    return Examples(
        name="vision_transformer",
        n_steps=200 if tiny else 100_000,
        optimizer="adamw:weight_decay=0.05",
        base_lrs=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2) if tiny else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        metric="test_loss",
        higher_is_better=False,
        batch_size=batch_shapes(size)[0].shape[0],
        train=images.train,
        test=images.test,
        make_model=partial(VisionTransformer, channels, side, patch, images.n_classes, *shape),
        objective=classification_loss,
        scores=accuracy,
        keyed=True,
        source=images.source,
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: pixels, labels, keys."""
    return image_shapes(size, 32 if size == "tiny" else 512)


class VisionTransformer(nn.Module):
    """Patches, embedded linearly, through a transformer; the mean of its features is classified."""

    def __init__(
        self, channels: int, side: int, patch: int, n_classes: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.patch = patch
        self.embed: nn.Linear = nn.Linear(channels * patch**2, width)
        self.transformer = Transformer(width, depth, heads, causal=False)
        self.head: nn.Linear = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        n, channels, side, _ = images.shape
        grid = side // self.patch
        cut = images.view(n, channels, grid, self.patch, grid, self.patch).permute(0, 2, 4, 1, 3, 5)
        patches = torch.reshape(cut, (n, grid * grid, channels * self.patch**2))
        return self.head(self.transformer(self.embed(patches)).mean(dim=1))
