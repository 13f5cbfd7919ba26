"""Certified minima of the convex problems."""
