"""Where a result comes from: versions, machine, device, command."""

import os
import platform
import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lastiterate.experiments.training.distributed import check_device
from lastiterate.experiments.training.environment import tensor_cores
from lastiterate.experiments.training.train import TrainingSettings

__all__ = ["provenance"]

PACKAGES = ("lastiterate", "torch", "numpy", "scipy", "numba")


def provenance(settings: TrainingSettings, *, seeds: list[int], seconds: float) -> dict[str, Any]:
    """Return versions, machine, device and its rounding of single precision, seeds, command and wall time."""
    import torch

    device = check_device(settings.device)  # its index too: under torchrun each process has its own
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(sys.argv),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "tf32": tensor_cores() if device.type == "cuda" else None,
        "settings": asdict(settings),
        "seeds": seeds,
        "seconds": seconds,
    }


def _command(words: list[str]) -> str:
    """Return the words of this program's command line as a shell takes them; nothing for a call from Python.

    >>> _command(["/usr/lib/lastiterate/__main__.py", "replay", "my work.py"]), _command(["study.py"])
    ("lastiterate replay 'my work.py'", '')
    """
    program = Path(words[0])
    ours = program.name in ("lastiterate", "lastiterate.exe") or program.parts[-2:] == ("lastiterate", "__main__.py")
    return shlex.join(["lastiterate", *words[1:]]) if ours else ""
