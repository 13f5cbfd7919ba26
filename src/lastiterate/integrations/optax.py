"""Schedules and gradient norms for optax."""

from lastiterate.experiments.integrations.optax import optax_schedule, record_norms

__all__ = ["optax_schedule", "record_norms"]
