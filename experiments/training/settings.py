"""How runs are carried out: device, precision, clipping, determinism."""

from dataclasses import dataclass

import torch

from lastiterate.theory.base.validation import check_choice, check_count, check_positive

from .averaging import check_average
from .distributed import check_device
from .environment import reserve_workspace

__all__ = ["PRECISIONS", "TrainingSettings"]

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precision by name, to the type of autocast (None: no autocast)."""


@dataclass(frozen=True)
class TrainingSettings:
    """How runs are carried out; the defaults suit a small model on the CPU.

    Attributes
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
    precision : {"float32", "bf16", "fp16"}
        Mixed precision by autocast; ``"fp16"`` scales the loss, and repeats a step whose gradient overflowed at a
        smaller scale.
    clip : float, optional
        Largest L2 norm of the gradient; norms are recorded before clipping.
    accumulate : int
        Number of parts in which the gradient of a batch is computed.
    compile : bool
        Whether the model goes through ``torch.compile``.
    deterministic : bool
        Whether torch must refuse nondeterministic kernels. On CUDA make the settings before anything else uses the
        device: cuBLAS reads its own setting once.
    threads : int
        Threads of one run on the CPU; one is fastest for small models, and results depend on it in the last bits.
    average : str, optional
        An average of the weights that is evaluated too, ``ema:decay=0.999`` or ``tail:start=0.8``: each metric then has
        a second one, such as ``"accuracy of the average"``.

    Raises
    ------
    InputError
        For a device that is absent, or a value out of range.

    Examples
    --------
    >>> TrainingSettings(precision="bf16", clip=1.0).device
    'cpu'
    """

    device: str = "cpu"
    precision: str = "float32"
    clip: float | None = None
    accumulate: int = 1
    compile: bool = False
    deterministic: bool = False
    threads: int = 1
    average: str | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        device = check_device(self.device)
        check_choice(self.precision, "precision", PRECISIONS)
        if self.clip is not None:
            check_positive(self.clip, "clip")
        check_count(self.accumulate, "accumulate")
        check_count(self.threads, "threads")
        if self.average is not None:
            check_average(self.average)
        if self.deterministic:
            reserve_workspace(device)
