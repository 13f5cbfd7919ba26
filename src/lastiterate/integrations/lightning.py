"""Schedules and gradient norms for Lightning."""

from lastiterate.experiments.integrations.lightning import GradNormCallback, scheduled

__all__ = ["GradNormCallback", "scheduled"]
