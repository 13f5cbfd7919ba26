"""What torch keeps for the whole process: generators, threads, determinism; set for a run and put back."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch

from lastiterate.theory.base.validation import InputError

__all__ = ["environment", "reserve_workspace", "tensor_cores"]

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_FIXED = (":4096:8", ":16:8")  # the two sizes at which cuBLAS gives the same bits every time


def reserve_workspace(device: torch.device) -> None:
    """Ask for the workspace at which cuBLAS is deterministic; torch reads the setting at the first use of the device.

    Raises
    ------
    InputError
        If the device is in use already and the setting is absent: it would come too late, and nobody would notice.
    """
    if device.type != "cuda" or os.environ.get(_WORKSPACE) in _FIXED:
        return
    if torch.cuda.is_initialized():
        found = f"True, with {_WORKSPACE} = {os.environ.get(_WORKSPACE)!r} and {device} in use already"
        expected = f"settings made before the device is used, or {_WORKSPACE}={_FIXED[0]} set before Python starts"
        raise InputError("deterministic", found, expected)
    os.environ[_WORKSPACE] = _FIXED[0]


@contextmanager
def environment(*, device: torch.device, seed: int, threads: int, deterministic: bool) -> Generator[None]:
    """Seeded generators, threads and determinism for one run; all of it is put back afterwards."""
    before_threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(before or deterministic)
            torch.backends.cudnn.benchmark = benchmark and not deterministic
            torch.manual_seed(seed)
            yield
        finally:
            torch.set_num_threads(before_threads)
            torch.use_deterministic_algorithms(before)
            torch.backends.cudnn.benchmark = benchmark


def tensor_cores() -> dict[str, bool]:
    """Return whether single-precision products and convolutions may be rounded to TF32 (10 bits) on a CUDA device.

    Torch's own defaults are False for products and True for convolutions.

    >>> sorted(tensor_cores())
    ['convolutions', 'products']
    """
    return {
        "products": torch.get_float32_matmul_precision() != "highest",
        "convolutions": bool(torch.backends.cudnn.allow_tf32),
    }
