"""The exact worst case of any fixed-step method, by semidefinite programming."""
