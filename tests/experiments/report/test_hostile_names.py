"""Names with markup, terminal sequences, mathematics, formulas and HTML in them, wherever they are shown."""

import csv
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.commands._output import emit, plain
from lastiterate.experiments.plots.style import literal
from lastiterate.experiments.sweep.outcomes import Outcome
from lastiterate.experiments.sweep.specs import RunSpec
from lastiterate.experiments.sweep.store import Store
from lastiterate.theory.base.validation import InputError

HOSTILE = [
    "[/]",
    "[red]x[/red]",
    "runs[final].json",
    "bad path [/data/x]",
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[31m",
    "a$_{b$\\frac",
    "$x$",
    "$$$",
    "=cmd()",
    "<script>alert(1)</script>",
    "\udcff",
    "\u202egnp.exe",
    "a\x00b",
]


def typed(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", HOSTILE)
def test_tables_show_names_as_they_are(name, capsys):
    emit([{f"column {name}": name, "value": 1.0}], as_json=False, title=name, extra={f"key {name}": name})
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    wanted = plain(name).plain
    assert "".join(wanted.split()) in "".join(character for character in printed if character not in " \n│┃")
    emit([{"a": name}], as_json=True, extra={})
    assert json.loads(capsys.readouterr().out)["rows"] == [{"a": name}]


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\x00" not in name and "\udcff" not in name])
def test_a_column_of_any_name_is_refined(name, tmp_path):
    column = f"grad_norm {name}"
    with (tmp_path / "log.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerows([["step", column], *([k, 2.0 - k / 40] for k in range(40))])
    picture = tmp_path / "p.png"
    result = typed("refine", tmp_path / "log.csv", "--rule", "sgd", "-o", tmp_path / "s.json", "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert picture.stat().st_size > 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_failure_of_any_text_is_listed(name, tmp_path):
    with Store(tmp_path / "runs.db") as store:
        store.register(1)
        store.want(store.add([RunSpec("problem:absolute", method="[red]")], "1"))
        key, _ = store.claim()
        store.finish(key, Outcome("failed", error=name))
    result = typed("sweep", "status", "--store", tmp_path / "runs.db")
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize("name", HOSTILE)
def test_pictures_show_names_as_they_are(name, tmp_path):
    figure = Figure()
    li.plots.schedules({name: np.ones(3)}, ax=figure.subplots())
    figure.suptitle(literal(name))
    figure.savefig(tmp_path / "p.png")


def test_errors_show_names_as_they_are(capsys, monkeypatch):
    import sys

    from lastiterate import cli

    def fail():
        raise InputError("path", "[/] \x1b]0;owned\x07 [red]", "something else")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert "[/] \\x1b]0;owned\\x07 [red]" in printed
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("option", ["-o", "--plot"])
def test_no_command_overwrites_its_input(tmp_path, option):
    log = tmp_path / ("log.csv" if option == "-o" else "log.png")
    log.write_text("step,grad_norm\n" + "".join(f"{k},{1 + k}\n" for k in range(20)))
    before = log.read_text()
    (tmp_path / f"link{log.suffix}").symlink_to(log)
    for name in (log.name, f"link{log.suffix}", f"../{tmp_path.name}/{log.name}"):
        result = typed("refine", log, "--rule", "sgd", "-o", tmp_path / "s.json", option, tmp_path / name)
        assert isinstance(result.exception, InputError), result.output
        assert "would be lost" in str(result.exception)
    assert log.read_text() == before


def test_an_export_never_replaces_its_store(tmp_path):
    with Store(tmp_path / "runs.db") as store:
        store.add([RunSpec("problem:absolute")], "1")
    result = typed("sweep", "export", tmp_path / "runs.db", "--store", tmp_path / "runs.db")
    assert "would be lost" in str(result.exception)
    with Store(tmp_path / "runs.db", must_exist=True) as store:
        assert store.progress().n_runs == 1


def test_what_is_replaced_is_named(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,grad_norm\n" + "".join(f"{k},{1 + k}\n" for k in range(20)))
    out = tmp_path / "s.json"
    assert "replaced:" not in typed("refine", log, "--rule", "sgd", "-o", out).output
    assert f"replaced: {out}" in typed("refine", log, "--rule", "sgd", "-o", out).output.replace("\n", "")
