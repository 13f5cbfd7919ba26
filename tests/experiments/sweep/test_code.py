"""The code in a run's key: what decides the result takes part, what does not leaves stored runs done."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from lastiterate.experiments.sweep import code
from lastiterate.experiments.sweep.code import code_version, package_code, user_files
from lastiterate.experiments.sweep.specs import RunSpec
from lastiterate.experiments.sweep.sweep import run_sweep

MINE = '"""Mine."""\nfrom helper import loss\n\ndef f(spec):\n    return {"loss": loss()}\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A user's folder: a target and the module beside it that it imports."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("def loss():\n    return 1.0\n")
    (tmp_path / "unused.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("helper", "pack"):
        sys.modules.pop(name, None)


def test_the_files_that_decide_a_run(project):
    spec = RunSpec(f"function:{project / 'mine.py'}:f")
    assert [file.name for file in user_files(spec)] == ["helper.py", "mine.py"]
    assert [file.name for file in user_files(RunSpec("function:mine:f"))] == ["helper.py", "mine.py"]
    assert user_files(RunSpec("function:builtins:sum")) == user_files(RunSpec("problem:absolute")) == []
    assert [file.name for file in user_files(RunSpec("function:json:loads"))] == ["__init__.py"]


def test_packages_and_relative_imports(project):
    package = project / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("from .other import g\nfrom . import third\n")
    (package / "other.py").write_text("def g(): ...\n")
    (package / "third.py").write_text("import helper\n")
    names = {file.name for file in user_files(RunSpec("function:pack.part:g"))}
    assert names == {"part.py", "other.py", "third.py", "helper.py", "__init__.py"}


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("importlib.import_module('helper')", {"helper.py"}),
        ("import_module('.third', __package__)", {"third.py"}),
        ("import_module('numpy.linalg')", set()),
        ("import_module(name)", {"third.py", "fourth.py"}),  # any of those beside it
        ("import_module(f'.{name}', __package__)", {"third.py", "fourth.py"}),
    ],
)
def test_modules_that_are_imported_by_a_call(project, call, found):
    package = project / "pack"
    package.mkdir()
    for name in ("__init__", "third", "fourth"):
        (package / f"{name}.py").write_text("")
    (package / "part.py").write_text(f"import importlib\n\ndef f(spec):\n    return {call}\n")
    names = {file.name for file in user_files(RunSpec("function:pack.part:f"))} - {"__init__.py"}
    assert names == {"part.py", *found}


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("mine.py", MINE.replace("loss()", "2.0"), True),
        ("helper.py", "def loss():\n    return 2.0\n", True),
        ("mine.py", MINE.replace("Mine.", "Other words.") + "# a remark\n", False),
        ("unused.py", "x = 2\n", False),
        ("mine.py", "this does not parse", True),
    ],
)
def test_edits_that_change_the_key(project, name, text, changes):
    spec = RunSpec(f"function:{project / 'mine.py'}:f")
    before = code_version(spec)
    (project / name).write_text(text)
    assert (code_version(spec) != before) is changes


def test_an_edited_helper_is_run_anew_in_the_same_process(project):
    spec = RunSpec(f"function:{project / 'mine.py'}:f")
    runs = [run_sweep([spec], project / "runs.db", n_jobs=1) for _ in range(2)]
    assert [run.n_executed for run in runs] == [1, 0]
    (project / "helper.py").write_text("def loss():\n    return 2.5\n")
    again = run_sweep([spec], project / "runs.db", n_jobs=1)
    assert again.records[0].metrics == {"loss": 2.5}
    assert again.n_executed == 1


def test_the_package_key_ignores_documents_and_plots(tmp_path, monkeypatch):
    (tmp_path / "theory" / "problems").mkdir(parents=True)
    source = tmp_path / "theory" / "problems" / "a.py"
    monkeypatch.setattr(code, "_ROOT", tmp_path)
    monkeypatch.setattr(code, "_DECIDING", ("theory/problems",))

    def key(text):
        source.write_text(text)
        package_code.cache_clear()
        return package_code()

    plain = key("def f():\n    return 1\n")
    assert key('def f():\n    """Say what."""\n    return 1  # why\n') == plain
    assert key("def f():\n    return 2\n") != plain
    package_code.cache_clear()


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("part.py", "from .inner.other import g\n\n\ndef f():\n    return 2 * g()\n", True),
        ("inner/other.py", "def g():\n    return 1.5\n", True),
        ("inner/other.py", 'def g():\n    """Say what."""\n    return 1  # why\n', False),
        ("unused.py", "x = 2\n", False),
    ],
)
def test_functions_of_our_own_are_keyed_by_what_they_import(project, monkeypatch, name, text, changes):
    package = project / "ours"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("")
    (package / "part.py").write_text("from .inner.other import g\n\n\ndef f():\n    return g()\n")
    (package / "inner" / "other.py").write_text("def g():\n    return 1\n")
    (package / "unused.py").write_text("x = 1\n")
    monkeypatch.setattr(code, "_PACKAGE", "ours")
    monkeypatch.setitem(sys.modules, "ours", SimpleNamespace(__file__=str(package / "__init__.py")))
    spec = RunSpec("function:ours.part:f")
    before = code_version(spec)
    (package / name).write_text(text)
    assert (code_version(spec) != before) is changes
    assert user_files(spec) == []


def test_the_key_is_the_same_in_another_process(project):
    spec = RunSpec(f"function:{project / 'mine.py'}:f")
    text = (
        "from lastiterate.experiments.sweep.code import code_version as c\n"
        "from lastiterate.experiments.sweep.specs import RunSpec as R\n"
        f"print(c(R({spec.target!r})))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == code_version(spec)
