"""The newcomer's path: every example in the README and the guides runs as it stands."""

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


@pytest.mark.parametrize("block", list(blocks("python", [ROOT / "README.md"])))
def test_readme_examples_run_each_by_itself(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "example", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_examples_of_a_guide_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    for block in blocks("python", [page]):
        exec(compile(block.values[0], page.name, "exec"), names)


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
