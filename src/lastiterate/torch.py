"""The torch layer: schedulers, the gradient-norm recorder and optimizers by name."""

from lastiterate.experiments.training.optimizers import make_optimizer
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.experiments.training.schedule import ScheduleLR

__all__ = [
    "ScheduleLR",
    "GradNormRecorder",
    "make_optimizer",
]
