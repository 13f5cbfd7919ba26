"""Adapters for training frameworks and experiment trackers; each needs its framework installed."""
