"""The errors that are the package's own, below one common class; `InputError` is for what a caller gave."""

__all__ = ["LastIterateError", "SolverError"]


class LastIterateError(Exception):
    """Base of the package's errors."""


class SolverError(LastIterateError, RuntimeError):
    """A solver is not installed, or it stopped without anything that could be certified."""
