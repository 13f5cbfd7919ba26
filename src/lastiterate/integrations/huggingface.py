"""Schedules and gradient norms for Hugging Face Trainer."""

from lastiterate.theory.base.extras import require

require("torch", "integrations", purpose="the Hugging Face adapter")
from lastiterate.experiments.integrations.huggingface import GradNormCallback, scheduled_trainer  # noqa: E402

__all__ = ["GradNormCallback", "scheduled_trainer"]
