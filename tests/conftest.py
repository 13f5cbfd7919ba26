"""Settings that every test shares."""

import hashlib
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import settings

# small problems run faster on one thread, and two xdist workers would fight over the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# Numba does not notice edits in a file that another one calls: every state of the sources has a cache of its own, and
# so has every version of Numba, which would otherwise throw away what another one compiled
_sources = sorted((Path(__file__).resolve().parents[1] / "theory").rglob("*.py"))
_parts = [version("numba").encode(), *(source.read_bytes() for source in _sources)]
_state = hashlib.sha256(b"".join(_parts)).hexdigest()[:16]
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), f"lastiterate-tests-{_state}")))

# the first example of a test may compile a kernel, so that a deadline would measure the compiler
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


if os.environ.get("NUMBA_DISABLE_JIT") == "1":  # for coverage
    import interpreted

    interpreted.replace_what_has_no_python_form()


@pytest.fixture(autouse=True)
def no_figures_left():
    """Pictures are drawn on pyplot's current axes: every test begins without any."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
