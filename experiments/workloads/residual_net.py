"""A residual net on small images: CIFAR-10, CIFAR-100 or Fashion-MNIST from a folder, else scikit-learn's digits.

Group normalisation, not batch normalisation: the loss of an example then depends on this example alone, so that
several processes, a vectorised ensemble and one process compute the same gradients.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import relu

from lastiterate.theory.base.validation import check_count

from ._classify import accuracy, classification_loss
from ._examples import Examples
from ._images import image_shapes, load_images
from ._shapes import Data, Shapes

__all__ = ["batch_shapes", "create"]


def create(size: str = "tiny", data: Data = None, width: int | None = None) -> Examples:
    """Return the workload; the full size needs a data folder, ``width`` is the number of first channels."""
    tiny = size == "tiny"
    images = load_images(size, data)
    channels = check_count(width, "width", minimum=8) if width is not None else 8 if tiny else 128
    return Examples(
        name="residual_net",
        n_steps=200 if tiny else 78_000,
        optimizer="sgd:momentum=0.9",
        base_lrs=(0.003, 0.01, 0.03, 0.1, 0.3) if tiny else (0.01, 0.03, 0.1, 0.3, 1.0),
        metric="test_loss",
        higher_is_better=False,
        batch_size=batch_shapes(size)[0].shape[0],
        train=images.train,
        test=images.test,
        make_model=partial(ResidualNet, images.shape[0], channels, 1 if tiny else 2, images.n_classes),
        objective=classification_loss,
        scores=accuracy,
        keyed=True,
        source=images.source,
    )


def batch_shapes(size: str = "tiny", **_: object) -> Shapes:
    """Return shape and type of each column of a batch: pixels, labels, keys."""
    return image_shapes(size, 32 if size == "tiny" else 128)


class ResidualNet(nn.Module):
    """Three stages of pre-activation blocks; each halves the image and doubles the channels (He et al., 2016)."""

    def __init__(self, in_channels: int, width: int, blocks: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False)]
        before = width
        for stage in range(3):
            after = width * 2**stage
            for index in range(blocks):
                layers.append(ResidualBlock(before, after, stride=2 if stage > 0 and index == 0 else 1))
                before = after
        self.features: nn.Sequential = nn.Sequential(*layers)
        self.norm: nn.GroupNorm = nn.GroupNorm(min(8, before // 4), before)
        self.head: nn.Linear = nn.Linear(before, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(relu(self.norm(self.features(images))).mean(dim=(2, 3)))


class ResidualBlock(nn.Module):
    """Norm, relu, convolution, twice, beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1: nn.GroupNorm = nn.GroupNorm(min(8, before // 4), before)
        self.conv1: nn.Conv2d = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2: nn.GroupNorm = nn.GroupNorm(min(8, after // 4), after)
        self.conv2: nn.Conv2d = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = stride != 1 or before != after
        self.shortcut: nn.Module = nn.Conv2d(before, after, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        """Return the block's output."""
        active = relu(self.norm1(values))
        out = self.conv2(relu(self.norm2(self.conv1(active))))
        return out + self.shortcut(active if isinstance(self.shortcut, nn.Conv2d) else values)
