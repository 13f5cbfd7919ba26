"""The torch layer: schedulers, the gradient-norm recorder and optimizers by name."""

from lastiterate.theory.base.extras import require

require("torch", "torch", purpose="lastiterate.torch")
from lastiterate.experiments.training.optimizers import make_optimizer  # noqa: E402
from lastiterate.experiments.training.recorder import GradNormRecorder  # noqa: E402
from lastiterate.experiments.training.schedule import ScheduleLR  # noqa: E402

__all__ = [
    "ScheduleLR",
    "GradNormRecorder",
    "make_optimizer",
]
