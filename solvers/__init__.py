"""What must be solved numerically: semidefinite worst cases, schedule design, schedule search."""

# Imported as a top-level name this folder would shadow, or be shadowed by, the user's own, and poison Numba's cache.
if __name__ == "solvers":
    raise ImportError("import lastiterate.solvers, not solvers")
