"""What the mathematics says: schedules, rates, certificates, simulators (NumPy and Numba only)."""

# Imported as a top-level name this folder would shadow, or be shadowed by, the user's own, and poison Numba's cache.
if __name__ == "theory":
    raise ImportError("import lastiterate.theory, not theory")
