"""Schedules and gradient norms for Hugging Face Trainer."""

from lastiterate.experiments.integrations.huggingface import GradNormCallback, scheduled_trainer

__all__ = ["GradNormCallback", "scheduled_trainer"]
