"""The types that `py.typed` promises arrive, from an installed wheel."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PYRIGHT = shutil.which("pyright", path=str(Path(sys.executable).parent))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(PYRIGHT is None, reason="needs pyright")]
PROBE = """
import lastiterate as li
from lastiterate.schedules import cosine
from lastiterate.torch import ScheduleLR

reveal_type(li.exact_rate([0.1]))
reveal_type(li.schedules.linear(10))
reveal_type(cosine(10))
reveal_type(li.momentum_rate([0.1], 0.9))
reveal_type(li.refine([1.0, 2.0], rule="sgd"))
reveal_type(li.simulate(li.problems.absolute_value(), "sgd"))
reveal_type(li.worst_case(li.step_matrix.sgd([0.1])))
reveal_type(li.design_schedule(9))
reveal_type(li.rate_curve([0.1]))
reveal_type(ScheduleLR)
li.exact_rate("x", foo=3)
"""
REVEALED = (
    "Rate",
    "ndarray[tuple[Any, ...], dtype[float64]]",
    "ndarray[tuple[Any, ...], dtype[float64]]",
    "CertifiedRate",
    "Refinement",
    "Simulation",
    "WorstCase",
    "Design",
    "RateCurve",
    "type[ScheduleLR]",
)


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """An environment with the wheel and, behind it, the packages that it depends on."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (wheel,) = built.glob("*.whl")
    (site,) = home.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return home


def pyright(environment, *arguments, cwd):
    paths = {"VIRTUAL_ENV": str(environment), "PATH": f"{environment / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(
        [str(PYRIGHT), *arguments], cwd=cwd, env=paths, capture_output=True, text=True, check=False, timeout=560
    )
    return done.stdout


def test_facade_calls_reveal_their_types(environment, tmp_path):
    (tmp_path / "probe.py").write_text(PROBE)
    said = pyright(environment, "probe.py", cwd=tmp_path)
    revealed = [line.rpartition(' is "')[2].rstrip('"') for line in said.splitlines() if "Type of" in line]
    assert revealed == list(REVEALED), said
    assert 'No parameter named "foo"' in said


def test_public_types_are_complete(environment, tmp_path):
    said = pyright(environment, "--verifytypes", "lastiterate", "--ignoreexternal", cwd=tmp_path)
    (score,) = [line for line in said.splitlines() if "completeness score" in line]
    assert float(score.split()[-1].rstrip("%")) >= 95.0, said[-2000:]
