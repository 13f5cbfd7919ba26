"""Numba kernels of the methods, one file a family."""
