"""Replays: baseline, recorded norms, refined schedule, comparison over seeds and base learning rates."""
