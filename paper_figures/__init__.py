"""The figures of the literature, one module each, behind one registry."""

# Imported as a top-level name this folder would shadow, or be shadowed by, the user's own, and poison Numba's cache.
if __name__ == "paper_figures":
    raise ImportError("import lastiterate.paper_figures, not paper_figures")
