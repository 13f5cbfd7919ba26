"""Adapters for Hugging Face, Lightning, optax, trackers of experiments and optuna; snippets that use them."""
