"""Optional packages: imported where they are used, with an error that names the extra to install."""

from importlib import import_module
from types import ModuleType

from lastiterate.theory.base.errors import LastIterateError

__all__ = ["MissingExtraError", "require"]


class MissingExtraError(LastIterateError, ImportError):
    """An optional package is not installed; the message says which extra brings it."""


def require(module: str, extra: str, *, purpose: str) -> ModuleType:
    """Import ``module`` or say how to get it.

    Parameters
    ----------
    module : str
        Import name of the optional package.
    extra : str
        The extra of this distribution that installs it.
    purpose : str
        What needs it; the message starts with these words.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the package is not installed.

    Examples
    --------
    >>> require("a_package_nobody_has", "optimizers", purpose="the optimizer 'x'")
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.extras.MissingExtraError: the optimizer 'x' needs the package \
a_package_nobody_has; install it with: pip install 'lastiterate[optimizers]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]}; "
            f"install it with: pip install 'lastiterate[{extra}]'"
        ) from error
