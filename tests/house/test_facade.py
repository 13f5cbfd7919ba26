"""The facade: lazy, complete, fast to import."""

import subprocess
import sys
from pathlib import Path

import pytest

import lastiterate
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


def test_every_public_module_says_what_is_meant_for_others():
    """The stand-alone checker is a script; packages and one-line modules of old names find their names lazily."""
    root = Path(lastiterate.__file__).parent
    silent = [
        str(path.relative_to(root))
        for room in ("theory", "solvers", "experiments", "paper_figures")
        for path in sorted((root / room).rglob("*.py"))
        if path.name[0] != "_" and "__all__" not in path.read_text() and "= moved(" not in path.read_text()
    ]
    assert silent == ["theory/certificates/check_certificate.py"]
