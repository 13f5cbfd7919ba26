"""What a run has seen of its held-out set: texts in blocks, digits of scenes, duplicates of every workload."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from lastiterate.experiments.workloads._text import load_windows
from lastiterate.experiments.workloads.outline import shared_examples
from lastiterate.experiments.workloads.protocol import known_workloads, load_workload


@lru_cache
def loaded(spec):
    return load_workload(spec)


# held-out examples that training holds too, word for word, in the tiny sizes; none where nothing is said
SHARED = {"logistic_suite:dataset=segment": 70, "logistic_suite:dataset=letter": 400}
SUITE = ("iris", "wine", "digits", "vehicle", "vowel", "segment", "satimage", "penbased", "letter")


@pytest.mark.parametrize(
    "spec",
    [spec for spec in known_workloads() if spec not in ("linear_regression", "image_folder")]
    + [f"logistic_suite:dataset={name}" for name in SUITE],
)
def test_duplicates_between_training_and_test(spec):
    """What of the held-out set a run has seen: inputs alike, whatever their labels."""
    workload = loaded(spec)
    columns = 2 if workload.name in ("recommendation",) else 1
    assert shared_examples(workload.train[:columns], workload.test[:columns]) == SHARED.get(spec, 0)


def test_duplicates_of_the_image_folder():
    workload = loaded("image_folder")
    train, test = (
        (torch.from_numpy(np.stack([image for image, _ in items])),) for items in (workload.train, workload.test)
    )
    assert shared_examples(train, test) == 0


def test_shared_examples_vs_comparing_every_pair():
    rng = np.random.default_rng(0)
    train, test = (
        (torch.from_numpy(rng.integers(3, size=(n, 2))), torch.from_numpy(rng.integers(2, size=(n, 1))))
        for n in (9, 40)
    )
    pairs = [torch.cat(columns, dim=1) for columns in (train, test)]
    by_hand = sum(any(torch.equal(row, other) for other in pairs[0]) for row in pairs[1])
    assert 0 < shared_examples(train, test) == by_hand < 40


def numbered(tmp_path, n_bytes=60_000):
    """A text in which every place is recognised: numbers one after the other."""
    text = "".join(f"{i:06d} " for i in range(n_bytes // 7))
    file = tmp_path / "numbers.txt"
    file.write_text(text)
    return file


def test_text_is_held_out_in_blocks(tmp_path):
    """Every held-out window but those at the ends of a block lies between held-out ones; blocks cover the text."""
    context = 32
    file = numbered(tmp_path)
    windows = load_windows(context, "full", file)
    text = file.read_bytes()
    starts = [
        sorted(text.index(bytes(row.tolist())) // context for row in part) for part in (windows.train, windows.test)
    ]
    assert sorted(starts[0] + starts[1]) == list(range(len(text) // context))
    held = np.array(starts[1])
    runs = np.split(held, np.flatnonzero(np.diff(held) > 1) + 1)
    assert len(runs) == 10
    assert min(map(len, runs)) > 10
    assert len(held) == pytest.approx(0.1 * len(text) / context, rel=0.1)
    # no byte is predicted both in training and in testing
    targets = [{start * context + 1 + k for start in part for k in range(context)} for part in starts]
    assert not targets[0] & targets[1]


def test_windows_that_training_holds_are_left_out_and_counted(tmp_path):
    text = numbered(tmp_path).read_bytes()
    context = 32
    licence = text[: context + 1]
    file = tmp_path / "with_licence.txt"
    at = 180 * context  # inside the first held-out block, the tenth of a hundred
    file.write_bytes(text[:at] + licence + text[at + context + 1 :])
    windows = load_windows(context, "full", file)
    assert "; 1 held-out windows that training holds too are left out" in windows.source
    assert shared_examples((windows.train,), (windows.test,)) == 0
    repeated = tmp_path / "repeated.txt"
    repeated.write_bytes(b"ab" * 5000)
    assert len(load_windows(context, "full", repeated).test) > 0


@pytest.mark.parametrize("n_bytes", [65, 97, 200, 330, 5000])
def test_short_texts_keep_a_held_out_part(tmp_path, n_bytes):
    file = tmp_path / "short.txt"
    file.write_bytes(bytes(np.random.default_rng(0).integers(256, size=n_bytes, dtype=np.uint8)))
    windows = load_windows(32, "full", file)
    assert len(windows.train) > 0
    assert len(windows.test) > 0
    assert len(windows.train) + len(windows.test) == (n_bytes - 1) // 32


def test_scenes_for_testing_hold_digits_that_training_never_saw(monkeypatch):
    from lastiterate.experiments.workloads import detector

    pools = []
    scenes = detector._scenes
    monkeypatch.setattr(detector, "_scenes", lambda *given: pools.append(given[2]) or scenes(*given))
    load_workload("detector")
    train, test = ({image.tobytes() for image in images} for images in pools)
    assert len(train) + len(test) == 1797
    assert not train & test
