"""What happens on real workloads: gradient norms, replays, sweeps, reports."""

# Imported as a top-level name this folder would shadow, or be shadowed by, the user's own, and poison Numba's cache.
if __name__ == "experiments":
    raise ImportError("import lastiterate.experiments, not experiments")
