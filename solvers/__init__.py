"""What must be solved numerically: semidefinite worst cases, schedule design, schedule search."""

import lazy_loader as _lazy

# Imported as a top-level name this folder would shadow, or be shadowed by, the user's own, and poison Numba's cache.
if __name__ == "solvers":
    raise ImportError("import lastiterate.solvers, not solvers")

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
