"""Optional packages, as the training layer asks for them."""

from lastiterate.theory.base.extras import MissingExtraError, require

__all__ = ["MissingExtraError", "require"]
