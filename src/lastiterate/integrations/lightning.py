"""Schedules and gradient norms for Lightning."""

from lastiterate.theory.base.extras import require

require("torch", "integrations", purpose="the Lightning adapter")
from lastiterate.experiments.integrations.lightning import GradNormCallback, scheduled  # noqa: E402

__all__ = ["GradNormCallback", "scheduled"]
