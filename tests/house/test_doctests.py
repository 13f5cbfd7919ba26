"""Every example in a docstring runs."""

import doctest
import pkgutil
from importlib import import_module

import pytest

PACKAGES = [
    "lastiterate",
    "lastiterate.theory",
    "lastiterate.solvers",
    "lastiterate.experiments",
    "lastiterate.paper_figures",
]
MODULES = sorted(
    {
        info.name
        for package in PACKAGES
        for info in pkgutil.walk_packages(import_module(package).__path__, f"{package}.")
        if not info.name.endswith("__main__")
    }
    | {"lastiterate"}
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    outcome = doctest.testmod(import_module(name), optionflags=flags)
    assert outcome.failed == 0
