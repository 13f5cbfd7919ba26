"""A damaged Numba cache is compiled again with a warning, and gives the same numbers."""

import os
import subprocess
import sys

import numpy as np
import pytest

CODE = """
import sys
from lastiterate.theory.base.jit import compiled

def total(values):
    s = 0.0
    for v in values:
        s += v * v
    return s

import numpy as np
print(compiled(total)(np.arange(5.0)))
"""


def run(folder):
    if not (folder / "code.py").exists():  # written anew it would be younger than its cache
        (folder / "code.py").write_text(CODE)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "code.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_files_cut_short_or_spoilt_heal(tmp_path, ending):
    assert run(tmp_path).stdout.strip() == "30.0"
    (file,) = (tmp_path / "cache").rglob(f"*.{ending}")
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for damaged in (b"", content[: len(content) // 2], content[:-1], rng.bytes(50)):
        file.write_bytes(damaged)
        healed = run(tmp_path)
        assert healed.stdout.strip() == "30.0"
        assert "CacheWarning" in healed.stderr
        again = run(tmp_path)
        assert (again.stdout.strip(), again.stderr) == ("30.0", "")


def test_other_names_are_no_options():
    from lastiterate.theory.base import jit

    assert jit.JIT["cache"] is True
    with pytest.raises(AttributeError, match="no attribute 'FAST'"):
        _ = jit.FAST
