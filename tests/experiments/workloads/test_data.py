"""Reading data from folders and files: formats written by hand, and what is said when they are wrong."""

import gzip
import sys

import numpy as np
import pytest
import torch

from lastiterate.experiments.training.train import train
from lastiterate.experiments.workloads import _text
from lastiterate.experiments.workloads._images import crop_and_flip, load_images
from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules import linear


def write_cifar(folder, names, label_bytes, n_classes, rng):
    written = {}
    for name in names:
        labels = rng.integers(0, n_classes, size=(20, label_bytes), dtype=np.uint8)
        pixels = rng.integers(0, 256, size=(20, 3072), dtype=np.uint8)
        (folder / name).write_bytes(np.hstack([labels, pixels]).tobytes())
        written[name] = (labels[:, -1], pixels.reshape(20, 3, 32, 32))
    return written


def write_idx(path, array, compress=False):
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    raw = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if compress else raw)


def test_cifar10_folder_vs_bytes_written_by_hand(tmp_path):
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    written = write_cifar(tmp_path, names, 1, 10, np.random.default_rng(0))
    images = load_images("full", tmp_path)
    assert images.n_classes == 10
    assert images.train[0].shape == (100, 3, 32, 32)
    pixels = np.concatenate([written[name][1] for name in names[:5]]) / 255.0
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(images.train[0][33, 2, 5, 6], (pixels[33, 2, 5, 6] - mean[2]) / std[2], rtol=1e-4)
    assert images.train[1].tolist() == np.concatenate([written[name][0] for name in names[:5]]).tolist()
    assert images.test[1].tolist() == written["test_batch.bin"][0].tolist()


def test_cifar100_takes_the_fine_label(tmp_path):
    written = write_cifar(tmp_path, ["train.bin", "test.bin"], 2, 100, np.random.default_rng(0))
    images = load_images("tiny", tmp_path)
    assert images.n_classes == 100
    assert images.train[1].tolist() == written["train.bin"][0].tolist()


@pytest.mark.parametrize("compress", [False, True])
def test_fashion_mnist_folder(tmp_path, compress):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 12)):
        suffix = ".gz" if compress else ""
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{suffix}", rng.integers(0, 256, (count, 28, 28)), compress)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{suffix}", np.arange(count) % 10, compress)
    workload = load_workload("residual_net", data=tmp_path)
    assert workload.train[0].shape == (30, 1, 28, 28)
    assert workload.train[1][:3].tolist() == [0, 1, 2]
    assert "Fashion-MNIST" in workload.source


@pytest.mark.parametrize("spec", ["residual_net", "vision_transformer"])
def test_colour_images_train(tmp_path, spec):
    write_cifar(tmp_path, ["train.bin", "test.bin"], 2, 100, np.random.default_rng(0))
    workload = load_workload(spec, data=tmp_path)
    assert train(workload, linear(2), workload.base_lrs[0], 0).diverged_at is None


def test_crop_and_flip_vs_numpy():
    images = torch.arange(2.0 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    seen = {"mirrored": 0, "straight": 0}
    for key in range(40):
        moved = crop_and_flip(images[:1], torch.tensor([key]), padding=2)[0].numpy()
        padded = np.pad(images[0].numpy(), ((0, 0), (2, 2), (2, 2)))
        windows = [(y, x, padded[:, y : y + 8, x : x + 8]) for y in range(5) for x in range(5)]
        straight = [(y, x) for y, x, window in windows if np.array_equal(window, moved)]
        mirrored = [(y, x) for y, x, window in windows if np.array_equal(window[:, :, ::-1], moved)]
        assert len(straight) + len(mirrored) == 1
        seen["straight" if straight else "mirrored"] += 1
    assert min(seen.values()) > 5


@pytest.mark.parametrize("spec", ["residual_net", "vision_transformer", "image_folder"])
def test_a_missing_folder_says_what_is_expected(tmp_path, spec):
    for data in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"data: expected a folder with") as caught:
            load_workload(spec, size="full", data=data)
        assert caught.value.argument == "data"
        assert str(data) in str(caught.value)
    with pytest.raises(InputError) as caught:
        load_workload("residual_net", data=tmp_path)
    for name in ("data_batch_1.bin", "test_batch.bin", "train.bin", "train-images-idx3-ubyte"):
        assert name in str(caught.value)


