"""Command evidence: the page from results, and what it refuses."""

import shutil
from pathlib import Path

from typer.testing import CliRunner

from lastiterate.cli import app

RESULTS = Path(__file__).parents[2] / "docs" / "evidence"


def run(*arguments):
    return CliRunner().invoke(app, ["evidence", *map(str, arguments)])


def test_page_from_results_of_one_block(tmp_path):
    (tmp_path / "evidence").mkdir()
    shutil.copy(RESULTS / "horizon.json", tmp_path / "evidence")
    result = run("--draw", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "evidence.md").read_text()
    assert "clicks" in page
    assert page.count("Not run.") == 7
    assert (tmp_path / "evidence" / "horizon.png").stat().st_size > 1000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["evidence", "evidence.md"]


def test_what_is_refused(tmp_path):
    empty = run("--draw", "--out", tmp_path)
    assert empty.exit_code != 0
    assert "horizon.json" in str(empty.exception)
    unknown = run("--block", "everything", "--out", tmp_path)
    assert "everything" in str(unknown.exception)
    assert not list(tmp_path.iterdir())
    negative = run("--replicate", -1, "--draw", "--out", tmp_path)
    assert "replicate" in str(negative.exception)
