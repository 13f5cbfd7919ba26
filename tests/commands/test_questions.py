"""The page of questions: every command runs, and gives the numbers that the page prints."""

import json
import re
import shlex
import warnings
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lastiterate.cli import app

DOCS = Path(__file__).parents[2] / "docs"
SECTION = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)
WITHOUT_ANSWER = {10, 22, 24, 25}


def sections():
    """Number -> text of a question."""
    parts = SECTION.split((DOCS / "questions.md").read_text())[1:]
    return {int(number): body for number, body in zip(parts[::3], parts[2::3], strict=True)}


SECTIONS = sections()


def found(document, path):
    """The number at ``field`` or ``rows[NAME].column``, NAME a text in the row or its number."""
    row = re.fullmatch(r"rows\[(.+)\]\.(.+)", path)
    if row is None:
        return document[path]
    name, column = row.groups()
    rows = document["rows"]
    return next(r for i, r in enumerate(rows) if name in (*map(str, r.values()), str(i)))[column]


@pytest.mark.parametrize("number", SECTIONS)
def test_the_command_gives_the_numbers(number, tmp_path, monkeypatch):
    body = SECTIONS[number]
    (command,) = re.findall(r"```text\nlastiterate (.+)\n```", body)
    numbers = re.findall(r"^\| `(.+)` \| (-?[\d.e-]+) \|$", body, re.MULTILINE)
    assert numbers
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what a log is warned of is not the question
        answer = CliRunner().invoke(app, [*shlex.split(command), "--json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    for path, printed in numbers:
        unit = 10.0 ** Decimal(printed).as_tuple().exponent
        assert found(document, path) == pytest.approx(float(printed), abs=0.51 * unit), path


def test_at_least_forty_and_the_open_ones_say_so():
    assert list(SECTIONS) == list(range(1, len(SECTIONS) + 1))
    assert len(SECTIONS) >= 40
    assert {number for number, body in SECTIONS.items() if "Theory has no answer" in body} == WITHOUT_ANSWER
