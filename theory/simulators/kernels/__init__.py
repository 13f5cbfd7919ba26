"""Compiled loops, oracles and vector arithmetic of the simulators."""
