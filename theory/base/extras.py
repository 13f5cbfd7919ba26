"""Optional packages: imported where they are used, with an error that names the extra to install."""

import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from types import ModuleType

from lastiterate.theory.base.errors import LastIterateError

__all__ = ["MissingExtraError", "install_hint", "missing_extra", "require"]

_REQUIREMENT = re.compile(r"""([\w.-]+).*;.*extra == ["'](\w+)["']""")
_OURS = ("docs", "test", "dev")  # extras of those who work on the package


class MissingExtraError(LastIterateError, ImportError):
    """An optional package is not installed; the message says which extra brings it."""


def install_hint(extra: str) -> str:
    """Return the command that installs an extra.

    >>> install_hint("torch")
    'pip install "lastiterate[torch]"'
    """
    return f'pip install "lastiterate[{extra}]"'


def missing_extra(error: ModuleNotFoundError) -> ModuleNotFoundError | MissingExtraError:
    """Return the error of an import with the extra that would bring the module, or the error itself.

    >>> str(missing_extra(ModuleNotFoundError("No module named 'torch'", name="torch")))
    'torch is not installed; install it with: pip install "lastiterate[torch]"'
    >>> str(missing_extra(ModuleNotFoundError("No module named 'another'", name="another")))
    "No module named 'another'"
    """
    module = (error.name or "").partition(".")[0]
    try:
        lines = requires("lastiterate") or []
    except PackageNotFoundError:
        return error
    for found in filter(None, map(_REQUIREMENT.match, lines)):
        if found[2] not in _OURS and found[1].replace("_", "-") == module.replace("_", "-"):
            return MissingExtraError(f"{module} is not installed; install it with: {install_hint(found[2])}")
    return error


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
a_package_nobody_has; install it with: pip install "lastiterate[optimizers]"
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]}; install it with: {install_hint(extra)}"
        ) from error
