"""Searches as studies of optuna."""

from lastiterate.experiments.integrations.optuna import to_optuna

__all__ = ["to_optuna"]
