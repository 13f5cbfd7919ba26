"""Simulators of the methods on convex problems: `simulate` runs them, `methods` lists them, `kernels` computes."""
