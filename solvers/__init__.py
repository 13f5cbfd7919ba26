"""What must be solved numerically: semidefinite worst cases, schedule design, schedule search."""

from typing import Any

# Imported as a top-level name this folder would shadow, or be shadowed by, the user's own, and poison Numba's cache.
if __name__ == "solvers":
    raise ImportError("import lastiterate.solvers, not solvers")

__all__ = ["exact_rate_program"]


def __getattr__(name: str) -> Any:
    """Load a public function on first use (PEP 562)."""
    if name != "exact_rate_program":
        raise AttributeError(f"module 'lastiterate.solvers' has no attribute {name!r}")
    from .design.program import exact_rate_program

    return exact_rate_program
