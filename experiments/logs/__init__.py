"""Readers of gradient-norm logs, and what theory says about recorded runs."""
