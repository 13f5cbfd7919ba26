"""Image sets from folders without unpickling: CIFAR-10, CIFAR-100 and Fashion-MNIST; scikit-learn's digits offline."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lastiterate.theory.base.validation import InputError

from ._keyed import keyed_uniform
from ._shapes import Blank, Column, Data, Shapes, blank_columns, keys_column

_CIFAR10 = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
_CIFAR100 = ["train.bin", "test.bin"]
_IDX = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]
_EXPECTED = (
    f"a folder with CIFAR-10 (binary version: {', '.join(_CIFAR10)}), CIFAR-100 (binary version: "
    f"{', '.join(_CIFAR100)}) or Fashion-MNIST ({', '.join(_IDX)}, each plain or .gz)"
)


@dataclass(frozen=True)
class Images:
    """Images float32[n, channels, height, width], normalised, and labels int64[n], for training and testing."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    n_classes: int
    source: str

    @property
    def shape(self) -> tuple[int, int]:
        """Channels and height of an image."""
        return self.train[0].shape[1], self.train[0].shape[2]


def load_images(size: str, data: Data) -> Images:
    """Return the images of ``data``; the tiny size needs none, it takes scikit-learn's digits.

    A tiny size on a folder takes the first 2000 training and 1000 test images.
    """
    if isinstance(data, Blank):
        pixels, labels, _ = image_shapes(size, 1)
        columns = blank_columns((pixels, labels))
        return Images((columns[0], columns[1]), (columns[0], columns[1]), labels.below, "no data")
    if data is None:
        if size != "tiny":
            raise InputError("data", None, _EXPECTED)
        return _digits()
    images = _read_folder(data)
    return _normalised(*images, limit=(2000, 1000) if size == "tiny" else (None, None))


def image_shapes(size: str, count: int) -> Shapes:
    """Return the columns of a batch: pixels, labels, keys; digits for the tiny size, else those of CIFAR-10."""
    shape = (1, 8, 8) if size == "tiny" else (3, 32, 32)
    return Column((count, *shape)), Column((count,), "int64", below=10), keys_column(count)


def _read_folder(folder: Path) -> tuple[list[np.ndarray], int, str]:
    """Return train images, train labels, test images, test labels; the number of classes; the name of the set."""
    for name, files, n_classes, label_bytes in (("CIFAR-10", _CIFAR10, 10, 1), ("CIFAR-100", _CIFAR100, 100, 2)):
        if all((folder / file).is_file() for file in files):
            parts = [_cifar(folder / file, label_bytes) for file in files]
            images, labels = (np.concatenate(part) for part in zip(*parts[:-1], strict=True))
            return [images, labels, *parts[-1]], n_classes, f"{name} in {folder}"
    found = [_existing(folder, file) for file in _IDX]
    if all(found):
        arrays = [_idx(path) for path in found if path is not None]
        return [arrays[0][:, None], arrays[1], arrays[2][:, None], arrays[3]], 10, f"Fashion-MNIST in {folder}"
    names = sorted(path.name for path in folder.iterdir())[:6] if folder.is_dir() else None
    holds = "which is not a folder" if names is None else f"which holds {', '.join(names) or 'nothing'}"
    raise InputError("data", f"{folder}, {holds}", _EXPECTED)


def _cifar(path: Path, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of label bytes (the last one counts) and 3 x 32 x 32 pixels."""
    raw = np.fromfile(path, dtype=np.uint8)
    row = label_bytes + 3072
    if raw.size == 0 or raw.size % row:
        raise InputError("data", f"{path} of {raw.size} bytes", f"a multiple of {row} bytes (CIFAR, binary version)")
    rows = raw.reshape(-1, row)
    return rows[:, label_bytes:].reshape(-1, 3, 32, 32), rows[:, label_bytes - 1]


def _existing(folder: Path, file: str) -> Path | None:
    return next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)


def _idx(path: Path) -> np.ndarray:
    """The idx format: two zero bytes, the type 8 (unsigned byte), the number of dimensions, big-endian sizes, data."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    expected = "an idx file of unsigned bytes whose length agrees with its header"
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise InputError("data", f"{path} starting with {raw[:4]!r}", expected)
    shape = np.frombuffer(raw, dtype=">u4", count=raw[3], offset=4).astype(int)
    values = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3])
    if values.size != np.prod(shape):
        raise InputError("data", f"{path} with {values.size} bytes for shape {tuple(shape)}", expected)
    return values.reshape(shape)


def _digits() -> Images:
    """The 1797 digits of 8 x 8 pixels that scikit-learn bundles, every fifth one held out."""
    from sklearn.datasets import load_digits

    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    images = (pixels * 15.9375).astype(np.uint8).reshape(-1, 1, 8, 8)
    held = np.arange(len(labels)) % 5 == 0
    arrays = [images[~held], labels[~held], images[held], labels[held]]
    return _normalised(arrays, 10, "scikit-learn's digits, 8 x 8 pixels (a stand-in: no folder was given)")


def _normalised(
    arrays: Sequence[np.ndarray], n_classes: int, source: str, limit: tuple[int | None, int | None] = (None, None)
) -> Images:
    """Scale to [0, 1], then each channel to mean 0 and variance 1 over the training images."""
    images, labels = arrays[0][: limit[0]], arrays[1][: limit[0]]
    test_images, test_labels = arrays[2][: limit[1]], arrays[3][: limit[1]]
    top = max(labels.max(), test_labels.max())
    if top >= n_classes or len(images) != len(labels) or len(test_images) != len(test_labels):
        raise InputError("data", f"labels up to {top} in {source}", f"one label below {n_classes} for every image")
    scaled = torch.from_numpy(np.array(images)).float() / 255.0
    mean, std = scaled.mean(dim=(0, 2, 3), keepdim=True), scaled.std(dim=(0, 2, 3), keepdim=True)
    held_out = torch.from_numpy(np.array(test_images)).float() / 255.0
    return Images(
        ((scaled - mean) / std, torch.from_numpy(np.array(labels)).long()),
        ((held_out - mean) / std, torch.from_numpy(np.array(test_labels)).long()),
        n_classes,
        source,
    )


def crop_and_flip(images: Tensor, keys: Tensor, padding: int = 4) -> Tensor:
    """Shift each image by up to ``padding`` pixels and mirror every second one, as its key says."""
    height, width = images.shape[-2:]
    draws = keyed_uniform(keys, (3,), layer=-1)
    shift = (draws[:, :2] * (2 * padding + 1)).long()
    rows = shift[:, :1] + torch.arange(height, device=images.device)
    columns = shift[:, 1:] + torch.arange(width, device=images.device)
    columns = torch.where(draws[:, 2:] < 0.5, columns, columns.flip(-1))
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    return padded.gather(2, rows[:, None, :, None].expand(-1, images.shape[1], -1, padded.shape[3])).gather(
        3, columns[:, None, None, :].expand(-1, images.shape[1], height, -1)
    )
