"""The wheel, installed outside the repository: its data files, its commands, and what it says where torch is absent."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

pytestmark = pytest.mark.slow

HIDE_TORCH = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

import importlib.util

found_by_name = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else found_by_name(name, package)
sys.meta_path.insert(0, Hidden())
"""

RUN = """
import contextlib, io, json
import lastiterate
from lastiterate.cli import main

found = {"file": lastiterate.__file__}
for words in json.loads(sys.argv[1]):
    said, sys.argv[1:] = io.StringIO(), words.split()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    found[words] = [code, " ".join(said.getvalue().split())]
json.dump(found, sys.stdout)
"""

SWEEP = '[[run]]\ntarget = "workload:digits_logistic"\nschedule = "linear"\nbase_lr = 0.1\nn_steps = 4\n'
NEED_TORCH = [
    "demo --out demo",
    "replay digits_logistic --out replay",
    "replay digits_logistic --dry-run",
    "replay digits_logistic --log csv:runs.csv",
    "report replay.json",
    "evidence",
    "gpu",
    "search workload:digits_logistic --shapes 2",
    "figures deep-learning --quick --out figures",
    "merge linear -n 4 --last 2 --file a.pt --file b.pt --out merged.pt",
]
NEED_NO_TORCH = [
    "compare linear cosine -n 50 --plot compare.png",  # the style sheet
    "optimal -n 20 --out schedule.json",
    "bound schedule.json",
    "refine norms.csv --rule sgd --out refined.json --snippet torch",
    "figures --list",
    "evidence --help",
    "doctor",
    "cite refine",
    "simulate absolute linear -n 20",
    "search rate -n 20 --families cosine --shapes 4 --csv trials.csv",
]
ADAPTERS = ["torch", "integrations.huggingface", "integrations.lightning", "integrations.tracking"]


@pytest.fixture(scope="module")
def site(built, tmp_path_factory):
    """A folder with nothing but the wheel; its dependencies are those of this interpreter."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel]
    subprocess.run(install, check=True)
    return folder


def python(site, folder, code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run_commands(site, folder, code, commands):
    done = python(site, folder, code, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("file").startswith(str(site))
    return found


def test_wheel_holds_types_stubs_templates_styles_and_plans(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.removeprefix("lastiterate/") for name in archive.namelist()}
        (facts,) = [name for name in inside if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(facts).decode()
    wanted = {
        "py.typed", "__init__.pyi", "plots.pyi", "experiments/plots/style.mplstyle",
        "experiments/report/templates/report.html", "experiments/report/templates/style.css",
        "experiments/statistics/planned.toml", "experiments/evidence/study.toml",
    }  # fmt: skip
    assert wanted <= inside
    assert not [name for name in inside if name.startswith(("tests", "docs", "benchmarks"))]
    for extra in ("torch", "tensorboard", "wandb", "optuna", "integrations"):
        assert f"Provides-Extra: {extra}\n" in metadata


def test_without_torch_each_command_that_needs_it_says_how_to_get_it(site, tmp_path):
    (tmp_path / "replay.json").write_text("{}")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    for words, (code, said) in run_commands(site, tmp_path, HIDE_TORCH + RUN, NEED_TORCH).items():
        assert code == 2, words
        assert 'install it with: pip install "lastiterate[torch]"' in said, words
        assert len(said) < 200, words
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before  # nothing was begun


def test_without_torch_a_sweep_says_it_of_the_runs_that_need_it(site, tmp_path):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    found = run_commands(site, tmp_path, HIDE_TORCH + RUN, ["sweep run sweep.toml --store runs.db --n-jobs 1"])
    ((code, said),) = found.values()
    assert code != 0
    assert 'pip install "lastiterate[torch]"' in said


def test_without_torch_everything_else_runs(site, tmp_path):
    (tmp_path / "norms.csv").write_text("step,grad_norm\n" + "".join(f"{i},{1 + 3 / (i + 1)}\n" for i in range(60)))
    for words, (code, said) in run_commands(site, tmp_path, HIDE_TORCH + RUN, NEED_NO_TORCH).items():
        assert code == 0, f"{words}: {said}"
    assert {"compare.png", "schedule.json", "refined.json", "trials.csv"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("module", ADAPTERS)
def test_without_torch_an_adapter_names_its_extra(site, tmp_path, module):
    done = python(site, tmp_path, f"{HIDE_TORCH}\nimport lastiterate.{module}")
    extra = "integrations" if module in ("integrations.huggingface", "integrations.lightning") else "torch"
    assert f'torch; install it with: pip install "lastiterate[{extra}]"' in done.stderr
