"""Adapters for training frameworks: `huggingface`, `lightning`, `optax`; each needs its framework installed."""