def test_damaged_files(tmp_path):
    write_cifar(tmp_path, ["train.bin", "test.bin"], 2, 100, np.random.default_rng(0))
    whole = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").write_bytes(whole[:-5])
    with pytest.raises(InputError, match="multiple of 3074"):
        load_workload("residual_net", data=tmp_path)
    (tmp_path / "train.bin").write_bytes(b"\0\xc8" + whole[2:])
    with pytest.raises(InputError, match="one label below 100"):
        load_workload("residual_net", data=tmp_path)
    idx = tmp_path / "idx"
    idx.mkdir()
    for part in ("train", "t10k"):
        write_idx(idx / f"{part}-images-idx3-ubyte", np.zeros((4, 28, 28)))
        write_idx(idx / f"{part}-labels-idx1-ubyte", np.zeros(4))
    (idx / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(InputError, match="idx file"):
        load_workload("residual_net", data=idx)


def write_images(folder, classes, count, rng, split=True):
    from PIL import Image

    for part in ("train", "val") if split else ("",):
        for label, name in enumerate(classes):
            place = folder / part / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 60, size=(30 + index, 40, 3))
                pixels[..., label] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png")


@pytest.mark.parametrize("split", [True, False])
def test_image_folder_learns_colours(tmp_path, split):
    write_images(tmp_path, ["blue", "green", "red"], 10, np.random.default_rng(0), split)
    workload = load_workload("image_folder", data=tmp_path)
    assert workload.classes == ("blue", "green", "red")
    assert len(workload.train) == (30 if split else 27)
    images, labels = workload.batch(0, 0)
    assert images.shape == (16, 3, 24, 24)
    assert torch.equal(images.mean(dim=(2, 3)).argmax(dim=1), labels)  # class i is bright in channel i
    result = train(workload, linear(20), 0.03, 0)
    assert result.final["loss"] < 0.5 * np.log(3)


def test_image_folder_refuses(tmp_path):
    write_images(tmp_path, ["a", "b"], 2, np.random.default_rng(0))
    (tmp_path / "val" / "c").mkdir()
    with pytest.raises(InputError, match="without images"):
        load_workload("image_folder", data=tmp_path)
    (tmp_path / "val" / "c").rmdir()
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="an image that Pillow can read"):
        load_workload("image_folder", data=tmp_path).batch(0, 0)
    (tmp_path / "val" / "b").rename(tmp_path / "val" / "z")
    with pytest.raises(InputError, match="as in train"):
        load_workload("image_folder", data=tmp_path)


@pytest.mark.parametrize("spec", ["language_model", "lstm_language_model", "masked_language_model"])
def test_text_shorter_than_its_windows(tmp_path, spec):
    short, long = tmp_path / "short.txt", tmp_path / "long.txt"
    short.write_text("x" * 64)
    long.write_text("x" * 65)
    with pytest.raises(InputError, match=r"data: expected a text of at least 65 bytes.*short\.txt: 64 bytes"):
        load_workload(spec, data=short)
    workload = load_workload(spec, data=long)
    assert (len(workload.train[0]), len(workload.test[0])) == (1, 1)
    assert np.isfinite(train(workload, linear(2), 0.001, 0).final["test_loss"])
    with pytest.raises(InputError, match="a text file that exists"):
        load_workload(spec, data=tmp_path / "nowhere.txt")


def test_windows_cut_the_text_without_gaps(tmp_path):
    text = b"".join(number.to_bytes(2, "big") for number in range(512))  # no two windows are equal
    (tmp_path / "text.bin").write_bytes(text)
    windows = _text.load_windows(32, "tiny", tmp_path / "text.bin")
    found = sorted(bytes(row.tolist()) for row in torch.cat([windows.train, windows.test]))
    assert found == sorted(text[start : start + 33] for start in range(0, len(text) - 32, 32))
    assert len(windows.test) == len(found) // 10


def test_standard_library_is_the_text_without_the_package(monkeypatch):
    monkeypatch.setattr(_text, "find_spec", lambda name: None)
    workload = load_workload("language_model")
    assert f"modules of Python {sys.version_info.major}.{sys.version_info.minor}" in workload.source
    assert "sha256" in workload.source
    assert workload.source == load_workload("language_model").source
