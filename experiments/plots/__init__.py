"""Every picture, one file an idea, in one style; ``<name>(result, ax=None)`` draws on pyplot's current axes."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
