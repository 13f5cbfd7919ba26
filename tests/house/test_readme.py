"""The newcomer's path: every example in the README and the guides runs as it stands, and shows what it says."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lastiterate.cli import app

ROOT = Path(__file__).resolve().parents[2]


def blocks(language, pages):
    for page in pages:
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)):
            yield pytest.param(block, id=f"{page.stem}-{number}")


STATED = re.compile(r"# (-?\d+\.\d+)(\.\.\.)?")
"""A comment that begins with the number that its line shows, rounded, or cut where dots follow."""


def paste(block, names):
    """Run a block, and compare the values that it shows with what its comments say of them; return how many did."""
    compared = 0
    for statement in ast.parse(block).body:
        stated = STATED.search(block.splitlines()[statement.end_lineno - 1])
        exec(compile(ast.Module([statement], []), "example", "exec"), names)
        if stated and isinstance(statement, ast.Expr):
            value = statement.value
            first = value.args[0] if ast.unparse(value).startswith("print(") else value
            first = first.elts[0] if isinstance(first, ast.Tuple) else first
            found = float(eval(compile(ast.Expression(first), "example", "eval"), names))
            unit = 10.0 ** -len(stated[1].partition(".")[2])
            off = found - float(stated[1])
            assert (0.0 <= off < unit) if stated[2] else (abs(off) <= 0.5001 * unit), (ast.unparse(value), stated[0])
            compared += 1
    return compared


def test_a_number_that_an_example_does_not_show_is_noticed():
    assert paste("1.0 / 3.0  # 0.33: a third\nprint(2.0 / 3.0, 1)  # 0.66...\nx = 1  # 0.5", {}) == 2
    for wrong in ("1.0 / 3.0  # 0.34", "print(2.0 / 3.0)  # 0.67...", "2.0 / 3.0, 0.66  # 0.66"):
        with pytest.raises(AssertionError):
            paste(wrong, {})


@pytest.mark.parametrize("block", list(blocks("python", [ROOT / "README.md"])))
def test_readme_examples_run_each_by_itself(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paste(block, {"__name__": "example"})


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_examples_of_a_guide_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    for block in blocks("python", [page]):
        paste(block.values[0], names)


@pytest.mark.parametrize("block", list(blocks("sh", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])))
def test_shell_examples_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in block.replace("\\\n", " ").strip().splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "lastiterate"
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception}"


def test_the_readme_counts_orderings_as_the_page_of_figures_does():
    text = " ".join((ROOT / "README.md").read_text().split())
    stated = re.search(r"(\d+) of (\d+) orderings and numbers that papers state were seen", text)
    counted = re.search(
        r"Of (\d+) published orderings and numbers, (\d+) were seen", (ROOT / "docs/figures.md").read_text()
    )
    assert stated is not None
    assert counted is not None
    assert stated.groups() == counted.groups()[::-1]
