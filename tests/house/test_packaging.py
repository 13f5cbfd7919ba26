"""The distribution: what it contains, and that it imports beside a user's own folders of the same names."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_FOLDERS = ("theory", "solvers", "experiments", "paper_figures")


@pytest.fixture(scope="module")
def users_project(tmp_path_factory):
    """A folder with the user's own modules under the names of our folders."""
    project = tmp_path_factory.mktemp("project")
    for folder in PACKAGE_FOLDERS:
        (project / folder).mkdir()
        (project / folder / "__init__.py").write_text('OWNER = "the user"\n')
    return project


CHECK = """
import sys
import tomllib
import theory, solvers, experiments, paper_figures
assert {m.OWNER for m in (theory, solvers, experiments, paper_figures)} == {"the user"}
import lastiterate as li
import lastiterate.solvers, lastiterate.experiments.workloads, lastiterate.paper_figures, lastiterate.theory.simulators
print(li.__file__)
assert li.schedules.linear(2).tolist() == [1.0, 0.5]
"""


def run_in(project, **environment):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_installed_package_lives_beside_the_users_folders(users_project):
    run_in(users_project)


@pytest.mark.slow
def test_wheel_lives_beside_the_users_folders(built, users_project, tmp_path):
    (wheel,) = built.glob("*.whl")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "site", wheel],
        check=True,
    )
    assert run_in(users_project, PYTHONPATH=str(tmp_path / "site")).is_relative_to(tmp_path / "site")


@pytest.mark.slow
def test_wheel_holds_exactly_the_tracked_package_files(built, tracked_files):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for name in tracked_files:
        top, _, rest = name.partition("/")
        if top in PACKAGE_FOLDERS:
            expected.add(f"lastiterate/{name}")
        elif name.startswith("src/") and not (ROOT / name).is_symlink():
            expected.add(rest)
    assert inside == expected


@pytest.mark.slow
def test_sdist_is_complete_enough_to_build_the_wheel(built):
    assert len(list(built.glob("*.tar.gz"))) == 1


@pytest.mark.parametrize("folder", PACKAGE_FOLDERS)
def test_a_folder_refuses_to_be_a_top_level_package(folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"import lastiterate.{folder}, not {folder}" in done.stderr


UNMEASURED = {"torch": "2.13.0"}
"""Where the oldest version that was run is later than the declared minimum."""


def test_the_oldest_constraints_are_the_declared_minima():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + [line for lines in project["optional-dependencies"].values() for line in lines]
    wanted = {}
    for requirement in map(Requirement, declared):
        if requirement.name != "lastiterate":
            (bound,) = requirement.specifier  # one lower bound or one pin
            assert bound.operator in (">=", "==")
            wanted[requirement.name] = Version(UNMEASURED.get(requirement.name, bound.version))
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    assert {name: Version(version) for name, version in pins} == wanted
    assert len(pins) == len(wanted)
