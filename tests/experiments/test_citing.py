"""BibTeX of the software and of the papers behind names."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.experiments.citing import PAPERS
from lastiterate.theory.base.validation import InputError

ROOT = Path(__file__).resolve().parents[2]


def entries(text):
    """Parse BibTeX as far as it is written here: key to fields."""
    found = re.findall(r"@(\w+)\{([^,]+),\n((?:  \w+ = \{.*\},\n)+)\}", text)
    assert len(found) == text.count("@"), text
    return {key: dict(re.findall(r"  (\w+) = \{(.*)\},", body)) for _, key, body in found}


def test_without_names_it_is_the_software_and_its_two_papers():
    found = entries(li.cite())
    assert list(found) == ["lastiterate", "defazio2310.07831", "zamani2307.11134"]
    assert found["lastiterate"]["version"] == li.__version__


def test_names_bring_the_papers_of_their_docstrings():
    found = entries(li.cite("exact_rate", "schedules.generalised_cosine", "batch_change"))
    assert {fields.get("eprint") for fields in found.values()} >= {None, "2307.11134", "2310.07831", "2603.10301"}
    assert all(fields["url"].endswith(fields["eprint"]) for key, fields in found.items() if key != "lastiterate")


@pytest.mark.parametrize("number", PAPERS)
def test_every_paper_is_an_entry_of_its_year_that_the_project_uses(number):
    (_, fields) = entries(li.cite(number)).values()
    assert fields["year"] == f"20{number[:2]}"
    assert fields["author"]
    assert fields["title"]
    rooms = ("theory", "experiments", "paper_figures")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py") if path.name != "citing.py"]
    assert any(number in path.read_text() for path in sources)


@pytest.mark.parametrize("name", ["nonsense", "_find", "schedules.nothing", "12.34"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(InputError, match="names: expected public names"):
        li.cite(name)


def test_the_command_and_the_documents_print_the_same():
    printed = CliRunner().invoke(app, ["cite"]).stdout
    assert printed == li.cite() + "\n"
    for page in ("README.md", "docs/citation.md"):
        shown = entries("".join(re.findall(r"```bibtex\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)))
        assert shown.items() <= entries(printed).items(), page
    assert len(entries(CliRunner().invoke(app, ["cite", "--papers"]).stdout)) == len(PAPERS) + 1
