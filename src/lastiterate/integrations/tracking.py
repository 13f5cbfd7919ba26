"""Loggers of replays: TensorBoard, Weights & Biases, CSV."""

from lastiterate.theory.base.extras import require

require("torch", "torch", purpose="a replay, which is what there is to log,")
from lastiterate.experiments.integrations.tracking import csv, tensorboard, wandb  # noqa: E402

__all__ = ["csv", "tensorboard", "wandb"]
