"""Worst-case rates: SGD, momentum, dual averaging, curves over horizons, recorded runs."""
