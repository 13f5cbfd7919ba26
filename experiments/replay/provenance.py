"""Where a result comes from: versions, machine, device, command."""

import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lastiterate.experiments.training.train import TrainingSettings

__all__ = ["provenance"]

PACKAGES = ("lastiterate", "torch", "numpy", "scipy", "numba")


def provenance(settings: TrainingSettings, *, seeds: list[int], seconds: float) -> dict[str, Any]:
    """Return versions, machine, device, seeds, command and wall time."""
    import torch

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    cuda = settings.device.startswith("cuda")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": torch.cuda.get_device_name() if cuda else settings.device,
        "settings": asdict(settings),
        "seeds": seeds,
        "seconds": seconds,
    }
