"""Resumable grids of runs on one machine or a cluster."""
