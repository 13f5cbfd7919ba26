"""Checks against rot, each in an environment of its own: `nox -s oldest`, or all of them with `nox`.

A session that cannot run here (no interpreter, no network) is skipped and says so.
"""

import json
import os
import random
import shutil
import sys
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["oldest", "newest", "pythons", "coverage", "build", "audit"]

# pyenv's shims answer only for the version that is chosen; its other interpreters are there all the same
for folder in Path.home().glob(".pyenv/versions/3.1[23].*/bin"):
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
# the build for CPUs that every environment takes: any other range admits a build for GPUs of several gigabytes
TORCH = next(line for line in Path("constraints.txt").read_text().splitlines() if line.startswith("torch=="))
EVERYTHING = ".[torch,tensorboard,wandb,optuna,parquet,data,cluster,optimizers,integrations,notebook,test]"
IN_PARALLEL = ("-n", "2", "--dist", "loadfile")
QUIET = ("-q", "--no-header", "-r", "fEs")  # skipped tests say why
# tests of compiled functions that are small enough to run as Python, where coverage sees them
INTERPRETED = [
    *(f"simulators/test_{name}.py" for name in ("interpreted", "averages", "estimation_parity")),
    *(
        f"simulators/test_mechanic.py::test_{name}"
        for name in ("regret_identity_of_the_reduction", "kernel_vs_literal_paper_form")
    ),
    "simulators/test_distance_estimation.py::test_kernel_vs_literal_algorithm",
    "simulators/test_distance_estimation.py::test_start_at_the_minimum_and_zero_rates_are_harmless",
    "simulators/test_polyak.py::test_momo_identity_and_contraction",
    "simulators/test_polyak.py::test_sps_max_vs_momo_without_momentum",
    "simulators/test_polyak.py::test_sp_vs_sps_max",
    "simulators/test_polyak.py::test_taps_step_vs_least_norm_projection",
    "simulators/test_polyak.py::test_motaps_vs_literal_algorithm",
    "simulators/test_polyak.py::test_zero_gradients_are_harmless",
    "simulators/test_methods.py::test_batches_vs_python_generator",
    "problems/test_linear_regression.py::test_losses_vs_literal_mean_and_variance",
    *(f"rates/test_{name}.py" for name in ("averages", "pivots", "recorded_run", "sgd", "varying")),
    *(f"rates/methods/test_{name}.py" for name in ("blocks", "intervals", "last_row", "momentum")),
    *(f"optimal/test_{name}.py" for name in ("closed_form", "merge")),
    "optimal/test_anytime.py::test_ratios_vs_rates_of_the_library",
    "optimal/test_anytime.py::test_price_vs_cone_program",
    "optimal/test_anytime.py::test_average_vs_semidefinite_program",
    "optimal/test_batches.py::test_closed_form_vs_cone_program",
    "optimal/test_batches.py::test_rule_of_seesaw_is_the_limit_of_large_noise",
    "laws",
]
FLOORS = {"theory": 95, "solvers": 95, "experiments": 85, "paper_figures": 85, "commands": 85}


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """The oldest versions that pyproject.toml admits, from a folder with spaces and without a home to write to.

    What is committed is cloned, always to one place, so that an environment that is used again finds it.
    """
    session.env["CI"] = "1"
    folder = Path(session.virtualenv.location, "a path with spaces").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    session.run("git", "clone", "--quiet", ".", str(folder), external=True)
    with session.chdir(folder):
        session.install(TORCH)
        session.install("--editable", EVERYTHING, "--constraint", "constraints-oldest.txt")
        # nobody, not even root, can create a file below /proc
        nowhere = {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/cache", "XDG_CONFIG_HOME": "/proc/config"}
        # old packages warn of what their own newest dependencies have deprecated
        old = ("-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning")
        session.run("pytest", *IN_PARALLEL, *QUIET, *old, *session.posargs, env=nowhere if os.name == "posix" else {})


@nox.session(python="3.11")
def newest(session: nox.Session) -> None:
    """The newest versions there are, tests in random order: ``-- --random-order-seed=SEED`` repeats one.

    With ``CI`` set it is one order of them, as hypothesis draws one set of examples then.
    """
    seed = 1 if "CI" in os.environ else random.randrange(10**6)
    session.env["CI"] = "1"
    session.install(TORCH)
    session.install("--upgrade", "--upgrade-strategy", "eager", "--editable", EVERYTHING, TORCH)
    session.run("pytest", *IN_PARALLEL, *QUIET, f"--random-order-seed={seed}", *session.posargs)


@nox.session(python=["3.12", "3.13"])
def pythons(session: nox.Session) -> None:
    """Newer interpreters, without torch: what needs it skips.

    What an interpreter can change is how Python, Numba and the solvers meet: all public functions with good and bad
    arguments, schedules, programs, and every method on some problem; formulas are left to the other sessions.
    """
    session.env["CI"] = "1"
    tools = [tool for tool in PROJECT["optional-dependencies"]["test"] if not tool.startswith("dog-optimizer")]
    session.install("--editable", ".[notebook]", *tools, "--constraint", "constraints.txt")
    rooms = ("base", "schedules", "laws", "problems", "simulators/test_simulate.py", "simulators/test_extremes.py")
    tests = ("tests/contracts", "tests/solvers", *(f"tests/theory/{name}" for name in rooms))
    session.run("pytest", *IN_PARALLEL, *QUIET, *(session.posargs or tests))


@nox.session(venv_backend="none")
def coverage(session: nox.Session) -> None:
    """Lines that the default tests and the figures reach; compiled functions run as Python on small sizes.

    ``nox -s coverage -- measured`` takes tests and figures that ran before, by ``make test test-figures COVER=...``.
    """
    data = Path("out", "coverage").absolute()
    cover = ("--cov", "--cov-append", "--cov-report=")
    session.env.update(CI="1", COVERAGE_FILE=str(data / "data"))
    if session.posargs != ["measured"]:
        shutil.rmtree(data, ignore_errors=True)
        session.run("make", "test", "test-figures", f"COVER={' '.join(cover)}", external=True)
    small = [f"tests/theory/{name}" for name in INTERPRETED]
    # as Python, 64-bit counters say that they wrap around
    loud = ("-W", "ignore::RuntimeWarning")
    command = (sys.executable, "-m", "pytest", *QUIET, *cover, *IN_PARALLEL, *small, *loud)
    session.run(*command, env={"NUMBA_DISABLE_JIT": "1"})
    session.run(sys.executable, "-m", "coverage", "html", "--quiet", "--directory", str(data / "html"))
    for room, floor in FLOORS.items():
        session.run(sys.executable, "-m", "coverage", "report", f"--include=*/{room}/*", f"--fail-under={floor}")


@nox.session(python="3.11")
def build(session: nox.Session) -> None:
    """The source archive and the wheel, and what the index would say of them."""
    session.install("build", "twine")
    folder = session.create_tmp()
    session.run("python", "-m", "build", "--outdir", folder)
    session.run("twine", "check", "--strict", *map(str, Path(folder).iterdir()))


@nox.session(python="3.11")
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what constraints.txt pins."""
    session.install("pip-audit")
    found = Path(session.create_tmp(), "audit.json")
    pinned = ("--requirement", "constraints.txt", "--no-deps", "--disable-pip", "--progress-spinner", "off")
    session.run("pip-audit", *pinned, "--format", "json", "--output", str(found), success_codes=[0, 1], silent=True)
    packages = json.loads(found.read_text())["dependencies"] if found.exists() else []
    if not any("vulns" in package for package in packages):
        session.skip("no database of vulnerabilities can be reached from here")
    known = [f"{package['name']} {entry['id']}" for package in packages for entry in package.get("vulns", [])]
    if known:
        session.error("known vulnerabilities: " + ", ".join(known))


@nox.session(venv_backend="none")
def mutate(session: nox.Session) -> None:
    """Small changes of the sources that no test notices, against the list of those that change no result."""
    session.run(sys.executable, "-m", "pip", "install", "--quiet", "mutmut>=3.8,<4")
    session.run(sys.executable, "tests/mutation.py", *session.posargs)
