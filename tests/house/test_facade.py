"""The facade: lazy, complete, fast to import."""

import subprocess
import sys

import pytest

import lastiterate as li


@pytest.mark.parametrize("name", li.__all__)
def test_every_public_name_loads(name):
    assert getattr(li, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = li.nonsense


def test_dir_lists_the_public_names():
    assert set(dir(li)) == set(li.__all__)


def test_import_loads_no_heavy_package():
    heavy = ("cvxpy", "torch", "matplotlib.pyplot", "numba", "scipy", "numpy", "sklearn")
    code = f"import sys, lastiterate; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_theory_loads_neither_cvxpy_nor_torch_nor_pyplot():
    code = (
        "import sys, pkgutil, importlib, lastiterate.theory as t\n"
        "for info in pkgutil.walk_packages(t.__path__, 'lastiterate.theory.'): importlib.import_module(info.name)\n"
        "print([m for m in ('cvxpy', 'torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
